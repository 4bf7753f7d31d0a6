/* The grid of linear heads of the CVPR 2026 challenge: 13 learning rates x 4 weight decays on features as they are and
 * standardised (deviations of at least 1e-6), all 52 of a scaling trained side by side as one wide layer.
 *
 * Each head: weights N(0, 0.01), bias 0; cross-entropy; AdamW (0.9, 0.999, 1e-8); batches of 128 drawn with
 * replacement, classes alike; 150 epochs, the rate from a thousandth up over five epochs, then down half a cosine, by
 * step; it stops where the moving average (0.9) of its validation loss has not fallen for ten epochs, from epoch 6 on.
 * The challenge's rules do not say whether heads stop by themselves: here they do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/ranking.h"
#include "hct/philox.h"
#include "probe/protocol.h"
#include "support/stop.h"
#include "support/streams.h"
#include "training/sampler.h"

static const double RATES[] = {1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1};
static const double DECAYS[] = {1e-5, 1e-4, 1e-3, 1e-2};
static const double SD_FLOOR = 1e-6, AVERAGE = 0.9, WARM_FROM = 1e-3, BETA1 = 0.9, BETA2 = 0.999, EPS = 1e-8,
                    SPREAD = 0.01;
enum {
    N_RATES = sizeof RATES / sizeof *RATES,
    N_DECAYS = sizeof DECAYS / sizeof *DECAYS,
    HEADS = N_RATES * N_DECAYS,
    BATCH = 128,
    EPOCHS = 150,
    WARM_EPOCHS = 5,
    PATIENCE = 10,
    EARLIEST = 6
};

/* Forward and backward of one size of batch. */
typedef struct step {
    hct_tape *tape;
    hct_tensor *x, *y;
    hct_id loss, dw, db;
    size_t n;
} step;

/* Where a head stands. */
typedef struct head_state {
    double average, least; /* of its validation loss */
    int since, stopped;
} head_state;

/* The best that was seen of all heads of both scalings. */
typedef struct best_head {
    double figure, auc; /* larger is better */
    int head, epoch, standardized;
    double *w, b[2]; /* [2, width] */
} best_head;

typedef struct grid {
    const recipe *r;
    const probe_data *d;
    const probe_rows *train, *valid;
    hct_dev *dev;
    const double *mean, *sd;   /* NULL: features as they are */
    hct_tensor *weight, *bias; /* [2 HEADS, width], [2 HEADS]: rows 2h and 2h + 1 are head h's */
    float *w, *g, *m, *v;      /* [2 HEADS (width + 1)]: values, gradients, moments; biases last */
    float *x_host, *valid_x;   /* [BATCH, width], [valid, width] */
    int32_t *y_host;           /* [BATCH HEADS] */
    float *logit;              /* [valid, HEADS, 2] */
    size_t *order, width, values;
    step whole, rest; /* batches of BATCH, and what an epoch leaves over */
    head_state state[HEADS];
    int64_t done;
} grid;

static double rate_of(int h) { return RATES[h / N_DECAYS]; }
static double decay_of(int h) { return DECAYS[h % N_DECAYS]; }

static void take_row(const grid *g, size_t row, float *out) {
    const float *x = g->d->row + row * g->width;
    for (size_t j = 0; j < g->width; j++) out[j] = g->mean ? (float)(((double)x[j] - g->mean[j]) / g->sd[j]) : x[j];
}

static hct_status open_step(grid *g, step *s, size_t n, hct_err *err) {
    if (!n) return HCT_OK;
    int64_t rows = (int64_t)n;
    *s = (step){.tape = hct_tape_new(g->dev, HCT_PROGRAM), .n = n};
    s->x = hct_tensor_new(g->dev, HCT_F32, 2, (int64_t[]){rows, (int64_t)g->width}, err);
    s->y = hct_tensor_new(g->dev, HCT_I32, 1, (int64_t[]){rows * HEADS}, err);
    if (!s->tape || !s->x || !s->y) return hct_fail_untold(err, HCT_ENOMEM, "out of memory");
    hct_id w = hct_param(s->tape, g->weight), b = hct_param(s->tape, g->bias);
    hct_id logits = hct_linear(s->tape, hct_use(s->tape, s->x), w, b);
    logits = hct_reshape(s->tape, logits, 2, (int64_t[]){rows * HEADS, 2});
    s->loss = hct_cross_entropy(s->tape, logits, hct_use(s->tape, s->y));
    hct_backward(s->tape, s->loss, 0);
    s->dw = hct_grad(s->tape, w);
    s->db = hct_grad(s->tape, b);
    hct_keep(s->tape, s->dw);
    hct_keep(s->tape, s->db);
    return hct_compile(s->tape, err);
}

