/* Runs the systems of a comparison, and has them evaluated together. */
#include "comparison/comparison.h"

#include <stdlib.h>
#include <string.h>

#include "evaluation/sheet.h"
#include "pretrain/method.h"
#include "recipe/recipe.h"
#include "run/child_runs.h"
#include "run/recipe_encoder.h"
#include "support/paths.h"
#include "support/text.h"
#include "validation/validation.h"

typedef enum system_state { STATE_PENDING, STATE_DONE, STATE_FAILED, STATE_LEFT_OUT } system_state;
static const char *const STATES[] = {"not yet", "done", "failed", "left out"};

typedef struct one_system {
    const comparison_system *said;
    recipe r;
    char *folder, *table; /* OUT/NAME, its predictions.csv */
    char *reason;         /* why it is left out */
    system_state state;
    int mine; /* to run here: of this shard */
} one_system;

typedef struct comparing {
    const comparison_options *o;
    system_list list;
    one_system *of;
} comparing;

/* A file that a system cannot do without. Returns whether it is there. */
static int have_file(one_system *s, const char *path, const char *what, hct_status *st, hct_err *err) {
    if (*st < 0 || !path || !*path || path_is_file(path)) return 1;
    if (asprintf(&s->reason, "no %s: %s is not there", what, path) < 0) {
        s->reason = NULL;
        *st = hct_fail(err, HCT_ENOMEM, "out of memory");
    }
    s->state = STATE_LEFT_OUT;
    return 0;
}

