/* Every statistic against answers of scikit-learn, SciPy and statsmodels: the cases of cases.json, or of the file that
 * is the one argument (cases.py makes both). */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/calibration.h"
#include "evaluation/delong.h"
#include "evaluation/multiple.h"
#include "evaluation/operating.h"
#include "evaluation/statistics.h"
#include "hct/io.h"
#include "tap.h"

enum { MOST = 128 };

static size_t compared, wrong;

static double number(const cJSON *item) { return cJSON_IsNumber(item) ? item->valuedouble : NAN; }

static double member(const cJSON *o, const char *key) { return number(cJSON_GetObjectItemCaseSensitive(o, key)); }

static size_t list(const cJSON *o, const char *key, double *out) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(o, key), *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, array) if (n < MOST) out[n++] = number(item);
    return n;
}

/* Equal to tol times the larger of 1 and |want|; NaN, the JSON's null, only to NaN. */
static void same(const char *what, double got, double want, double tol) {
    compared++;
    if (isnan(want) ? isnan(got) : fabs(got - want) <= tol * fmax(1, fabs(want))) return;
    if (wrong++ < 20) tap_note("%s: %.17g, wanted %.17g", what, got, want);
}

typedef struct column {
    double s[MOST], y[MOST];
    int8_t label[MOST];
    size_t n;
} column;

static ranking read_column(const cJSON *c, column *to, const char *scores) {
    ranking r = {0};
    to->n = list(c, "y", to->y);
    list(c, scores, to->s);
    for (size_t i = 0; i < to->n; i++) to->label[i] = (int8_t)to->y[i];
    if (ranking_make(to->s, to->label, to->n, &r, NULL) < 0) wrong++;
    return r;
}

static void check_ranking(const cJSON *c) {
    column a;
    double w[MOST], want[MOST], recall[MOST], precision[MOST];
    uint32_t weight[MOST];
    ranking r = read_column(c, &a, "s");
    list(c, "w", w);
    for (size_t i = 0; i < a.n; i++) weight[i] = (uint32_t)w[i];
    same("roc_auc_score", ranking_auc(&r, weight), member(c, "auc"), 1e-13);
    same("average_precision_score", ranking_average_precision(&r, weight), member(c, "average_precision"), 1e-13);
    size_t n = ranking_pr(&r, weight, recall, precision);
    same("points of precision and recall", (double)n, (double)list(c, "recall", want), 0);
    for (size_t i = 0; i < n; i++) same("recall", recall[i], want[i], 1e-13);
    list(c, "precision", want);
    for (size_t i = 0; i < n; i++) same("precision", precision[i], want[i], 1e-13);
    ranking_free(&r);
}

static void check_delong(const cJSON *c) {
    column a, b;
    ranking r = read_column(c, &a, "s"), q = read_column(c, &b, "t");
    interval i;
    delong_comparison d;
    if (delong_interval(&r, 0.95, &i, NULL) < 0 || delong_test(&r, &q, &d, NULL) < 0) wrong++;
    same("DeLong's low", i.low, member(c, "low"), 1e-12);
    same("DeLong's high", i.high, member(c, "high"), 1e-12);
    same("DeLong's difference", d.difference, member(c, "difference"), 1e-12);
    same("DeLong's error", d.error, member(c, "error"), 1e-11);
    same("DeLong's z", d.z, member(c, "z"), 1e-9);
    same("DeLong's p", d.p, member(c, "p"), 1e-9);
    ranking_free(&r);
    ranking_free(&q);
}

/* Draws that a case holds. */
static void draw_given(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    const cJSON *row = cJSON_GetArrayItem(self->context, (int)b), *item;
    memset(weight, 0, n * sizeof *weight);
    cJSON_ArrayForEach(item, row) weight[item->valueint]++;
}

static void check_bca(const cJSON *c) {
    column a;
    double want[MOST];
    ranking r = read_column(c, &a, "s");
    const cJSON *index = cJSON_GetObjectItem(c, "index");
    resampler draws = {.draw = draw_given, .count = (size_t)cJSON_GetArraySize(index), .context = index};
    score_table t = {a.n, 1, a.s, a.label};
    metric_intervals task, macro;
    for (int kind = INTERVAL_PERCENTILE; kind <= INTERVAL_BCA; kind++) {
        const bootstrap_options o = {&draws, 0.95, (interval_kind)kind, 1, NULL, NULL};
        if (bootstrap(&t, &o, &task, &macro, NULL) < 0) wrong++;
        list(c, kind ? "bca" : "percentile", want);
        same(kind ? "BCa's low" : "the percentiles' low", task.auc.low, want[0], 1e-9);
        same(kind ? "BCa's high" : "the percentiles' high", task.auc.high, want[1], 1e-9);
        same("macro of one task", macro.auc.low, task.auc.low, 0);
        same("mean of draws", task.auc.mean, member(c, "mean"), 1e-13);
    }
    ranking_free(&r);
}

/* All 2^n exchanges, one a draw. */
static void draw_bits(const resampler *self, size_t b, size_t n, uint32_t *weight) {
    (void)self;
    for (size_t i = 0; i < n; i++) weight[i] = (uint32_t)(b >> i & 1);
}

