/* Layers by the names of their tensors. */
#include "models/layers.h"

#include "models/lora.h"

hct_id layers_norm(hct_tape *t, params *p, const char *name, hct_id x, double eps) {
    return hct_layer_norm(t, x, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name), eps);
}

hct_id layers_linear(hct_tape *t, params *p, const char *name, hct_id x) {
    hct_id b = params_has(p, "%s.bias", name) ? params_use(p, t, "%s.bias", name) : 0;
    hct_id y = hct_linear(t, x, params_use(p, t, "%s.weight", name), b), low = lora_branch(t, p, name, x);
    return low ? hct_add(t, y, low) : y;
}

hct_id layers_linear_gelu(hct_tape *t, params *p, const char *name, hct_id x) {
    return hct_linear_gelu(t, x, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name));
}
