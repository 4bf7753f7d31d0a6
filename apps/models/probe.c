#include "models/probe.h"

void probe_declare(params *p, const char *prefix, int64_t width, int64_t classes) {
    params_add(p, INIT_ZERO, 0, 1, &width, "%sbn.running_mean", prefix);
    params_add(p, INIT_ONE, 0, 1, &width, "%sbn.running_var", prefix);
    params_add(p, INIT_NORMAL, 1, 2, (int64_t[]){classes, width}, "%slinear.weight", prefix);
    params_add(p, INIT_ZERO, 1, 1, &classes, "%slinear.bias", prefix);
}

hct_id probe_forward(hct_tape *t, params *p, const char *prefix, hct_id x, int training) {
    hct_id mean = params_use(p, t, "%sbn.running_mean", prefix), var = params_use(p, t, "%sbn.running_var", prefix);
    hct_id h = hct_batch_norm(t, x, mean, var, PROBE_MOMENTUM, PROBE_EPS, training);
    return hct_linear(t, h, params_use(p, t, "%slinear.weight", prefix), params_use(p, t, "%slinear.bias", prefix));
}
