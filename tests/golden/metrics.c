/* Metrics of the golden folder: single columns, tables of tasks, the bootstrap with stored indices, the paired
 * permutation test with stored masks; KNN, SimpleShot and ProtoNet of the few-shot cases. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/fewshot.h"
#include "evaluation/ranking.h"
#include "evaluation/statistics.h"
#include "golden.h"
#include "tap.h"

static int8_t *labels(const hct_st_file *f, const char *name, size_t *ret_n) {
    int64_t *y = golden_i64(f, name, ret_n);
    int8_t *out = malloc(*ret_n + 1);
    for (size_t i = 0; y && i < *ret_n; i++) out[i] = y[i] > 0;
    free(y);
    return out;
}

static void check_binary(const golden_case *c, const hct_st_file *f, const cJSON *one) {
    char key[160], label[192];
    size_t n, m;
    snprintf(key, sizeof key, "%s.y", one->string);
    int8_t *y = labels(f, key, &n);
    snprintf(key, sizeof key, "%s.s", one->string);
    double *s = golden_f64(f, key, &m);
    const cJSON *auc = golden_item(one, "roc_auc");
    ranking r = {0};
    hct_err err = {0};
    hct_status status = s && n == m ? ranking_make(s, y, n, &r, &err) : HCT_ESHAPE;
    if (cJSON_IsString(auc) && strstr(auc->valuestring, "raises")) {
        golden_check_number(c, one->string, status, HCT_EINVAL, GOLDEN_FORMULA);
    } else {
        snprintf(label, sizeof label, "%s: AUC", one->string);
        golden_check_number(c, label, status < 0 ? -1 : ranking_auc(&r, NULL), golden_number(one, "roc_auc"),
                            GOLDEN_FORMULA);
        snprintf(label, sizeof label, "%s: average precision", one->string);
        golden_check_number(c, label, status < 0 ? -1 : ranking_average_precision(&r, NULL),
                            golden_number(one, "average_precision"), GOLDEN_FORMULA);
    }
    ranking_free(&r);
    free(y);
    free(s);
}

/* Stored resamples: one per row of `rows`. */
typedef struct stored {
    const int64_t *rows;
    size_t n, first; /* columns; the row of resample 0 */
} stored;

static void draw_stored_indices(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    const stored *s = self->context;
    memset(weight, 0, n * sizeof *weight);
    for (size_t i = 0; i < s->n; i++) weight[s->rows[(s->first + b) * s->n + i]]++;
}

static void draw_stored_masks(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    const stored *s = self->context;
    for (size_t i = 0; i < n; i++) weight[i] = s->rows[b * s->n + i] != 0;
}

typedef enum metric { METRIC_AUC, METRIC_AVERAGE_PRECISION } metric;

typedef struct tables {
    score_table a, b;
    double *sa, *sb;
    int8_t *y;
} tables;

static bool load_tables(const hct_st_file *f, tables *t) {
    size_t n_y, n_a, n_b;
    const hct_st_entry *e = hct_st_find(f, "tasks.y");
    t->y = labels(f, "tasks.y", &n_y);
    t->sa = golden_f64(f, "tasks.a", &n_a);
    t->sb = golden_f64(f, "tasks.b", &n_b);
    if (!e || e->ndim != 2 || n_a != n_y || n_b != n_y) return tap_ok(0, "tasks.y, .a and .b have one shape");
    t->a = (score_table){(size_t)e->dim[0], (size_t)e->dim[1], t->sa, t->y};
    t->b = t->a;
    t->b.score = t->sb;
    return true;
}

/* What bootstrap() gives, of one metric. */
static const interval *of_metric(const metric_intervals *m, metric which) {
    return which == METRIC_AUC ? &m->auc : &m->average_precision;
}

static hct_status run_bootstrap(const score_table *t, const resampler *r, metric_intervals *got, hct_err *err) {
    return bootstrap(t, &(bootstrap_options){.draws = r, .level = 0.95}, got, &got[t->n_tasks], err);
}

static void check_intervals(const golden_case *c, const char *path, const metric_intervals *all, metric m, size_t n) {
    char key[160];
    for (size_t k = 0; k <= n; k++) {
        if (k < n) snprintf(key, sizeof key, "%s.per_task.%zu", path, k);
        else snprintf(key, sizeof key, "%s.macro", path);
        const cJSON *want = golden_item(c->json, key);
        const interval *got = of_metric(&all[k], m);
        const double g[4] = {got->mean, got->low, got->high, (double)got->skipped};
        const double w[4] = {golden_number(want, "mean"), golden_value(cJSON_GetObjectItem(want, "lo2.5")),
                             golden_value(cJSON_GetObjectItem(want, "hi97.5")), golden_number(want, "skipped")};
        golden_check_f64(c, key, g, 4, w, 4, GOLDEN_FORMULA);
    }
}

