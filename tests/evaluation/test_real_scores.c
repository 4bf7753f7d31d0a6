/* The whole file by one command, and ROC AUC of real scores (489 CQ500 scans, project-lighter/CT-FM, MIT) against
 * figures computed by ranks elsewhere; found as golden_data (golden.h) finds it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/multiple.h"
#include "evaluation/ranking.h"
#include "golden.h"
#include "headct_run.h"
#include "scratch.h"
#include "support/csv.h"
#include "support/text.h"
#include "tap.h"

static const struct {
    const char *model;
    double auc; /* as published beside the file, six decimals */
} expected[] = {
    {"baseline_100pct", 0.766867},
    {"ct_fm_100pct", 0.793594},
    {"suprem_unetencoder_100pct", 0.793003},
    {"ct_fm_5pct", 0.466063},
};

/* headct evaluate over all twelve models: the same AUCs, and all 66 pairs tested. */
static void check_command(const char *path) {
    char out[300];
    snprintf(out, sizeof out, "%s", scratch_path("out"));
    int status = headct_run("evaluate %s --models-in-columns --scan-column name --label-column label --bootstrap 20 "
                            "--permutations 200 --out %s -q",
                            path, out);
    tap_ok(status == 0, "headct evaluate takes the file as it lies there");
    hct_err err = {0};
    csv *models = csv_read(scratch_path("out/models.csv"), &err),
        *pairs = csv_read(scratch_path("out/comparisons.csv"), &err);
    if (!tap_ok(models && pairs, "models.csv and comparisons.csv are there (%s)", err.msg)) return;
    size_t found = 0;
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++)
        for (size_t r = 0; r < models->rows; r++) {
            double auc = 0;
            if (strcmp(csv_cell(models, r, 0), expected[k].model) != 0) continue;
            found += text_double(csv_cell(models, r, (size_t)csv_column(models, "roc_auc")), &auc) &&
                     fabs(auc - expected[k].auc) <= 1e-6;
        }
    tap_ok(models->rows == 12 && found == 4, "12 models, and the AUCs that are known");
    tap_ok(pairs->rows == 66, "66 pairs (%zu)", pairs->rows);
    double p[66], holm_of[66], least = 1;
    bool numbers = pairs->rows == 66;
    for (size_t r = 0; numbers && r < 66; r++)
        numbers = text_double(csv_cell(pairs, r, (size_t)csv_column(pairs, "p_delong")), &p[r]);
    numbers = numbers && holm(p, 66, holm_of, &err) == HCT_OK;
    for (size_t r = 0; numbers && r < 66; r++) {
        double said = -1;
        numbers = text_double(csv_cell(pairs, r, (size_t)csv_column(pairs, "p_delong_holm")), &said) &&
                  fabs(said - holm_of[r]) <= 1e-12;
        least = fmin(least, p[r]);
    }
    tap_ok(numbers && least < 1e-10, "Holm's correction is over all 66 (least p %.2g)", least);
    csv_free(models);
    csv_free(pairs);
}

int main(void) {
    const char *path = golden_data("scores/CQ500_combined_predictions.csv");
    if (!path) {
        tap_skip("real scores", "CQ500_combined_predictions.csv is absent; set HEADCT_DATA");
        return tap_done();
    }
    hct_err err = {0};
    csv *t = csv_read(path, &err);
    if (!tap_ok(t && csv_column(t, "label") >= 0, "%s is read (%s)", path, err.msg)) return tap_done();
    double *score = calloc(t->rows, sizeof *score);
    int8_t *label = calloc(t->rows, 1);
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
        int column = csv_need_column(t, expected[k].model, &err), y = csv_column(t, "label");
        bool numbers = column >= 0;
        for (size_t i = 0; numbers && i < t->rows; i++) {
            double v = 0;
            numbers =
                text_double(csv_cell(t, i, (size_t)column), &score[i]) && text_double(csv_cell(t, i, (size_t)y), &v);
            label[i] = v > 0;
        }
        ranking r = {0};
        double auc = numbers && ranking_make(score, label, t->rows, &r, &err) == HCT_OK ? ranking_auc(&r, NULL) : -1;
        tap_ok(auc > expected[k].auc - 5e-7 && auc < expected[k].auc + 5e-7, "AUC of %s is %.6f (%.6f)",
               expected[k].model, expected[k].auc, auc);
        ranking_free(&r);
    }
    free(score);
    free(label);
    csv_free(t);
    check_command(path);
    return tap_done();
}
