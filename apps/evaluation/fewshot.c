/* Few-shot classifiers on features: nearest neighbours, distances to class means. */
#include "evaluation/fewshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* A row as doubles, less `mean` (may be NULL), divided by its norm where asked; a row of zeros stays one. */
static void form_row(const float *x, size_t dim, const double *mean, int normalize, double *out) {
    for (size_t i = 0; i < dim; i++) out[i] = (double)x[i] - (mean ? mean[i] : 0);
    double norm = normalize ? sqrt(dot(out, out, dim)) : 0;
    for (size_t i = 0; norm > 0 && i < dim; i++) out[i] /= norm;
}

static hct_status check_classes(const fewshot_set *train, size_t classes, hct_err *err) {
    for (size_t i = 0; i < train->n; i++)
        if (train->y[i] < 0 || (size_t)train->y[i] >= classes)
            return hct_fail(err, HCT_EINVAL, "few-shot: row %zu is of class %lld of %zu", i, (long long)train->y[i],
                            classes);
    return HCT_OK;
}

typedef struct near {
    double similarity;
    size_t row;
} near;

static int by_similarity(const void *a, const void *b) {
    const near *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity < y->similarity ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

hct_status fewshot_knn(const fewshot_set *train, const fewshot_set *test, size_t dim, size_t classes,
                       const fewshot_knn_options *o, double *score, int64_t *neighbour, double *similarity,
                       hct_err *err) {
    if (!o->k || o->k > train->n)
        return hct_fail(err, HCT_EINVAL, "few-shot: %zu neighbours of %zu rows", o->k, train->n);
    hct_status st = check_classes(train, classes, err);
    if (st < 0) return st;
    double *rows = malloc((train->n + 1) * dim * sizeof *rows), *q = rows ? rows + train->n * dim : NULL;
    near *all = malloc(train->n * sizeof *all);
    if (!rows || !all) st = hct_fail(err, HCT_ENOMEM, "out of memory for the nearest neighbours");
    for (size_t i = 0; st == HCT_OK && i < train->n; i++) form_row(train->x + i * dim, dim, NULL, 1, rows + i * dim);
    for (size_t t = 0; st == HCT_OK && t < test->n; t++) {
        form_row(test->x + t * dim, dim, NULL, 1, q);
        for (size_t i = 0; i < train->n; i++) all[i] = (near){dot(q, rows + i * dim, dim), i};
        qsort(all, train->n, sizeof *all, by_similarity);
        double *out = score + t * classes, sum = 0;
        memset(out, 0, classes * sizeof *out);
        for (size_t k = 0; k < o->k; k++) { /* weights relative to the nearest: exp cannot overflow */
            double w = o->temperature > 0 ? exp((all[k].similarity - all[0].similarity) / o->temperature) : 1;
            out[train->y[all[k].row]] += w;
            sum += w;
            if (neighbour) neighbour[t * o->k + k] = (int64_t)all[k].row;
            if (similarity) similarity[t * o->k + k] = all[k].similarity;
        }
        for (size_t c = 0; c < classes; c++) out[c] /= sum;
    }
    free(rows);
    free(all);
    return st;
}

static hct_status centroids(const fewshot_set *train, size_t dim, size_t classes, const double *mean, int normalize,
                            double *row, double *out, hct_err *err) {
    size_t *count = calloc(classes, sizeof *count);
    if (!count) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu classes", classes);
    memset(out, 0, classes * dim * sizeof *out);
    for (size_t i = 0; i < train->n; i++) {
        form_row(train->x + i * dim, dim, mean, normalize, row);
        for (size_t k = 0; k < dim; k++) out[(size_t)train->y[i] * dim + k] += row[k];
        count[train->y[i]]++;
    }
    hct_status st = HCT_OK;
    for (size_t c = 0; c < classes; c++) {
        if (!count[c]) st = hct_fail(err, HCT_EINVAL, "few-shot: class %zu has no example", c);
        for (size_t k = 0; k < dim && count[c]; k++) out[c * dim + k] /= (double)count[c];
    }
    free(count);
    return st;
}

hct_status fewshot_distances(const fewshot_set *train, const fewshot_set *test, size_t dim, size_t classes,
                             fewshot_form form, double *distance, double *centroid, hct_err *err) {
    hct_status st = check_classes(train, classes, err);
    if (st < 0) return st;
    double *own = calloc((classes + 2) * dim + 1, sizeof *own);
    if (!own) return hct_fail(err, HCT_ENOMEM, "out of memory for class means");
    double *row = own + classes * dim, *mean = form == FEWSHOT_CL2N ? row + dim : NULL;
    for (size_t i = 0; mean && i < train->n; i++)
        for (size_t k = 0; k < dim; k++) mean[k] += (double)train->x[i * dim + k] / (double)train->n;
    st = centroids(train, dim, classes, mean, form != FEWSHOT_UN, row, own, err);
    for (size_t t = 0; st == HCT_OK && t < test->n; t++) {
        form_row(test->x + t * dim, dim, mean, form != FEWSHOT_UN, row);
        for (size_t c = 0; c < classes; c++) {
            double sum = 0;
            for (size_t k = 0; k < dim; k++) sum += (row[k] - own[c * dim + k]) * (row[k] - own[c * dim + k]);
            distance[t * classes + c] = sum;
        }
    }
    if (st == HCT_OK && centroid) memcpy(centroid, own, classes * dim * sizeof *own);
    free(own);
    return st;
}

void fewshot_log_softmax(double *distance, size_t n, size_t classes) {
    for (size_t i = 0; i < n; i++) {
        double *d = distance + i * classes, least = d[0], sum = 0;
        for (size_t c = 1; c < classes; c++) least = d[c] < least ? d[c] : least;
        for (size_t c = 0; c < classes; c++) sum += exp(least - d[c]);
        for (size_t c = 0; c < classes; c++) d[c] = least - d[c] - log(sum);
    }
}
