/* Lanes of runs, their figures and tests. */
#include "report/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/evaluation.h"
#include "evaluation/multiple.h"
#include "evaluation/predictions.h"
#include "figures/bars.h"
#include "support/paths.h"

enum { PERMUTATIONS = 10000, GROUPS = FACTS_TASKS + 1 };

interval lane_auc(const lane *l, const char *task) {
    interval sum = {.value = 0, .low = INFINITY, .high = -INFINITY};
    for (size_t i = 0; i < l->n; i++) {
        const task_facts *t = *task ? facts_task(l->run[i], task) : &l->run[i]->macro;
        if (l->n == 1 && t) return t->auc;
        double v = t ? t->auc.value : NAN;
        sum.value += v / (double)l->n;
        sum.low = fmin(sum.low, v);
        sum.high = fmax(sum.high, v);
    }
    if (l->n == 0 || isnan(sum.value)) sum = (interval){.value = NAN, .low = NAN, .high = NAN};
    return sum;
}

/* As it would be with another seed and the encoder of another seed. */
static hct_status same_but_seed(const run_facts *a, const run_facts *b, int *ret, hct_err *err) {
    hct_status st = HCT_OK;
    text_buffer text[2] = {{0}, {0}};
    const run_facts *const both[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        const recipe *const parts[2] = {&both[i]->own, &both[i]->parent};
        for (int k = 0; k < 2; k++) {
            recipe *r = malloc(sizeof *r);
            if (!r) {
                st = hct_fail(err, HCT_ENOMEM, "out of memory for a comparison");
                continue;
            }
            *r = *parts[k];
            r->seed = 0;
            if (r->data.seed >= 0) r->data.seed = 0; /* another draw of as many patients */
            r->name[0] = r->probe.weights[0] = r->finetune.weights[0] = r->model.weights[0] = '\0';
            recipe_text(r, &text[i]);
            free(r);
        }
    }
    for (int i = 0; i < 2 && st == HCT_OK; i++) st = text_check(&text[i], "a comparison", err);
    *ret = st == HCT_OK && !strcmp(text_so_far(&text[0]), text_so_far(&text[1])) && a->own.seed != b->own.seed &&
           a->has_recipe && b->has_recipe;
    text_free(&text[0]);
    text_free(&text[1]);
    return st;
}

static void label_of(const run_facts *f, char *ret, size_t room) {
    int plain = !*f->pretraining || !strcmp(f->pretraining, "none");
    snprintf(ret, room, "%s%s%s", plain ? "" : f->pretraining, plain ? "" : ", ", f->approach);
}

hct_status lanes_of(const run_facts *const *runs, size_t n, lane ret[LANES], size_t *ret_n, hct_err *err) {
    size_t lanes = 0;
    *ret_n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        if (!runs[i]->has_metrics) continue;
        for (int same = 0; k < lanes; k++) {
            hct_status st = same_but_seed(ret[k].run[0], runs[i], &same, err);
            if (st < 0) return st;
            if (same) break;
        }
        if (k == LANES) continue; /* more make a figure nobody can read */
        if (k == lanes) {
            ret[lanes].n = 0;
            label_of(runs[i], ret[lanes++].label, sizeof ret[0].label);
        }
        if (ret[k].n < LANE_RUNS) ret[k].run[ret[k].n++] = runs[i];
    }
    for (size_t a = 0; a < lanes; a++) { /* labels that do not tell lanes apart get the folder */
        int twice = 0;
        char label[2 * FACTS_NAME];
        label_of(ret[a].run[0], label, sizeof label);
        for (size_t b = 0; b < lanes; b++) {
            char other[2 * FACTS_NAME];
            label_of(ret[b].run[0], other, sizeof other);
            twice |= b != a && !strcmp(label, other);
        }
        if (twice)
            snprintf(ret[a].label, sizeof ret[a].label, "%.100s (%.100s)", label, path_base(ret[a].run[0]->folder));
    }
    for (size_t a = 0; a < lanes; a++)
        if (ret[a].n > 1) {
            size_t at = strlen(ret[a].label);
            snprintf(ret[a].label + at, sizeof ret[a].label - at, ", mean of %zu seeds", ret[a].n);
        }
    *ret_n = lanes;
    return HCT_OK;
}

