/* Operating points and calibration, chosen on validation. */
#include "evaluation/operate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/order.h"
#include "figures/plot.h"
#include "support/paths.h"
#include "support/text.h"

enum { BINS = 10 };

hct_status operate_rule_read(const char *text, operate_rule *ret, hct_err *err) {
    static const char *const names[] = {"sensitivity:", "specificity:"};
    if (!strcmp(text, "youden")) {
        *ret = (operate_rule){OPERATING_YOUDEN, 0};
        return HCT_OK;
    }
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(names[i]);
        double v;
        if (strncmp(text, names[i], n) != 0) continue;
        if (text_double(text + n, &v) && v > 0 && v <= 1) {
            *ret = (operate_rule){i ? OPERATING_SPECIFICITY : OPERATING_SENSITIVITY, v};
            return HCT_OK;
        }
    }
    return hct_fail(err, HCT_EINVAL, "'%s' is no operating point; say youden, sensitivity:0.95 or specificity:0.9",
                    text);
}

static const char *rule_text(const operate_rule *r, char buffer[40]) {
    if (r->rule == OPERATING_YOUDEN) return "youden";
    snprintf(buffer, 40, "%s %g", r->rule == OPERATING_SENSITIVITY ? "sensitivity" : "specificity", r->wanted);
    return buffer;
}

/* Task k of test in validation, as a ranking; an empty one where validation lacks it. */
static hct_status rank_validation(const predictions *validation, const char *task, ranking *ret, hct_err *err) {
    score_table v = predictions_table(validation);
    for (size_t k = 0; k < validation->n_tasks; k++)
        if (!strcmp(validation->task[k], task)) return ranking_of_task(&v, k, ret, err);
    *ret = (ranking){0};
    return HCT_OK;
}

static void put_proportion(sheet *s, const proportion *p) {
    sheet_number(s, p->value, 3);
    sheet_number(s, p->low, 3);
    sheet_number(s, p->high, 3);
}

hct_status operate_points(const predictions *validation, const predictions *test, const operate_rule *rules,
                          size_t n_rules, double level, sheet **ret, hct_err *err) {
    sheet *s =
        sheet_new("operating_points",
                  "Operating points, chosen on validation, on test (low and high: Wilson's 95% interval)",
                  "task,chosen_by,threshold,true_positive,false_positive,true_negative,false_negative,sensitivity,"
                  "sensitivity_low,sensitivity_high,specificity,specificity_low,specificity_high,precision,"
                  "precision_low,precision_high,negative_predictive_value,negative_predictive_value_low,"
                  "negative_predictive_value_high,f1");
    score_table t = predictions_table(test);
    hct_status st = HCT_OK;
    for (size_t k = 0; k < test->n_tasks && st == HCT_OK; k++) {
        ranking chosen = {0}, tested = {0};
        st = rank_validation(validation, test->task[k], &chosen, err);
        if (st == HCT_OK) st = ranking_of_task(&t, k, &tested, err);
        for (size_t i = 0; i < n_rules && st == HCT_OK; i++) {
            char words[40];
            double at = operating_threshold(&chosen, rules[i].rule, rules[i].wanted);
            operating_point o = operating_at(&tested, at, level);
            if (isnan(at)) o = (operating_point){.threshold = NAN, .f1 = NAN};
            const proportion none = {NAN, NAN, NAN};
            sheet_text(s, test->task[k]);
            sheet_text(s, rule_text(&rules[i], words));
            sheet_number(s, at, 4);
            sheet_count(s, o.true_positive);
            sheet_count(s, o.false_positive);
            sheet_count(s, o.true_negative);
            sheet_count(s, o.false_negative);
            put_proportion(s, isnan(at) ? &none : &o.sensitivity);
            put_proportion(s, isnan(at) ? &none : &o.specificity);
            put_proportion(s, isnan(at) ? &none : &o.precision);
            put_proportion(s, isnan(at) ? &none : &o.negative_predictive_value);
            sheet_number(s, o.f1, 3);
        }
        ranking_free(&chosen);
        ranking_free(&tested);
    }
    *ret = s;
    return st;
}

