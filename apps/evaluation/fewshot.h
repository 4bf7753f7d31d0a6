/* Classifiers of few examples on embeddings, without training. x [n, dim] row-major, y [n] classes 0 .. classes - 1;
 * all arithmetic in double.
 *
 * KNN: cosine similarity of the embeddings as they are, the k largest (ties: the lower training row first), score =
 * votes / k. SimpleShot (Wang et al. 2019): nearest mean of a class, squared Euclidean distance, of embeddings as
 * they are (UN), divided by their norm (L2N), or by that after the mean of all training embeddings is subtracted
 * (CL2N); means are not normalised again. ProtoNet (Snell et al. 2017) without a learned embedding: softmax over
 * minus the squared distances to the means of UN. */
#ifndef EVALUATION_FEWSHOT_H
#define EVALUATION_FEWSHOT_H

#include "hct/types.h"

typedef struct fewshot_set {
    const float *x;   /* [n, dim] */
    const int64_t *y; /* [n]; not read of test sets */
    size_t n;
} fewshot_set;

typedef enum fewshot_form { FEWSHOT_UN, FEWSHOT_L2N, FEWSHOT_CL2N } fewshot_form;

typedef struct fewshot_knn_options {
    size_t k;           /* at most train->n */
    double temperature; /* 0: plain votes; DINO's form: votes weighted by exp(similarity / temperature), 0.07 there */
} fewshot_knn_options;

/* score [test n, classes], sums to 1 over classes. neighbour, similarity [test n, k] or NULL. HCT_EINVAL: k of 0 or
 * above the rows, a class out of range. */
hct_status fewshot_knn(const fewshot_set *train, const fewshot_set *test, size_t dim, size_t classes,
                       const fewshot_knn_options *o, double *score, int64_t *neighbour, double *similarity,
                       hct_err *err);
/* distance [test n, classes], squared; centroid [classes, dim] or NULL. HCT_EINVAL: a class without a row. */
hct_status fewshot_distances(const fewshot_set *train, const fewshot_set *test, size_t dim, size_t classes,
                             fewshot_form form, double *distance, double *centroid, hct_err *err);
/* distance -> log softmax(-distance) over classes, in place. */
void fewshot_log_softmax(double *distance, size_t n, size_t classes);

#endif
