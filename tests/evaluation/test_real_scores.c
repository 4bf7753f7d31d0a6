/* ROC AUC of real scores (489 CQ500 scans, project-lighter/CT-FM, MIT) against figures computed by ranks elsewhere;
 * found as golden_data (golden.h) finds it. */
#include <stdio.h>
#include <stdlib.h>

#include "evaluation/ranking.h"
#include "golden.h"
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
    return tap_done();
}
