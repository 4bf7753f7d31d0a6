/* Optimisers as their papers write them (formulas: hct/optim.h). in: rates, norms, then tensors; see core/ops/optim.c.
 */
#include "naive.h"

#include "hct/optim.h"

#include <math.h>

#define EACH(i, n) for (int64_t i = 0, end_##i = (n); i < end_##i; i++)

void naive_grad_norm(call *k) {
    double all = 0;
    for (uint32_t i = 0; i < k->n_in; i++) {
        double square = 0;
        EACH(j, hct_numel(&k->in[i])) square += k->x[i][j] * k->x[i][j];
        k->y[0][i] = sqrt(square);
        all += square;
    }
    k->y[0][k->n_in] = sqrt(all);
}

void naive_all_reduce(call *k) {
    for (uint32_t i = 0; i < k->n_in; i++)
        EACH(j, hct_numel(&k->in[i])) k->y[i][j] = call_real(k, "scale") * k->x[i][j];
}

void naive_all_reduce_wait(call *k) { k->y[0][0] = 0; }

static double clipped(const call *k, uint32_t tensor, double g) {
    int64_t mode = call_int(k, "clip_mode", HCT_CLIP_NONE), n = k->in[1].dim[0];
    if (mode == HCT_CLIP_NONE) return g;
    double norm = k->x[1][mode == HCT_CLIP_GLOBAL ? n - 1 : call_int(k, "norm_at", 0) + tensor];
    return g * fmin(1, call_real(k, "clip") / (norm + 1e-6));
}

void naive_adam(call *k) {
    const double *rate = k->x[0] + call_int(k, "at", 0);
    double b1 = call_real(k, "beta1"), b2 = call_real(k, "beta2"), lr = rate[0], decay = rate[1];
    uint32_t copy = call_int(k, "copy", 0) != 0, per = 4 + copy;
    for (uint32_t t = 0; 2 + per * t < k->n_in; t++) EACH(j, hct_numel(&k->in[2 + per * t])) {
            uint32_t at = 2 + per * t, to = (3 + copy) * t;
            double p = k->x[at][j], g = clipped(k, t, k->x[at + 1][j]), m = k->x[at + 2][j], v = k->x[at + 3][j];
            if (rate[4] != 0) {
                if (call_int(k, "decoupled", 0)) p = p - lr * decay * p;
                else g = g + decay * p;
                m = b1 * m + (1 - b1) * g;
                v = b2 * v + (1 - b2) * g * g;
                p = p - lr * (m / rate[2]) / (sqrt(v / rate[3]) + call_real(k, "eps"));
            }
            k->y[to][j] = p;
            k->y[to + 1][j] = m;
            k->y[to + 2][j] = v;
            if (copy) k->y[to + 3][j] = p;
        }
}

void naive_sgd(call *k) {
    const double *rate = k->x[0] + call_int(k, "at", 0);
    for (uint32_t t = 0; 2 + 3 * t < k->n_in; t++) EACH(j, hct_numel(&k->in[2 + 3 * t])) {
            double p = k->x[2 + 3 * t][j], g = clipped(k, t, k->x[3 + 3 * t][j]) + rate[1] * p, m = k->x[4 + 3 * t][j];
            if (rate[4] != 0) {
                m = call_real(k, "momentum") * m + g;
                p = p - rate[0] * m;
            }
            k->y[2 * t][j] = p;
            k->y[2 * t + 1][j] = m;
        }
}