static void close_step(step *s) {
    hct_tape_free(s->tape);
    hct_tensor_free(s->x);
    hct_tensor_free(s->y);
}

/* First values: normal by Box and Muller's transform of Philox's draws. */
static void draw_weights(grid *g) {
    uint64_t key = (uint64_t)g->r->seed;
    size_t n = (size_t)2 * HEADS * g->width;
    for (size_t i = 0; i < n; i += 2) {
        hct_philox r = hct_philox4x32(key, i, STREAM_WEIGHTS);
        double u = ((double)r.v[0] + 0.5) / 4294967296.0, a = 6.283185307179586 * ((double)r.v[1] / 4294967296.0);
        double size = SPREAD * sqrt(-2 * log(u));
        g->w[i] = (float)(size * cos(a));
        if (i + 1 < n) g->w[i + 1] = (float)(size * sin(a));
    }
    memset(g->w + n, 0, 2 * HEADS * sizeof *g->w);
}

static hct_status write_weights(const grid *g, hct_err *err) {
    hct_status st = hct_tensor_write(g->weight, g->w, err);
    return st < 0 ? st : hct_tensor_write(g->bias, g->w + (size_t)2 * HEADS * g->width, err);
}

static hct_status open_grid(grid *g, hct_err *err) {
    const int64_t rows = 2 * HEADS, width = (int64_t)g->width;
    size_t batch = g->train->n < BATCH ? g->train->n : BATCH;
    g->values = (size_t)rows * (g->width + 1);
    g->w = malloc(g->values * sizeof *g->w);
    g->g = malloc(g->values * sizeof *g->g);
    g->m = calloc(g->values, sizeof *g->m);
    g->v = calloc(g->values, sizeof *g->v);
    g->x_host = malloc(BATCH * g->width * sizeof *g->x_host);
    g->y_host = malloc((size_t)BATCH * HEADS * sizeof *g->y_host);
    g->valid_x = malloc(g->valid->n * g->width * sizeof *g->valid_x);
    g->logit = malloc(g->valid->n * (size_t)rows * sizeof *g->logit);
    g->order = malloc(g->train->n * sizeof *g->order);
    g->weight = hct_tensor_new(g->dev, HCT_F32, 2, (int64_t[]){rows, width}, err);
    g->bias = hct_tensor_new(g->dev, HCT_F32, 1, &rows, err);
    if (!g->w || !g->g || !g->m || !g->v || !g->x_host || !g->y_host || !g->valid_x || !g->logit || !g->order ||
        !g->weight || !g->bias)
        return hct_fail_untold(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < g->valid->n; i++) take_row(g, g->valid->row[i], g->valid_x + i * g->width);
    for (int h = 0; h < HEADS; h++) g->state[h] = (head_state){NAN, INFINITY, 0, 0};
    draw_weights(g);
    hct_status st = write_weights(g, err);
    if (st == HCT_OK) st = open_step(g, &g->whole, batch, err);
    return st < 0 ? st : open_step(g, &g->rest, g->train->n % batch, err);
}

static void close_grid(grid *g) {
    close_step(&g->whole);
    close_step(&g->rest);
    hct_tensor_free(g->weight);
    hct_tensor_free(g->bias);
    float *all[] = {g->w, g->g, g->m, g->v, g->x_host, g->valid_x, g->logit};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(g->y_host);
    free(g->order);
}

/* AdamW of every head by its own rate and decay. The recorded loss is the mean over heads: its gradient is HEADS times
 * too small for each. */
static void update(grid *g, double share_of_rate) {
    double t = (double)++g->done, c1 = 1 - pow(BETA1, t), c2 = 1 - pow(BETA2, t);
    for (int row = 0; row < 2 * HEADS; row++) {
        double lr = rate_of(row / 2) * share_of_rate, keep = 1 - lr * decay_of(row / 2);
        if (g->state[row / 2].stopped) continue;
        for (size_t j = 0; j <= g->width; j++) {
            size_t i = j < g->width ? (size_t)row * g->width + j : (size_t)2 * HEADS * g->width + (size_t)row;
            double grad = (double)g->g[i] * HEADS;
            double m = BETA1 * (double)g->m[i] + (1 - BETA1) * grad;
            double v = BETA2 * (double)g->v[i] + (1 - BETA2) * grad * grad;
            g->m[i] = (float)m;
            g->v[i] = (float)v;
            g->w[i] = (float)((double)g->w[i] * keep - lr * (m / c1) / (sqrt(v / c2) + EPS));
        }
    }
}

