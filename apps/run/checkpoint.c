/* Checkpoints: weights, optimiser state and position, written and read. */
#include "run/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hct/log.h"
#include "support/paths.h"

#define STATE_PREFIX "optimizer."

static hct_status state_entries(const hct_optim *o, hct_st_entry **ret, char **ret_bytes, char ***ret_names,
                                hct_err *err) {
    size_t n = hct_optim_state_count(o);
    uint64_t total = 0;
    const char *name;
    for (size_t i = 0; i < n; i++) total += hct_tensor_bytes(hct_optim_state_at(o, i, &name));
    *ret = calloc(n + 1, sizeof **ret);
    *ret_bytes = malloc(total + 1);
    *ret_names = calloc(n + 1, sizeof **ret_names);
    char *at = *ret_bytes;
    hct_status st = *ret && *ret_bytes && *ret_names
                        ? HCT_OK
                        : hct_fail(err, HCT_ENOMEM, "out of memory for the optimiser's state");
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        hct_tensor *t = hct_optim_state_at(o, i, &name);
        const hct_view *v = hct_tensor_view(t);
        if (asprintf(&(*ret_names)[i], STATE_PREFIX "%s", name) < 0) st = hct_fail(err, HCT_ENOMEM, "out of memory");
        (*ret)[i] = (hct_st_entry){
            .name = (*ret_names)[i], .dtype = v->dtype, .ndim = v->ndim, .data = at, .bytes = hct_tensor_bytes(t)};
        memcpy((*ret)[i].dim, v->dim, sizeof v->dim);
        if (st == HCT_OK) st = hct_tensor_read(t, at, err);
        at += hct_tensor_bytes(t);
    }
    return st;
}

char *checkpoint_before(const char *path) {
    const char *base = path_base(path);
    char *before = NULL;
    return asprintf(&before, "%.*sbefore-%s", (int)(base - path), path, base) < 0 ? NULL : before;
}

/* A second name for the file, which its successor takes the first one from. Not every file system has such: then there
 * is none before the last. */
void checkpoint_keep(const char *path) {
    char *before = checkpoint_before(path);
    if (before && path_is_file(path)) {
        unlink(before);
        (void)!link(path, before);
    }
    free(before);
}

hct_status checkpoint_save(const checkpoint *c, const run_state *s, hct_err *err) {
    const hct_optim *o = c->optim;
    hct_st_entry *entries = NULL;
    char *bytes = NULL, **names = NULL, state[256], steps[HCT_OPTIM_GROUPS * 24] = "";
    hct_status st = state_entries(o, &entries, &bytes, &names, err);
    snprintf(state, sizeof state, "%lld %a %lld %lld", (long long)s->step, s->best, (long long)s->best_step,
             (long long)s->since_best);
    for (int g = 0; g < hct_optim_group_count(o); g++) {
        size_t used = strlen(steps);
        snprintf(steps + used, sizeof steps - used, "%s%lld", g ? " " : "", (long long)hct_optim_steps(o, g));
    }
    char ranks[24];
    snprintf(ranks, sizeof ranks, "%lld", (long long)(s->ranks ? s->ranks : 1));
    const hct_st_pair meta[] = {
        {"run_state", state},
        {"optimizer_steps", steps},
        {"ranks", ranks},
        {"recipe_sha256", c->info->recipe}, /* from here on: of parts, which have no description to say it */
        {"data_sha256", c->info->data},
        {"parent_weights_sha256", c->info->parent},
    };
    size_t n = hct_optim_state_count(o);
    if (st == HCT_OK)
        st = weights_save(c->path, c->p, c->parts ? NULL : c->info, entries, n, meta, c->parts ? 6 : 3, err);
    for (size_t i = 0; names && i < n; i++) free(names[i]);
    free(names);
    free(entries);
    free(bytes);
    return st;
}

static hct_status load_state(const hct_st_file *f, const char *path, hct_optim *o, hct_err *err) {
    for (size_t i = 0; i < hct_optim_state_count(o); i++) {
        const char *name;
        hct_tensor *t = hct_optim_state_at(o, i, &name);
        char key[256];
        snprintf(key, sizeof key, STATE_PREFIX "%s", name);
        const hct_st_entry *e = hct_st_find(f, key);
        if (!e || e->bytes != hct_tensor_bytes(t) || e->dtype != hct_tensor_view(t)->dtype)
            return hct_fail(err, HCT_EFORMAT,
                            "%s: %s is missing or of another shape; this checkpoint is of another recipe", path, key);
        hct_status st = hct_tensor_write(t, e->data, err);
        if (st < 0) return st;
    }
    const char *steps = hct_st_meta(f, "optimizer_steps");
    for (int g = 0; g < hct_optim_group_count(o); g++) {
        char *end;
        long long n = steps ? strtoll(steps, &end, 10) : -1;
        if (n < 0 || end == steps)
            return hct_fail(err, HCT_EFORMAT, "%s: the optimiser's step counts are missing", path);
        hct_optim_set_steps(o, g, n);
        steps = end;
    }
    return HCT_OK;
}

