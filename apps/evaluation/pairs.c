/* All pairs of models, tested. */
#include "evaluation/pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/delong.h"
#include "evaluation/multiple.h"
#include "evaluation/order.h"
#include "support/text.h"

typedef struct tested {
    size_t a, b;
    double auc_a, auc_b, difference, p, delong, p_holm, delong_holm;
} tested;

/* [task][pair]; the mean over tasks as one more task where there are several. */
typedef struct table {
    const model_set *models;
    size_t tasks, rows, pairs; /* rows: tasks, and the mean */
    tested *at;
} table;

static hct_status test_pair(table *t, const pairs_options *o, size_t pair, size_t a, size_t b, hct_err *err) {
    score_table x = predictions_table(&t->models->of[a]), y = predictions_table(&t->models->of[b]);
    resampler coins = permutation_resampler(o->permutations, o->seed);
    comparison *each = calloc(t->tasks + 1, sizeof *each);
    hct_status st = each ? paired_permutation(&x, &y, &coins, o->threads, each, &each[t->tasks], err)
                         : hct_fail(err, HCT_ENOMEM, "out of memory for a comparison");
    double sum[2] = {0, 0}, defined = 0;
    for (size_t k = 0; st == HCT_OK && k < t->rows; k++) {
        tested *to = &t->at[k * t->pairs + pair];
        *to = (tested){a, b, NAN, NAN, each[k].difference, each[k].p, NAN, NAN, NAN};
        if (k == t->tasks) {
            to->auc_a = sum[0] / defined;
            to->auc_b = sum[1] / defined;
            break;
        }
        ranking r = {0}, q = {0};
        delong_comparison d = {NAN, NAN, NAN, NAN};
        st = ranking_of_task(&x, k, &r, err);
        if (st == HCT_OK) st = ranking_of_task(&y, k, &q, err);
        if (st == HCT_OK) st = delong_test(&r, &q, &d, err);
        to->auc_a = ranking_auc(&r, NULL);
        to->auc_b = ranking_auc(&q, NULL);
        to->delong = d.p;
        if (!isnan(to->auc_a)) sum[0] += to->auc_a, sum[1] += to->auc_b, defined++;
        ranking_free(&r);
        ranking_free(&q);
    }
    free(each);
    return st;
}

/* Over the tasks' pairs together; the means' are a table of their own. */
static hct_status correct(table *t, size_t first, size_t n, hct_err *err) {
    double *p = calloc(4 * n + 1, sizeof *p), *q = p ? p + n : NULL;
    if (!p) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu tests", n);
    for (size_t i = 0; i < n; i++) p[i] = t->at[first + i].p, q[i] = t->at[first + i].delong;
    hct_status st = holm(p, n, p + 2 * n, err);
    if (st == HCT_OK) st = holm(q, n, p + 3 * n, err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        t->at[first + i].p_holm = p[2 * n + i];
        t->at[first + i].delong_holm = p[3 * n + i];
    }
    free(p);
    return st;
}

static const char *task_name(const table *t, size_t k) { return k < t->tasks ? t->models->of[0].task[k] : "macro"; }

static sheet *write_pairs(const table *t, const pairs_options *o) {
    char title[240];
    snprintf(
        title, sizeof title,
        "Pairs of models on %zu common scans: AUCs, difference in points of AUC and relative to the second, p of %zu "
        "paired permutations and of DeLong's test, before and after Holm",
        t->models->of[0].n, o->permutations);
    sheet *s =
        sheet_new("comparisons", title,
                  "task,first,second,auc_first,auc_second,points,relative_percent,p,p_holm,p_delong,p_delong_holm");
    for (size_t i = 0; i < t->rows * t->pairs; i++) {
        const tested *x = &t->at[i];
        sheet_text(s, task_name(t, i / t->pairs));
        sheet_text(s, t->models->name[x->a]);
        sheet_text(s, t->models->name[x->b]);
        sheet_number(s, x->auc_a, 4);
        sheet_number(s, x->auc_b, 4);
        sheet_number(s, 100 * x->difference, 2);
        sheet_number(s, 100 * x->difference / x->auc_b, 2);
        sheet_p(s, x->p);
        sheet_p(s, x->p_holm);
        sheet_p(s, x->delong);
        sheet_p(s, x->delong_holm);
    }
    return s;
}

static sheet *write_matrix(const table *t, hct_err *err) {
    text_buffer columns = {0};
    text_printf(&columns, "task,model");
    for (size_t m = 0; m < t->models->n; m++) { /* a comma in a name would be a column of its own */
        text_printf(&columns, ",");
        for (const char *c = t->models->name[m]; *c; c++) text_printf(&columns, "%c", *c == ',' ? ';' : *c);
    }
    const char *names = text_get(&columns, "a matrix", err);
    sheet *s = names ? sheet_new("p_matrix", "p of the permutation test after Holm", names) : NULL;
    for (size_t k = 0; k < t->rows; k++)
        for (size_t a = 0; a < t->models->n; a++) {
            sheet_text(s, task_name(t, k));
            sheet_text(s, t->models->name[a]);
            for (size_t b = 0; b < t->models->n; b++) {
                double p = NAN;
                for (size_t i = 0; i < t->pairs; i++) {
                    const tested *x = &t->at[k * t->pairs + i];
                    if ((x->a == a && x->b == b) || (x->a == b && x->b == a)) p = x->p_holm;
                }
                if (a == b) sheet_text(s, "");
                else sheet_p(s, p);
            }
        }
    text_free(&columns);
    return s;
}

hct_status pairs_test(const model_set *models, const pairs_options *o, sheet **ret_pairs, sheet **ret_matrix,
                      hct_err *err) {
    size_t tasks = models->of[0].n_tasks, n = models->n;
    table t = {models, tasks, tasks > 1 ? tasks + 1 : tasks, n * (n - 1) / 2, NULL};
    *ret_pairs = *ret_matrix = NULL;
    t.at = calloc(t.rows * t.pairs + 1, sizeof *t.at);
    hct_status st = t.at ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu pairs", t.pairs);
    size_t pair = 0;
    for (size_t a = 0; a < n; a++)
        for (size_t b = a + 1; b < n && st == HCT_OK; b++, pair++) {
            st = test_pair(&t, o, pair, a, b, err);
            if (o->tell) o->tell(o->tell_context, (int64_t)pair + 1);
        }
    if (st == HCT_OK) st = correct(&t, 0, tasks * t.pairs, err);
    if (st == HCT_OK && t.rows > tasks) st = correct(&t, tasks * t.pairs, t.pairs, err);
    if (st == HCT_OK) {
        *ret_pairs = write_pairs(&t, o);
        if (n <= 24) *ret_matrix = write_matrix(&t, err);
    }
    free(t.at);
    return st;
}
