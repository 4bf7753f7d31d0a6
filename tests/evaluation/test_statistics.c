/* Ranking metrics against their definitions by brute force, and what the resampling statistics must satisfy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "evaluation/calibration.h"
#include "evaluation/statistics.h"

enum { N = 60 };

static double score[N];
static int8_t label[N];

/* Scores of `levels` values (many ties when few), about a third positive, some unknown. */
static void fill(unsigned seed, int levels, int unknown) {
    srand(seed);
    for (int i = 0; i < N; i++) {
        score[i] = (double)(rand() % levels) / levels;
        label[i] = unknown && rand() % 5 == 0 ? -1 : rand() % 3 == 0;
    }
    label[0] = 0;
    label[1] = 1;
}

/* The definition: pairs won, ties half, each pair as often as both were drawn. */
static double auc_by_pairs(const uint32_t *w) {
    double won = 0, pairs = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            if (label[i] != 1 || label[k] != 0) continue;
            double m = (double)w[i] * w[k];
            pairs += m;
            won += m * (score[i] > score[k] ? 1 : score[i] == score[k] ? 0.5 : 0);
        }
    return won / pairs;
}

/* Precision at the threshold of every positive, weighted. */
static double precision_by_counting(const uint32_t *w) {
    double sum = 0, positives = 0;
    for (int i = 0; i < N; i++) {
        if (label[i] != 1) continue;
        double tp = 0, all = 0;
        for (int k = 0; k < N; k++)
            if (label[k] >= 0 && score[k] >= score[i]) all += w[k], tp += label[k] == 1 ? w[k] : 0;
        if (w[i]) sum += w[i] * tp / all;
        positives += w[i];
    }
    return sum / positives;
}

START_TEST(metrics_by_definition) {
    uint32_t w[N];
    for (unsigned seed = 0; seed < 40; seed++) {
        fill(seed, seed % 2 ? 5 : 1000000, seed % 3 == 0);
        resampler r = bootstrap_resampler(1, seed);
        r.draw(&r, 0, N, w);
        w[0] += w[0] == 0;
        w[1] += w[1] == 0;
        ranking rank;
        ck_assert_int_eq(ranking_make(score, label, N, &rank, NULL), HCT_OK);
        ck_assert_double_eq_tol(ranking_auc(&rank, w), auc_by_pairs(w), 1e-13);
        ck_assert_double_eq_tol(ranking_average_precision(&rank, w), precision_by_counting(w), 1e-13);
        double fpr[N + 1], tpr[N + 1], area = 0;
        size_t n = ranking_roc(&rank, w, fpr, tpr);
        for (size_t i = 1; i < n; i++) area += (fpr[i] - fpr[i - 1]) * (tpr[i] + tpr[i - 1]) / 2;
        ck_assert_double_eq_tol(area, auc_by_pairs(w), 1e-13);
        ck_assert(fpr[0] == 0 && tpr[0] == 0 && fpr[n - 1] == 1 && tpr[n - 1] == 1);
        ranking_free(&rank);
    }
}
END_TEST

START_TEST(undefined_and_refused) {
    ranking r;
    hct_err err = {0};
    const double s[3] = {0.1, 0.2, NAN}, inf[1] = {INFINITY};
    const int8_t ones[2] = {1, 1}, zeros[2] = {0, 0}, unknown[3] = {1, 0, -1}, all[3] = {1, 0, 1};
    double x[3], y[3];
    ck_assert_int_eq(ranking_make(s, ones, 2, &r, NULL), HCT_OK);
    ck_assert(isnan(ranking_auc(&r, NULL)) && ranking_average_precision(&r, NULL) == 1);
    ck_assert_uint_eq(ranking_roc(&r, NULL, x, y), 0);
    ranking_free(&r);
    ck_assert_int_eq(ranking_make(s, zeros, 2, &r, NULL), HCT_OK);
    ck_assert(isnan(ranking_auc(&r, NULL)) && ranking_average_precision(&r, NULL) == 0);
    ranking_free(&r);
    ck_assert_int_eq(ranking_make(s, zeros, 0, &r, NULL), HCT_OK);
    ck_assert(isnan(ranking_auc(&r, NULL)) && isnan(ranking_average_precision(&r, NULL)));
    ranking_free(&r);
    ck_assert_int_eq(ranking_make(s, unknown, 3, &r, NULL), HCT_OK); /* a score nobody asks for may be NaN */
    ck_assert_uint_eq(r.n, 2);
    ranking_free(&r);
    ck_assert_int_eq(ranking_make(s, all, 3, &r, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "score 2 is nan"));
    ck_assert_int_eq(ranking_make(inf, all, 1, &r, &err), HCT_EINVAL);
}
END_TEST

