/* headct sweep: a grid of probes or fine-tunings, one process a point, the best by validation. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "commands/recipe_args.h"
#include "evaluation/predictions.h"
#include "hct/log.h"
#include "support/csv.h"
#include "support/paths.h"
#include "run/recipe_encoder.h"
#include "pretrain/method.h"
#include "run/run_folder.h"

static const char doc[] =
    "Trains a probe, or fine-tunes, as the recipe's method says, for every point of a grid over learning rate, weight "
    "decay, epochs and optimiser, each in a "
    "process and a folder of its own (RUN/point-000, ...), and chooses by the macro AUC of the validation part alone. "
    "Start the same command again to resume, "
    "with or without --resume: a point whose folder is complete is not run again, a fine-tuning that was cut off goes "
    "on from its checkpoint. Each task of a "
    "Slurm array takes its --index or --shard. RUN/sweep.csv lists the points that are done, RUN/best.yaml is the best "
    "one's recipe once all are; where each "
    "task has a model of its own, RUN/best-TASK.yaml that of the task's best point.\n\n"
    "--lr is optim.lr: the rate of a probe, or of the heads in fine-tuning, where finetune.backbone_lr is the "
    "encoder's; with 0 there, as recipes/scratch.yaml "
    "has it, the whole network takes it.\v"
    "Examples:\n"
    "  headct sweep --recipe recipes/scratch.yaml --data data --set data.tasks=IPH --run runs/scratch\n"
    "  headct sweep --recipe recipes/probe.yaml --data data --set probe.weights=w.safetensors --run runs/sweep --jobs "
    "2\n"
    "  headct sweep --recipe recipes/probe.yaml --data data --run runs/sweep --lr 1e-3,1e-4 --epochs 10 --shard "
    "$SLURM_ARRAY_TASK_ID/8";

enum { AXES = 4, VALUES = 16, OPT_JOBS = 'j', OPT_INDEX = 'i', OPT_SHARD = 256, OPT_AXIS };

static const struct axis {
    const char *option, *key;
} axes[AXES] = {
    {"lr", "optim.lr"},
    {"wd", "optim.weight_decay"},
    {"epochs", "optim.epochs"},
    {"optimizer", "optim.name"},
};

static const struct argp_option options[] = {
    {"lr", OPT_AXIS, "A,B,...", 0, "learning rates (default 1e-3,1e-4,1e-5)", 0},
    {"wd", OPT_AXIS + 1, "A,B,...", 0, "weight decays (default 0.01,0.05,1e-4,1e-5)", 0},
    {"epochs", OPT_AXIS + 2, "A,B,...", 0, "epochs (default 10,15,30,50)", 0},
    {"optimizer", OPT_AXIS + 3, "A,B,...", 0, "optimisers (default sgd,adam,adamw)", 0},
    {"jobs", OPT_JOBS, "N", 0, "processes at once (default 1)", 0},
    {"index", OPT_INDEX, "I", 0, "this point alone, from 0", 0},
    {"shard", OPT_SHARD, "I/N", 0, "points I, I + N, ..., from 0", 0},
    {0},
};

typedef struct settings {
    recipe_args common;
    char value[AXES][VALUES][32];
    int n[AXES];
    int64_t jobs, first, step; /* step 0: `first` alone */
} settings;