void lanes_add(lane lanes[LANES], size_t *n, const char *label, const run_facts *run) {
    size_t k = 0;
    if (!run->has_metrics) return;
    while (k < *n && strcmp(lanes[k].label, label) != 0) k++;
    if (k == LANES) return;
    if (k == *n) {
        lanes[k].n = 0;
        snprintf(lanes[k].label, sizeof lanes[k].label, "%s", label);
        ++*n;
    }
    if (lanes[k].n < LANE_RUNS) lanes[k].run[lanes[k].n++] = run;
}

/* Tasks of all lanes in order of appearance. */
static size_t tasks_of(const lane *lanes, size_t n, const char *ret[FACTS_TASKS]) {
    size_t tasks = 0;
    for (size_t s = 0; s < n; s++)
        for (size_t k = 0; k < lanes[s].run[0]->n_tasks; k++) {
            const char *name = lanes[s].run[0]->task[k].name;
            size_t i = 0;
            while (i < tasks && strcmp(ret[i], name) != 0) i++;
            if (i == tasks && tasks < FACTS_TASKS) ret[tasks++] = name;
        }
    return tasks;
}

static hct_status read_scores(const run_facts *f, predictions *ret, hct_err *err) {
    char *path = path_join(f->folder, "predictions.csv");
    hct_status st = path && path_is_file(path)
                        ? predictions_read(path, f->has_recipe ? f->own.data.test : NULL, ret, err)
                        : hct_fail(err, HCT_ENOTFOUND, "%s: has no predictions.csv", f->folder);
    free(path);
    return st;
}

/* p of each task of `names` and of the mean, into p[0 .. n_tasks]; left alone where the two have not the same scans and
 * tasks. */
static hct_status test_pair(const run_facts *a, const run_facts *b, const char *const *names, size_t n_tasks, double *p,
                            hct_err *err) {
    predictions x = {0}, y = {0};
    hct_err why = {0};
    bool *keep = NULL;
    hct_status st = read_scores(a, &x, &why);
    if (st == HCT_OK) st = read_scores(b, &y, &why);
    if (st == HCT_OK && !(keep = malloc(x.n + 1))) st = hct_fail(&why, HCT_ENOMEM, "out of memory for a test");
    for (size_t i = 0; st == HCT_OK && i < x.n; i++) keep[i] = true;
    if (st == HCT_OK) st = predictions_shared(&x, &y, keep, &why);
    if (st == HCT_OK) predictions_keep(&x, keep);
    if (st == HCT_OK && x.n) predictions_drop_unlabelled(&x);
    if (st == HCT_OK) st = predictions_align(&x, &y, &why);
    comparison *each = st == HCT_OK ? calloc(x.n_tasks + 1, sizeof *each) : NULL;
    if (each) {
        score_table s = predictions_table(&x), t = predictions_table(&y);
        resampler draws = permutation_resampler(PERMUTATIONS, 0);
        st = paired_permutation(&s, &t, &draws, 0, each, &each[x.n_tasks], &why);
        for (size_t k = 0; st == HCT_OK && k < n_tasks; k++)
            for (size_t j = 0; j < x.n_tasks; j++)
                if (!strcmp(names[k], x.task[j])) p[k] = each[j].p;
        if (st == HCT_OK && x.n_tasks == n_tasks) p[n_tasks] = each[n_tasks].p;
    } else if (st == HCT_OK) st = hct_fail(&why, HCT_ENOMEM, "out of memory for a test");
    free(each);
    free(keep);
    predictions_free(&x);
    predictions_free(&y);
    return is_fault(st) ? hct_fail(err, st, "%s", why.msg) : HCT_OK; /* others: not tested */
}

