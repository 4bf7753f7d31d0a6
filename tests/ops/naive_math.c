/* Ops as their formulas say, in double. */
#include "naive.h"

#include "hct/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EACH(i, n) for (int64_t i = 0, end_##i = (n); i < end_##i; i++)

static int64_t n_of(const call *k) { return hct_numel(&k->out[0]); }
static int64_t last(const hct_view *v) { return v->dim[v->ndim - 1]; }
static int64_t rows(const hct_view *v) { return last(v) ? hct_numel(v) / last(v) : 0; }

/* ---- elementwise ---- */

void naive_add(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] + k->x[1][i]; }
void naive_sub(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] - k->x[1][i]; }
void naive_mul(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] * k->x[1][i]; }
void naive_scale(call *k) { EACH(i, n_of(k)) k->y[0][i] = call_real(k, "factor") * k->x[0][i] + call_real(k, "plus"); }
/* x P(Z <= x) for a standard normal Z; erfc keeps the digits of the left tail */
void naive_gelu(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] * erfc(-k->x[0][i] / sqrt(2.0)) / 2; }
void naive_relu(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] > 0 ? k->x[0][i] : 0; }
void naive_relu_bwd(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] > 0 ? k->x[1][i] : 0; }
void naive_bias_gelu(call *k) {
    EACH(i, n_of(k)) {
        double z = k->x[0][i] + k->x[1][i % last(&k->in[0])];
        k->y[0][i] = z * erfc(-z / sqrt(2.0)) / 2;
    }
}
void naive_bias_gelu_bwd(call *k) {
    EACH(i, n_of(k)) {
        int64_t j = i % last(&k->in[0]);
        double z = k->x[0][i] + k->x[1][j];
        k->y[0][i] = k->x[2][i] * (erfc(-z / sqrt(2.0)) / 2 + z * exp(-z * z / 2) / sqrt(2 * acos(-1.0)));
        k->y[1][j] += k->y[0][i];
    }
}
void naive_rsqrt(call *k) { EACH(i, n_of(k)) k->y[0][i] = pow(k->x[0][i] + call_real(k, "eps"), -0.5); }
void naive_copy(call *k) { EACH(i, n_of(k)) k->y[0][i] = k->x[0][i]; }
void naive_fill(call *k) { EACH(i, n_of(k)) k->y[0][i] = call_real(k, "value"); }

/* Integers: towards zero, held at the ends of the range. */
void naive_cast(call *k) {
    static const double low[HCT_DTYPES] = {
        [HCT_I64] = -0x1p63, [HCT_I32] = -0x1p31, [HCT_I16] = -0x1p15, [HCT_I8] = -128};
    static const double high[HCT_DTYPES] = {
        [HCT_I64] = 0x1p63, [HCT_I32] = 0x1p31 - 1, [HCT_I16] = 0x1p15 - 1, [HCT_I8] = 127, [HCT_U8] = 255};
    int32_t to = k->out[0].dtype;
    EACH(i, n_of(k)) k->y[0][i] = real_dtype(to) ? k->x[0][i] : trunc(fmin(fmax(k->x[0][i], low[to]), high[to]));
}

/* Element i draws word i % 4 of block i / 4; key = seed xor stream times the golden ratio; the step counts above the
 * block. */
void naive_dropout(call *k) {
    uint64_t word[4];
    EACH(i, 4) word[i] = (uint64_t)k->x[1][i];
    uint64_t key = (word[0] | word[1] << 32) ^ (uint64_t)call_int(k, "stream", 0) * 0x9E3779B97F4A7C15u;
    double p = call_real(k, "p");
    EACH(i, n_of(k)) {
        hct_philox r = hct_philox4x32(key, (uint64_t)i / 4, word[2] | word[3] << 32);
        k->y[0][i] = hct_u01(r.v[i % 4]) < p ? 0 : k->x[0][i] / (1 - p);
    }
}

void naive_sum(call *k) {
    const hct_view *x = &k->in[0];
    int64_t axes = call_int(k, "axes", 0);
    EACH(i, hct_numel(x)) {
        int64_t at = 0, step = 1, rest = i;
        for (int d = x->ndim - 1; d >= 0; d--) { /* the output's index is the input's without the summed axes */
            if (!(axes >> d & 1)) at += rest % x->dim[d] * step, step *= x->dim[d];
            rest /= x->dim[d];
        }
        k->y[0][at] += k->x[0][i];
    }
}

/* ---- products ---- */

void naive_linear(call *k) {
    int64_t inner = last(&k->in[0]), out = k->in[1].dim[0];
    EACH(r, inner ? rows(&k->in[0]) : hct_numel(&k->out[0]) / (out ? out : 1)) EACH(j, out) {
        double sum = k->n_in == 3 ? k->x[2][j] : 0;
        EACH(i, inner) sum += k->x[0][r * inner + i] * k->x[1][j * inner + i];
        k->y[0][r * out + j] = sum;
    }
}