static hct_status draw_reliability(const char *task, const calibration_bin *before, const calibration_bin *after,
                                   const char *folder, hct_err *err) {
    const calibration_bin *const of[2] = {before, after};
    double x[2][BINS], y[2][BINS], low[2][BINS], high[2][BINS];
    char file[200], title[200];
    plot_series s[2];
    size_t curves = after ? 2 : 1;
    for (size_t c = 0; c < curves; c++) {
        size_t n = 0;
        for (int b = 0; b < BINS; b++) {
            if (!of[c][b].n) continue;
            proportion p = proportion_of(of[c][b].observed * (double)of[c][b].n, (double)of[c][b].n, 0.95);
            x[c][n] = of[c][b].mean;
            y[c][n] = of[c][b].observed;
            low[c][n] = p.low;
            high[c][n++] = p.high;
        }
        s[c] = (plot_series){.title = c ? "after calibration" : "as predicted",
                             .x = x[c],
                             .y = y[c],
                             .low = low[c],
                             .high = high[c],
                             .n = n,
                             .points = true};
    }
    snprintf(title, sizeof title, "%s: reliability", task);
    plot figure = {.title = title,
                   .x_label = "mean probability of a bin",
                   .y_label = "share of positives",
                   .series = s,
                   .n = curves,
                   .square = SQUARE_DIAGONAL};
    char *path = path_join(folder, figure_file("reliability", task, file));
    hct_status st = path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = plot_write(&figure, path, err);
    free(path);
    return st;
}

static void put_calibration(sheet *s, const calibration *c) {
    sheet_number(s, c->brier, 4);
    sheet_number(s, c->ece, 4);
    sheet_number(s, c->intercept, 3);
    sheet_number(s, c->slope, 3);
}

static hct_status calibrate_task(const predictions *validation, predictions *test, size_t k, calibration_kind kind,
                                 const char *folder, sheet *s, hct_err *err) {
    score_table t = predictions_table(test);
    ranking chosen = {0}, r = {0};
    calibration before, after = {NAN, NAN, NAN, NAN};
    calibration_bin bins[BINS], fitted[BINS];
    calibration_map m = {1, 0};
    hct_status st = ranking_of_task(&t, k, &r, err);
    bool any = st == HCT_OK && r.n > 0;
    if (any) st = calibration_of(&r, BINS, &before, bins, err);
    ranking_free(&r);
    if (any && kind != CALIBRATION_NONE) {
        hct_err why = {0};
        if (st == HCT_OK) st = rank_validation(validation, test->task[k], &chosen, err);
        if (st == HCT_OK && (st = calibration_fit(&chosen, kind, &m, &why)) < 0)
            hct_fail(err, st, "task '%s' on validation: %s", test->task[k], why.msg);
        for (size_t i = 0; st == HCT_OK && i < test->n; i++) {
            double *p = &test->score[i * test->n_tasks + k];
            *p = calibration_apply(&m, *p);
        }
        if (st == HCT_OK) st = ranking_of_task(&t, k, &r, err);
        if (st == HCT_OK) st = calibration_of(&r, BINS, &after, fitted, err);
        ranking_free(&r);
        ranking_free(&chosen);
    }
    if (st == HCT_OK && any) {
        sheet_text(s, test->task[k]);
        put_calibration(s, &before);
        if (kind != CALIBRATION_NONE) {
            put_calibration(s, &after);
            sheet_number(s, m.slope, 4);
            sheet_number(s, m.intercept, 4);
        }
        if (folder) st = draw_reliability(test->task[k], bins, kind != CALIBRATION_NONE ? fitted : NULL, folder, err);
    }
    return st;
}

hct_status operate_calibrate(const predictions *validation, predictions *test, calibration_kind kind,
                             const char *folder, sheet **ret, hct_err *err) {
    sheet *s =
        kind == CALIBRATION_NONE
            ? sheet_new("calibration", "Calibration (10 bins; intercept 0 and slope 1 where it is perfect)",
                        "task,brier,ece,intercept,slope")
            : sheet_new("calibration",
                        kind == CALIBRATION_PLATT ? "Calibration, as predicted and after Platt scaling on validation"
                                                  : "Calibration, as predicted and after a temperature of validation",
                        "task,brier,ece,intercept,slope,brier_after,ece_after,intercept_after,slope_after,map_slope,"
                        "map_intercept");
    hct_status st = HCT_OK;
    for (size_t k = 0; k < test->n_tasks && st == HCT_OK; k++)
        st = calibrate_task(validation, test, k, kind, folder, s, err);
    *ret = s;
    return st;
}
