/* A kernel that breaks the rule: it allocates in run(). test_replay must notice it. */
#include "hct/plugin.h"

#include <stdlib.h>

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)ret;
    if (hct_is_contiguous(&p->in[0]) && hct_is_contiguous(&p->in[1])) return HCT_OK;
    return hct_plugin_fail(err, HCT_NOTIMPL, "an input has gaps");
}

static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *err) {
    (void)p, (void)s, (void)ws;
    int64_t n = hct_numel(in);
    float *volatile copy = malloc((size_t)n * sizeof *copy + 1);
    if (!copy) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    for (int64_t i = 0; i < n; i++) copy[i] = ((const float *)hct_ptr(in))[i] + ((const float *)hct_ptr(in + 1))[i];
    for (int64_t i = 0; i < n; i++) ((float *)hct_ptr(out))[i] = copy[i];
    free(copy);
    return HCT_OK;
}

static const hct_kernel kernel = {.size = sizeof kernel,
                                  .name = "test:allocating add",
                                  .op = "add",
                                  .backend = "cpu",
                                  .dtypes = 1u << HCT_F32,
                                  .priority = 1000,
                                  .plan = plan,
                                  .run = run};

static hct_status init(const hct_host *host, hct_err *err) { return host->add_kernel(host, &kernel, err); }

HCT_PLUGIN_DEFINE("allocating", "1.0", init)
