/* Fine-tuning on heads with a planted ball: it is found; what is frozen stays, what is merged is the same, what is
 * not known counts for nothing, and rates, skipped branches and draws are what the headers say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "hct/philox.h"
#include "models/build.h"
#include "models/layers.h"
#include "models/lora.h"
#include "models/vit_encoder.h"
#include "models/probe.h"
#include "planted.h"
#include "run/model.h"
#include "scratch.h"
#include "support/device.h"
#include "support/paths.h"
#include "inference/embedder.h"
#include "finetune/finetune.h"
#include "finetune/finetune_step.h"
#include "training/sampler.h"

enum { SCANS = 48, TRAIN = 24, VALID = 8, TEST = SCANS - TRAIN - VALID };

static bench open_bench(const recipe *r, const char *const *tasks, size_t n_tasks) {
    return bench_open(r, SCANS, TRAIN, VALID, tasks, n_tasks);
}

static const char *const ball[] = {"ball"}, *const both[] = {"ball", "half"};

/* An encoder's weights file, drawn. */
static void write_encoder(const recipe *r, hct_dev *dev, char path[512]) {
    hct_err err = {0};
    model_info info;
    snprintf(path, 512, "%s", scratch_path("encoder.safetensors"));
    well(model_of_recipe(r, NULL, &info, &err));
    info.role = MODEL_ENCODER;
    params *p = model_new(dev, &info, 99, &err);
    ck_assert_msg(p != NULL, "%s", err.msg);
    well(weights_save(path, p, &info, NULL, 0, &err));
    params_free(p);
}

static float *values(const params *p, const char *name, size_t *ret_n) {
    const param *item = params_find(p, name);
    ck_assert_msg(item != NULL, "%s", name);
    *ret_n = hct_tensor_bytes(item->tensor) / sizeof(float);
    float *x = malloc(*ret_n * sizeof *x + 1);
    ck_assert_int_eq(hct_tensor_read(item->tensor, x, NULL), HCT_OK);
    return x;
}

static int same_values(const params *a, const params *b, const char *name) {
    size_t n, m;
    float *x = values(a, name, &n), *y = values(b, name, &m);
    int same = n == m && !memcmp(x, y, n * sizeof *x);
    free(x);
    free(y);
    return same;
}

START_TEST(finds_a_planted_ball) {
    recipe r = planted_recipe();
    bench b = open_bench(&r, ball, 1);
    finetune_result m;
    hct_err err = {0};
    well(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err));
    double test = trial_auc(&b.t, TRAIN + VALID, TEST);
    printf("# test AUC %.3f, validation %.3f at step %lld\n", test, m.best, (long long)m.best_step);
    ck_assert_msg(test > 0.8, "AUC %g", test); /* chance: 0.5 +- 0.15 */
    ck_assert_double_eq(m.best, trial_auc(&b.t, TRAIN, VALID));
    finetune_result_free(&m);
    bench_close(&b);
}
END_TEST

START_TEST(a_frozen_encoder_keeps_its_bits) {
    recipe r = planted_recipe();
    hct_err err = {0};
    hct_dev *dev = device_open("cpu", NULL);
    char path[512];
    write_encoder(&r, dev, path);
    device_close(dev);
    r.finetune.init = START_WEIGHTS;
    r.finetune.backbone = BACKBONE_FROZEN;
    r.optim.epochs = 2;
    snprintf(r.finetune.weights, sizeof r.finetune.weights, "%s", path);
    bench b = open_bench(&r, ball, 1);
    for (int full = 0; full < 2; full++) {
        finetune_result m;
        r.finetune.backbone = full ? BACKBONE_FULL : BACKBONE_FROZEN;
        well(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err));
        ck_assert_str_eq(m.info.parent, b.base.info.parent);
        for (size_t i = 0; i < b.base.encoder->n; i++) {
            const char *name = b.base.encoder->items[i].name;
            int fixed = strstr(name, "position_embeddings") != NULL; /* the paper's table is fixed */
            ck_assert_msg(same_values(b.base.encoder, m.p, name) == (!full || fixed), "%s", name);
        }
        finetune_result_free(&m);
    }
    bench_close(&b);
}
END_TEST

