/* Distances that attention bridges, the class token's attention, rollout. */
#include "explain/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t patches(const attention_shape *s) { return s->grid[0] * s->grid[1] * s->grid[2]; }

hct_status attention_check(const attention_shape *s, hct_err *err) {
    if (s->lead >= 1 && s->layers >= 1 && s->heads >= 1 && s->lead + patches(s) == s->tokens) return HCT_OK;
    return hct_fail(err, HCT_ESHAPE, "%lld tokens are not %lld and a grid of %lld x %lld x %lld patches",
                    (long long)s->tokens, (long long)s->lead, (long long)s->grid[0], (long long)s->grid[1],
                    (long long)s->grid[2]);
}

/* mm between the centres of two patches. */
static double apart(const attention_shape *s, int64_t i, int64_t j) {
    double sum = 0;
    for (int a = 2; a >= 0; a--) {
        double d = (double)(i % s->grid[a] - j % s->grid[a]) * s->step[a];
        sum += d * d;
        i /= s->grid[a];
        j /= s->grid[a];
    }
    return sqrt(sum);
}

void attention_distance(const attention_shape *s, const float *attention, int renormalise, double *ret) {
    int64_t n = patches(s);
    for (int64_t head = 0; head < s->layers * s->heads; head++)
        for (int64_t i = 0; i < n; i++) {
            const float *row = attention + (head * s->tokens + s->lead + i) * s->tokens + s->lead;
            double sum = 0, given = 0;
            for (int64_t j = 0; j < n; j++) {
                sum += (double)row[j] * apart(s, i, j);
                given += row[j];
            }
            ret[head * n + i] = renormalise ? sum / given : sum;
        }
}

void attention_of_class(const attention_shape *s, const float *layer, double *ret) {
    int64_t n = patches(s);
    memset(ret, 0, (size_t)n * sizeof *ret);
    for (int64_t h = 0; h < s->heads; h++)
        for (int64_t j = 0; j < n; j++)
            ret[j] += (double)layer[h * s->tokens * s->tokens + s->lead + j] / (double)s->heads;
}

hct_status attention_rollout(const attention_shape *s, const float *attention, double *ret, hct_err *err) {
    size_t n = (size_t)s->tokens;
    double *row = calloc(2 * n, sizeof *row), *next = row ? row + n : NULL;
    if (!row) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu tokens", n);
    row[0] = 1; /* the class token's row of the product, from the last layer down: a vector, not a matrix */
    for (int64_t l = s->layers - 1; l >= 0; l--) {
        for (size_t j = 0; j < n; j++) next[j] = row[j] / 2;
        for (int64_t h = 0; h < s->heads; h++)
            for (size_t i = 0; i < n; i++) {
                const float *a = attention + ((size_t)(l * s->heads + h) * n + i) * n;
                double w = row[i] / (2 * (double)s->heads);
                for (size_t j = 0; j < n; j++) next[j] += w * (double)a[j];
            }
        memcpy(row, next, n * sizeof *row);
    }
    memcpy(ret, row + s->lead, (size_t)patches(s) * sizeof *ret);
    free(row);
    return HCT_OK;
}