START_TEST(percentiles) {
    double v[5] = {5, 1, 4, 2, 3}, one[1] = {7};
    ck_assert_double_eq(percentile(v, 5, 0.5), 3);
    ck_assert_double_eq_tol(percentile(v, 5, 0.025), 1.1, 1e-15);
    ck_assert_double_eq(percentile(v, 5, 1), 5);
    ck_assert_double_eq(percentile(one, 1, 0.3), 7);
    ck_assert(isnan(percentile(v, 0, 0.5)));
}
END_TEST

START_TEST(resamplers_draw_evenly) {
    uint32_t w[50];
    double total[50] = {0}, ones = 0;
    resampler rows = bootstrap_resampler(4000, 7), coins = permutation_resampler(4000, 7);
    for (size_t b = 0; b < rows.count; b++) {
        uint32_t sum = 0;
        rows.draw(&rows, b, 50, w);
        for (int i = 0; i < 50; i++) sum += w[i], total[i] += w[i];
        ck_assert_uint_eq(sum, 50);
        coins.draw(&coins, b, 50, w);
        for (int i = 0; i < 50; i++) {
            ck_assert(w[i] <= 1);
            ones += w[i];
        }
    }
    for (int i = 0; i < 50; i++) ck_assert_double_eq_tol(total[i] / 4000, 1, 0.08); /* 5 standard errors */
    ck_assert_double_eq_tol(ones / (4000 * 50), 0.5, 0.006);
}
END_TEST

START_TEST(intervals_hold_the_value_and_repeat) {
    fill(3, 1000000, 0);
    int8_t two[2 * N];
    double s[2 * N];
    for (int i = 0; i < N; i++) {
        two[2 * i] = label[i];
        two[2 * i + 1] = i == 5; /* one positive: a third of the resamples lose it */
        s[2 * i] = score[i] + 0.5 * (label[i] == 1);
        s[2 * i + 1] = i == 5 ? 2 : score[i];
    }
    score_table t = {N, 2, s, two};
    metric_intervals a[3], b[3];
    resampler r = bootstrap_resampler(1000, 11);
    ck_assert_int_eq(bootstrap(&t, &(bootstrap_options){.draws = &r, .level = 0.95}, a, &a[2], NULL), HCT_OK);
    ck_assert_int_eq(bootstrap(&t, &(bootstrap_options){.draws = &r, .level = 0.95}, b, &b[2], NULL), HCT_OK);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(a[0].auc.low < a[0].auc.value && a[0].auc.value < a[0].auc.high && a[0].auc.skipped == 0);
    ck_assert_double_eq_tol(a[0].auc.mean, a[0].auc.value, 0.02);
    ck_assert(a[1].auc.value == 1 && a[1].auc.low == 1);
    ck_assert_double_eq_tol((double)a[1].auc.skipped / 1000, pow(1 - 1.0 / N, N), 0.08);
    ck_assert_uint_eq(a[2].auc.skipped, 0);
    ck_assert_double_eq_tol(a[2].auc.value, (a[0].auc.value + 1) / 2, 1e-15);
    r.seed = 12;
    ck_assert_int_eq(bootstrap(&t, &(bootstrap_options){.draws = &r, .level = 0.95}, b, &b[2], NULL), HCT_OK);
    ck_assert_double_ne(a[0].auc.low, b[0].auc.low);
    s[6] = NAN;
    hct_err err = {0};
    ck_assert_int_eq(bootstrap(&t, &(bootstrap_options){.draws = &r, .level = 0.95}, b, &b[2], &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "row 3, task 0"));
}
END_TEST

/* With every scan twice in the table, drawing scans halves the variance; drawing the pairs gives what the single table
 * gave, draw by draw. */