START_TEST(low_rank_additions_are_the_formula) {
    enum { B = 2, N = 3, IN = 6, OUT = 18, R = 2 };
    hct_dev *dev = device_open("cpu", NULL);
    params *p = params_new(dev);
    vit_config c = {.image = 4, .patch = 4, .channels = 1, .width = IN, .depth = 1, .heads = 2, .mlp = 6};
    vit_declare(p, &c);
    lora_declare(p, &c, R, 5);
    ck_assert_int_eq(params_check(p, NULL), HCT_OK);
    ck_assert_int_eq(params_init(p, 3, NULL), HCT_OK);
    float x[B * N * IN], low_b[OUT * R], y[B * N * OUT];
    for (int i = 0; i < B * N * IN; i++) x[i] = (float)sin(1.0 + i);
    for (int i = 0; i < OUT * R; i++) low_b[i] = (float)cos(2.0 + i);
    ck_assert_int_eq(params_set(p, "blocks.0.attn.qkv.lora_b", low_b, NULL), HCT_OK);
    hct_tensor *input = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){B, N, IN}, NULL);
    hct_tensor_write(input, x, NULL);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    ck_assert_int_eq(hct_read(t, layers_linear(t, p, "blocks.0.attn.qkv", hct_use(t, input)), y, NULL), HCT_OK);
    size_t n;
    float *w = values(p, "blocks.0.attn.qkv.weight", &n), *a = values(p, "blocks.0.attn.qkv.lora_a", &n);
    ck_assert_uint_eq(n, R * IN);
    for (int row = 0; row < B * N; row++)
        for (int o = 0; o < OUT; o++) {
            double want = 0;
            for (int i = 0; i < IN; i++) {
                double all = (double)w[o * IN + i];
                for (int k = 0; k < R; k++) all += 5.0 / R * (double)low_b[o * R + k] * (double)a[k * IN + i];
                want += all * (double)x[row * IN + i];
            }
            ck_assert_double_eq_tol((double)y[row * OUT + o], want, 1e-5);
        }
    free(w);
    free(a);
    hct_tape_free(t);
    hct_tensor_free(input);
    params_free(p);
    device_close(dev);
}
END_TEST

START_TEST(merged_additions_say_the_same) {
    recipe r = planted_recipe();
    hct_err err = {0};
    hct_dev *dev = device_open("cpu", NULL);
    char path[512];
    write_encoder(&r, dev, path);
    device_close(dev);
    r.finetune.init = START_WEIGHTS;
    r.finetune.backbone = BACKBONE_LORA;
    r.finetune.lora_rank = 4;
    r.finetune.lora_alpha = 64;
    r.optim.epochs = 3;
    snprintf(r.finetune.weights, sizeof r.finetune.weights, "%s", path);
    bench b = open_bench(&r, ball, 1);
    finetune_result m;
    well(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err));
    int changed = 0;
    for (size_t i = 0; i < b.base.encoder->n; i++) {
        const char *name = b.base.encoder->items[i].name;
        int adapted = strstr(name, "attn.qkv.weight") || strstr(name, "attn.proj.weight"),
            same = same_values(b.base.encoder, m.p, name);
        ck_assert_msg(same || adapted, "%s changed", name);
        changed += !same;
    }
    ck_assert_int_eq(changed, 6); /* two of each block */
    for (size_t i = 0; i < m.p->n; i++) ck_assert(!strstr(m.p->items[i].name, "lora"));
    embedder e; /* the merged weights against what the adapted model said */
    well(embedder_new(&e, b.dev, m.p, &m.info, 1, 0, &err));
    double worst = 0, spread = 0;
    for (size_t i = TRAIN; i < SCANS; i++) {
        double said;
        well(dataset_input(b.d, b.t.scan[i], &m.info.encoder.input, e.host, &err));
        well(embedder_run(&e, 1, NULL, &said, &err));
        worst = fmax(worst, fabs(said - b.t.said.score[i]));
        spread = fmax(spread, fabs(said - b.t.said.score[TRAIN]));
    }
    printf("# largest difference %g, scores spread over %g\n", worst, spread);
    ck_assert_double_lt(worst, 1e-6);
    ck_assert_double_gt(spread, 1e-3);
    embedder_free(&e);
    finetune_result_free(&m);
    bench_close(&b);
}
END_TEST

