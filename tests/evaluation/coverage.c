/* What intervals and tests promise, counted over simulated tables: how often a 95% interval holds the true AUC, how
 * often a test of two equal models says p <= 0.05. coverage [REPLICATES] [FIRST-SEED].
 *
 * Scores are normal, those of positives one higher: the true AUC is P(Z < 1 / sqrt 2) = 0.7602. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "evaluation/delong.h"
#include "evaluation/order.h"
#include "evaluation/statistics.h"
#include "hct/philox.h"
#include "support/workers.h"
#include "tap.h"

enum { DRAWS = 400, PERMUTATIONS = 399, METHODS = 5, TESTS = 2 };

static const char *const methods[METHODS] = {"percentile", "BCa", "DeLong", "DeLong, logit", "Newcombe"};

typedef struct setting {
    size_t n, positives;
    int64_t replicates;
    uint64_t seed;
    atomic_long inside[METHODS], below[TESTS];
} setting;

/* A standard normal number by its counter. */
static double normal(uint64_t seed, uint64_t i, uint64_t replicate) {
    hct_philox w = hct_philox4x32(seed, i, replicate);
    return normal_quantile(((double)w.v[0] * 4294967296.0 + (double)w.v[1] + 0.5) / 18446744073709551616.0);
}

static void count(setting *s, int method, const interval *i, double truth) {
    if (i->low <= truth && truth <= i->high) atomic_fetch_add(&s->inside[method], 1);
}

/* DeLong's interval of logit AUC, mapped back; where the variance is 0 it is DeLong's. */
static interval on_logits(const interval *d) {
    double z = normal_quantile(0.975), error = (d->value - d->low) / z, a = d->value;
    if (!(a > 0 && a < 1) || d->low <= 0) return *d;
    double half = z * error / (a * (1 - a)), at = log(a / (1 - a));
    return (interval){a, a, 1 / (1 + exp(half - at)), 1 / (1 + exp(-half - at)), 0};
}

static hct_status cover(void *context, int64_t replicate, hct_err *err) {
    setting *s = context;
    double *score = malloc(s->n * sizeof *score), truth = normal_below(1 / sqrt(2));
    int8_t *label = malloc(s->n);
    for (size_t i = 0; i < s->n; i++) {
        label[i] = i < s->positives;
        score[i] = normal(s->seed, i, (uint64_t)replicate) + label[i];
    }
    score_table t = {s->n, 1, score, label};
    resampler draws = bootstrap_resampler(DRAWS, s->seed + (uint64_t)replicate);
    metric_intervals task, macro;
    ranking r = {0};
    interval d;
    hct_status st = HCT_OK;
    for (int kind = INTERVAL_PERCENTILE; kind <= INTERVAL_BCA && st == HCT_OK; kind++) {
        const bootstrap_options o = {&draws, 0.95, (interval_kind)kind, 1, NULL, NULL};
        st = bootstrap(&t, &o, &task, &macro, err);
        if (st == HCT_OK) count(s, kind, &task.auc, truth);
    }
    if (st == HCT_OK) st = ranking_of_task(&t, 0, &r, err);
    if (st == HCT_OK) st = delong_interval(&r, 0.95, &d, err);
    if (st == HCT_OK) {
        count(s, 2, &d, truth);
        d = on_logits(&d);
        count(s, 3, &d, truth);
        newcombe_interval(&r, 0.95, &d);
        count(s, 4, &d, truth);
    }
    ranking_free(&r);
    free(score);
    free(label);
    return st;
}

/* Two models whose scores share half of their variance, neither better. */
static hct_status compare(void *context, int64_t replicate, hct_err *err) {
    setting *s = context;
    double *score = malloc(2 * s->n * sizeof *score), *other = score + s->n;
    int8_t *label = malloc(s->n);
    for (size_t i = 0; i < s->n; i++) {
        double shared = normal(s->seed, 3 * i, (uint64_t)replicate);
        label[i] = i < s->positives;
        score[i] = label[i] + (shared + normal(s->seed, 3 * i + 1, (uint64_t)replicate)) / sqrt(2);
        other[i] = label[i] + (shared + normal(s->seed, 3 * i + 2, (uint64_t)replicate)) / sqrt(2);
    }
    score_table a = {s->n, 1, score, label}, b = {s->n, 1, other, label};
    resampler coins = permutation_resampler(PERMUTATIONS, s->seed + (uint64_t)replicate);
    comparison task, macro;
    ranking r = {0}, q = {0};
    delong_comparison d;
    hct_status st = paired_permutation(&a, &b, &coins, 1, &task, &macro, err);
    if (st == HCT_OK) st = ranking_of_task(&a, 0, &r, err);
    if (st == HCT_OK) st = ranking_of_task(&b, 0, &q, err);
    if (st == HCT_OK) st = delong_test(&r, &q, &d, err);
    if (st == HCT_OK && task.p <= 0.05) atomic_fetch_add(&s->below[0], 1);
    if (st == HCT_OK && d.p <= 0.05) atomic_fetch_add(&s->below[1], 1);
    ranking_free(&r);
    ranking_free(&q);
    free(score);
    free(label);
    return st;
}

int main(int argc, char **argv) {
    /* {n, positives}: prevalence 0.05 and 0.3; and which methods must cover 93 to 97% there (a bit each) */
    static const struct {
        size_t n, positives;
        unsigned must;
    } settings[] = {{50, 3, 16}, {200, 10, 16}, {1000, 50, 31}, {50, 15, 27}, {200, 60, 31}, {1000, 300, 31}};
    int64_t replicates = argc > 1 ? atoll(argv[1]) : 4000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    hct_err err = {0};
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        setting s = {
            .n = settings[k].n, .positives = settings[k].positives, .replicates = replicates, .seed = seed + k};
        if (!tap_ok(workers_run(0, replicates, cover, &s, &err) == HCT_OK, "n %zu, %zu positives (%s)", s.n,
                    s.positives, err.msg))
            continue;
        for (int m = 0; m < METHODS; m++) {
            double share = (double)s.inside[m] / (double)replicates;
            if (settings[k].must >> m & 1)
                tap_ok(share >= 0.93 && share <= 0.97, "n %zu, %zu positives: %s covers %.1f%%", s.n, s.positives,
                       methods[m], 100 * share);
            else tap_note("n %zu, %zu positives: %s covers %.1f%%", s.n, s.positives, methods[m], 100 * share);
        }
    }
    static const size_t pairs[][2] = {{200, 20}, {200, 60}, {1000, 50}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        setting s = {.n = pairs[k][0], .positives = pairs[k][1], .replicates = replicates, .seed = seed + 100 + k};
        if (!tap_ok(workers_run(0, replicates, compare, &s, &err) == HCT_OK, "equal models (%s)", err.msg)) continue;
        for (int m = 0; m < TESTS; m++) {
            double share = (double)s.below[m] / (double)replicates;
            tap_ok(share >= 0.04 && share <= 0.06, "n %zu, %zu positives: %s rejects %.2f%% at 0.05", s.n, s.positives,
                   m ? "DeLong" : "permutation", 100 * share);
        }
    }
    return tap_done();
}