/* Of the step that comes next: linear from WARM_FROM to 1, then half a cosine to 0. */
static double rate_share(int64_t at, int64_t per_epoch) {
    double warm = (double)(WARM_EPOCHS * per_epoch), total = (double)(EPOCHS * per_epoch), t = (double)at;
    if (t < warm) return WARM_FROM + (1 - WARM_FROM) * t / warm;
    return 0.5 * (1 + cos(3.141592653589793 * (t - warm) / (total - warm)));
}

static hct_status one_step(grid *g, step *s, const size_t *order, double share, hct_err *err) {
    for (size_t i = 0; i < s->n; i++) {
        take_row(g, order[i], g->x_host + i * g->width);
        for (int h = 0; h < HEADS; h++) g->y_host[i * HEADS + (size_t)h] = g->d->label[order[i]];
    }
    hct_status st = hct_tensor_write(s->x, g->x_host, err);
    if (st == HCT_OK) st = hct_tensor_write(s->y, g->y_host, err);
    if (st == HCT_OK) st = hct_run(s->tape, err);
    if (st == HCT_OK) st = hct_read(s->tape, s->dw, g->g, err);
    if (st == HCT_OK) st = hct_read(s->tape, s->db, g->g + (size_t)2 * HEADS * g->width, err);
    if (st < 0) return st;
    update(g, share);
    return write_weights(g, err);
}

static hct_status score_validation(grid *g, hct_err *err) {
    int64_t dim[2] = {(int64_t)g->valid->n, (int64_t)g->width};
    hct_tensor *x = hct_tensor_new(g->dev, HCT_F32, 2, dim, err);
    hct_tape *t = hct_tape_new(g->dev, HCT_EAGER);
    hct_status st = x && t ? hct_tensor_write(x, g->valid_x, err) : hct_fail_untold(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK)
        st = hct_read(t, hct_linear(t, hct_use(t, x), hct_use(t, g->weight), hct_use(t, g->bias)), g->logit, err);
    hct_tape_free(t);
    hct_tensor_free(x);
    return st;
}

typedef struct figures {
    double loss, accuracy, auc;
} figures;

/* Mean cross-entropy, balanced accuracy at a probability of one half, AUC of head h. s: [valid] */
static hct_status judge(const grid *g, int h, double *s, figures *ret, hct_err *err) {
    const probe_rows *v = g->valid;
    size_t right[2] = {0, 0};
    ranking rank;
    *ret = (figures){0};
    for (size_t i = 0; i < v->n; i++) {
        const float *l = g->logit + (i * HEADS + (size_t)h) * 2;
        s[i] = (double)l[1] - (double)l[0];
        double m = v->label[i] ? s[i] : -s[i];
        ret->loss += (m > 0 ? log1p(exp(-m)) : log1p(exp(m)) - m) / (double)v->n;
        right[v->label[i] != 0] += m > 0;
    }
    ret->accuracy = ((double)right[1] / (double)v->positives + (double)right[0] / (double)(v->n - v->positives)) / 2;
    if (!isfinite(ret->loss)) return HCT_OK; /* this head has run away: it cannot be chosen */
    hct_status st = ranking_make(s, v->label, v->n, &rank, err);
    if (st < 0) return st;
    ret->auc = ranking_auc(&rank, NULL);
    ranking_free(&rank);
    return HCT_OK;
}

static void keep_head(const grid *g, int h, int epoch, const figures *f, double figure, best_head *io) {
    *io = (best_head){figure, f->auc, h, epoch, g->mean != NULL, io->w, {0, 0}};
    for (int k = 0; k < 2; k++) {
        size_t row = (size_t)(2 * h + k);
        for (size_t j = 0; j < g->width; j++) io->w[(size_t)k * g->width + j] = (double)g->w[row * g->width + j];
        io->b[k] = (double)g->w[(size_t)2 * HEADS * g->width + row];
    }
}

