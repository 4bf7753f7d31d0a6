/* t-SNE of many points (van der Maaten 2014, JMLR 15:3221): P over the 3 * perplexity nearest neighbours of each point
 * alone, and the repulsion of far points by the Barnes-Hut sum over a quadtree: a cell of edge s at distance d counts
 * as one point where s / d < theta. O(n log n) a step, some 100 numbers a point. Results do not depend on threads. */
#ifndef EXPLAIN_TSNE_TREE_H
#define EXPLAIN_TSNE_TREE_H

#include "explain/tsne.h"

typedef struct tsne_tree tsne_tree;

/* x [n, dim]. HCT_EINVAL: a perplexity that needs more than n - 1 neighbours, or a value that is not finite. */
hct_status tsne_tree_make(const float *x, size_t n, size_t dim, double perplexity, int threads, tsne_tree **ret,
                          hct_err *err);
void tsne_tree_free(tsne_tree *t);
/* KL (of the pairs that P holds) and its gradient at y [n, 2]; either may be NULL. theta: 0 (every point) to 0.7. */
hct_status tsne_tree_cost(const tsne_tree *t, const double *y, double exaggeration, double theta, int threads,
                          double *ret_kl, double *gradient, hct_err *err);
/* As tsne_run. */
hct_status tsne_tree_run(const tsne_tree *t, const tsne_options *o, double theta, double *y, double *ret_kl,
                         hct_err *err);

#endif
