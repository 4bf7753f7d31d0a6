/* Scaling curves. */
#include "report/scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures/plot.h"
#include "report/compare.h"
#include "support/paths.h"

enum { POINTS = 32 };

typedef struct curve {
    char label[3 * FACTS_NAME];
    lane at[POINTS]; /* runs of one share */
    double share[POINTS];
    size_t n;
} curve;

/* Share of the pre-training data; of the training data where the encoder's is the same in all runs. */
static int by_pretraining(const run_facts *const *runs, size_t n) {
    double first = NAN;
    for (size_t i = 0; i < n; i++) {
        if (!runs[i]->has_metrics || isnan(runs[i]->scaled)) continue;
        if (isnan(first)) first = runs[i]->scaled;
        else if (runs[i]->scaled != first) return 1;
    }
    return 0;
}

static double share_of(const run_facts *f, int pretraining) {
    return !f->has_metrics || !f->has_recipe || recipe_pretrains(&f->own) ? NAN
           : pretraining                                                  ? f->scaled
                                                                          : f->own.data.fraction;
}

static void add_point(curve *c, double share, const run_facts *f) {
    size_t i = 0, at;
    while (i < c->n && c->share[i] != share) i++;
    if (i == c->n) {
        if (c->n == POINTS) return;
        for (at = c->n++; at > 0 && c->share[at - 1] > share; at--) { /* in order of the share */
            c->share[at] = c->share[at - 1];
            c->at[at] = c->at[at - 1];
        }
        c->share[i = at] = share;
        c->at[i].n = 0;
    }
    if (c->at[i].n < LANE_RUNS) c->at[i].run[c->at[i].n++] = f;
}

static size_t curves_of(const run_facts *const *runs, size_t n, int pretraining, curve *curves) {
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        char label[3 * FACTS_NAME];
        double share = share_of(runs[i], pretraining);
        size_t k = 0;
        if (isnan(share)) continue;
        snprintf(label, sizeof label, "%s%s%s, %s", runs[i]->pretraining, *runs[i]->pretraining ? ", " : "",
                 runs[i]->approach, runs[i]->dataset);
        while (k < used && strcmp(curves[k].label, label) != 0) k++;
        if (k == LANES) continue;
        if (k == used) {
            memset(&curves[used], 0, sizeof curves[used]);
            snprintf(curves[used++].label, sizeof label, "%s", label);
        }
        add_point(&curves[k], share, runs[i]);
    }
    return used;
}

int scaling_varies(const run_facts *const *runs, size_t n) {
    curve *c = calloc(LANES, sizeof *c);
    int varies = 0;
    size_t used = c ? curves_of(runs, n, by_pretraining(runs, n), c) : 0;
    for (size_t k = 0; k < used; k++) varies |= c[k].n > 1;
    free(c);
    return varies;
}

hct_status scaling_add(report *r, const run_facts *const *runs, size_t n, const char *folder, const char *name,
                       const char *task, hct_err *err) {
    int pretraining = by_pretraining(runs, n);
    curve *c = calloc(LANES, sizeof *c);
    double(*v)[4][POINTS] = calloc(LANES, sizeof *v);
    plot_series s[LANES];
    size_t shown = 0, used = c && v ? curves_of(runs, n, pretraining, c) : 0;
    hct_status st = c && v ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for curves");
    for (size_t k = 0; k < used; k++) {
        size_t points = 0;
        if (c[k].n < 2) continue;
        for (size_t i = 0; i < c[k].n; i++) {
            interval a = lane_auc(&c[k].at[i], task);
            if (isnan(a.value)) continue;
            v[shown][0][points] = 100 * c[k].share[i];
            v[shown][1][points] = a.value;
            v[shown][2][points] = isnan(a.low) ? a.value : a.low;
            v[shown][3][points++] = isnan(a.high) ? a.value : a.high;
        }
        if (!points) continue;
        s[shown] = (plot_series){.title = c[k].label,
                                 .x = v[shown][0],
                                 .y = v[shown][1],
                                 .low = v[shown][2],
                                 .high = v[shown][3],
                                 .n = points};
        shown++;
    }
    if (st == HCT_OK && shown) {
        char file[200], caption[300];
        snprintf(file, sizeof file, "%.150s.svg", name);
        snprintf(
            caption, sizeof caption,
            "%s AUC over the share of the %s data; bands: 95%% intervals, or of several runs the lowest and highest.",
            *task ? task : "Macro", pretraining ? "pre-training" : "training");
        const plot p = {.title = *task ? task : "Macro mean",
                        .x_label =
                            pretraining ? "share of the pre-training data, %" : "share of the training patients, %",
                        .y_label = "ROC AUC",
                        .series = s,
                        .n = shown};
        char *path = path_join(folder, file);
        st = path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory for curves");
        if (st == HCT_OK) st = plot_write(&p, path, err);
        if (st == HCT_OK) report_figure(r, path, caption);
        free(path);
    }
    free(c);
    free(v);
    return st;
}
