/* The page's first screen of several runs. */
#include "report/overview.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "figures/forest.h"
#include "hct/log.h"
#include "report/compare.h"
#include "report/data_card.h"
#include "report/scaling.h"
#include "support/paths.h"

/* Lane 0 is the best, the others stay as they came. */
static hct_status best_first(lane *lanes, size_t n, hct_err *err) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (lane_auc(&lanes[i], "").value > lane_auc(&lanes[best], "").value || isnan(lane_auc(&lanes[best], "").value))
            best = i;
    lane *first = malloc(sizeof *first);
    if (!first) return hct_fail(err, HCT_ENOMEM, "out of memory for a comparison");
    *first = lanes[best];
    memmove(lanes + 1, lanes, best * sizeof *lanes);
    lanes[0] = *first;
    free(first);
    return HCT_OK;
}

/* Tests are of the first lane against each other one; the sentence tells of the second best. */
static void say(report *r, const lane *lanes, size_t n, double p) {
    char a[64], b[64], text[900];
    size_t second = 1;
    for (size_t i = 2; i < n; i++)
        if (lane_auc(&lanes[i], "").value > lane_auc(&lanes[second], "").value) second = i;
    interval x = lane_auc(&lanes[0], ""), y = lane_auc(&lanes[second], "");
    if (isnan(x.value) || isnan(y.value)) return;
    int many = lanes[0].n > 1 || lanes[second].n > 1;
    int apart = many || second != 1 || isnan(p) ? x.low > y.high : p < 0.05;
    snprintf(text, sizeof text, "Highest macro AUC: %s, %s; next: %s, %s. %s", lanes[0].label, interval_text(&x, a),
             lanes[second].label, interval_text(&y, b),
             apart ? many ? "All seeds of the first lie above all of the second."
                          : "The difference is more than chance gives."
                   : "That the first is better is not shown: the difference is within what chance gives.");
    report_lead(r, "%s", text);
}

static hct_status add_forest(report *r, const run_facts *const *runs, size_t n, const char *folder, hct_err *err) {
    forest_row *rows = calloc(n + 1, sizeof *rows);
    char *path = path_join(folder, "all_runs.svg");
    size_t shown = 0;
    hct_status st = rows && path ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        const interval *m = &runs[i]->macro.auc;
        if (!runs[i]->has_metrics || isnan(m->value)) continue;
        rows[shown++] = (forest_row){path_base(runs[i]->folder), m->value, m->low, m->high};
    }
    const forest f = {.title = "All runs: macro AUC with 95% interval",
                      .x_label = "macro ROC AUC",
                      .rows = rows,
                      .n = shown,
                      .line = 0.5};
    if (st == HCT_OK && shown > 1) {
        st = forest_write(&f, path, err);
        if (st == HCT_OK) report_figure(r, path, "All runs: macro AUC with its 95% interval; dashed: chance.");
    }
    free(path);
    free(rows);
    return st;
}

hct_status overview_add(report *r, const char *const *runs, size_t n, const char *folder, hct_err *err) {
    run_facts *facts = calloc(n + 1, sizeof *facts);
    const run_facts **at = calloc(n + 1, sizeof *at);
    lane *lanes = calloc(LANES, sizeof *lanes);
    size_t known = 0;
    double p = NAN;
    hct_status st = facts && at && lanes ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu runs", n);
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        hct_err why = {0};
        hct_status read = facts_read(runs[i], &facts[known], &why);
        if (read == HCT_OK) at[known] = &facts[known], known++;
        else if (is_fault(read)) st = hct_fail(err, read, "%s", why.msg);
    }
    size_t n_lanes = 0;
    if (st == HCT_OK) st = lanes_of(at, known, lanes, &n_lanes, err);
    if (st == HCT_OK && n_lanes > 1) {
        st = best_first(lanes, n_lanes, err);
        report_heading(r, "Comparison");
        if (st == HCT_OK) st = compare_add(r, lanes, n_lanes, folder, "comparison", "All tasks", &p, err);
        if (st == HCT_OK) say(r, lanes, n_lanes, p);
    }
    if (st == HCT_OK && known > 1) st = add_forest(r, at, known, folder, err);
    if (st == HCT_OK) st = scaling_add(r, at, known, folder, "scaling", "", err);
    free(facts);
    free(at);
    free(lanes);
    return st;
}

hct_status overview_data(report *r, const char *const *runs, size_t n, const char *folder, hct_err *err) {
    char(*seen)[RECIPE_TEXT] = calloc(n + 1, sizeof *seen);
    run_facts *f = malloc(sizeof *f);
    size_t used = 0;
    hct_status st = seen && f ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu runs", n);
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        hct_err why = {0};
        char *out = NULL;
        size_t k = 0;
        hct_status read = facts_read(runs[i], f, &why);
        if (is_fault(read)) st = hct_fail(err, read, "%s", why.msg);
        if (read < 0 || !*f->own.data.dataset) continue;
        while (k < used && strcmp(seen[k], f->own.data.dataset) != 0) k++;
        if (k < used || !path_is_folder(f->own.data.dataset)) continue;
        snprintf(seen[used++], RECIPE_TEXT, "%s", f->own.data.dataset);
        if (asprintf(&out, "%s/data_%s", folder, f->dataset) < 0) {
            st = hct_fail(err, HCT_ENOMEM, "out of memory");
            break;
        }
        char heading[200];
        snprintf(heading, sizeof heading, "Data: %.150s", f->dataset);
        report_heading(r, heading);
        st = data_card_make(f->own.data.dataset, out, r, &why);
        if (st < 0 && !is_fault(st)) { /* it is the runs that are asked for */
            report_note(r, "Left out: %s", why.msg);
            hct_log(HCT_LOG_WARNING, "%s; its data card is left out", why.msg);
            st = HCT_OK;
        } else if (st < 0) hct_fail(err, st, "%s", why.msg);
        free(out);
    }
    free(seen);
    free(f);
    return st;
}