static void check_bootstrap(const golden_case *c, const hct_st_file *f, const tables *t, metric m, const char *name) {
    size_t n_index, tasks = t->a.n_tasks, count = (size_t)golden_number(c->json, "bootstrap.resamples");
    int64_t *index = golden_i64(f, "bootstrap.idx", &n_index);
    if (!index || n_index != count * t->a.n) {
        tap_ok(0, "bootstrap.idx holds %zu resamples", count);
        free(index);
        return;
    }
    stored s = {index, t->a.n, 0};
    resampler r = {.draw = draw_stored_indices, .count = count, .context = &s};
    metric_intervals *got = calloc(tasks + 1, sizeof *got);
    char path[160], key[160];
    hct_err err = {0};
    snprintf(path, sizeof path, "bootstrap.%s", name);
    if (tap_ok(run_bootstrap(&t->a, &r, got, &err) == HCT_OK, "%s runs (%s)", path, err.msg))
        check_intervals(c, path, got, m, tasks);
    /* each resample by itself: the mean of one is its value */
    size_t n_want;
    snprintf(key, sizeof key, "%s_per_resample", path);
    double *want = golden_f64(f, key, &n_want), *each = calloc(count * tasks + 1, sizeof *each);
    r.count = 1;
    for (s.first = 0; s.first < count; s.first++) {
        run_bootstrap(&t->a, &r, got, &err);
        for (size_t k = 0; k < tasks; k++) each[s.first * tasks + k] = of_metric(&got[k], m)->mean;
    }
    golden_check_f64(c, key, each, count * tasks, want, n_want, GOLDEN_FORMULA);
    free(index);
    free(got);
    free(want);
    free(each);
}

static void check_comparison(const golden_case *c, const char *key, const comparison *got) {
    const cJSON *want = golden_item(c->json, key);
    const double g[3] = {got->difference, (double)got->at_least, got->p};
    const double w[3] = {golden_number(want, "observed"), golden_number(want, "count_ge"),
                         golden_number(want, "p_plus_one")};
    golden_check_f64(c, key, g, 3, w, 3, (golden_tol){1e-15, 1e-12, -1});
}

static void check_permutation(const golden_case *c, const hct_st_file *f, const tables *t) {
    size_t n_mask, tasks = t->a.n_tasks, count = (size_t)golden_number(c->json, "permutation.permutations");
    int64_t *mask = golden_i64(f, "perm.swap", &n_mask);
    comparison *got = calloc(tasks + 1, sizeof *got);
    stored s = {mask, t->a.n, 0};
    resampler r = {.draw = draw_stored_masks, .count = count, .context = &s};
    hct_err err = {0};
    char key[64];
    if (tap_ok(n_mask == count * t->a.n && paired_permutation(&t->a, &t->b, &r, 0, got, &got[tasks], &err) == HCT_OK,
               "permutation runs (%s)", err.msg)) {
        for (size_t k = 0; k < tasks; k++) {
            snprintf(key, sizeof key, "permutation.per_task.%zu", k);
            check_comparison(c, key, &got[k]);
        }
        check_comparison(c, "permutation.macro", &got[tasks]);
    }
    free(mask);
    free(got);
}

/* Average precision of one column by its formula: 0 or 1 where it has one class only. */
static double column_precision(const score_table *t, size_t k) {
    double *s = malloc(t->n * sizeof *s), ap = NAN;
    int8_t *y = malloc(t->n);
    ranking r = {0};
    for (size_t i = 0; i < t->n; i++) s[i] = t->score[i * t->n_tasks + k], y[i] = t->label[i * t->n_tasks + k];
    if (ranking_make(s, y, t->n, &r, NULL) == HCT_OK) ap = ranking_average_precision(&r, NULL);
    ranking_free(&r);
    free(s);
    free(y);
    return ap;
}