START_TEST(groups_are_drawn_whole) {
    double s[2 * N];
    int8_t y[2 * N];
    uint32_t first[N + 1], row[2 * N];
    fill(21, 1000000, 0);
    for (int i = 0; i < 2 * N; i++) {
        s[i] = score[i % N] + 0.3 * (label[i % N] == 1);
        y[i] = label[i % N];
        row[2 * (i % N) + i / N] = (uint32_t)i;
        first[i / 2] = (uint32_t)(i & ~1);
    }
    first[N] = 2 * N;
    const row_groups pairs = {N, first, row};
    score_table single = {N, 1, s, y}, twice = {2 * N, 1, s, y};
    metric_intervals a[2], b[2], c[2];
    resampler rows = bootstrap_resampler(400, 5), groups = group_resampler(400, 5, &pairs);
    ck_assert_int_eq(bootstrap(&single, &(bootstrap_options){.draws = &rows, .level = 0.95}, a, &a[1], NULL), HCT_OK);
    ck_assert_int_eq(bootstrap(&twice, &(bootstrap_options){.draws = &groups, .level = 0.95}, b, &b[1], NULL), HCT_OK);
    ck_assert_int_eq(bootstrap(&twice, &(bootstrap_options){.draws = &rows, .level = 0.95}, c, &c[1], NULL), HCT_OK);
    ck_assert_double_eq_tol(a[0].auc.low, b[0].auc.low, 1e-12);
    ck_assert_double_eq_tol(a[0].auc.high, b[0].auc.high, 1e-12);
    ck_assert_double_lt(c[0].auc.high - c[0].auc.low, 0.85 * (b[0].auc.high - b[0].auc.low));
}
END_TEST

START_TEST(undefined_tasks_stay_out_of_the_mean) {
    const double s[6] = {0.1, 0.9, 0.2, 0.8, 0.3, 0.7};
    const int8_t y[6] = {0, 0, 1, 0, 0, 0}; /* columns: 0 1 0 and 0 0 0 */
    score_table t = {3, 2, s, y};
    metric_intervals i[3];
    resampler r = bootstrap_resampler(10, 1);
    ck_assert_int_eq(bootstrap(&t, &(bootstrap_options){.draws = &r, .level = 0.95}, i, &i[2], NULL), HCT_OK);
    ck_assert_double_eq(i[0].auc.value, 0.5);
    ck_assert(isnan(i[1].auc.value) && isnan(i[1].auc.low) && i[1].auc.skipped == 10);
    ck_assert_double_eq(i[2].auc.value, 0.5);
}
END_TEST

START_TEST(band_round_the_curve) {
    fill(5, 1000000, 1);
    for (int i = 0; i < N; i++) score[i] += 0.4 * (label[i] == 1);
    ranking rank;
    ranking_make(score, label, N, &rank, NULL);
    double tpr[21], low[21], high[21];
    resampler r = bootstrap_resampler(300, 3);
    ck_assert_int_eq(curve_band(&rank, CURVE_ROC, &(bootstrap_options){.draws = &r, .level = 0.95}, 21, tpr, low, high,
                                NULL),
                     HCT_OK);
    for (int i = 0; i < 21; i++) {
        ck_assert(low[i] <= tpr[i] && tpr[i] <= high[i] && low[i] >= 0 && high[i] <= 1);
        if (i) ck_assert(tpr[i] >= tpr[i - 1] && low[i] >= low[i - 1] && high[i] >= high[i - 1]);
    }
    ck_assert_double_eq(low[20], 1);
    ranking_free(&rank);
    memset(label, 0, sizeof label);
    ranking_make(score, label, N, &rank, NULL);
    ck_assert_int_eq(curve_band(&rank, CURVE_ROC, &(bootstrap_options){.draws = &r, .level = 0.95}, 21, tpr, low, high,
                                NULL),
                     HCT_EINVAL);
    ranking_free(&rank);
}
END_TEST

START_TEST(permutation_test_tells_apart) {
    double good[N], same[N];
    fill(9, 1000000, 0);
    for (int i = 0; i < N; i++) good[i] = label[i] + 0.3 * score[i], same[i] = score[i];
    score_table a = {N, 1, good, label}, b = {N, 1, score, label}, twin = {N, 1, same, label};
    comparison task, macro;
    resampler r = permutation_resampler(500, 4);
    ck_assert_int_eq(paired_permutation(&a, &b, &r, 0, &task, &macro, NULL), HCT_OK);
    ck_assert(task.difference > 0.2 && task.p < 0.01 && macro.p == task.p);
    ck_assert_double_eq(task.p, (task.at_least + 1) / 501.0);
    ck_assert_int_eq(paired_permutation(&b, &twin, &r, 0, &task, &macro, NULL), HCT_OK);
    ck_assert(task.difference == 0 && task.p == 1);
    twin.n = 3;
    ck_assert_int_eq(paired_permutation(&b, &twin, &r, 0, &task, &macro, NULL), HCT_ESHAPE);
}
END_TEST

