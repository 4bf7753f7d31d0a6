/* What is chosen on validation and measured on test: operating points (operating.h) and calibration (calibration.h). */
#ifndef EVALUATION_OPERATE_H
#define EVALUATION_OPERATE_H

#include "evaluation/calibration.h"
#include "evaluation/operating.h"
#include "evaluation/predictions.h"
#include "evaluation/sheet.h"

enum { OPERATE_RULES = 8 };

typedef struct operate_rule {
    operating_rule rule;
    double wanted; /* of a sensitivity or specificity */
} operate_rule;

/* "youden", "sensitivity:0.95", "specificity:0.9". */
hct_status operate_rule_read(const char *text, operate_rule *ret, hct_err *err);

/* A row a task and rule: threshold, sensitivity, specificity, predictive values, each with Wilson's 95% interval.
 * validation and test have the same tasks (by name; a task that validation lacks is 'undefined'). */
hct_status operate_points(const predictions *validation, const predictions *test, const operate_rule *rules,
                          size_t n_rules, double level, sheet **ret, hct_err *err);

/* A row a task: Brier score, ECE, intercept and slope of test as it is; with a kind, fitted on validation, the same
 * after the map. test's scores are mapped in place. folder, not NULL: FOLDER/reliability_TASK.svg. */
hct_status operate_calibrate(const predictions *validation, predictions *test, calibration_kind kind,
                             const char *folder, sheet **ret, hct_err *err);

#endif
