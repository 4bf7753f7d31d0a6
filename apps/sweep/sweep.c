/* A sweep: the points of a grid, each in a process and a folder of its own, and what they found. */
#include "sweep/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "evaluation/predictions.h"
#include "pretrain/method.h"
#include "run/child_runs.h"
#include "support/csv.h"
#include "support/paths.h"

const sweep_axis sweep_axes[SWEEP_AXES] = {
    {"lr", "optim.lr", "1e-3,1e-4,1e-5"},
    {"wd", "optim.weight_decay", "0.01,0.05,1e-4,1e-5"},
    {"epochs", "optim.epochs", "10,15,30,50"},
    {"optimizer", "optim.name", "sgd,adam,adamw"},
};

int sweep_set_axis(sweep_options *s, int axis, const char *list) {
    s->n[axis] = 0;
    for (const char *c = list; *c;) {
        size_t n = strcspn(c, ",");
        if (!n || n >= SWEEP_VALUE || s->n[axis] == SWEEP_VALUES) return 0;
        snprintf(s->value[axis][s->n[axis]++], SWEEP_VALUE, "%.*s", (int)n, c);
        c += n + (c[n] == ',');
    }
    return s->n[axis] > 0;
}

sweep_options sweep_default(void) {
    sweep_options s = {.jobs = 1, .step = 1};
    for (int a = 0; a < SWEEP_AXES; a++) sweep_set_axis(&s, a, sweep_axes[a].values);
    return s;
}

/* The values of point i; the last axis changes fastest. */
static void point_values(const sweep_options *s, int64_t i, const char *out[SWEEP_AXES]) {
    for (int a = SWEEP_AXES; a-- > 0; i /= s->n[a]) out[a] = s->value[a][i % s->n[a]];
}

static hct_status point_recipe(const sweep_options *s, const recipe *base, int64_t i, recipe *ret, hct_err *err) {
    const char *v[SWEEP_AXES];
    point_values(s, i, v);
    *ret = *base;
    hct_status st = HCT_OK;
    for (int a = 0; st == HCT_OK && a < SWEEP_AXES; a++) st = recipe_set_key(ret, sweep_axes[a].key, v[a], err);
    if (st == HCT_OK) st = recipe_check(ret, err);
    return st == HCT_OK ? method_check_recipe(ret, err) : st;
}

static char *point_path(const sweep_options *s, int64_t i, const char *file) {
    char *path = NULL;
    return asprintf(&path, "%s/point-%03lld%s%s", s->run, (long long)i, *file ? "/" : "", file) < 0 ? NULL : path;
}

/* Whether the point's run is complete. */
static hct_status is_done(const sweep_options *s, const recipe *want, int64_t i, int *ret, hct_err *err) {
    char *folder = point_path(s, i, "");
    hct_status st = folder ? child_run_done(folder, want, ret, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(folder);
    return st;
}

static hct_status run_points(const sweep_options *s, const recipe *base, int64_t total, size_t *ret_failed,
                             hct_err *err) {
    child_runs c = {.jobs = s->jobs};
    hct_status st = HCT_OK;
    for (int64_t i = s->first; st == HCT_OK && i < total; i += s->step) {
        recipe r;
        char *folder = point_path(s, i, "");
        st = folder ? point_recipe(s, base, i, &r, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st == HCT_OK) st = child_runs_add(&c, folder, &r, err);
        free(folder);
        if (!s->step) break;
    }
    child_runs_end(&c);
    *ret_failed = c.failed;
    return st;
}

/* What the points that are done say. */
typedef struct found {
    size_t n_tasks;
    char **task;   /* of the first of them */
    int64_t *best; /* [n_tasks + 1]: the best point of each task, last that of their mean; -1: none */
    double *auc;   /* theirs */
    double *now;   /* of the point at hand */
    int64_t done;
} found;

static hct_status found_open(found *f, const predictions *p, hct_err *err) {
    f->n_tasks = p->n_tasks;
    f->task = calloc(p->n_tasks + 1, sizeof *f->task);
    f->best = malloc((p->n_tasks + 1) * sizeof *f->best);
    f->auc = malloc(2 * (p->n_tasks + 1) * sizeof *f->auc);
    if (!f->task || !f->best || !f->auc) return hct_fail(err, HCT_ENOMEM, "out of memory");
    f->now = f->auc + p->n_tasks + 1;
    for (size_t k = 0; k <= p->n_tasks; k++) f->best[k] = -1, f->auc[k] = -1;
    hct_status st = HCT_OK;
    for (size_t k = 0; st == HCT_OK && k < p->n_tasks; k++) st = predictions_text(&f->task[k], p->task[k], err);
    return st;
}

static void found_free(found *f) {
    for (size_t k = 0; f->task && k < f->n_tasks; k++) free(f->task[k]);
    free(f->task);
    free(f->best);
    free(f->auc);
}

/* AUCs of the validation rows of a point's predictions, and their mean: nothing else is looked at. */
static hct_status validation(const sweep_options *s, const recipe *r, int64_t i, found *f, hct_err *err) {
    char *path = point_path(s, i, "predictions.csv");
    predictions p = {0};
    hct_status st =
        path ? predictions_read(path, r->data.validation, &p, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && !f->task) st = found_open(f, &p, err);
    int same = st == HCT_OK && p.n_tasks == f->n_tasks;
    for (size_t k = 0; same && k < p.n_tasks; k++) same = !strcmp(p.task[k], f->task[k]);
    if (st == HCT_OK && !same)
        st = hct_fail(
            err, HCT_EINVAL,
            "%s: has other tasks than the points before it; remove the point's folder, and run the sweep again", path);
    metric_intervals *each = st == HCT_OK ? calloc(p.n_tasks + 1, sizeof *each) : NULL;
    score_table t = predictions_table(&p);
    resampler none = bootstrap_resampler(0, 0);
    if (st == HCT_OK)
        st = each ? bootstrap(&t, &(bootstrap_options){.draws = &none, .level = 0.95}, each, &each[p.n_tasks], err)
                  : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; st == HCT_OK && k <= p.n_tasks; k++) {
        f->now[k] = each[k].auc.value;
        if (f->now[k] > f->auc[k]) f->auc[k] = f->now[k], f->best[k] = i; /* ties: the first */
    }
    free(each);
    predictions_free(&p);
    free(path);
    return st;
}

