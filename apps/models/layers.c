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

void layers_declare_batch_norm(params *p, const char *name, int64_t width) {
    params_add(p, INIT_ONE, 1, 1, &width, "%s.weight", name);
    params_add(p, INIT_ZERO, 1, 1, &width, "%s.bias", name);
    params_add(p, INIT_ZERO, 0, 1, &width, "%s.running_mean", name);
    params_add(p, INIT_ONE, 0, 1, &width, "%s.running_var", name);
}

hct_id layers_batch_norm(hct_tape *t, params *p, const char *name, hct_id x, double momentum, double eps,
                         int training) {
    char full[160];
    snprintf(full, sizeof full, "%s%s.weight", p->scope, name);
    const param *w = params_find(p, full);
    return hct_batch_norm3d(t, x, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name),
                            params_master(p, t, "%s.running_mean", name), params_master(p, t, "%s.running_var", name),
                            momentum, eps, training && w && w->trained);
}