/* Corrected p of lanes 1.. against lane 0, [n, groups]; NaN: not tested. */
static hct_status test_lanes(const lane *lanes, size_t n, const char *const *names, size_t groups, double *p,
                             hct_err *err) {
    double *raw = malloc(n * groups * sizeof *raw + 1);
    hct_status st = raw ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for tests");
    for (size_t i = 0; raw && i < n * groups; i++) raw[i] = NAN;
    for (size_t s = 1; s < n && st == HCT_OK; s++)
        if (lanes[0].n == 1 && lanes[s].n == 1)
            st = test_pair(lanes[0].run[0], lanes[s].run[0], names, groups - 1, raw + s * groups, err);
    if (st == HCT_OK) st = holm(raw, n * groups, p, err);
    free(raw);
    return st;
}

static const char *mark_of(double p) { return p < 0.001 ? "***" : p < 0.01 ? "**" : p < 0.05 ? "*" : NULL; }

static hct_status draw(report *r, const bars *b, const char *folder, const char *name, const char *caption,
                       hct_err *err) {
    static const char *const kinds[] = {"bars", "radar"};
    hct_status st = path_make_folders(folder, err);
    for (int k = 0; k < 2 && st == HCT_OK; k++) {
        char *path = NULL;
        if (k && b->n_groups < 3) break;
        if (asprintf(&path, "%s/%s_%s.svg", folder, name, kinds[k]) < 0)
            return hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
        st = k ? radar_write(b, path, err) : bars_write(b, path, err);
        if (st == HCT_OK)
            report_figure(r, path, k ? "The same AUCs, from 0.4 in the middle to 1 at the rim." : caption);
        free(path);
    }
    return st;
}

hct_status compare_add(report *r, const lane *lanes, size_t n, const char *folder, const char *name, const char *title,
                       double *ret_p, hct_err *err) {
    const char *groups[GROUPS], *series[LANES];
    size_t tasks = tasks_of(lanes, n, groups), n_groups = tasks == 1 ? 1 : tasks + 1;
    if (!n || !tasks) return hct_fail(err, HCT_ENOTFOUND, "%s: none of the runs has metrics", title);
    groups[tasks] = "macro mean";
    double *v = malloc(4 * n * (tasks + 1) * sizeof *v), *p = v ? v + 3 * n * (tasks + 1) : NULL;
    const char **mark = calloc(n * (tasks + 1), sizeof *mark);
    hct_status st = v && mark ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", title);
    if (st == HCT_OK) st = test_lanes(lanes, n, groups, tasks + 1, p, err);
    int marked = 0, spread = 0;
    for (size_t s = 0; s < n && st == HCT_OK; s++) {
        series[s] = lanes[s].label;
        spread |= lanes[s].n > 1;
        for (size_t g = 0; g < n_groups; g++) {
            interval i = lane_auc(&lanes[s], g < tasks ? groups[g] : "");
            size_t at = s * n_groups + g;
            v[at] = i.value;
            v[n * n_groups + at] = i.low;
            v[2 * n * n_groups + at] = i.high;
            mark[at] = mark_of(p[s * (tasks + 1) + g]);
            marked |= !isnan(p[s * (tasks + 1) + g]);
        }
    }
    char caption[900];
    snprintf(caption, sizeof caption, "%s: ROC AUC of each task, 95%% intervals%s; dashed: chance.%s%s%s", title,
             spread ? ", or of several seeds the lowest and highest" : "",
             marked ? " Stars: p below 0.05, 0.01, 0.001 against " : "", marked ? lanes[0].label : "",
             marked ? ", paired permutations after Holm's correction." : "");
    const bars b = {.title = title,
                    .y_label = "ROC AUC",
                    .groups = groups,
                    .series = series,
                    .n_groups = n_groups,
                    .n_series = n,
                    .value = v,
                    .low = v ? v + n * n_groups : NULL,
                    .high = v ? v + 2 * n * n_groups : NULL,
                    .mark = mark,
                    .line = 0.5};
    if (st == HCT_OK) st = draw(r, &b, folder, name, caption, err);
    if (st == HCT_OK && ret_p) *ret_p = n > 1 ? p[tasks + 1 + (tasks == 1 ? 0 : tasks)] : NAN;
    free(v);
    free(mark);
    return st;
}