/* Under the null hypothesis p is uniform: about 5% of tests fall below 0.05. */
START_TEST(permutation_test_keeps_its_level) {
    int below = 0;
    double other[N];
    for (unsigned seed = 0; seed < 300; seed++) {
        fill(seed, 1000000, 0);
        for (int i = 0; i < N; i++) {
            double common = label[i] * 0.3 + (double)rand() / RAND_MAX;
            score[i] = common + (double)rand() / RAND_MAX;
            other[i] = common + (double)rand() / RAND_MAX;
        }
        score_table a = {N, 1, score, label}, b = {N, 1, other, label};
        comparison task, macro;
        resampler r = permutation_resampler(99, seed);
        paired_permutation(&a, &b, &r, 0, &task, &macro, NULL);
        below += task.p <= 0.05;
    }
    ck_assert_msg(below >= 3 && below <= 30, "%d of 300 below 0.05", below);
}
END_TEST

/* Two tables of three tasks, ties and unknown labels among them. */
static double first_scores[3 * N], second_scores[3 * N];
static int8_t three_labels[3 * N];

static void fill_three(void) {
    for (unsigned k = 0; k < 3; k++) {
        fill(30 + k, k == 1 ? 7 : 1000000, k == 2);
        for (int i = 0; i < N; i++) {
            first_scores[3 * i + (int)k] = score[i] + 0.2 * (label[i] == 1);
            second_scores[3 * i + (int)k] = score[N - 1 - i] + 0.1 * (label[i] == 1);
            three_labels[3 * i + (int)k] = label[i];
        }
    }
}

START_TEST(threads_change_nothing) {
    fill_three();
    score_table a = {N, 3, first_scores, three_labels}, b = {N, 3, second_scores, three_labels};
    resampler r = bootstrap_resampler(203, 8), coins = permutation_resampler(203, 8);
    for (int kind = INTERVAL_PERCENTILE; kind <= INTERVAL_BCA; kind++) {
        metric_intervals one[4], many[4];
        bootstrap_options o = {&r, 0.9, (interval_kind)kind, 1, NULL, NULL};
        ck_assert_int_eq(bootstrap(&a, &o, one, &one[3], NULL), HCT_OK);
        o.threads = 5;
        ck_assert_int_eq(bootstrap(&a, &o, many, &many[3], NULL), HCT_OK);
        ck_assert_mem_eq(one, many, sizeof one);
    }
    comparison one[4], many[4];
    ck_assert_int_eq(paired_permutation(&a, &b, &coins, 1, one, &one[3], NULL), HCT_OK);
    ck_assert_int_eq(paired_permutation(&a, &b, &coins, 5, many, &many[3], NULL), HCT_OK);
    ck_assert_mem_eq(one, many, sizeof one);
    uint8_t inside[N];
    for (int i = 0; i < N; i++) inside[i] = i % 3 == 0;
    ck_assert_int_eq(group_permutation(&a, 1, inside, 203, 5, 1, one, NULL), HCT_OK);
    ck_assert_int_eq(group_permutation(&a, 1, inside, 203, 5, 5, many, NULL), HCT_OK);
    ck_assert_mem_eq(one, many, sizeof *one);
}
END_TEST

/* One pass gives what ranking.h gives, weights and ties included. */
START_TEST(one_pass_equals_the_rankings) {
    fill_three();
    score_table a = {N, 3, first_scores, three_labels};
    metric_intervals got[4];
    uint32_t w[N];
    for (size_t b = 0; b < 20; b++) {
        resampler r = bootstrap_resampler(b + 1, 6);
        r.draw(&r, b, N, w);
        double want[3], sum = 0;
        for (size_t k = 0; k < 3; k++) {
            double s[N];
            int8_t y[N];
            ranking rank;
            for (int i = 0; i < N; i++) s[i] = first_scores[3 * (size_t)i + k], y[i] = three_labels[3 * (size_t)i + k];
            ranking_make(s, y, N, &rank, NULL);
            sum += want[k] = ranking_auc(&rank, w);
            ranking_free(&rank);
        }
        ck_assert_int_eq(bootstrap(&a, &(bootstrap_options){.draws = &r, .level = 1}, got, &got[3], NULL), HCT_OK);
        /* with level 1 the ends are the least and the most: draw b lies between */
        for (size_t k = 0; k < 3; k++) ck_assert(got[k].auc.low <= want[k] && want[k] <= got[k].auc.high);
        if (b == 0) ck_assert_double_eq(got[3].auc.low, sum / 3);
    }
}
END_TEST

