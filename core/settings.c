/* What HCT_VERBOSE and HCT_KERNEL ask for. What nobody knows in them is said on stderr, one line each: a slip of the
 * pen must not pass for a measurement. */
#include "internal.h"
#include "hct/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next part of a comma-separated list, to be freed; NULL after the last. */
static char *next_part(const char **at) {
    *at += strspn(*at, ",");
    size_t n = strcspn(*at, ",");
    char *part = n ? strndup(*at, n) : NULL;
    *at += n;
    return part;
}

void hct_settings_read(hct_ctx *ctx) {
    const char *verbose = getenv("HCT_VERBOSE"), *force = getenv("HCT_KERNEL");
    ctx->force = force ? strdup(force) : NULL;
    for (char *word; verbose && (word = next_part(&verbose)); free(word)) {
        if (!strcmp(word, "dispatch")) ctx->verbose_dispatch = 1;
        else hct_log(HCT_LOG_WARNING, "headct: HCT_VERBOSE=%s is not known; 'dispatch' is", word);
    }
}

const char *hct_forced_kernel(const hct_ctx *ctx, const char *op, size_t *ret_n) {
    size_t n = strlen(op);
    for (const char *p = ctx->force; p && *p;) {
        size_t len = strcspn(p, ",");
        if (len > n + 1 && !strncmp(p, op, n) && p[n] == '=') {
            *ret_n = len - n - 1;
            return p + n + 1;
        }
        p += len + (p[len] == ',');
    }
    return NULL;
}

static const char *nearest_op(const hct_ctx *ctx, const char *name) {
    const char **names = malloc(ctx->n_ops * sizeof *names), *found = NULL;
    for (size_t i = 0; names && i < ctx->n_ops; i++) names[i] = ctx->ops[i]->name;
    if (names) found = hct_name_nearest(name, names, ctx->n_ops);
    free((void *)names);
    return found;
}

/* Of the few that an op has on a backend, however far; NULL where it has none. */
static const char *nearest_kernel(const hct_ctx *ctx, const char *backend, const char *name, const char *op) {
    const char *found = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < ctx->n_kernels; i++) {
        const hct_kernel *k = ctx->kernels[i];
        if (strcmp(k->op, op) != 0 || strcmp(k->backend, backend) != 0) continue;
        if (!strcmp(k->name, name)) return k->name;
        size_t d = hct_name_distance(name, k->name);
        if (d < least) least = d, found = k->name;
    }
    return found;
}

void hct_settings_check(hct_dev *dev) {
    hct_ctx *ctx = dev->ctx;
    if (!ctx->force || atomic_exchange(&ctx->force_checked, 1)) return;
    const char *at = ctx->force;
    for (char *part; (part = next_part(&at)); free(part)) {
        size_t n = strcspn(part, "=");
        char *op = strndup(part, n);
        const char *kernel = part[n] ? part + n + 1 : "", *near = NULL;
        char why[300] = "";
        if (op && !hct_op_find(ctx, op))
            snprintf(why, sizeof why, "no op is called '%s'", op), near = nearest_op(ctx, op);
        else if (op && !*kernel) snprintf(why, sizeof why, "it names no kernel of %s", op);
        else if (op && (!(near = nearest_kernel(ctx, dev->backend->name, kernel, op)) || strcmp(near, kernel) != 0))
            snprintf(why, sizeof why, "no kernel of %s on %s is called '%s'", op, dev->backend->name, kernel);
        if (*why && near) hct_log(HCT_LOG_WARNING, "headct: HCT_KERNEL=%s: %s; the nearest is '%s'", part, why, near);
        else if (*why)
            hct_log(HCT_LOG_WARNING,
                    "headct: HCT_KERNEL=%s: %s; it takes OP=KERNEL, and 'headct backends --kernels' lists them", part,
                    why);
        free(op);
    }
}