START_TEST(rates_of_layers) {
    recipe r = planted_recipe();
    r.finetune.backbone_lr = 1e-5;
    r.optim.lr = 1e-3;
    r.finetune.layer_decay = 0.5;
    const struct {
        const char *name;
        double want;
    } rates[] = {
        {"cls_token", 0.01 / 16},
        {"patch_embedding.patch_embeddings.weight", 0.01 / 16},
        {"blocks.0.att_norm.bias", 0.01 / 8},
        {"blocks.2.mlp.linear1.weight", 0.01 / 2},
        {"blocks.1.attn.qkv.lora_a", 0.01 / 4},
        {"norm.weight", 0.01},
        {"head.ball.linear.weight", 1},
        {"head.norm.linear.bias", 1},
    };
    const vit_config c = {.image = 4, .patch = 4, .channels = 1, .width = 6, .depth = 3, .heads = 2, .mlp = 6};
    const encoder vit = encoder_of_vit(&c, paper_windows, 192);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        ck_assert_double_eq_tol(tuning_factor(&r, rates[i].name, &vit), rates[i].want, 1e-15);
    r.finetune.backbone_lr = 0;
    ck_assert_double_eq(tuning_factor(&r, "norm.weight", &vit), 1);
    /* The optimiser's groups: with SGD and a gradient of 1 for everything a step of rate lr moves a tensor by lr
     * times its factor. */
    hct_dev *dev = device_open("cpu", NULL);
    hct_err err = {0};
    recipe_set(&r, "finetune.backbone_lr=1e-4", &err);
    recipe_set(&r, "optim.name=sgd", &err);
    recipe_set(&r, "optim.clip_mode=none", &err);
    recipe_set(&r, "optim.decay=matrices", &err);
    params *p = params_new(dev);
    vit_declare(p, &c);
    probe_declare(p, "head.ball.", 6, 2);
    ck_assert_int_eq(params_init(p, 3, NULL), HCT_OK);
    params_train(p, "patch_embedding.position", 0);
    tuning g;
    well(tuning_open(&g, dev, &r, p, &vit, &err));
    /* layers 0 to 3 and head with and without decay, and the last norm, which has no matrix */
    ck_assert_int_eq(g.groups, 11);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    hct_id loss = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].trained) {
            hct_id x = hct_param(t, p->items[i].tensor), sum = hct_sum(t, x, HCT_AXES(hct_shape(t, x)->ndim), 0);
            loss = loss ? hct_add(t, loss, sum) : sum;
        }
    hct_backward(t, loss, 0);
    hct_optim_record(g.optim, t);
    well(hct_compile(t, &err));
    static const char *const some[] = {"cls_token", "blocks.0.attn.proj.bias", "blocks.2.att_norm.weight", "norm.bias",
                                       "head.ball.linear.bias"};
    float before[5], now;
    size_t n;
    for (int i = 0; i < 5; i++) {
        float *x = values(p, some[i], &n);
        before[i] = x[0];
        free(x);
    }
    well(tuning_set_rates(&g, 0.5, 0.1, &err));
    well(hct_run(t, &err));
    for (int i = 0; i < 5; i++) {
        float *x = values(p, some[i], &n);
        now = x[0];
        ck_assert_double_eq_tol((double)(before[i] - now), 0.5 * tuning_factor(&r, some[i], &vit), 1e-6);
        free(x);
    }
    hct_tape_free(t);
    tuning_close(&g);
    params_free(p);
    device_close(dev);
}
END_TEST

START_TEST(skipped_branches) {
    enum { DEPTH = 4, BATCH = 4096 };
    static float drop[2 * DEPTH * BATCH], again[2 * DEPTH * BATCH];
    finetune_drop(5, 7, 0, BATCH, 2 * DEPTH, 0.3, drop);
    for (int branch = 0; branch < 2 * DEPTH; branch++) {
        double p = 0.3 * (branch / 2) / (DEPTH - 1), sum = 0, zero = 0;
        for (int b = 0; b < BATCH; b++) {
            float v = drop[branch * BATCH + b];
            ck_assert(v == 0 || fabs((double)v - 1 / (1 - p)) < 1e-6);
            sum += (double)v;
            zero += v == 0;
        }
        ck_assert_double_eq_tol(sum / BATCH, 1, 0.05); /* a branch counts as much as without skipping */
        ck_assert_double_eq_tol(zero / BATCH, p, 0.03);
    }
    for (int part = 0; part < 4; part++) { /* the draw of a scan's place does not depend on how a step is cut */
        finetune_drop(5, 7, part * (BATCH / 4), BATCH / 4, 2 * DEPTH, 0.3, again);
        for (int branch = 0; branch < 2 * DEPTH; branch++)
            ck_assert(!memcmp(again + branch * (BATCH / 4), drop + branch * BATCH + part * (BATCH / 4),
                              BATCH / 4 * sizeof *drop));
    }
    finetune_drop(5, 8, 0, BATCH, 2 * DEPTH, 0.3, again);
    ck_assert(memcmp(again, drop, sizeof drop) != 0);
}
END_TEST