/* The system's whole recipe; left out where its weights or embeddings are not there. */
static hct_status compose(const comparison_options *o, one_system *s, hct_err *err) {
    const comparison_system *said = s->said;
    recipe *r = &s->r;
    *r = recipe_default();
    char *file = recipe_find(said->recipe);
    hct_status st = file ? recipe_load(file, r, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(file);
    int probes = st == HCT_OK && recipe_probes(r);
    if (st == HCT_OK && !probes && !recipe_finetunes(r))
        st = hct_fail(err, HCT_EINVAL, "%s: the recipe's method is %s; probe or finetune is needed", said->recipe,
                      r->method);
    if (st == HCT_OK && said->embeddings && !probes)
        st = hct_fail(err, HCT_EINVAL, "embeddings are for recipes with method probe, %s fine-tunes", said->recipe);
    if (st == HCT_OK) st = recipe_set_key(r, "name", said->name, err);
    if (st == HCT_OK) st = recipe_set_key(r, probes ? "probe.weights" : "finetune.weights", said->weights, err);
    if (st == HCT_OK && said->embeddings) {
        st = recipe_set_key(r, "probe.features", "embeddings", err);
        if (st == HCT_OK) st = recipe_set_key(r, "probe.embeddings", said->embeddings, err);
    }
    for (int k = 0; st == HCT_OK && k < said->n_sets; k++) st = recipe_set(r, said->set[k], err);
    for (size_t k = 0; st == HCT_OK && k < o->n_sets; k++) st = recipe_set(r, o->sets[k], err);
    if (st == HCT_OK) st = recipe_set_key(r, "data.dataset", o->data, err);
    if (st == HCT_OK) st = recipe_check(r, err);
    if (!have_file(s, probes ? r->probe.weights : r->finetune.weights, "weights", &st, err)) return st;
    if (!have_file(s, probes ? r->probe.embeddings : NULL, "embeddings", &st, err)) return st;
    if (st == HCT_OK) st = recipe_take_encoder(r, err);
    return st == HCT_OK ? method_check_recipe(r, err) : st;
}

/* Splits, tasks and share of the patients are the same for all. */
static hct_status same_question(const one_system *a, const one_system *b, hct_err *err) {
    static const struct {
        const char *key;
        size_t at;
    } texts[] = {{"data.train", offsetof(recipe, data.train)},
                 {"data.validation", offsetof(recipe, data.validation)},
                 {"data.test", offsetof(recipe, data.test)}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp((const char *)&a->r + texts[i].at, (const char *)&b->r + texts[i].at) != 0)
            return hct_fail(err, HCT_EINVAL, "%s differs between systems %s and %s; --set it for all", texts[i].key,
                            a->said->name, b->said->name);
    int same = a->r.data.tasks.n == b->r.data.tasks.n && !(a->r.data.fraction != b->r.data.fraction) &&
               a->r.data.patients == b->r.data.patients && a->r.data.seed == b->r.data.seed;
    for (size_t i = 0; same && i < (size_t)a->r.data.tasks.n; i++)
        same = !strcmp(a->r.data.tasks.item[i], b->r.data.tasks.item[i]);
    return same ? HCT_OK
                : hct_fail(err, HCT_EINVAL,
                           "data.tasks, data.fraction, data.patients or data.seed differ between systems %s and %s; "
                           "--set them "
                           "for all",
                           a->said->name, b->said->name);
}

static hct_status open_systems(comparing *c, hct_err *err) {
    const comparison_options *o = c->o;
    hct_status st = systems_read(o->systems, &c->list, err);
    if (st < 0) return st;
    if (o->first >= (int64_t)c->list.n)
        return hct_fail(err, HCT_EINVAL, "%s has systems 0 to %zu, there is no system %lld", o->systems, c->list.n - 1,
                        (long long)o->first);
    if (!(c->of = calloc(c->list.n, sizeof *c->of))) return hct_fail(err, HCT_ENOMEM, "out of memory");
    const one_system *before = NULL;
    for (size_t i = 0; st == HCT_OK && i < c->list.n; i++) {
        one_system *s = &c->of[i];
        s->said = &c->list.item[i];
        int64_t behind = (int64_t)i - o->first;
        s->mine = o->step ? behind >= 0 && behind % o->step == 0 : behind == 0;
        s->folder = path_join(o->out, s->said->name);
        s->table = s->folder ? path_join(s->folder, "predictions.csv") : NULL;
        st = s->table ? compose(o, s, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st < 0) {
            hct_err why = *err;
            return hct_fail(err, st, "system %s: %s", s->said->name, why.msg);
        }
        if (s->state == STATE_LEFT_OUT) continue;
        if (before) st = same_question(before, s, err);
        before = s;
    }
    return st;
}

static hct_status run_systems(comparing *c, size_t *ret_failed, hct_err *err) {
    child_runs runs = {.jobs = c->o->jobs};
    hct_status st = path_make_folders(c->o->out, err);
    for (size_t i = 0; st == HCT_OK && i < c->list.n; i++) {
        one_system *s = &c->of[i];
        if (s->state == STATE_LEFT_OUT || !s->mine) continue;
        if (c->o->progress) fprintf(c->o->progress, "%s: %s\n", s->said->name, s->folder);
        st = child_runs_add(&runs, s->folder, &s->r, err);
    }
    child_runs_end(&runs);
    *ret_failed = runs.failed;
    for (size_t i = 0; st == HCT_OK && i < c->list.n; i++) {
        one_system *s = &c->of[i];
        int done = 0;
        if (s->state == STATE_LEFT_OUT) continue;
        st = child_run_done(s->folder, &s->r, &done, err);
        s->state = done ? STATE_DONE : s->mine ? STATE_FAILED : STATE_PENDING;
    }
    return st;
}

static hct_status tabulate(const comparing *c, FILE *table, hct_err *err) {
    sheet *s = sheet_new("systems", "Systems", "system,state,training,begins_with,note");
    for (size_t i = 0; i < c->list.n; i++) {
        const one_system *one = &c->of[i];
        const char *from = recipe_probes(&one->r) ? one->r.probe.weights : one->r.finetune.weights;
        if (recipe_probes(&one->r) && *one->r.probe.embeddings) from = one->r.probe.embeddings;
        sheet_text(s, one->said->name);
        sheet_text(s, STATES[one->state]);
        sheet_text(s, recipe_approach(&one->r));
        sheet_text(s, *from ? from : "random weights");
        sheet_text(s, one->reason ? one->reason : one->said->note ? one->said->note : "");
    }
    if (table) sheet_print(s, table);
    hct_status st = sheet_write(s, c->o->out, err);
    sheet_free(s);
    return st;
}

static hct_status evaluate(const comparing *c, FILE *table, hct_err *err) {
    const comparison_options *o = c->o;
    validation_options v = {.out = o->out,
                            .resamples = o->resamples,
                            .permutations = o->permutations,
                            .seed = o->seed,
                            .by_patient = o->by_patient != 0,
                            .quiet = !o->progress};
    for (size_t i = 0; i < c->list.n; i++) {
        if (c->of[i].state != STATE_DONE) continue;
        v.files[v.n_files++] = c->of[i].table;
        v.split = c->of[i].r.data.test;
    }
    size_t refused;
    if (!v.n_files) return HCT_OK;
    return validation_run(&v, table, &refused, err);
}

hct_status comparison_run(const comparison_options *o, FILE *table, size_t *ret_failed, hct_err *err) {
    comparing c = {.o = o};
    *ret_failed = 0;
    hct_status st = open_systems(&c, err);
    if (st == HCT_OK) st = run_systems(&c, ret_failed, err);
    if (st == HCT_OK) st = tabulate(&c, table, err);
    if (st == HCT_OK) st = evaluate(&c, table, err);
    for (size_t i = 0; c.of && i < c.list.n; i++) {
        free(c.of[i].folder);
        free(c.of[i].table);
        free(c.of[i].reason);
    }
    free(c.of);
    systems_free(&c.list);
    return st;
}