static void check_permutation(const cJSON *c) {
    column a, b;
    ranking r = read_column(c, &a, "s"), q = read_column(c, &b, "t");
    resampler draws = {.draw = draw_bits, .count = (size_t)1 << a.n};
    score_table x = {a.n, 1, a.s, a.label}, y = {a.n, 1, b.s, a.label};
    comparison task, macro;
    if (paired_permutation(&x, &y, &draws, 1, &task, &macro, NULL) < 0) wrong++;
    same("permutation's difference", task.difference, member(c, "difference"), 1e-13);
    same("permutations as large", (double)task.at_least, member(c, "at_least"), 0);
    same("permutation's p", task.p, (member(c, "at_least") + 1) / (double)(draws.count + 1), 1e-15);
    ranking_free(&r);
    ranking_free(&q);
}

static void check_holm(const cJSON *c) {
    double p[MOST], want[MOST], got[MOST];
    size_t n = list(c, "p", p);
    list(c, "adjusted", want);
    if (holm(p, n, got, NULL) < 0) wrong++;
    for (size_t i = 0; i < n; i++) same("Holm's p", got[i], want[i], 1e-13);
}

static void check_proportion(const char *what, const cJSON *c, proportion got) {
    double want[MOST];
    list(c, what, want);
    same(what, got.low, want[0], 1e-12);
    same(what, got.high, want[1], 1e-12);
}

static void check_operating(const cJSON *c) {
    column a;
    double counts[MOST], wanted = member(c, "wanted"), specific = member(c, "specific");
    ranking r = read_column(c, &a, "s");
    double at = operating_threshold(&r, OPERATING_YOUDEN, 0);
    same("Youden's threshold", at, member(c, "youden"), 0);
    same("threshold of a sensitivity", operating_threshold(&r, OPERATING_SENSITIVITY, wanted), member(c, "sensitive"),
         0);
    double found = operating_threshold(&r, OPERATING_SPECIFICITY, wanted);
    if (isnan(specific)) same("a specificity no score reaches", isinf(found), 1, 0);
    else same("threshold of a specificity", found, specific, 0);
    operating_point o = operating_at(&r, at, 0.95);
    list(c, "counts", counts);
    const size_t got[4] = {o.true_positive, o.false_positive, o.true_negative, o.false_negative};
    for (int i = 0; i < 4; i++) same("confusion matrix", (double)got[i], counts[i], 0);
    check_proportion("sensitivity", c, o.sensitivity);
    check_proportion("specificity", c, o.specificity);
    check_proportion("precision", c, o.precision);
    check_proportion("accuracy", c, o.accuracy);
    same("F1", o.f1, member(c, "f1"), 1e-14);
    ranking_free(&r);
}

static void check_calibration(const cJSON *c) {
    column a;
    double platt[MOST];
    calibration got;
    calibration_map m, heat;
    ranking r = read_column(c, &a, "s");
    if (calibration_of(&r, 10, &got, NULL, NULL) < 0 || calibration_fit(&r, CALIBRATION_PLATT, &m, NULL) < 0 ||
        calibration_fit(&r, CALIBRATION_TEMPERATURE, &heat, NULL) < 0)
        wrong++;
    list(c, "platt", platt);
    same("brier_score_loss", got.brier, member(c, "brier"), 1e-13);
    same("ECE", got.ece, member(c, "ece"), 1e-12);
    same("intercept of the logistic regression", got.intercept, member(c, "intercept"), 1e-7);
    same("its slope", got.slope, member(c, "slope"), 1e-7);
    same("Platt's intercept", m.intercept, platt[0], 1e-7);
    same("Platt's slope", m.slope, platt[1], 1e-7);
    same("1 / temperature", heat.slope, member(c, "temperature"), 1e-7);
    same("a temperature's intercept", heat.intercept, 0, 0);
    ranking_free(&r);
}

static const struct {
    const char *kind;
    void (*check)(const cJSON *);
} kinds[] = {{"ranking", check_ranking},         {"delong", check_delong}, {"bca", check_bca},
             {"permutation", check_permutation}, {"holm", check_holm},     {"operating", check_operating},
             {"calibration", check_calibration}};

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : CASES;
    char *text = NULL;
    hct_err err = {0};
    if (!tap_ok(hct_read_file(path, &text, NULL, &err) == HCT_OK, "%s is read (%s)", path, err.msg)) return tap_done();
    cJSON *json = cJSON_Parse(text);
    tap_ok(json != NULL, "it is JSON");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const cJSON *cases = cJSON_GetObjectItem(json, kinds[k].kind), *c;
        size_t before = wrong, first = compared;
        cJSON_ArrayForEach(c, cases) kinds[k].check(c);
        tap_ok(wrong == before && compared > first, "%s: %d cases, %zu numbers, %zu wrong", kinds[k].kind,
               cJSON_GetArraySize(cases), compared - first, wrong - before);
    }
    cJSON_Delete(json);
    free(text);
    return tap_done();
}
