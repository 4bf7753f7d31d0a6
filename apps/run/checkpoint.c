/* Checkpoints: weights, optimiser state and position, copied, written and read. */
#include "run/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "run/checkpoint_files.h"

#define STATE_PREFIX "optimizer."

struct checkpoint_copy {
    checkpoint of;
    hct_st_entry *entry; /* parameters, then the optimiser's state */
    size_t n;
    char *bytes, **names; /* names: of the optimiser's entries */
    char state[256], steps[HCT_OPTIM_GROUPS * 24], ranks[24];
};

/* The i-th tensor of a run's state: parameters, then what the optimiser keeps. */
static hct_tensor *tensor_at(const params *p, const hct_optim *o, size_t i) {
    const char *name;
    return i < p->n ? p->items[i].tensor : hct_optim_state_at(o, i - p->n, &name);
}

uint64_t checkpoint_copy_bytes(const params *p, const hct_optim *optim) {
    uint64_t total = 0;
    for (size_t i = 0; i < p->n + hct_optim_state_count(optim); i++) total += hct_tensor_bytes(tensor_at(p, optim, i));
    return total;
}

/* Names, shapes and places of all entries. */
static hct_status lay_out(checkpoint_copy *k, hct_err *err) {
    const checkpoint *c = &k->of;
    char *at = k->bytes;
    for (size_t i = 0; i < k->n; i++) {
        const hct_tensor *t = tensor_at(c->p, c->optim, i);
        const hct_view *v = hct_tensor_view(t);
        const char *name;
        k->entry[i] = (hct_st_entry){.dtype = v->dtype, .ndim = v->ndim, .data = at, .bytes = hct_tensor_bytes(t)};
        memcpy(k->entry[i].dim, v->dim, sizeof v->dim);
        at += k->entry[i].bytes;
        if (i < c->p->n) {
            k->entry[i].name = c->p->items[i].name;
            continue;
        }
        char **own = &k->names[i - c->p->n];
        hct_optim_state_at(c->optim, i - c->p->n, &name);
        if (asprintf(own, STATE_PREFIX "%s", name) < 0) {
            *own = NULL;
            return hct_fail(err, HCT_ENOMEM, "out of memory");
        }
        k->entry[i].name = *own;
    }
    return HCT_OK;
}

checkpoint_copy *checkpoint_copy_new(const checkpoint *c, hct_err *err) {
    checkpoint_copy *k = calloc(1, sizeof *k);
    size_t states = hct_optim_state_count(c->optim);
    uint64_t bytes = checkpoint_copy_bytes(c->p, c->optim);
    if (k) {
        k->of = *c;
        k->n = c->p->n + states;
        k->entry = calloc(k->n + 1, sizeof *k->entry);
        k->bytes = malloc(bytes + 1);
        k->names = calloc(states + 1, sizeof *k->names);
    }
    hct_status st =
        k && k->entry && k->bytes && k->names
            ? lay_out(k, err)
            : hct_fail(err, HCT_ENOMEM, "out of memory for a checkpoint of %llu bytes", (unsigned long long)bytes);
    if (st == HCT_OK) return k;
    checkpoint_copy_free(k);
    return NULL;
}

void checkpoint_copy_free(checkpoint_copy *k) {
    if (!k) return;
    for (size_t i = 0; k->names && i < k->n - k->of.p->n; i++) free(k->names[i]);
    free(k->names);
    free(k->entry);
    free(k->bytes);
    free(k);
}