/* Cases inside and outside of one kind: p is large. Labels that scores tell inside alone: p is small. */
START_TEST(groups_that_differ) {
    fill(40, 1000000, 1);
    uint8_t inside[N];
    for (int i = 0; i < N; i++) inside[i] = i % 2 == 0;
    score_table t = {N, 1, score, label};
    comparison c;
    double in = 0, out = 0, pairs[2] = {0};
    for (int i = 0; i < N; i++)
        if (inside[i] && label[i] == 1) score[i] += 2;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            if (label[i] == 1 && label[k] == 0 && inside[i] == inside[k]) {
                *(inside[i] ? &in : &out) += score[i] > score[k];
                pairs[inside[i]]++;
            }
    ck_assert_int_eq(group_permutation(&t, 0, inside, 999, 1, 0, &c, NULL), HCT_OK);
    ck_assert_double_eq_tol(c.difference, in / pairs[1] - out / pairs[0], 1e-13);
    ck_assert_msg(c.p < 0.02, "p %f", c.p);
    fill(41, 1000000, 1);
    ck_assert_int_eq(group_permutation(&t, 0, inside, 999, 1, 0, &c, NULL), HCT_OK);
    ck_assert_msg(c.p > 0.05, "p %f", c.p);
    for (int i = 0; i < N; i++) inside[i] = label[i] == 1;
    ck_assert_int_eq(group_permutation(&t, 0, inside, 99, 1, 0, &c, NULL), HCT_OK);
    ck_assert(isnan(c.difference) && isnan(c.p));
}
END_TEST

/* The band of precision and recall: at the prevalence where everything is called positive. */
START_TEST(precision_and_recall_with_a_band) {
    fill(5, 20, 1);
    ranking rank;
    ranking_make(score, label, N, &rank, NULL);
    double y[11], low[11], high[11], p, n;
    resampler r = bootstrap_resampler(300, 3);
    ck_assert_int_eq(
        curve_band(&rank, CURVE_PR, &(bootstrap_options){.draws = &r, .level = 0.95}, 11, y, low, high, NULL), HCT_OK);
    ranking_counts(&rank, NULL, &p, &n);
    ck_assert(y[10] >= p / (p + n));
    for (int i = 0; i < 11; i++) ck_assert(low[i] <= high[i] && low[i] >= 0 && high[i] <= 1);
    ranking_free(&rank);
}
END_TEST

/* Where scores tell the classes apart, a logistic regression has no answer: it is undefined, not large. */
START_TEST(fits_without_an_answer) {
    const double apart[4] = {0.9, 0.6, 0.6, 0.2}, mixed[4] = {0.9, 0.2, 0.6, 0.3};
    const int8_t y[4] = {1, 1, 0, 0};
    ranking r;
    calibration c;
    calibration_map m;
    ranking_make(apart, y, 4, &r, NULL); /* a tie across the classes helps nothing */
    ck_assert_int_eq(calibration_of(&r, 10, &c, NULL, NULL), HCT_OK);
    ck_assert(isnan(c.slope) && isnan(c.intercept) && !isnan(c.brier));
    ck_assert_int_eq(calibration_fit(&r, CALIBRATION_PLATT, &m, NULL), HCT_OK); /* smoothed targets: there is one */
    ck_assert(m.slope > 0);
    ranking_free(&r);
    ranking_make(mixed, y, 4, &r, NULL);
    ck_assert_int_eq(calibration_of(&r, 10, &c, NULL, NULL), HCT_OK);
    ck_assert(!isnan(c.slope) && !isnan(c.intercept));
    ranking_free(&r);
    const double sure[4] = {0.9, 0.8, 0.4, 0.1};
    ranking_make(sure, y, 4, &r, NULL);
    ck_assert_int_eq(calibration_fit(&r, CALIBRATION_TEMPERATURE, &m, NULL), HCT_EINVAL);
    ranking_free(&r);
}
END_TEST

CHECK_MAIN("statistics", metrics_by_definition, undefined_and_refused, percentiles, resamplers_draw_evenly,
           intervals_hold_the_value_and_repeat, groups_are_drawn_whole, undefined_tasks_stay_out_of_the_mean,
           band_round_the_curve, permutation_test_tells_apart, permutation_test_keeps_its_level, threads_change_nothing,
           one_pass_equals_the_rankings, groups_that_differ, precision_and_recall_with_a_band, fits_without_an_answer)
