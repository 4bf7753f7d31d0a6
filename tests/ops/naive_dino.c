/* DINO's loss as the paper's algorithm 1 writes it: softmax tables and a double loop over views. */
#include "naive.h"

#include <math.h>
#include <stdlib.h>

#define EACH(i, n) for (int64_t i = 0, end_##i = (n); i < end_##i; i++)

/* p[r] = softmax((x[r] - centre) / temp) of n rows of k; lse[r] of the same. */
static void softmax_rows(const double *x, const double *centre, double temp, int64_t n, int64_t k, double *p,
                         double *lse) {
    EACH(r, n) {
        double sum = 0;
        EACH(i, k) sum += p[r * k + i] = exp((x[r * k + i] - (centre ? centre[i] : 0)) / temp);
        EACH(i, k) p[r * k + i] /= sum;
        lse[r] = log(sum);
    }
}

void naive_dino_loss(call *c) {
    int64_t v = c->in[0].dim[0], b = c->in[0].dim[1], k = c->in[0].dim[2], g = c->in[1].dim[0];
    double *p = malloc((size_t)(g * b * k) * sizeof *p), *q = malloc((size_t)(v * b * k) * sizeof *q), loss = 0,
           entropy = 0;
    if (!p || !q) abort();
    softmax_rows(c->x[1], c->x[2], c->x[3][1], g * b, k, p, c->y[3]);
    softmax_rows(c->x[0], NULL, c->x[3][0], v * b, k, q, c->y[2]);
    int64_t pairs = 0;
    EACH(iq, g) EACH(iv, v) {
        if (iv == iq) continue;
        pairs++;
        EACH(i, b * k) loss -= p[iq * b * k + i] * log(q[iv * b * k + i]);
    }
    EACH(i, g * b * k) entropy -= p[i] * log(p[i]);
    c->y[0][0] = loss / (double)(pairs * b);
    c->y[1][0] = entropy / (double)(g * b);
    free(p);
    free(q);
}

/* Of the mean over pairs of -sum p log softmax(x / temp): (q - p) / temp for each pair. */
void naive_dino_loss_bwd(call *c) {
    int64_t v = c->in[0].dim[0], b = c->in[0].dim[1], k = c->in[0].dim[2], g = c->in[1].dim[0], pairs = g * (v - 1);
    EACH(iv, v) EACH(ib, b) EACH(i, k) {
        int64_t row = iv * b + ib;
        double sum = 0, q = exp(c->x[0][row * k + i] / c->x[3][0] - c->x[4][row]);
        EACH(iq, g)
        if (iq != iv) sum += q - exp((c->x[1][(iq * b + ib) * k + i] - c->x[2][i]) / c->x[3][1] - c->x[5][iq * b + ib]);
        c->y[0][row * k + i] = c->x[6][0] * sum / (c->x[3][0] * (double)(b * pairs));
    }
}

void naive_ema(call *c) {
    const double *m = c->x[0] + call_int(c, "at", 0);
    uint32_t copy = call_int(c, "copy", 0) != 0;
    EACH(o, c->n_out / (1 + copy)) {
        int64_t at = 1 + (2 + copy) * o;
        EACH(i, hct_numel(&c->in[at])) {
            double y = m[0] * c->x[at][i] + m[1] * c->x[at + 1][i];
            c->y[(1 + copy) * o][i] = y;
            if (copy) c->y[2 * o + 1][i] = y;
        }
    }
}