/* Judges all heads after an epoch (from 1). Returns how many go on. */
static hct_status validate(grid *g, int epoch, double *s, best_head *io, int *ret_going, hct_err *err) {
    hct_status st = score_validation(g, err);
    *ret_going = 0;
    for (int h = 0; st == HCT_OK && h < HEADS; h++) {
        head_state *a = &g->state[h];
        figures f;
        if (a->stopped) continue;
        if ((st = judge(g, h, s, &f, err)) < 0) break;
        if (!isfinite(f.loss)) {
            a->stopped = 1;
            continue;
        }
        a->average = epoch == 1 ? f.loss : AVERAGE * a->average + (1 - AVERAGE) * f.loss;
        a->since = a->average < a->least ? 0 : a->since + 1;
        a->least = fmin(a->least, a->average);
        a->stopped = epoch >= EARLIEST && a->since >= PATIENCE;
        *ret_going += !a->stopped;
        double figure = g->r->probe.watched == WATCH_AUROC  ? f.auc
                        : g->r->probe.watched == WATCH_LOSS ? -f.loss
                                                            : f.accuracy;
        if (figure > io->figure) keep_head(g, h, epoch, &f, figure, io);
    }
    return st;
}

static hct_status train(grid *g, const char *task, FILE *progress, best_head *io, hct_err *err) {
    hct_status st = open_grid(g, err);
    double *s = malloc((g->valid->n + 1) * sizeof *s);
    if (st == HCT_OK && !s) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    int going = HEADS, epoch = 0;
    for (; st == HCT_OK && going && epoch < EPOCHS; epoch++) {
        size_t n = g->train->n, batches = g->whole.n ? n / g->whole.n + (g->rest.n > 0) : 0;
        if (!sampler_replaced((uint64_t)g->r->seed, (uint64_t)epoch, g->train->row, g->train->label, n, n, g->order))
            st = hct_fail(err, HCT_ENOMEM, "out of memory for an epoch's draws");
        for (size_t b = 0; st == HCT_OK && b < batches; b++)
            st = one_step(g, b < n / g->whole.n ? &g->whole : &g->rest, g->order + b * g->whole.n,
                          rate_share(g->done, (int64_t)batches), err);
        if (st == HCT_OK) st = validate(g, epoch + 1, s, io, &going, err);
        if (st == HCT_OK && stop_asked()) st = hct_fail(err, HCT_EINTERRUPTED, "task '%s': interrupted", task);
    }
    if (st == HCT_OK && progress)
        fprintf(progress, "%s: 52 heads on %s features, %d epochs, best validation AUC so far %.3f\n", task,
                g->mean ? "standardised" : "raw", epoch, io->auc);
    free(s);
    close_grid(g);
    return st;
}

hct_status probe_grid(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head,
                      double *score, char chosen[PROBE_CHOSEN], hct_err *err) {
    probe_rows rows = {0}, valid = {0};
    double *mean = calloc(4 * d->width, sizeof *mean), *sd = mean + d->width;
    if (!mean) return hct_fail(err, HCT_ENOMEM, "out of memory");
    best_head best = {.figure = -INFINITY, .w = mean + 2 * d->width};
    hct_status st = probe_rows_of(d, d->train, d->n_train, o->task, "training", &rows, err);
    if (st == HCT_OK) st = probe_rows_of(d, d->valid, d->n_valid, o->task, "validation", &valid, err);
    if (st == HCT_OK) probe_moments(d, &rows, mean, sd);
    for (size_t j = 0; j < d->width; j++) sd[j] = fmax(sd[j], SD_FLOOR);
    for (int standardized = 0; st == HCT_OK && standardized < 2; standardized++) {
        grid g = {.r = r, .d = d, .train = &rows, .valid = &valid, .dev = dev, .width = d->width};
        if (standardized) g.mean = mean, g.sd = sd;
        st = train(&g, o->task, o->progress, &best, err);
    }
    if (st == HCT_OK && best.figure == -INFINITY)
        st = hct_fail(err, HCT_EINVAL, "task '%s': the loss of every head of the grid ran away", o->task);
    if (st == HCT_OK)
        st = probe_take(dev, d, o, head, best.standardized ? mean : NULL, best.standardized ? sd : NULL, best.w, best.b,
                        best.auc, score, err);
    if (st == HCT_OK)
        snprintf(chosen, PROBE_CHOSEN, "lr %g, decay %g, %s, epoch %d", rate_of(best.head), decay_of(best.head),
                 best.standardized ? "standardised" : "raw", best.epoch);
    probe_rows_free(&rows);
    probe_rows_free(&valid);
    free(mean);
    return st;
}
