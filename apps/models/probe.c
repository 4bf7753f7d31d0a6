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

enum { MIL_HIDDEN = 128 };

void mil_declare(params *p, const char *prefix, int64_t width, int64_t classes) {
    const int64_t hidden = MIL_HIDDEN;
    declare_norm(p, prefix, "bn1", width);
    params_add(p, INIT_XAVIER, 1, 2, (int64_t[]){hidden, width}, "%stanh.weight", prefix);
    params_add(p, INIT_ZERO, 1, 1, &hidden, "%stanh.bias", prefix);
    params_add(p, INIT_XAVIER, 1, 2, (int64_t[]){hidden, width}, "%sgate.weight", prefix);
    params_add(p, INIT_ZERO, 1, 1, &hidden, "%sgate.bias", prefix);
    params_add(p, INIT_XAVIER, 1, 2, (int64_t[]){1, hidden}, "%sscore.weight", prefix);
    params_add(p, INIT_NORMAL, 1, 2, (int64_t[]){classes, width}, "%slinear.weight", prefix);
    params_add(p, INIT_ZERO, 1, 1, &classes, "%slinear.bias", prefix);
}

/* x [rows, hidden] -> 1 / (1 + e^-x): the first of the softmax of (x, 0). */
static hct_id sigmoid(hct_tape *t, hct_id x) {
    const hct_view *v = hct_shape(t, x);
    int64_t rows = v->dim[0], hidden = v->dim[1], pair[2] = {rows * hidden, 1};
    hct_id both[2] = {hct_reshape(t, x, 2, pair), hct_fill(t, HCT_F32, 2, pair, 0)};
    hct_id first = hct_slice(t, hct_softmax(t, hct_concat(t, both, 2, 1)), 1, 0, 1);
    return hct_reshape(t, first, 2, (int64_t[]){rows, hidden});
}

hct_id mil_forward(hct_tape *t, params *p, const char *prefix, hct_id tokens, int training) {
    const hct_view *v = hct_shape(t, tokens);
    int64_t b = v->dim[0], n = v->dim[1], c = v->dim[2];
    hct_id h = norm(t, p, prefix, "bn1", hct_reshape(t, tokens, 2, (int64_t[]){b * n, c}), training);
    hct_id a = hct_linear(t, h, params_use(p, t, "%stanh.weight", prefix), params_use(p, t, "%stanh.bias", prefix));
    hct_id g = hct_linear(t, h, params_use(p, t, "%sgate.weight", prefix), params_use(p, t, "%sgate.bias", prefix));
    a = hct_scale(t, sigmoid(t, hct_scale(t, a, 2, 0)), 2, -1); /* tanh(x) = 2 sigmoid(2x) - 1 */
    hct_id score = hct_linear(t, hct_mul(t, a, sigmoid(t, g)), params_use(p, t, "%sscore.weight", prefix), 0);
    hct_id share = hct_softmax(t, hct_reshape(t, score, 2, (int64_t[]){b, n}));
    h = hct_matmul(t, hct_reshape(t, share, 3, (int64_t[]){b, 1, n}), hct_reshape(t, h, 3, (int64_t[]){b, n, c}));
    return hct_linear(t, hct_reshape(t, h, 2, (int64_t[]){b, c}), params_use(p, t, "%slinear.weight", prefix),
                      params_use(p, t, "%slinear.bias", prefix));
}

void head_declare(params *p, const char *prefix, int64_t width, int64_t classes, int64_t heads) {
    if (heads == HEAD_MIL) mil_declare(p, prefix, width, classes);
    else if (heads) attentive_declare(p, prefix, width, classes);
    else probe_declare(p, prefix, width, classes);
}

hct_id head_forward(hct_tape *t, params *p, const char *prefix, int64_t heads, hct_id pooled, hct_id tokens,
                    int training) {
    if (heads == HEAD_MIL) return mil_forward(t, p, prefix, tokens, training);
    return heads ? attentive_forward(t, p, prefix, heads, tokens, training)
                 : probe_forward(t, p, prefix, pooled, training);
}