/* y[0] = gelu(x w^T + b), y[1] = x w^T */
void naive_linear_gelu(call *k) {
    call product = *k;
    product.n_in = 2;
    product.y[0] = k->y[1];
    naive_linear(&product);
    call sum = *k;
    sum.in[0] = k->out[1];
    sum.x[0] = k->y[1];
    sum.x[1] = k->x[2];
    naive_bias_gelu(&sum);
}

/* A row of n numbers as whole numbers from -most to most; returns their step. Float arithmetic,
 * as the op is defined (kit/int8.h). */
static float int8_row(const double *x, float most, int64_t n, double *whole) {
    float top = 0, *v = calloc((size_t)n + 1, sizeof *v);
    if (!v) abort();
    EACH(i, n) {
        v[i] = (float)x[i];
        top = fmaxf(top, fabsf(v[i]));
    }
    float by = top > 0 ? most / top : 0;
    EACH(i, n) whole[i] = (double)rintf(v[i] * by);
    free(v);
    return top / most;
}

void naive_linear_int8(call *k) {
    int64_t inner = k->in[1].dim[1], out = k->in[1].dim[0];
    double *w = calloc((size_t)(out * inner) + 1, sizeof *w), *x = calloc((size_t)inner + 1, sizeof *x);
    float *steps = calloc((size_t)out + 1, sizeof *steps);
    if (!w || !x || !steps) abort();
    EACH(j, out) steps[j] = int8_row(k->x[1] + j * inner, 63, inner, w + j * inner);
    EACH(r, out ? hct_numel(&k->out[0]) / out : 0) {
        float step = int8_row(k->x[0] + r * inner, 127, inner, x);
        EACH(j, out) {
            double sum = 0;
            EACH(i, inner) sum += x[i] * w[j * inner + i];
            double y = sum * (double)(step * steps[j]) + (k->n_in == 3 ? k->x[2][j] : 0);
            k->y[0][r * out + j] = call_int(k, "gelu", 0) ? y * 0.5 * (1 + erf(y * 0.70710678118654752440)) : y;
        }
    }
    free(w);
    free(x);
    free(steps);
}

void naive_matmul(call *k) {
    const hct_view *a = &k->in[0], *b = &k->in[1];
    int64_t m = a->dim[a->ndim - 2], inner = last(a), n = last(b);
    EACH(i, hct_numel(&k->out[0])) {
        int64_t col = i % n, row = i / n % m, batch = i / (m * n);
        EACH(j, inner) k->y[0][i] += k->x[0][(batch * m + row) * inner + j] * k->x[1][(batch * inner + j) * n + col];
    }
}

/* y[0] = softmax(scale q k^T) v by head, y[1] = log sum exp of each row of scores */
void naive_attention(call *k) {
    int64_t n = k->in[0].dim[1], heads = k->in[0].dim[2], d = k->in[0].dim[3], m = k->in[1].dim[1];
    double scale = call_real(k, "scale");
    EACH(b, k->in[0].dim[0]) EACH(h, heads) EACH(i, n) {
        const double *q = k->x[0] + ((b * n + i) * heads + h) * d;
        double sum = 0, *y = k->y[0] + ((b * n + i) * heads + h) * d;
        EACH(j, m) {
            double s = 0;
            EACH(c, d) s += q[c] * k->x[1][((b * m + j) * heads + h) * d + c];
            double e = exp(scale * s); /* inputs are small: no shift is needed */
            sum += e;
            EACH(c, d) y[c] += e * k->x[2][((b * m + j) * heads + h) * d + c];
        }
        EACH(c, d) y[c] /= sum;
        k->y[1][(b * heads + h) * n + i] = log(sum);
    }
}

/* dq, dk and dv side by side, from q, k, v, out, lse, dout of equal dims. */
void naive_attention_bwd_packed(call *k) {
    int64_t n = k->in[0].dim[1], heads = k->in[0].dim[2], d = k->in[0].dim[3];
    double scale = call_real(k, "scale");
    EACH(b, k->in[0].dim[0]) EACH(h, heads) EACH(i, n) {
        int64_t own = ((b * n + i) * heads + h) * d;
        double delta = 0, *to = k->y[0] + ((b * n + i) * 3 * heads + h) * d;
        EACH(c, d) delta += k->x[3][own + c] * k->x[5][own + c];
        EACH(j, n) {
            int64_t other = ((b * n + j) * heads + h) * d;
            double s = 0, dp = 0, *to_key = k->y[0] + ((b * n + j) * 3 * heads + heads + h) * d;
            EACH(c, d) {
                s += k->x[0][own + c] * k->x[1][other + c];
                dp += k->x[5][own + c] * k->x[2][other + c];
            }
            double p = exp(scale * s - k->x[4][(b * heads + h) * n + i]), ds = p * (dp - delta) * scale;
            EACH(c, d) {
                to[c] += ds * k->x[1][other + c];
                to_key[c] += ds * k->x[0][own + c];
                to_key[heads * d + c] += p * k->x[5][own + c];
            }
        }
    }
}

