/* The work of headct finetune: folders and files of one model, or of a model a task. */
#include "finetune/finetune_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/device.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/stop.h"
#include "run/checkpoint.h"
#include "finetune/finetune.h"
#include "run/run_folder.h"
#include "run/training_scans.h"

typedef struct finetuning {
    const recipe *r;
    const finetune_run_options *o;
    hct_dev *dev;
    dataset *data;
    trial all; /* every task */
    finetune_base base;
    int lock;        /* of the folder */
    sha256 *weights; /* over the models' hashes */
} finetuning;

/* What says that a model's folder is finished: it is written last. */
static int is_finished(const char *folder) {
    char *weights = path_join(folder, "weights.safetensors"), *metrics = path_join(folder, "predictions.csv");
    int yes = weights && metrics && path_is_file(weights) && path_is_file(metrics);
    free(weights);
    free(metrics);
    return yes;
}

static int is_begun(const char *folder) {
    char *last = path_join(folder, "checkpoints/last.safetensors");
    int yes = (last && path_is_file(last)) || is_finished(folder);
    free(last);
    return yes;
}

static const char *name_of(const recipe *r) { return *r->name ? r->name : "fine-tuned"; }

/* ---- one model ---- */

/* The scores that an earlier start wrote by the same recipe. */
static hct_status read_scores(const recipe *r, trial *t, const char *folder, const model_info *parent,
                              char weights[MODEL_HASH], hct_err *err) {
    char *path = path_join(folder, "predictions.csv"), *file = path_join(folder, "weights.safetensors");
    predictions p = {0};
    hct_st_file *f = NULL;
    hct_status st = path && file ? predictions_read(path, NULL, &p, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    int same = st == HCT_OK && p.n == t->n - t->n_train && p.n_tasks == t->said.n_tasks;
    for (size_t i = 0; same && i < p.n; i++) same = !strcmp(p.scan[i], t->said.scan[t->n_train + i]);
    if (st == HCT_OK && !same)
        st = hct_fail(err, HCT_EINVAL, "%s: does not hold this dataset's validation and test scans; start a new run",
                      path);
    if (st == HCT_OK) memcpy(t->said.score + t->n_train * p.n_tasks, p.score, p.n * p.n_tasks * sizeof *p.score);
    if (st == HCT_OK && !(f = hct_st_open(file, err))) st = err ? err->code : HCT_EIO;
    model_info have, want = *parent;
    if (st == HCT_OK) st = weights_info(f, file, &have, err);
    if (st == HCT_OK) st = recipe_hash(r, want.recipe, err);
    if (st == HCT_OK) st = dataset_hash(t->data, t->scan, t->n_train, want.data, err);
    if (st == HCT_OK) st = checkpoint_same_run(file, &have, &want, err);
    const char *hash = f ? hct_st_meta(f, "weights_sha256") : NULL;
    if (st == HCT_OK && !hash)
        st = hct_fail(err, HCT_EFORMAT, "%s: holds no hash of its weights; start a new run", file);
    if (st == HCT_OK) snprintf(weights, MODEL_HASH, "%s", hash);
    hct_st_close(f);
    predictions_free(&p);
    free(path);
    free(file);
    return st;
}

static hct_status write_model(const finetune_result *m, const char *folder, hct_err *err) {
    char *path = path_join(folder, "weights.safetensors"), best[32], steps[64];
    snprintf(steps, sizeof steps, "%lld of %lld", (long long)m->best_step, (long long)m->steps);
    const hct_st_pair meta[] = {
        {"weights_sha256", m->weights},
        {"validation_auc", text_of_double(m->best, best)},
        {"best_step", steps},
    };
    hct_status st =
        path ? weights_save(path, m->p, &m->info, meta, 3, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    return st;
}

/* Trains on t in a folder of its own, as r says, or takes what an earlier start left there. */
static hct_status run_model(finetuning *q, const recipe *r, trial *t, const char *folder, FILE *table, hct_err *err) {
    char weights[MODEL_HASH];
    if (q->o->resume && is_finished(folder)) {
        hct_status st = read_scores(r, t, folder, &q->base.info, weights, err);
        if (st == HCT_OK) sha256_add(q->weights, weights, strlen(weights));
        return st < 0 ? st : trial_evaluate(t, name_of(r), (uint64_t)r->seed, folder, table, err);
    }
    finetune_result m = {0};
    run_folder_clean(folder);
    hct_status st = q->o->resume && is_begun(folder) ? HCT_OK : run_folder_open(folder, "checkpoints", r, err);
    if (st == HCT_OK)
        st = finetune_fit(&q->base, r, t,
                          &(finetune_options){.run = folder, .resume = q->o->resume, .progress = q->o->progress}, &m,
                          err);
    if (st == HCT_OK) st = trial_evaluate(t, name_of(r), (uint64_t)r->seed, folder, table, err);
    if (st == HCT_OK) st = write_model(&m, folder, err);
    if (st == HCT_OK) st = trial_write(t, t->n_train, folder, m.weights, &m.info, err);
    if (st == HCT_OK) sha256_add(q->weights, m.weights, strlen(m.weights));
    finetune_result_free(&m);
    return st;
}

/* ---- a model a task ---- */

static hct_status run_task(finetuning *q, size_t k, hct_err *err) {
    const trial *all = &q->all;
    const char *task = all->said.task[k];
    size_t tasks = all->said.n_tasks;
    recipe r = *q->r; /* that of the task alone */
    memset(&r.data.tasks, 0, sizeof r.data.tasks);
    snprintf(r.data.tasks.item[0], RECIPE_ITEM, "%s", task);
    r.data.tasks.n = 1;
    trial t;
    hct_status st =
        trial_of(q->data, (scan_list){all->scan, all->n_train}, (scan_list){all->scan + all->n_train, all->n_valid},
                 (scan_list){all->scan + all->n_train + all->n_valid, all->n_test}, (const char *const *)&task, 1, &t,
                 err);
    if (st < 0) return st;
    char *folder = path_join(q->o->run, task);
    if (q->o->progress) fprintf(q->o->progress, "%s (%zu of %zu)\n", task, k + 1, tasks);
    st = folder ? run_model(q, &r, &t, folder, NULL, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < t.n; i++) q->all.said.score[i * tasks + k] = t.said.score[i];
    free(folder);
    trial_free(&t);
    return st;
}

static hct_status run_each(finetuning *q, hct_err *err) {
    /* resumed: recipe.yaml stays as it is */
    hct_status st = q->o->resume ? HCT_OK : run_folder_open(q->o->run, NULL, q->r, err);
    for (size_t k = 0; st == HCT_OK && k < q->all.said.n_tasks; k++) st = run_task(q, k, err);
    char hash[MODEL_HASH];
    model_info info = q->base.info;
    if (st == HCT_OK) st = recipe_hash(q->r, info.recipe, err);
    sha256 *weights = q->weights;
    q->weights = NULL;
    hct_status hashed = sha256_end(weights, hash, st == HCT_OK ? err : NULL);
    if (st == HCT_OK) st = hashed;
    if (st == HCT_OK) st = trial_evaluate(&q->all, name_of(q->r), (uint64_t)q->r->seed, q->o->run, q->o->table, err);
    return st == HCT_OK ? trial_write(&q->all, q->all.n_train, q->o->run, hash, &info, err) : st;
}

/* ---- the run ---- */

static int is_one_model(const finetuning *q) { return q->r->finetune.tasks == MODELS_ALL || q->all.said.n_tasks == 1; }

/* Nothing is started over an older run, and no task may be a path. */
static hct_status enter_folder(finetuning *q, hct_err *err) {
    int begun = is_begun(q->o->run);
    hct_status st = is_one_model(q) ? HCT_OK : trial_check_folders(&q->all, err);
    if (st == HCT_OK) st = run_folder_enter(q->o->run, q->r, q->o->resume, &q->lock, err);
    if (st < 0) return st;
    for (size_t k = 0; !is_one_model(q) && k < q->all.said.n_tasks; k++) {
        char *folder = path_join(q->o->run, q->all.said.task[k]);
        begun |= folder && is_begun(folder);
        free(folder);
    }
    if (begun && !q->o->resume)
        return hct_fail(err, HCT_EINVAL,
                        "%s: there is a run already; continue it with --resume, or name another folder", q->o->run);
    return HCT_OK;
}

hct_status finetune_run(const recipe *r, const finetune_run_options *o, hct_err *err) {
    finetuning q = {.r = r, .o = o, .weights = sha256_begin()};
    stop_listen();
    hct_status st = (q.data = dataset_open(r->data.dataset, err)) ? HCT_OK : err->code;
    if (st == HCT_OK) st = trial_open(r, q.data, &q.all, err);
    if (st == HCT_OK) st = trial_leave_one_class(&q.all, r, err);
    if (st == HCT_OK) st = enter_folder(&q, err);
    if (st == HCT_OK && !(q.dev = device_open(r->train.device, err))) st = err->code;
    if (st == HCT_OK) st = finetune_open(r, q.dev, q.data, &q.base, err);
    if (st == HCT_OK) st = training_scans_write(o->run, q.data, q.all.scan, q.all.n_train, o->resume, err);
    char scans[MODEL_HASH];
    if (st == HCT_OK) st = trial_preparation(&q.all, &q.base.info.encoder.input, scans, err);
    if (st == HCT_OK && q.base.encoder) weights_warn_preparation(r->finetune.weights, &q.base.info, scans);
    if (st == HCT_OK) st = is_one_model(&q) ? run_model(&q, r, &q.all, o->run, o->table, err) : run_each(&q, err);
    char unused[MODEL_HASH];
    if (q.weights) sha256_end(q.weights, unused, NULL);
    run_folder_leave(q.lock);
    finetune_close(&q.base);
    trial_free(&q.all);
    device_close(q.dev);
    dataset_close(q.data);
    return st;
}