/* A recorded step of two tasks on random images. */
typedef struct small_step {
    model_info info;
    params *p;
    tuning g;
    finetune_step step;
} small_step;

static small_step open_step(hct_dev *dev, recipe *r) {
    small_step s = {0};
    hct_err err = {0};
    well(model_of_recipe(r, NULL, &s.info, &err));
    s.info.role = MODEL_CLASSIFIER;
    s.info.n_tasks = 2;
    snprintf(s.info.task[0], MODEL_NAME, "ball");
    snprintf(s.info.task[1], MODEL_NAME, "half");
    ck_assert((s.p = model_new(dev, &s.info, 4, &err)) != NULL);
    well(tuning_open(&s.g, dev, r, s.p, &s.info.encoder, &err));
    return s;
}

static void record_step(small_step *s, hct_dev *dev, const recipe *r, int64_t batch) {
    hct_err err = {0};
    well(finetune_step_new(&s->step, dev, s->p, &s->info, r, s->g.optim, batch, &err)); /* keeps a pointer to s->info */
    for (size_t i = 0; i < (size_t)batch * s->step.image_floats; i++)
        s->step.image[i] = hct_u01f(hct_philox4x32(21, i, 0).v[0]);
}

static void close_step(small_step *s) {
    finetune_step_free(&s->step);
    tuning_close(&s->g);
    params_free(s->p);
}

START_TEST(unknown_labels_count_for_nothing) {
    enum { BATCH = 6 };
    recipe r = planted_recipe();
    hct_err err = {0};
    recipe_set(&r, "optim.name=sgd", &err);
    hct_dev *dev = device_open("cpu", NULL);
    small_step s = open_step(dev, &r);
    record_step(&s, dev, &r, BATCH);
    const int8_t label[BATCH * 2] = {1, 1, 0, -1, 1, 0, 0, -1, 1, -1, 0, 1}; /* ball: all known; half: 3 of 6 */
    float logits[2][BATCH * 2];
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_tensor *x = s.step.in[0].image;
    well(hct_tensor_write(x, s.step.image, &err));
    encoder_values v = {0};
    s.info.encoder.kind->forward(t, s.p, &s.info.encoder, hct_use(t, x), &v);
    hct_id cls = v.embedding;
    well(hct_read(t, probe_forward(t, s.p, "head.ball.", cls, 1), logits[0], &err));
    well(hct_read(t, probe_forward(t, s.p, "head.half.", cls, 1), logits[1], &err));
    hct_tape_free(t);
    double want = 0;
    for (int k = 0; k < 2; k++) {
        double sum = 0, n = 0;
        for (int b = 0; b < BATCH; b++) {
            int l = label[2 * b + k];
            if (l < 0) continue;
            double a = (double)logits[k][2 * b], c = (double)logits[k][2 * b + 1];
            sum += log(exp(a) + exp(c)) - (l ? c : a);
            n++;
        }
        want += sum / n / 2;
    }
    double loss;
    well(tuning_set_rates(&s.g, 0.1, 0, &err));
    well(finetune_step_fill(&s.step, 0, 1, 0, label, &err));
    well(finetune_step_run(&s.step, &loss, &err));
    ck_assert_double_eq_tol(loss, want, 1e-5);

    /* A task nobody has a label of: its head stays, the loss is half of the other's; what the labels would be makes
     * no difference. */
    int8_t none[BATCH * 2];
    for (int i = 0; i < BATCH; i++) none[2 * i] = label[2 * i], none[2 * i + 1] = -1;
    size_t n;
    float *before = values(s.p, "head.half.linear.weight", &n), *other = values(s.p, "head.ball.linear.weight", &n);
    well(finetune_step_fill(&s.step, 0, 1, 0, none, &err));
    hct_optim *fresh = s.g.optim; /* momentum of the first step would move it still */
    for (size_t i = 0; i < hct_optim_state_count(fresh); i++) {
        const char *name;
        hct_tensor *m = hct_optim_state_at(fresh, i, &name);
        void *zero = calloc(1, hct_tensor_bytes(m) + 1);
        well(hct_tensor_write(m, zero, &err));
        free(zero);
    }
    well(tuning_set_rates(&s.g, 0.1, 0, &err));
    well(finetune_step_run(&s.step, &loss, &err));
    float *after = values(s.p, "head.half.linear.weight", &n), *moved = values(s.p, "head.ball.linear.weight", &n);
    ck_assert(!memcmp(before, after, n * sizeof *before));
    ck_assert(memcmp(other, moved, n * sizeof *other) != 0);
    ck_assert(isfinite(loss) && loss > 0);
    free(before);
    free(after);
    free(other);
    free(moved);
    close_step(&s);
    device_close(dev);
}
END_TEST

