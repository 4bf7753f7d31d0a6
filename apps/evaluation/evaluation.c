/* Metrics of a table of scores with intervals, and the comparison with a second one. */
#include "evaluation/evaluation.h"

#include <math.h>
#include <stdlib.h>

#include "evaluation/delong.h"
#include "evaluation/order.h"

static const double LEVEL = 0.95;

hct_status evaluation_run(const score_table *t, const char *const *names, size_t resamples, uint64_t seed,
                          evaluation *ret, hct_err *err) {
    resampler r = bootstrap_resampler(resamples, seed);
    return evaluation_run_by(t, names, &(bootstrap_options){.draws = &r, .level = LEVEL}, "scan", ret, err);
}

static hct_status without_draws(const score_table *t, size_t k, double level, task_result *ret, hct_err *err) {
    ranking r = {0};
    hct_status st = ranking_of_task(t, k, &r, err);
    if (st == HCT_OK) st = delong_interval(&r, level, &ret->delong, err);
    if (st == HCT_OK) st = newcombe_interval(&r, level, &ret->newcombe);
    ranking_free(&r);
    return st;
}

hct_status evaluation_run_by(const score_table *t, const char *const *names, const bootstrap_options *o,
                             const char *unit, evaluation *ret, hct_err *err) {
    const interval none = {NAN, NAN, NAN, NAN, 0};
    size_t n = t->n_tasks;
    evaluation e = {.n = t->n,
                    .n_tasks = n,
                    .level = o->level,
                    .draws = *o->draws,
                    .kind = o->kind,
                    .threads = o->threads,
                    .unit = unit,
                    .tasks = calloc(n + 1, sizeof *e.tasks),
                    .macro = {.name = "macro", .delong = none, .newcombe = none}};
    metric_intervals *each = calloc(n + 1, sizeof *each);
    hct_status status = e.tasks && each ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for an evaluation");
    if (status == HCT_OK) status = bootstrap(t, o, each, &each[n], err);
    for (size_t k = 0; status == HCT_OK && k < n; k++) {
        task_result *r = &e.tasks[k];
        r->name = names[k];
        r->auc = each[k].auc;
        r->average_precision = each[k].average_precision;
        status = without_draws(t, k, o->level, r, err);
        for (size_t i = 0; i < t->n; i++) {
            r->positives += t->label[i * n + k] == 1;
            r->negatives += t->label[i * n + k] == 0;
        }
        e.macro.positives += r->positives;
        e.macro.negatives += r->negatives;
    }
    if (status == HCT_OK) {
        e.macro.auc = each[n].auc;
        e.macro.average_precision = each[n].average_precision;
    }
    free(each);
    if (status < 0) {
        free(e.tasks);
        return status;
    }
    *ret = e;
    return HCT_OK;
}

void evaluation_free(evaluation *e) {
    free(e->tasks);
    *e = (evaluation){0};
}

hct_status evaluation_compare(evaluation *e, const score_table *t, const score_table *other, size_t permutations,
                              hct_err *err) {
    size_t n = e->n_tasks;
    comparison *each = calloc(n + 1, sizeof *each);
    resampler r = permutation_resampler(permutations, e->draws.seed);
    hct_status status = each ? paired_permutation(t, other, &r, e->threads, each, &e->macro.versus, err)
                             : hct_fail(err, HCT_ENOMEM, "out of memory for a comparison");
    for (size_t k = 0; status == HCT_OK && k < n; k++) {
        e->tasks[k].versus = each[k];
        e->tasks[k].other_auc = e->tasks[k].auc.value - each[k].difference;
    }
    if (status == HCT_OK) {
        e->macro.other_auc = e->macro.auc.value - e->macro.versus.difference;
        e->permutations = permutations;
    }
    free(each);
    return status;
}
