/* Layers by the names of their tensors. */
#include "models/layers.h"

#include "models/lora.h"

hct_id layers_norm(hct_tape *t, params *p, const char *name, hct_id x, double eps) {
    return hct_layer_norm(t, x, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name), eps);
}

/* Of whole numbers of 8 bits (kit/int8.h): an op of the CPU backend's. b may be 0. */
static hct_id linear_int8(hct_tape *t, params *p, const char *name, hct_id x, hct_id b, int gelu) {
    hct_id in[3] = {x, params_master(p, t, "%s.weight", name), b}, y = 0;
    hct_emit(t, "linear_int8", in, b ? 3 : 2, &HCT_INT("gelu", gelu), 1, &y, 1);
    p->int8_layers++;
    return y;
}

hct_id layers_linear(hct_tape *t, params *p, const char *name, hct_id x) {
    hct_id b = params_has(p, "%s.bias", name) ? params_use(p, t, "%s.bias", name) : 0;
    hct_id y = p->int8 ? linear_int8(t, p, name, x, b, 0) : hct_linear(t, x, params_use(p, t, "%s.weight", name), b),
           low = lora_branch(t, p, name, x);
    return low ? hct_add(t, y, low) : y;
}

hct_id layers_linear_gelu(hct_tape *t, params *p, const char *name, hct_id x) {
    if (p->int8) return linear_int8(t, p, name, x, params_use(p, t, "%s.bias", name), 1);
    return hct_linear_gelu(t, x, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name));
}

void layers_declare_batch_norm(params *p, const char *name, int64_t width) {
    params_add(p, INIT_ONE, 1, 1, &width, "%s.weight", name);
    params_add(p, INIT_ZERO, 1, 1, &width, "%s.bias", name);
    params_add(p, INIT_ZERO, 0, 1, &width, "%s.running_mean", name);
    params_add(p, INIT_ONE, 0, 1, &width, "%s.running_var", name);
}

/* Whether batch norm `name` uses the batch's statistics. */
static int by_batch(const params *p, const char *name, int training) {
    char full[160];
    snprintf(full, sizeof full, "%s%s.weight", p->scope, name);
    const param *w = params_find(p, full);
    return training && w && w->trained;
}

hct_id layers_batch_norm(hct_tape *t, params *p, const char *name, hct_id x, double momentum, double eps,
                         int training) {
    return hct_batch_norm3d(t, x, params_use(p, t, "%s.weight", name), params_use(p, t, "%s.bias", name),
                            params_master(p, t, "%s.running_mean", name), params_master(p, t, "%s.running_var", name),
                            momentum, eps, by_batch(p, name, training));
}

hct_id layers_conv_norm(hct_tape *t, params *p, const char *norm, hct_id x, hct_id w, const int64_t stride[3],
                        const int64_t padding[3], const int64_t dilation[3], double momentum, double eps,
                        int training) {
    if (by_batch(p, norm, training))
        return layers_batch_norm(t, p, norm, hct_conv3d(t, x, w, 0, stride, padding, dilation, 1), momentum, eps, 1);
    hct_dtype dtype = (hct_dtype)hct_shape(t, w)->dtype;
    int64_t out = hct_shape(t, w)->dim[0];
    hct_id mean = params_use(p, t, "%s.running_mean", norm),
           spread = hct_rsqrt(t, params_master(p, t, "%s.running_var", norm), eps),
           scale = hct_mul(t, params_use(p, t, "%s.weight", norm), hct_cast(t, spread, dtype)),
           bias = hct_sub(t, params_use(p, t, "%s.bias", norm), hct_mul(t, mean, scale));
    w = hct_mul(t, w, hct_reshape(t, scale, 5, (int64_t[]){out, 1, 1, 1, 1}));
    return hct_conv3d(t, x, w, bias, stride, padding, dilation, 1);
}