static void put_header(hct_outfile *out, const found *f) {
    hct_outfile_printf(out, "point,lr,weight_decay,epochs,optimizer,validation_auc");
    for (size_t k = 0; k < f->n_tasks; k++) csv_put(out, SWEEP_AXES + 2 + k, f->task[k]);
    csv_end_row(out);
}

static void put_point(const sweep_options *s, hct_outfile *out, const found *f, int64_t i) {
    const char *v[SWEEP_AXES];
    point_values(s, i, v);
    csv_put_double(out, 0, (double)i);
    for (size_t a = 0; a < SWEEP_AXES; a++) csv_put(out, a + 1, v[a]);
    csv_put_double(out, SWEEP_AXES + 1, f->now[f->n_tasks]);
    for (size_t k = 0; k < f->n_tasks; k++) csv_put_double(out, SWEEP_AXES + 2 + k, f->now[k]);
    csv_end_row(out);
}

/* RUN/sweep.csv. */
static hct_status gather(const sweep_options *s, const recipe *base, int64_t total, found *f, hct_err *err) {
    char *path = path_join(s->run, "sweep.csv");
    hct_outfile *out = path ? hct_outfile_open(path, err) : NULL;
    hct_status st = out ? HCT_OK : path ? err->code : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (int64_t i = 0; st == HCT_OK && i < total; i++) {
        recipe r;
        int done = 0;
        if ((st = point_recipe(s, base, i, &r, err)) == HCT_OK) st = is_done(s, &r, i, &done, err);
        if (st < 0 || !done || (st = validation(s, &r, i, f, err)) < 0) continue;
        if (!f->done++) put_header(out, f);
        put_point(s, out, f, i);
    }
    if (!f->done) put_header(out, f);
    if (st == HCT_OK) st = hct_outfile_close(out, err);
    else hct_outfile_discard(out);
    free(path);
    return st;
}

/* RUN/name: the recipe of a point, of one task alone where task is not NULL. */
static hct_status write_best(const sweep_options *s, const recipe *base, int64_t point, const char *task,
                             hct_err *err) {
    recipe r;
    text_buffer text = {0};
    char *path = NULL;
    hct_status st = point_recipe(s, base, point, &r, err);
    if (st < 0) return st;
    if (task) {
        memset(&r.data.tasks, 0, sizeof r.data.tasks);
        snprintf(r.data.tasks.item[0], RECIPE_ITEM, "%s", task);
        r.data.tasks.n = 1;
    }
    recipe_text(&r, &text);
    if (asprintf(&path, "%s/best%s%s.yaml", s->run, task ? "-" : "", task ? task : "") < 0) path = NULL;
    st = path ? text_save(&text, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    text_free(&text);
    return st;
}

/* Says what is best, and writes its recipes once all points are done. */
static hct_status report(const sweep_options *s, const recipe *base, int64_t total, const found *f, FILE *out,
                         hct_err *err) {
    size_t n = f->n_tasks;
    /* tasks have models of their own */
    int each = n > 1 && (recipe_probes(base) || base->finetune.tasks == MODELS_EACH);
    hct_status st = HCT_OK;
    fprintf(out, "%lld of %lld points are done", (long long)f->done, (long long)total);
    if (f->done && f->best[n] >= 0)
        fprintf(out, "; best by validation: point %lld, AUC %.4f", (long long)f->best[n], f->auc[n]);
    fprintf(out, "\n");
    if (f->done < total || !f->done) return HCT_OK;
    if (f->best[n] >= 0) st = write_best(s, base, f->best[n], NULL, err);
    for (size_t k = 0; st == HCT_OK && each && k < n; k++) {
        if (f->best[k] < 0 || strchr(f->task[k], '/')) continue;
        fprintf(out, "%s: point %lld, AUC %.4f\n", f->task[k], (long long)f->best[k], f->auc[k]);
        st = write_best(s, base, f->best[k], f->task[k], err);
    }
    return st;
}

hct_status sweep_run(const sweep_options *s, const recipe *r, FILE *out, size_t *ret_failed, hct_err *err) {
    int64_t total = 1;
    found f = {0};
    hct_status st = HCT_OK;
    *ret_failed = 0;
    for (int a = 0; a < SWEEP_AXES; a++) total *= s->n[a];
    if (recipe_pretrains(r))
        st = hct_fail(
            err, HCT_EINVAL,
            "the recipe's method is neither probe nor finetune; no validation AUC would tell its points apart");
    if (st == HCT_OK && s->first >= total)
        st = hct_fail(err, HCT_EINVAL, "the grid has points 0 to %lld, there is no point %lld", (long long)total - 1,
                      (long long)s->first);
    if (st == HCT_OK) st = path_make_folders(s->run, err);
    if (st == HCT_OK) st = run_points(s, r, total, ret_failed, err);
    if (st == HCT_OK) st = gather(s, r, total, &f, err);
    if (st == HCT_OK) st = report(s, r, total, &f, out, err);
    found_free(&f);
    return st;
}
