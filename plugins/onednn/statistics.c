/* The loops of norms. Mean, rstd and population variance of each channel of x [N, C, rest] are lanes of F32 over
 * short blocks, their sums in double. */
#include "onednn.h"

#include <math.h>

enum { LANES = 16, BLOCK = 2048 };

/* Sums over a row of x - from and of its square. */
static void row_sums(const float *x, int64_t n, float from, double *sum, double *squares) {
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t i = start, end = start + BLOCK < n ? start + BLOCK : n;
        float a[LANES] = {0}, b[LANES] = {0};
        for (; i + LANES <= end; i += LANES)
            for (int j = 0; j < LANES; j++) {
                float d = x[i + j] - from;
                a[j] += d;
                b[j] += d * d;
            }
        for (int j = 0; i < end; i++, j++) {
            float d = x[i] - from;
            a[j] += d;
            b[j] += d * d;
        }
        for (int j = 0; j < LANES; j++) *sum += (double)a[j], *squares += (double)b[j];
    }
}

/* at: x, mean, rstd, var; size: N, C, rest; number: eps */
void onednn_statistics(void *const *at, const onednn_step *s) {
    const float *x = at[0];
    float *mean = at[1], *rstd = at[2], *var = at[3];
    int64_t batch = s->size[0], channels = s->size[1], rest = s->size[2];
    double n = (double)(batch * rest);
#pragma omp parallel for schedule(static) if (channels * batch * rest > 1 << 15)
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0, squares = 0;
        for (int64_t b = 0; b < batch; b++) row_sums(x + (b * channels + c) * rest, rest, 0, &sum, &squares);
        float m = (float)(sum / n);
        sum = squares = 0;
        for (int64_t b = 0; b < batch; b++) row_sums(x + (b * channels + c) * rest, rest, m, &sum, &squares);
        mean[c] = m;
        var[c] = (float)(squares / n);
        rstd[c] = (float)(1 / sqrt(squares / n + s->number));
    }
}

void onednn_var_of_rstd(void *const *at, const onednn_step *s) {
    const float *rstd = at[0];
    for (int64_t i = 0; i < s->size[0]; i++) ((float *)at[1])[i] = (float)(1 / ((double)rstd[i] * (double)rstd[i]));
}

void onednn_rstd_of_var(void *const *at, const onednn_step *s) {
    const float *var = at[0];
    for (int64_t i = 0; i < s->size[0]; i++) ((float *)at[1])[i] = (float)(1 / sqrt((double)var[i] + s->number));
}
