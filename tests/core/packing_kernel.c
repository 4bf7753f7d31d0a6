/* Two toy kernels. "test:packing linear" multiplies by a transposed copy of steady weights, counts how often it
 * packs, and refuses weights that are not steady. "test:greedy" asks for a packed copy that it cannot make. */
#include "hct/plugin.h"

HCT_API int packs_made;
int packs_made;

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    if (!HCT_HAS(p, steady) || !(p->steady >> 1 & 1) || p->n_in != 2 || !hct_is_contiguous(&p->in[0]))
        return hct_plugin_fail(err, HCT_NOTIMPL, "no steady weights, or more than I can do");
    ret->packed = (uint64_t)hct_numel(&p->in[1]) * sizeof(float);
    ret->packs = 1;
    return HCT_OK;
}

static hct_status pack(const hct_plan *p, hct_stream *s, const hct_view *w, const hct_view *packed, hct_err *err) {
    (void)p, (void)s, (void)err;
    float *to = hct_ptr(packed);
    for (int64_t k = 0; k < w->dim[1]; k++)
        for (int64_t j = 0; j < w->dim[0]; j++)
            *to++ = ((const float *)hct_ptr(w))[j * w->stride[0] + k * w->stride[1]];
    packs_made++;
    return HCT_OK;
}

static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *err) {
    (void)p, (void)s, (void)err;
    int64_t n = in[1].dim[0], inner = in[1].dim[1], rows = hct_numel(out) / n;
    const float *x = hct_ptr(&in[0]), *w = hct_ptr(&ws[1]);
    float *y = hct_ptr(out);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t k = 0; k < inner; k++) sum += x[i * inner + k] * w[k * n + j];
            y[i * n + j] = sum;
        }
    return HCT_OK;
}

static hct_status plan_greedy(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)err;
    ret->packed = 64;
    return HCT_OK;
}

static const hct_kernel linear = {.size = sizeof linear,
                                  .name = "test:packing linear",
                                  .op = "linear",
                                  .backend = "cpu",
                                  .dtypes = 1u << HCT_F32,
                                  .priority = 1000,
                                  .plan = plan,
                                  .run = run,
                                  .pack = pack};
static const hct_kernel greedy = {.size = sizeof greedy,
                                  .name = "test:greedy",
                                  .op = "gelu",
                                  .backend = "cpu",
                                  .dtypes = 1u << HCT_F64,
                                  .priority = 1000,
                                  .plan = plan_greedy,
                                  .run = run,
                                  .pack = pack};

static hct_status init(const hct_host *host, hct_err *err) {
    hct_status st = host->add_kernel(host, &linear, err);
    return st == HCT_OK ? host->add_kernel(host, &greedy, err) : st;
}

HCT_PLUGIN_DEFINE("packing", "1.0", init)
