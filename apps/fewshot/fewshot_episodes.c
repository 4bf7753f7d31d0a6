/* ProtoNet's episodes: what one is made of, and what the training loop asks of them. */
#include "fewshot/fewshot_episodes.h"

#include <stdlib.h>
#include <string.h>

#include "models/params.h"
#include "support/streams.h"
#include "training/optimizer.h"
#include "training/sampler.h"
#include "training/trainer.h"

typedef struct learner {
    hct_dev *dev;
    const fewshot_set *train;
    size_t dim, *of_class[2], *order[2], size[2];
    int64_t shots, queries;
    uint64_t seed; /* of the episodes' draws */
    params *p;
    hct_optim *optim;
    hct_tape *tape;
    hct_tensor *rows, *target; /* [2 (S + Q), dim]: supports of class 0, of 1, queries of 0, of 1; I32 [2 Q] */
    float *host;
    hct_id loss;
} learner;

static void identity(float *map, size_t dim) {
    memset(map, 0, dim * dim * sizeof *map);
    for (size_t i = 0; i < dim; i++) map[i * dim + i] = 1;
}

/* -|q - p|^2 of every query and prototype: [2 Q, 2] */
static hct_id nearness(const learner *l, hct_tape *t, hct_id z) {
    int64_t dim = (int64_t)l->dim, q = 2 * l->queries;
    hct_id support = hct_reshape(t, hct_slice(t, z, 0, 0, 2 * l->shots), 3, (int64_t[]){2, l->shots, dim});
    hct_id prototype = hct_reshape(t, hct_mean(t, support, HCT_AXIS(1), 0), 3, (int64_t[]){1, 2, dim});
    hct_id query = hct_reshape(t, hct_slice(t, z, 0, 2 * l->shots, q), 3, (int64_t[]){q, 1, dim});
    hct_id apart = hct_sub(t, query, prototype);
    return hct_scale(t, hct_sum(t, hct_mul(t, apart, apart), HCT_AXIS(2), 0), -1, 0);
}

static hct_status record(learner *l, const recipe *r, hct_err *err) {
    int64_t dim = (int64_t)l->dim, n = 2 * (l->shots + l->queries), q = 2 * l->queries;
    l->p = params_new(l->dev);
    if (l->p) params_add(l->p, INIT_GIVEN, 1, 2, (int64_t[]){dim, dim}, "map");
    hct_status st = params_check(l->p, err);
    float *eye = malloc(l->dim * l->dim * sizeof *eye);
    int32_t *y = malloc((size_t)q * sizeof *y);
    l->host = malloc((size_t)n * l->dim * sizeof *l->host);
    l->rows = hct_tensor_new(l->dev, HCT_F32, 2, (int64_t[]){n, dim}, err);
    l->target = hct_tensor_new(l->dev, HCT_I32, 1, &q, err);
    l->tape = hct_tape_new(l->dev, HCT_PROGRAM);
    if (st == HCT_OK && (!eye || !y || !l->host || !l->rows || !l->target || !l->tape))
        st = hct_fail_untold(err, HCT_ENOMEM, "out of memory for an episode");
    if (st == HCT_OK) {
        identity(eye, l->dim);
        for (int64_t i = 0; i < q; i++) y[i] = i >= l->queries;
        st = params_set(l->p, "map", eye, err);
    }
    if (st == HCT_OK) st = hct_tensor_write(l->target, y, err);
    if (st == HCT_OK && !(l->optim = optimizer_of_recipe(l->dev, r, l->p, err))) st = err ? err->code : HCT_ENOMEM;
    if (st == HCT_OK) {
        hct_id z = hct_linear(l->tape, hct_use(l->tape, l->rows), params_use(l->p, l->tape, "map"), 0);
        l->loss = hct_cross_entropy(l->tape, nearness(l, l->tape, z), hct_use(l->tape, l->target));
        hct_keep(l->tape, l->loss);
        hct_backward(l->tape, l->loss, 0);
        hct_optim_record(l->optim, l->tape);
        st = hct_compile(l->tape, err);
    }
    free(eye);
    free(y);
    return st;
}