static int split_values(settings *s, int axis, const char *list) {
    s->n[axis] = 0;
    for (const char *c = list; *c;) {
        size_t n = strcspn(c, ",");
        if (!n || n >= sizeof s->value[0][0] || s->n[axis] == VALUES) return 0;
        snprintf(s->value[axis][s->n[axis]++], sizeof s->value[0][0], "%.*s", (int)n, c);
        c += n + (c[n] == ',');
    }
    return s->n[axis] > 0;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    if (key >= OPT_AXIS && key < OPT_AXIS + AXES) {
        if (!split_values(s, key - OPT_AXIS, arg))
            argp_error(state, "--%s %s: 1 to %d values with commas are needed", axes[key - OPT_AXIS].option, arg,
                       VALUES);
        return 0;
    }
    switch (key) {
    case OPT_JOBS: s->jobs = argument_whole(state, "jobs", arg, 1, 1024); break;
    case OPT_INDEX:
        if (!text_int64(arg, &s->first) || s->first < 0)
            argp_error(state, "--index %s: a whole number of 0 or more is needed", arg);
        s->step = 0;
        break;
    case OPT_SHARD: {
        char *slash = strchr(arg, '/');
        if (slash) *slash = '\0';
        if (!slash || !text_int64(arg, &s->first) || !text_int64(slash + 1, &s->step) || s->first < 0 || s->step < 1 ||
            s->first >= s->step)
            argp_error(state, "--shard: I/N with I from 0 to N - 1 is needed");
        break;
    }
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END:
        recipe_args_need(state, &s->common, 0);
        s->common.resume = 0; /* a sweep goes on by itself, by the recipe it is given */
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The values of point i; the last axis changes fastest. */
static void point_values(const settings *s, int64_t i, const char *out[AXES]) {
    for (int a = AXES; a-- > 0; i /= s->n[a]) out[a] = s->value[a][i % s->n[a]];
}

static hct_status point_recipe(const settings *s, const recipe *base, int64_t i, recipe *ret, hct_err *err) {
    const char *v[AXES];
    point_values(s, i, v);
    *ret = *base;
    hct_status st = HCT_OK;
    for (int a = 0; st == HCT_OK && a < AXES; a++) st = recipe_set_key(ret, axes[a].key, v[a], err);
    if (st == HCT_OK) st = recipe_check(ret, err);
    return st == HCT_OK ? method_check_recipe(ret, err) : st;
}

static char *point_path(const settings *s, int64_t i, const char *file) {
    char *path = NULL;
    return asprintf(&path, "%s/point-%03lld%s%s", s->common.run, (long long)i, *file ? "/" : "", file) < 0 ? NULL
                                                                                                           : path;
}

/* Done: the point's table, which is written last, is there, of this very recipe. A folder of another recipe is an
 * error, not overwritten. */
static hct_status is_done(const settings *s, const recipe *want, int64_t i, int *ret, hct_err *err) {
    char *table = point_path(s, i, "predictions.csv"), *file = point_path(s, i, "recipe.yaml"), a[65], b[65];
    recipe have = recipe_default();
    hct_status st = table && file ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    *ret = 0;
    if (st == HCT_OK && path_is_file(file)) {
        st = recipe_load(file, &have, err);
        if (st == HCT_OK) st = recipe_hash(&have, a, err);
        if (st == HCT_OK) st = recipe_hash(want, b, err);
        if (st == HCT_OK && strcmp(a, b) != 0)
            st = hct_fail(err, HCT_EINVAL, "%s: is of another sweep; name another folder with --run", file);
        *ret = st == HCT_OK && path_is_file(table);
    }
    free(table);
    free(file);
    return st;
}

/* In the child: this program on the point's recipe. Where the sweep is killed it is asked to stop, and a fine-tuning
 * writes its checkpoint. */
static void run_child(const recipe *r, char *folder) {
    /* goes on where it was cut off, if it was */
    char *const again[] = {"headct", recipe_probes(r) ? "probe" : "finetune", "--run", folder, "--resume", "--quiet",
                           NULL};
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (freopen("/dev/null", "w", stdout)) execv("/proc/self/exe", again);
    _exit(EXIT_ERROR);
}

static pid_t start(const settings *s, const recipe *r, int64_t i, hct_err *err) {
    char *folder = point_path(s, i, ""), *file = point_path(s, i, "recipe.yaml");
    pid_t child = -1;
    if (folder && file && run_folder_open(folder, NULL, r, err) == HCT_OK) {
        fflush(NULL);
        child = fork();
        if (child == 0) run_child(r, folder);
        if (child < 0) hct_fail(err, HCT_EIO, "starting a process failed");
    }
    free(folder);
    free(file);
    return child;
}

static hct_status wait_one(int64_t *running, size_t *failed, hct_err *err) {
    int status;
    if (wait(&status) < 0) return hct_fail(err, HCT_EIO, "waiting for a process failed");
    --*running;
    *failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return HCT_OK;
}

static hct_status run_points(const settings *s, const recipe *base, int64_t total, size_t *ret_failed, hct_err *err) {
    int64_t running = 0;
    hct_status st = HCT_OK;
    for (int64_t i = s->first; st == HCT_OK && i < total; i += s->step) {
        recipe r;
        int done = 0;
        if ((st = point_recipe(s, base, i, &r, err)) == HCT_OK) st = is_done(s, &r, i, &done, err);
        while (st == HCT_OK && !done && running >= s->jobs) st = wait_one(&running, ret_failed, err);
        if (st == HCT_OK && !done) {
            if (start(s, &r, i, err) < 0) st = err->code;
            else running++;
        }
        if (!s->step) break;
    }
    while (running > 0) {
        hct_err late;
        if (wait_one(&running, ret_failed, &late) < 0) break;
    }
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
static hct_status validation(const settings *s, const recipe *r, int64_t i, found *f, hct_err *err) {
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
    interval *each = st == HCT_OK ? calloc(p.n_tasks + 1, sizeof *each) : NULL;
    score_table t = predictions_table(&p);
    resampler none = bootstrap_resampler(0, 0);
    if (st == HCT_OK)
        st = each ? bootstrap(&t, METRIC_AUC, &none, 0.95, each, &each[p.n_tasks], err)
                  : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t k = 0; st == HCT_OK && k <= p.n_tasks; k++) {
        f->now[k] = each[k].value;
        if (f->now[k] > f->auc[k]) f->auc[k] = f->now[k], f->best[k] = i; /* ties: the first */
    }
    free(each);
    predictions_free(&p);
    free(path);
    return st;
}

static void put_header(hct_outfile *out, const found *f) {
    hct_outfile_printf(out, "point,lr,weight_decay,epochs,optimizer,validation_auc");
    for (size_t k = 0; k < f->n_tasks; k++) csv_put(out, AXES + 2 + k, f->task[k]);
    csv_end_row(out);
}

static void put_point(const settings *s, hct_outfile *out, const found *f, int64_t i) {
    const char *v[AXES];
    point_values(s, i, v);
    csv_put_double(out, 0, (double)i);
    for (size_t a = 0; a < AXES; a++) csv_put(out, a + 1, v[a]);
    csv_put_double(out, AXES + 1, f->now[f->n_tasks]);
    for (size_t k = 0; k < f->n_tasks; k++) csv_put_double(out, AXES + 2 + k, f->now[k]);
    csv_end_row(out);
}

/* RUN/sweep.csv. */
static hct_status gather(const settings *s, const recipe *base, int64_t total, found *f, hct_err *err) {
    char *path = path_join(s->common.run, "sweep.csv");
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
static hct_status write_best(const settings *s, const recipe *base, int64_t point, const char *task, hct_err *err) {
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
    if (asprintf(&path, "%s/best%s%s.yaml", s->common.run, task ? "-" : "", task ? task : "") < 0) path = NULL;
    st = path ? text_save(&text, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    text_free(&text);
    return st;
}

/* Says what is best, and writes its recipes once all points are done. */
static hct_status report(const settings *s, const recipe *base, int64_t total, const found *f, hct_err *err) {
    size_t n = f->n_tasks;
    /* tasks have models of their own */
    int each = n > 1 && (recipe_probes(base) || base->finetune.tasks == MODELS_EACH);
    hct_status st = HCT_OK;
    printf("%lld of %lld points are done", (long long)f->done, (long long)total);
    if (f->done && f->best[n] >= 0)
        printf("; best by validation: point %lld, AUC %.4f", (long long)f->best[n], f->auc[n]);
    printf("\n");
    if (f->done < total || !f->done) return HCT_OK;
    if (f->best[n] >= 0) st = write_best(s, base, f->best[n], NULL, err);
    for (size_t k = 0; st == HCT_OK && each && k < n; k++) {
        if (f->best[k] < 0 || strchr(f->task[k], '/')) continue;
        printf("%s: point %lld, AUC %.4f\n", f->task[k], (long long)f->best[k], f->auc[k]);
        st = write_best(s, base, f->best[k], f->task[k], err);
    }
    return st;
}

int command_sweep(int argc, char **argv) {
    settings s = {.jobs = 1, .step = 1};
    static const char *const start_values[AXES] = {"1e-3,1e-4,1e-5", "0.01,0.05,1e-4,1e-5", "10,15,30,50",
                                                   "sgd,adam,adamw"};
    for (int a = 0; a < AXES; a++) split_values(&s, a, start_values[a]);
    const struct argp_child children[] = {{&recipe_resume_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --run DIR", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    int64_t total = 1;
    size_t failed = 0;
    for (int a = 0; a < AXES; a++) total *= s.n[a];
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK && recipe_pretrains(&r))
        st = hct_fail(
            &err, HCT_EINVAL,
            "the recipe's method is neither probe nor finetune; no validation AUC would tell its points apart");
    if (st == HCT_OK) st = recipe_take_encoder(&r, &err);
    if (st == HCT_OK && s.first >= total)
        st = hct_fail(&err, HCT_EINVAL, "the grid has points 0 to %lld, there is no point %lld", (long long)total - 1,
                      (long long)s.first);
    if (st == HCT_OK) st = path_make_folders(s.common.run, &err);
    if (st == HCT_OK) st = run_points(&s, &r, total, &failed, &err);
    found f = {0};
    if (st == HCT_OK) st = gather(&s, &r, total, &f, &err);
    if (st == HCT_OK) st = report(&s, &r, total, &f, &err);
    found_free(&f);
    int status = command_end(argv[0], st, &err);
    if (failed)
        hct_log(HCT_LOG_WARNING, "headct sweep: %zu points failed; each said why above. Run the same command again",
                failed);
    recipe_args_free(&s.common);
    return status == EXIT_OK && failed ? EXIT_ERROR : status;
}