static void check_point_values(const golden_case *c, const tables *t, metric m, const char *name) {
    size_t tasks = t->a.n_tasks;
    resampler none = bootstrap_resampler(0, 0);
    metric_intervals *got = calloc(tasks + 1, sizeof *got);
    for (int model = 0; model < 2; model++) {
        char key[96];
        hct_err err = {0};
        tap_ok(run_bootstrap(model ? &t->b : &t->a, &none, got, &err) == HCT_OK, "values of %s", name);
        for (size_t k = 0; k < tasks; k++) {
            snprintf(key, sizeof key, "tasks.per_task.%s.%zu.%s", model ? "b" : "a", k, name);
            double value = of_metric(&got[k], m)->value, want = golden_number(c->json, key);
            /* A task with one class is undefined here and left out of the mean; the set may list what the formula
             * gives, as it does for single columns. */
            if (isnan(value) && !isnan(want) && m == METRIC_AVERAGE_PRECISION)
                value = column_precision(model ? &t->b : &t->a, k);
            golden_check_number(c, key, value, want, GOLDEN_FORMULA);
        }
        snprintf(key, sizeof key, "tasks.macro.%s.%s", model ? "b" : "a", name);
        golden_check_number(c, key, of_metric(&got[tasks], m)->value, golden_number(c->json, key), GOLDEN_FORMULA);
    }
    free(got);
}

static void check_undefined(const golden_case *c, const hct_st_file *f, const tables *t) {
    size_t n, tasks = t->a.n_tasks;
    int8_t *y = labels(f, "tasks.y_with_undefined", &n);
    score_table a = t->a;
    a.label = y;
    resampler none = bootstrap_resampler(0, 0);
    metric_intervals *got = calloc(tasks + 1, sizeof *got);
    if (tap_ok(n == a.n * tasks && run_bootstrap(&a, &none, got, NULL) == HCT_OK, "undefined tasks")) {
        golden_check_number(c, "macro AUC without the undefined tasks", got[tasks].auc.value,
                            golden_number(c->json, "tasks.macro_auc_a_with_undefined_task_skipped"), GOLDEN_FORMULA);
        for (size_t k = 0; k < tasks; k++) {
            bool listed = false;
            const cJSON *item;
            cJSON_ArrayForEach(item, golden_item(c->json, "tasks.undefined_tasks")) listed |=
                item->valuedouble == (double)k;
            tap_ok(isnan(got[k].auc.value) == listed, "%s/%s: task %zu is %s", c->family, c->name, k,
                   listed ? "undefined" : "defined");
        }
    }
    free(y);
    free(got);
}

static void check(const golden_case *c, const hct_st_file *f) {
    const cJSON *one;
    cJSON_ArrayForEach(one, golden_item(c->json, "binary")) check_binary(c, f, one);
    tables t = {0};
    if (golden_item(c->json, "tasks") && load_tables(f, &t)) {
        check_point_values(c, &t, METRIC_AUC, "roc_auc");
        check_point_values(c, &t, METRIC_AVERAGE_PRECISION, "average_precision");
        check_undefined(c, f, &t);
        check_bootstrap(c, f, &t, METRIC_AUC, "roc_auc");
        check_bootstrap(c, f, &t, METRIC_AVERAGE_PRECISION, "average_precision");
        check_permutation(c, f, &t);
    }
    free(t.sa);
    free(t.sb);
    free(t.y);
}

/* terms: the largest of what is added up, where terms cancel: there a float64 sum, the reference's like ours, is
 * right to a few roundings of its terms, not to a share of what they leave (its log_prob of -1.5e-13 is off by 8e-5
 * of that). 0: nothing cancels. */
static void check_sums(const golden_case *c, const hct_st_file *f, const char *name, const double *got, size_t n,
                       double terms) {
    size_t m = 0;
    double *want = hct_st_find(f, name) ? golden_f64(f, name, &m) : NULL;
    if (want) golden_check_f64(c, name, got, n, want, m, (golden_tol){4 * DBL_EPSILON * terms, GOLDEN_FORMULA.rel, -1});
    free(want);
}

static void check_f64(const golden_case *c, const hct_st_file *f, const char *name, const double *got, size_t n) {
    check_sums(c, f, name, got, n, 0);
}

/* The class with the most (sign 1) or the least (sign -1); ties: the lower class. */
static void check_choice(const golden_case *c, const hct_st_file *f, const char *name, const double *v, double sign,
                         size_t n, size_t classes) {
    double *best = calloc(n + 1, sizeof *best);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 1; k < classes; k++)
            if (sign * v[i * classes + k] > sign * v[i * classes + (size_t)best[i]]) best[i] = (double)k;
    check_f64(c, f, name, best, n);
    free(best);
}

