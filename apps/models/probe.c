/* Heads: linear probes, and attentive ones. */
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

static void declare_norm(params *p, const char *prefix, const char *name, int64_t width) {
    params_add(p, INIT_ZERO, 0, 1, &width, "%s%s.running_mean", prefix, name);
    params_add(p, INIT_ONE, 0, 1, &width, "%s%s.running_var", prefix, name);
}

void attentive_declare(params *p, const char *prefix, int64_t width, int64_t classes) {
    declare_norm(p, prefix, "bn1", width);
    declare_norm(p, prefix, "bn2", width);
    params_add(p, INIT_NORMAL, 1, 3, (int64_t[]){1, 1, width}, "%scls_token", prefix);
    params_add(p, INIT_XAVIER, 1, 2, (int64_t[]){2 * width, width}, "%swkv.weight", prefix);
    params_add(p, INIT_NORMAL, 1, 2, (int64_t[]){classes, width}, "%slinear.weight", prefix);
    params_add(p, INIT_ZERO, 1, 1, &classes, "%slinear.bias", prefix);
}

/* x [rows, width] */
static hct_id norm(hct_tape *t, params *p, const char *prefix, const char *name, hct_id x, int training) {
    hct_id mean = params_use(p, t, "%s%s.running_mean", prefix, name),
           var = params_use(p, t, "%s%s.running_var", prefix, name);
    return hct_batch_norm(t, x, mean, var, PROBE_MOMENTUM, PROBE_EPS, training);
}

hct_id attentive_forward(hct_tape *t, params *p, const char *prefix, int64_t heads, hct_id tokens, int training) {
    const hct_view *v = hct_shape(t, tokens);
    int64_t b = v->dim[0], n = v->dim[1], c = v->dim[2], d = c / heads;
    hct_id h = norm(t, p, prefix, "bn1", hct_reshape(t, tokens, 2, (int64_t[]){b * n, c}), training), kv[2];
    h = hct_reshape(t, hct_linear(t, h, params_use(p, t, "%swkv.weight", prefix), 0), 4,
                    (int64_t[]){b, n, 2 * heads, d});
    hct_split(t, h, 2, 2, kv);
    hct_id q = hct_reshape(t, params_use(p, t, "%scls_token", prefix), 4, (int64_t[]){1, 1, heads, d});
    h = hct_attention(t, hct_expand(t, q, 4, (int64_t[]){b, 1, heads, d}), kv[0], kv[1], 1 / (double)d);
    h = norm(t, p, prefix, "bn2", hct_reshape(t, h, 2, (int64_t[]){b, c}), training);
    return hct_linear(t, h, params_use(p, t, "%slinear.weight", prefix), params_use(p, t, "%slinear.bias", prefix));
}

void head_declare(params *p, const char *prefix, int64_t width, int64_t classes, int64_t heads) {
    if (heads) attentive_declare(p, prefix, width, classes);
    else probe_declare(p, prefix, width, classes);
}

hct_id head_forward(hct_tape *t, params *p, const char *prefix, int64_t heads, hct_id pooled, hct_id tokens,
                    int training) {
    return heads ? attentive_forward(t, p, prefix, heads, tokens, training)
                 : probe_forward(t, p, prefix, pooled, training);
}