hct_status checkpoint_take(checkpoint_copy *k, const run_state *s, hct_err *err) {
    const hct_optim *o = k->of.optim;
    snprintf(k->state, sizeof k->state, "%lld %a %lld %lld", (long long)s->step, s->best, (long long)s->best_step,
             (long long)s->since_best);
    *k->steps = 0;
    for (int g = 0; g < hct_optim_group_count(o); g++) {
        size_t used = strlen(k->steps);
        snprintf(k->steps + used, sizeof k->steps - used, "%s%lld", g ? " " : "", (long long)hct_optim_steps(o, g));
    }
    snprintf(k->ranks, sizeof k->ranks, "%lld", (long long)(s->ranks ? s->ranks : 1));
    hct_status st = HCT_OK;
    char *at = k->bytes;
    for (size_t i = 0; st == HCT_OK && i < k->n; at += k->entry[i++].bytes)
        st = hct_tensor_read(tensor_at(k->of.p, o, i), at, err);
    return st;
}

hct_status checkpoint_write(const checkpoint_copy *k, const char *path, hct_err *err) {
    const checkpoint *c = &k->of;
    const hct_st_pair meta[] = {
        {"run_state", k->state},
        {"optimizer_steps", k->steps},
        {"ranks", k->ranks},
        {"recipe_sha256", c->info->recipe}, /* from here on: of parts, which have no description to say it */
        {"data_sha256", c->info->data},
        {"parent_weights_sha256", c->info->parent},
    };
    return weights_write(path, k->entry, k->n, c->parts ? NULL : c->info, meta, c->parts ? 6 : 3, err);
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

static long long ranks_told(const hct_st_file *f) {
    const char *ranks = hct_st_meta(f, "ranks"); /* absent: written before there were any */
    return ranks ? strtoll(ranks, NULL, 10) : 1;
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
    long long had = ranks_told(f), now = io->ranks ? io->ranks : 1;
    if (st == HCT_OK && had != now)
        st = hct_fail(err, HCT_EINVAL, "%s: is of a run that began with %lld rank%s, not %lld; start a new run", path,
                      had, had == 1 ? "" : "s", now);
    if (st == HCT_OK)
        *io = (run_state){.step = step, .best = best, .best_step = best_step, .since_best = since, .ranks = io->ranks};
    hct_st_close(f);
    return st;
}

/* Whether another checkpoint may be whole where this status came of one. */
static int is_damage(hct_status st) { return st < 0 && st != HCT_EINVAL && st != HCT_ENOMEM; }

hct_status checkpoint_load(const checkpoint *c, run_state *io, int *ret_older, hct_err *err) {
    hct_err why = {0}, none = {0};
    char **older = NULL;
    size_t n = 0;
    hct_status st = load(c, io, &why);
    *ret_older = 0;
    if (is_damage(st)) (void)checkpoint_older(c->path, &older, &n, &none); /* where they cannot be listed: none */
    for (size_t i = 0; i < n; i++) {
        checkpoint before = *c;
        before.path = older[i];
        if (is_damage(st)) {
            hct_log(HCT_LOG_WARNING, "%s; going on from the checkpoint before it, %s", why.msg, older[i]);
            st = load(&before, io, &why);
            *ret_older = 1;
        }
        free(older[i]);
    }
    free(older);
    return st < 0 ? hct_fail(err, st, "%s", why.msg) : HCT_OK;
}

static hct_status read_ranks(const char *path, int64_t *ret, hct_err *err) {
    hct_st_file *f = hct_st_open(path, err);
    if (!f) return err->code;
    *ret = ranks_told(f);
    hct_st_close(f);
    return *ret >= 1 ? HCT_OK
                     : hct_fail(err, HCT_EFORMAT, "%s: says that its run began with %lld ranks", path, (long long)*ret);
}

hct_status checkpoint_find(const char *last, char **ret_path, int64_t *ret_ranks, hct_err *err) {
    char **older = NULL;
    size_t n = 0, found = 0;
    hct_err none = {0};
    hct_status st = read_ranks(last, ret_ranks, err);
    if (is_damage(st)) (void)checkpoint_older(last, &older, &n, &none);
    for (; is_damage(st) && found < n; found++) st = read_ranks(older[found], ret_ranks, err);
    if (st == HCT_OK && !(*ret_path = strdup(found ? older[found - 1] : last)))
        st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) free(older[i]);
    free(older);
    return st;
}