static hct_status open_learner(learner *l, const recipe *r, const fewshot_episodes *e, hct_err *err) {
    for (int c = 0; c < 2; c++) {
        l->of_class[c] = malloc((l->train->n + 1) * sizeof *l->of_class[c]);
        l->order[c] = malloc((l->train->n + 1) * sizeof *l->order[c]);
        if (!l->of_class[c] || !l->order[c]) return hct_fail(err, HCT_ENOMEM, "out of memory for an episode");
    }
    for (size_t i = 0; i < l->train->n; i++) l->of_class[l->train->y[i] != 0][l->size[l->train->y[i] != 0]++] = i;
    int64_t least = (int64_t)(l->size[0] < l->size[1] ? l->size[0] : l->size[1]);
    l->shots = e->shots < least / 2 ? e->shots : least / 2;
    l->queries = e->queries < least - l->shots ? e->queries : least - l->shots;
    return l->shots ? record(l, r, err) : HCT_OK;
}

static void close_learner(learner *l) {
    hct_tape_free(l->tape);
    hct_optim_free(l->optim);
    hct_tensor_free(l->rows);
    hct_tensor_free(l->target);
    params_free(l->p);
    for (int c = 0; c < 2; c++) free(l->of_class[c]), free(l->order[c]);
    free(l->host);
}

/* Chooses an episode's rows, in the places that `rows` says: an epoch is one episode. */
static hct_status choose_episode(void *own, int64_t episode, int64_t done, hct_err *err) {
    learner *l = own;
    (void)done;
    (void)err;
    for (int c = 0; c < 2; c++) {
        sampler_shuffle(l->seed + (uint64_t)c, (uint64_t)episode, l->of_class[c], l->size[c], l->order[c]);
        for (int64_t i = 0; i < l->shots + l->queries; i++) {
            int64_t at = i < l->shots ? c * l->shots + i : 2 * l->shots + c * l->queries + i - l->shots;
            memcpy(l->host + (size_t)at * l->dim, l->train->x + l->order[c][i] * l->dim, l->dim * sizeof *l->host);
        }
    }
    return HCT_OK;
}

static hct_status one_episode(void *own, const trainer_at *at, double *ret_loss, hct_err *err) {
    learner *l = own;
    float loss = 0;
    hct_status st = hct_tensor_write(l->rows, l->host, err);
    if (st == HCT_OK) st = optimizer_set_rates(l->optim, at->lr, 0, err);
    if (st == HCT_OK) st = hct_run(l->tape, err);
    if (st == HCT_OK) st = hct_read(l->tape, l->loss, &loss, err);
    *ret_loss = (double)loss;
    return st;
}

static hct_status run_episodes(learner *l, const recipe *r, int64_t n, hct_err *err) {
    const trainer_job job = {.r = r,
                             .name = "ProtoNet",
                             .per_epoch = 1,
                             .epochs = n,
                             .lr = recipe_schedule(r, 1, 1),
                             .p = l->p,
                             .optim = l->optim,
                             .tape = l->tape};
    const trainer_work work = {.own = l, .epoch = choose_episode, .step = one_episode};
    run_state state;
    return trainer_run(&job, &work, &state, err);
}

hct_status fewshot_map_train(hct_dev *dev, const recipe *r, const fewshot_episodes *e, const fewshot_set *train,
                             size_t dim, uint64_t stream, float *map, hct_err *err) {
    learner l = {.dev = dev, .train = train, .dim = dim};
    l.seed = ((uint64_t)r->seed ^ STREAM_EPISODES) + stream * 0x9E3779B97F4A7C15u;
    recipe own = *r;
    own.optim.epochs = e->n; /* the schedule's length */
    if (own.optim.warmup_epochs > (double)e->n) own.optim.warmup_epochs = (double)e->n;
    identity(map, dim);
    hct_status st = e->n ? open_learner(&l, &own, e, err) : HCT_OK;
    if (st == HCT_OK && l.shots) st = run_episodes(&l, &own, e->n, err);
    if (st == HCT_OK && l.shots) st = hct_tensor_read(params_find(l.p, "map")->tensor, map, err);
    close_learner(&l);
    return st;
}

hct_status fewshot_map_apply(hct_dev *dev, const float *map, size_t dim, float *x, size_t n, hct_err *err) {
    if (!n) return HCT_OK;
    hct_tensor *w = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){(int64_t)dim, (int64_t)dim}, err);
    hct_tensor *rows = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){(int64_t)n, (int64_t)dim}, err);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_status st = w && rows && t ? HCT_OK : hct_fail_untold(err, HCT_ENOMEM, "out of memory for %zu features", n);
    if (st == HCT_OK) st = hct_tensor_write(w, map, err);
    if (st == HCT_OK) st = hct_tensor_write(rows, x, err);
    if (st == HCT_OK) st = hct_read(t, hct_linear(t, hct_use(t, rows), hct_use(t, w), 0), x, err);
    hct_tape_free(t);
    hct_tensor_free(rows);
    hct_tensor_free(w);
    return st;
}
