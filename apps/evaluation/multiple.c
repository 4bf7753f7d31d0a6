/* Holm's correction. */
#include "evaluation/multiple.h"

#include <math.h>
#include <stdlib.h>

typedef struct tested {
    double p;
    size_t at;
} tested;

static int by_p(const void *a, const void *b) {
    const tested *x = a, *y = b;
    return x->p != y->p ? (x->p > y->p) - (x->p < y->p) : (x->at > y->at) - (x->at < y->at);
}

hct_status holm(const double *p, size_t n, double *adjusted, hct_err *err) {
    tested *t = malloc((n + 1) * sizeof *t);
    size_t m = 0;
    double most = 0;
    if (!t) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu tests", n);
    for (size_t i = 0; i < n; i++) {
        adjusted[i] = NAN;
        if (!isnan(p[i])) t[m++] = (tested){p[i], i};
    }
    qsort(t, m, sizeof *t, by_p);
    for (size_t i = 0; i < m; i++) {
        most = fmax(most, fmin(1, (double)(m - i) * t[i].p));
        adjusted[t[i].at] = most;
    }
    free(t);
    return HCT_OK;
}
