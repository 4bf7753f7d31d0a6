/* Which kernel computes a call: by falling priority, the first whose plan() accepts. */
#include "internal.h"
#include "hct/log.h"

#include <stdio.h>
#include <string.h>

static void describe(const hct_problem *p, char *out, size_t n) {
    size_t used = (size_t)snprintf(out, n, "%s(", p->op);
    for (uint32_t i = 0; i < p->n_in && i < 6 && used < n; i++) {
        used += (size_t)snprintf(out + used, n - used, "%s%s[", i ? ", " : "", hct_dtype_name(p->in[i].dtype));
        for (int d = 0; d < p->in[i].ndim && used < n; d++)
            used += (size_t)snprintf(out + used, n - used, "%s%lld", d ? "," : "", (long long)p->in[i].dim[d]);
        if (used < n) used += (size_t)snprintf(out + used, n - used, "]");
    }
    if (used < n) snprintf(out + used, n - used, "%s)", p->n_in > 6 ? ", ..." : "");
}

int hct_has_kernel(const hct_dev *d, const char *op) {
    for (size_t i = 0; i < d->ctx->n_kernels; i++)
        if (!strcmp(d->ctx->kernels[i]->op, op) && !strcmp(d->ctx->kernels[i]->backend, d->backend->name)) return 1;
    return 0;
}

hct_status hct_dispatch(hct_dev *dev, const hct_problem *p, const hct_kernel **ret, hct_plan *ret_plan, hct_err *err) {
    const hct_ctx *ctx = dev->ctx;
    size_t n_want = 0;
    hct_settings_check(dev);
    const char *want = hct_forced_kernel(ctx, p->op, &n_want);
    char call[512] = "", why[400] = "";
    if (ctx->verbose_dispatch) describe(p, call, sizeof call);
    int dtype = p->n_in ? p->in[0].dtype : p->n_out ? p->out[0].dtype : HCT_F32;
    for (size_t i = 0; i < ctx->n_kernels; i++) {
        const hct_kernel *k = ctx->kernels[i];
        if (strcmp(k->op, p->op) != 0 || strcmp(k->backend, dev->backend->name) != 0) continue;
        if (want && (strlen(k->name) != n_want || strncmp(k->name, want, n_want) != 0)) continue;
        hct_err reason = {0, ""};
        hct_plan plan = {.size = sizeof plan};
        hct_status st;
        if (k->dtypes && !(k->dtypes >> dtype & 1))
            st = hct_fail(&reason, HCT_NOTIMPL, "not for %s", hct_dtype_name(dtype));
        else st = k->plan(dev->device, p, &plan, &reason);
        if (ctx->verbose_dispatch)
            hct_log(HCT_LOG_INFO, "dispatch: %s: %s %s%s%s", call, k->name,
                    st == HCT_OK ? "chosen" : "refuses: ", reason.msg,
                    st == HCT_OK || reason.msg[0] ? "" : hct_status_text(st));
        if (st == HCT_OK) {
            *ret = k;
            *ret_plan = plan;
            return HCT_OK;
        }
        if (st != HCT_NOTIMPL) return hct_fail(err, st, "%s: %s: %s", p->op, k->name, reason.msg);
        size_t used = strlen(why);
        snprintf(why + used, sizeof why - used, "%s%s: %s", used ? "; " : "", k->name, reason.msg);
    }
    describe(p, call, sizeof call);
    if (want)
        return hct_fail(err, HCT_ENOKERNEL, "%s on %s: HCT_KERNEL asks for '%.*s', which %s", call, dev->backend->name,
                        (int)n_want, want, *why ? "refuses" : "is not loaded for it");
    return hct_fail(err, HCT_ENOKERNEL, "%s on %s: no kernel computes it (%s); 'headct backends' lists what is loaded",
                    call, dev->backend->name, *why ? why : "none is registered");
}
