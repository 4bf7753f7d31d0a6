/* t-SNE (van der Maaten & Hinton 2008, JMLR 9:2579), exact: all pairs, O(n^2) a step and 8 n^2 bytes.
 *
 *   p_j|i = exp(-|x_i - x_j|^2 b_i) / sum over k != i,  b_i so that the entropy of p_.|i is log(perplexity)
 *   P_ij  = (p_j|i + p_i|j) / 2n        Q_ij = (1 + |y_i - y_j|^2)^-1 / sum over all pairs
 *   KL    = sum P log(P / Q)            dKL/dy_i = 4 sum_j (P_ij - Q_ij) (y_i - y_j) / (1 + |y_i - y_j|^2)
 *
 * Both are kept at machine epsilon or above. Results do not depend on the number of threads. */
#ifndef EXPLAIN_TSNE_H
#define EXPLAIN_TSNE_H

#include "hct/types.h"

enum { TSNE_MOST = 5000 };

typedef struct tsne_options {
    double perplexity;    /* about how many neighbours each point has: 30; below n / 3 */
    int iterations;       /* 1000; the first 250 with exaggeration 12 and momentum 0.5, then 0.8 */
    double learning_rate; /* 0: n / 48, at least 50 (Belkina et al. 2019) */
    int threads;          /* 0: one a CPU */
    /* after each step; 0 goes on, else HCT_EINTERRUPTED. May be NULL. */
    int (*tell)(void *context, int step);
    void *tell_context;
} tsne_options;

/* x [n, dim] -> P [n, n], the diagonal 0. HCT_EINVAL: a perplexity that n points cannot have, a value that is not
 * finite; HCT_ESHAPE: more than TSNE_MOST points. */
hct_status tsne_joint(const float *x, size_t n, size_t dim, double perplexity, int threads, double *p, hct_err *err);
/* KL and its gradient [n, 2] (NULL: none) at y [n, 2]; P times exaggeration. */
hct_status tsne_cost(const double *p, const double *y, size_t n, double exaggeration, int threads, double *ret_kl,
                     double *gradient, hct_err *err);
/* y [n, 2]: the start (small numbers, such as principal components times 1e-4 of their deviation), then the layout.
 * ret_kl: at the end. */
hct_status tsne_run(const double *p, size_t n, const tsne_options *o, double *y, double *ret_kl, hct_err *err);

/* p_j|i of n squared distances; `self` is left out (n: none). */
void tsne_conditional(const double *square, size_t n, size_t self, double perplexity, double *p);
/* The descent of tsne_run on any cost: KL or the gradient at y, the other one NULL. */
typedef hct_status (*tsne_slope)(void *context, const double *y, double exaggeration, double *ret_kl, double *gradient,
                                 hct_err *err);
hct_status tsne_descend(size_t n, const tsne_options *o, tsne_slope slope, void *context, double *y, double *ret_kl,
                        hct_err *err);

#endif