hct_status checkpoint_same_run(const char *path, const model_info *have, const model_info *want, hct_err *err) {
    if (strcmp(have->recipe, want->recipe) != 0)
        return hct_fail(
            err, HCT_EINVAL,
            "%s: was written by another recipe (%.12s, now %.12s); resume without changing keys, or start a new run",
            path, have->recipe, want->recipe);
    if (strcmp(have->data, want->data) != 0)
        return hct_fail(err, HCT_EINVAL,
                        "%s: was trained on other scans (%.12s, now %.12s): the dataset or its split has changed; put "
                        "it back, or start a new run",
                        path, have->data, want->data);
    if (*have->parent && *want->parent && strcmp(have->parent, want->parent) != 0)
        return hct_fail(
            err, HCT_EINVAL,
            "%s: began from other weights (%.12s, now %.12s): their file has changed; put it back, or start "
            "a new run",
            path, have->parent, want->parent);
    return HCT_OK;
}

/* The run that a checkpoint of parts belongs to. */
static hct_status read_hashes(const hct_st_file *f, const char *path, model_info *ret, hct_err *err) {
    const char *recipe = hct_st_meta(f, "recipe_sha256"), *data = hct_st_meta(f, "data_sha256"),
               *parent = hct_st_meta(f, "parent_weights_sha256");
    if (!recipe || !data || !parent)
        return hct_fail(err, HCT_EFORMAT, "%s: does not say which run it belongs to; start a new run", path);
    *ret = (model_info){0};
    snprintf(ret->recipe, sizeof ret->recipe, "%s", recipe);
    snprintf(ret->data, sizeof ret->data, "%s", data);
    snprintf(ret->parent, sizeof ret->parent, "%s", parent);
    return HCT_OK;
}

static hct_status load(const checkpoint *c, run_state *io, hct_err *err) {
    const char *path = c->path;
    hct_st_file *f = hct_st_open(path, err);
    if (!f) return err ? err->code : HCT_EIO;
    model_info have;
    load_report r;
    long long step, best_step, since;
    double best;
    hct_status st = weights_check_bytes(f, path, err);
    if (st == HCT_OK) st = c->parts ? read_hashes(f, path, &have, err) : weights_info(f, path, &have, err);
    if (st == HCT_OK) st = checkpoint_same_run(path, &have, c->info, err);
    if (st == HCT_OK) st = params_load(c->p, f, path, "", &r, err);
    if (st == HCT_OK && r.missing)
        st = hct_fail(err, HCT_EFORMAT, "%s: %zu tensors are missing (first: %s)", path, r.missing, r.first_missing);
    if (st == HCT_OK) st = load_state(f, path, c->optim, err);
    const char *state = hct_st_meta(f, "run_state");
    if (st == HCT_OK && (!state || sscanf(state, "%lld %la %lld %lld", &step, &best, &best_step, &since) != 4))
        st = hct_fail(err, HCT_EFORMAT, "%s: the run's state is missing", path);
    const char *ranks = hct_st_meta(f, "ranks"); /* absent: written before there were any */
    long long had = ranks ? strtoll(ranks, NULL, 10) : 1, now = io->ranks ? io->ranks : 1;
    if (st == HCT_OK && had != now)
        st = hct_fail(err, HCT_EINVAL,
                      "%s: was written by %lld rank%s, this job has %lld; a step would take other scans. Start as "
                      "many, or start a new run",
                      path, had, had == 1 ? "" : "s", now);
    if (st == HCT_OK)
        *io = (run_state){.step = step, .best = best, .best_step = best_step, .since_best = since, .ranks = io->ranks};
    hct_st_close(f);
    return st;
}

hct_status checkpoint_load(const checkpoint *c, run_state *io, hct_err *err) {
    hct_err why = {0};
    hct_status st = load(c, io, &why);
    if (st == HCT_OK) return HCT_OK;
    char *path = checkpoint_before(c->path);
    if (path && st != HCT_EINVAL && st != HCT_ENOMEM && path_is_file(path)) {
        checkpoint before = *c;
        before.path = path;
        hct_log(HCT_LOG_WARNING, "%s; going on from the checkpoint before it, %s", why.msg, path);
        st = load(&before, io, err);
    } else {
        hct_fail(err, st, "%s", why.msg);
    }
    free(path);
    return st;
}