/* ---- norms ---- */

/* Mean and 1 / sqrt(population variance + eps) of n values `step` apart; *ret_var may be NULL. */
static void moments(const double *x, int64_t n, int64_t step, double eps, double *mean, double *rstd, double *ret_var) {
    double sum = 0, square = 0;
    EACH(i, n) sum += x[i * step];
    EACH(i, n) square += (x[i * step] - sum / (double)n) * (x[i * step] - sum / (double)n);
    *mean = sum / (double)n;
    *rstd = 1 / sqrt(square / (double)n + eps);
    if (ret_var) *ret_var = square / (double)n;
}

void naive_layer_norm(call *k) {
    int64_t c = last(&k->in[0]);
    EACH(r, rows(&k->in[0])) {
        moments(k->x[0] + r * c, c, 1, call_real(k, "eps"), &k->y[1][r], &k->y[2][r], NULL);
        EACH(i, c) k->y[0][r * c + i] = (k->x[0][r * c + i] - k->y[1][r]) * k->y[2][r] * k->x[1][i] + k->x[2][i];
    }
}

void naive_add_layer_norm(call *k) {
    call norm = *k;
    norm.in[1] = k->in[2];
    norm.x[0] = k->y[0];
    for (int i = 1; i < 3; i++) norm.x[i] = k->x[1 + i];
    for (int o = 0; o < 3; o++) norm.y[o] = k->y[1 + o];
    EACH(i, n_of(k)) k->y[0][i] = k->x[0][i] + k->x[1][i];
    naive_layer_norm(&norm);
}

void naive_batch_norm(call *k) {
    int64_t n = k->in[0].dim[0], c = k->in[0].dim[1];
    EACH(j, c) {
        moments(k->x[0] + j, n, c, call_real(k, "eps"), &k->y[1][j], &k->y[2][j], &k->y[3][j]);
        EACH(i, n) k->y[0][i * c + j] = (k->x[0][i * c + j] - k->y[1][j]) * k->y[2][j];
    }
}

/* PyTorch: running = (1 - momentum) running + momentum new; the new variance has n - 1 below */
void naive_update(call *k) {
    double m = call_real(k, "momentum"), n = (double)call_int(k, "n", 0);
    EACH(j, k->in[0].dim[0]) {
        k->y[0][j] = (1 - m) * k->x[0][j] + m * k->x[2][j];
        k->y[1][j] = (1 - m) * k->x[1][j] + m * k->x[3][j] * n / (n - 1);
    }
}

void naive_l2(call *k) {
    int64_t c = last(&k->in[0]);
    EACH(r, hct_numel(&k->out[1])) {
        double square = 0;
        EACH(i, c) square += k->x[0][r * c + i] * k->x[0][r * c + i];
        k->y[1][r] = fmax(sqrt(square), call_real(k, "eps"));
        EACH(i, c) k->y[0][r * c + i] = k->x[0][r * c + i] / k->y[1][r];
    }
}

/* ---- softmax and losses ---- */

void naive_softmax(call *k) {
    int64_t c = last(&k->in[0]);
    EACH(r, rows(&k->in[0])) {
        double sum = 0;
        EACH(i, c) sum += exp(k->x[0][r * c + i]);
        EACH(i, c) k->y[0][r * c + i] = exp(k->x[0][r * c + i]) / sum;
    }
}

void naive_cross_entropy(call *k) {
    int64_t n = k->in[0].dim[0], c = k->in[0].dim[1];
    EACH(r, n) {
        double sum = 0;
        EACH(i, c) sum += exp(k->x[0][r * c + i]);
        k->y[1][r] = log(sum);
        k->y[0][0] += (log(sum) - k->x[0][r * c + (int64_t)k->x[1][r]]) / (double)n;
    }
}

void naive_mse(call *k) {
    int64_t p = k->in[0].dim[2];
    double loss = 0, all = 0;
    EACH(r, hct_numel(&k->in[2])) {
        double square = 0;
        EACH(i, p) square += pow(k->x[0][r * p + i] - k->x[1][r * p + i], 2);
        loss += k->x[2][r] * square / (double)p;
        all += k->x[2][r];
    }
    k->y[0][0] = loss / all;
}