static void check_knn(const golden_case *c, const hct_st_file *f, const fewshot_set *train, const fewshot_set *test,
                      size_t dim, size_t classes) {
    size_t k = (size_t)golden_number(c->json, "k"), n = test->n;
    double *score = calloc(n * classes + 1, sizeof *score), *votes = calloc(n * classes + 1, sizeof *votes),
           *similarity = calloc(n * k + 1, sizeof *similarity);
    double *rows = calloc(n * k + 1, sizeof *rows);
    int64_t *neighbour = calloc(n * k + 1, sizeof *neighbour);
    hct_err err = {0, ""};
    if (tap_ok(fewshot_knn(train, test, dim, classes, &(fewshot_knn_options){.k = k}, score, neighbour, similarity,
                           &err) == HCT_OK,
               "%s: KNN (%s)", c->name, err.msg)) {
        for (size_t i = 0; i < n * k; i++) {
            rows[i] = (double)neighbour[i];
            votes[i / k * classes + (size_t)train->y[neighbour[i]]] += similarity[i];
        }
        check_f64(c, f, "knn.neighbours", rows, n * k);
        check_sums(c, f, "knn.similarity", similarity, n * k, 1);
        check_f64(c, f, "knn.score", score, n * classes);
        check_sums(c, f, "knn.weighted_votes", votes, n * classes, (double)k);
        check_choice(c, f, "knn.pred", score, 1, n, classes);
    }
    free(score), free(votes), free(similarity), free(rows), free(neighbour);
}

static void check_few_shot(const golden_case *c, const hct_st_file *f) {
    size_t n_x = 0, n_y = 0, n_tx = 0, dim = (size_t)golden_number(c->json, "dim"),
           classes = (size_t)golden_number(c->json, "classes");
    float *x = golden_f32(f, "train.x", &n_x), *tx = golden_f32(f, "test.x", &n_tx);
    int64_t *y = golden_i64(f, "train.y", &n_y);
    fewshot_set train = {x, y, n_y}, test = {tx, NULL, dim ? n_tx / dim : 0};
    if (tap_ok(x && tx && y && dim && classes && n_x == n_y * dim, "%s: training and test rows", c->name)) {
        size_t n = test.n;
        double largest = 0;
        for (size_t i = 0; i < n_x; i++) largest = fmax(largest, fabs((double)x[i]));
        double *d = calloc(n * classes + 1, sizeof *d), *centroid = calloc(classes * dim + 1, sizeof *centroid);
        static const char *const forms[] = {[FEWSHOT_UN] = "UN", [FEWSHOT_L2N] = "L2N", [FEWSHOT_CL2N] = "CL2N"};
        char key[64];
        check_knn(c, f, &train, &test, dim, classes);
        for (int form = FEWSHOT_UN; form <= FEWSHOT_CL2N; form++) {
            hct_err err = {0, ""};
            tap_ok(fewshot_distances(&train, &test, dim, classes, (fewshot_form)form, d, centroid, &err) == HCT_OK,
                   "%s: SimpleShot %s (%s)", c->name, forms[form], err.msg);
#define KEY(part) (snprintf(key, sizeof key, "simpleshot.%s." part, forms[form]), key)
            check_sums(c, f, KEY("centroids"), centroid, classes * dim, form == FEWSHOT_UN ? largest : 1);
            check_f64(c, f, KEY("sqdist"), d, n * classes);
            check_choice(c, f, KEY("pred"), d, -1, n, classes);
#undef KEY
            if (form != FEWSHOT_UN) continue;
            double apart = 0;
            for (size_t i = 0; i < n * classes; i++) apart = fmax(apart, d[i]);
            check_sums(c, f, "protonet.prototypes", centroid, classes * dim, largest);
            fewshot_log_softmax(d, n, classes);
            check_sums(c, f, "protonet.log_prob", d, n * classes, apart);
            check_choice(c, f, "protonet.pred", d, 1, n, classes);
            for (size_t i = 0; i < n * classes; i++) d[i] = exp(d[i]);
            check_sums(c, f, "protonet.prob", d, n * classes, apart);
        }
        free(d), free(centroid);
    }
    free(x), free(tx), free(y);
}

int main(void) {
    golden_case *c;
    golden_begin();
    for (size_t i = 0; (c = golden_open("metrics", i)); golden_close(c), i++) {
        hct_st_file *f = golden_tensors(c, "");
        if (tap_ok(f != NULL, "%s/%s: tensors", c->family, c->name)) {
            if (golden_item(c->json, "definitions.knn")) check_few_shot(c, f);
            else check(c, f);
        }
        hct_st_close(f);
    }
    return golden_done();
}
