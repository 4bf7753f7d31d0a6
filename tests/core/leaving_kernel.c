/* Two toy kernels. "test:leaving add_layer_norm" writes x + h and, as their norm, 1; it leaves what is unused, and
 * counts that. "test:careless" leaves what is used. */
#include "hct/plugin.h"

HCT_API int outputs_left, address_given;
int outputs_left, address_given;

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)err;
    if (HCT_HAS(p, unused)) ret->leaves = p->unused;
    return HCT_OK;
}

static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *err) {
    (void)s, (void)ws, (void)err;
    outputs_left = 0;
    for (int o = 0; o < 4; o++) {
        int left = (int)(p->leaves >> o & 1);
        outputs_left += left;
        address_given |= left && out[o].mem;
        for (int64_t i = 0; !left && i < hct_numel(&out[o]); i++)
            ((float *)hct_ptr(&out[o]))[i] =
                o ? 1 : ((const float *)hct_ptr(&in[0]))[i] + ((const float *)hct_ptr(&in[1]))[i];
    }
    return HCT_OK;
}

static hct_status plan_careless(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d, (void)p, (void)err;
    ret->leaves = 1;
    return HCT_OK;
}

static const hct_kernel leaving = {.size = sizeof leaving,
                                   .name = "test:leaving add_layer_norm",
                                   .op = "add_layer_norm",
                                   .backend = "cpu",
                                   .dtypes = 1u << HCT_F32,
                                   .priority = 1000,
                                   .plan = plan,
                                   .run = run};
static const hct_kernel careless = {.size = sizeof careless,
                                    .name = "test:careless",
                                    .op = "gelu",
                                    .backend = "cpu",
                                    .dtypes = 1u << HCT_F32,
                                    .priority = 1000,
                                    .plan = plan_careless,
                                    .run = run};

static hct_status init(const hct_host *host, hct_err *err) {
    hct_status st = host->add_kernel(host, &leaving, err);
    return st == HCT_OK ? host->add_kernel(host, &careless, err) : st;
}

HCT_PLUGIN_DEFINE("leaving", "1.0", init)