START_TEST(several_tasks_are_drawn_evenly) {
    enum { N = 40, TASKS = 3, COUNT = 36 };
    size_t scans[N], order[COUNT];
    int8_t label[N * TASKS];
    for (size_t i = 0; i < N; i++) {
        scans[i] = 100 + i;
        for (size_t k = 0; k < TASKS; k++)
            label[i * TASKS + k] = (int8_t)((i + k) % 5 == 0 ? -1 : (i * (k + 3)) % 7 < 2);
    }
    ck_assert_uint_eq(sampler_balanced_tasks(3, 1, scans, label, N, TASKS, COUNT, order), TASKS);
    for (size_t i = 0; i < COUNT; i++) ck_assert_int_eq(label[(order[i] - 100) * TASKS + i / 2 % TASKS], i % 2);
    for (size_t i = 0; i < N; i++) label[i * TASKS + 1] = label[i * TASKS + 1] > 0 ? 0 : label[i * TASKS + 1];
    ck_assert_uint_eq(sampler_balanced_tasks(3, 1, scans, label, N, TASKS, COUNT, order), 1);
    size_t alone[COUNT], as_before[COUNT]; /* one task: the older sampler */
    int8_t one[N];
    for (size_t i = 0; i < N; i++) one[i] = i % 3 == 0;
    ck_assert_uint_eq(sampler_balanced_tasks(3, 1, scans, one, N, 1, COUNT, alone), 1);
    ck_assert(sampler_balanced(3, 1, scans, one, N, COUNT, as_before));
    ck_assert(!memcmp(alone, as_before, sizeof alone));
}
END_TEST

START_TEST(the_same_bits_for_any_threads) {
    recipe r = planted_recipe();
    hct_err err = {0};
    recipe_set(&r, "finetune.drop_path=0.2", &err);
    r.optim.epochs = 2;
    char first[MODEL_HASH] = "";
    for (int workers = 1; workers <= 4; workers += 3) {
        r.train.workers = workers;
        bench b = open_bench(&r, both, 2);
        finetune_result m;
        well(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err));
        ck_assert_int_eq(m.info.n_tasks, 2);
        if (*first) ck_assert_str_eq(first, m.weights);
        memcpy(first, m.weights, sizeof first);
        finetune_result_free(&m);
        bench_close(&b);
    }
    r.seed = 2;
    bench b = open_bench(&r, both, 2);
    finetune_result m;
    well(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err));
    ck_assert_str_ne(first, m.weights);
    finetune_result_free(&m);
    bench_close(&b);
}
END_TEST

START_TEST(refuses) {
    recipe r = planted_recipe();
    hct_err err = {0};
    bench b = open_bench(&r, ball, 1);
    finetune_result m;
    for (size_t i = 0; i < TRAIN; i++) b.t.said.label[i] = 0;
    ck_assert_int_lt(finetune_fit(&b.base, &r, &b.t, &(finetune_options){0}, &m, &err), 0);
    ck_assert_msg(strstr(err.msg, "task 'ball': the training split has 0 positives"), "%s", err.msg);
    bench_close(&b);
    r.finetune.init = START_WEIGHTS;
    dataset *d = planted_data(SCANS);
    hct_dev *dev = device_open("cpu", NULL);
    finetune_base base;
    ck_assert_int_lt(finetune_open(&r, dev, d, &base, &err), 0);
    ck_assert_msg(strstr(err.msg, "finetune.weights is not set"), "%s", err.msg);
    recipe_set(&r, "finetune.layer_decay=0", &err);
    ck_assert_int_lt(recipe_check(&r, &err), 0);
    ck_assert_msg(strstr(err.msg, "finetune.layer_decay"), "%s", err.msg);
    device_close(dev);
    dataset_close(d);
}
END_TEST

CHECK_MAIN("finetune", finds_a_planted_ball, a_frozen_encoder_keeps_its_bits, low_rank_additions_are_the_formula,
           merged_additions_say_the_same, rates_of_layers, skipped_branches, unknown_labels_count_for_nothing,
           several_tasks_are_drawn_evenly, the_same_bits_for_any_threads, refuses)
