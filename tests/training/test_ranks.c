/* Started as several ranks (mpirun): a small transformer trained by all of them on shares of a batch equals the same
 * trained by one on the whole batch; exchanges give the same bits everywhere. Prints TAP from rank 0. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/comm.h"
#include "hct/half.h"
#include "hct/optim.h"
#include "tap.h"

enum { BATCH = 6, MICRO = 2, TOKENS = 5, WIDTH = 12, HEADS = 2, STEPS = 3, PARAMS = 14 };

static const hct_comm *comm;
static hct_err err;

/* Passes where it holds on every rank. */
static void all_ok(int holds, const char *what) {
    double failed = !holds;
    if (hct_comm_mean(&failed, 1, &err) < 0) failed = 1;
    if (comm->rank == 0) tap_ok(failed == 0, "%s%s%s", what, err.code < 0 ? ": " : "", err.code < 0 ? err.msg : "");
}

static void must(hct_status st) {
    if (st >= 0) return;
    fprintf(stderr, "rank %d: %s\n", comm->rank, err.msg);
    comm->abort(comm, 1);
}

/* The square makes each row of a matrix a wave of its own: sines of one frequency alone fill a matrix of rank two,
 * whose products cancel. */
static double value_at(int64_t i, int salt) {
    return sin(0.7 * (double)i + 0.013 * (double)i * (double)i + 1.3 * salt);
}

static hct_tensor *scaled(hct_dev *dev, hct_dtype dtype, int ndim, const int64_t *dim, int64_t first, int salt,
                          double factor) {
    hct_tensor *t = hct_tensor_new(dev, dtype, ndim, dim, &err);
    if (!t) must(err.code);
    int64_t n = hct_numel(hct_tensor_view(t));
    char *x = malloc((size_t)n * 8 + 1);
    for (int64_t i = 0; i < n; i++) {
        double v = factor * value_at(first + i, salt);
        if (dtype == HCT_F64) ((double *)(void *)x)[i] = v;
        else ((float *)(void *)x)[i] = (float)v;
    }
    must(hct_tensor_write(t, x, &err));
    free(x);
    return t;
}

static hct_tensor *tensor(hct_dev *dev, hct_dtype dtype, int ndim, const int64_t *dim, int64_t first, int salt) {
    return scaled(dev, dtype, ndim, dim, first, salt, 1);
}

static void read_as_double(hct_dtype dtype, void *raw, double *x, int64_t n) {
    for (int64_t i = n - 1; i >= 0; i--) x[i] = dtype == HCT_F64 ? ((double *)raw)[i] : (double)((float *)raw)[i];
}

/* Which run: alone on all scans, or this rank's share; which gradients and weights it ends with. */
typedef struct result {
    double *grad[PARAMS], *weight[PARAMS]; /* after the first step; after the last */
    int64_t size[PARAMS];
    uint32_t nodes; /* calls of a step */
} result;

static const int64_t shapes[PARAMS][2] = {
    {WIDTH, 0}, {WIDTH, 0},         {3 * WIDTH, WIDTH}, {3 * WIDTH, 0},     {WIDTH, WIDTH}, {WIDTH, 0},     {WIDTH, 0},
    {WIDTH, 0}, {4 * WIDTH, WIDTH}, {4 * WIDTH, 0},     {WIDTH, 4 * WIDTH}, {WIDTH, 0},     {WIDTH, WIDTH}, {WIDTH, 0},
};
enum { QKV_BIAS = 3, UNUSED = 13 }; /* the loss does not reach the last one */

static hct_id forward(hct_tape *t, hct_tensor **w, hct_id x, int64_t batch) {
    hct_id p[PARAMS], part[3], head[3];
    for (int i = 0; i < PARAMS; i++) p[i] = hct_param(t, w[i]);
    x = hct_linear(t, x, p[12], 0);
    hct_split(t, hct_linear(t, hct_layer_norm(t, x, p[0], p[1], 1e-5), p[2], p[3]), 2, 3, part);
    for (int i = 0; i < 3; i++) head[i] = hct_reshape(t, part[i], 4, (int64_t[]){batch, TOKENS, HEADS, WIDTH / HEADS});
    hct_id a = hct_reshape(t, hct_attention(t, head[0], head[1], head[2], 0.4), 3, (int64_t[]){batch, TOKENS, WIDTH});
    x = hct_add(t, x, hct_linear(t, a, p[4], p[5]));
    return hct_add(t, x,
                   hct_linear(t, hct_gelu(t, hct_linear(t, hct_layer_norm(t, x, p[6], p[7], 1e-5), p[8], p[9])), p[10],
                              p[11]));
}

static void train(hct_dev *dev, hct_dtype dtype, hct_optim_kind kind, int alone, uint64_t bucket, result *ret) {
    int64_t batch = alone ? BATCH : BATCH / comm->ranks, per_scan = TOKENS * WIDTH;
    hct_tensor *w[PARAMS], *in[MICRO], *target[MICRO];
    hct_optim *o = hct_optim_new(dev,
                                 &(hct_optim_options){.kind = kind,
                                                      .beta1 = 0.9,
                                                      .beta2 = 0.95,
                                                      .eps = 1e-3,
                                                      .momentum = 0.9,
                                                      .clip_mode = HCT_CLIP_GLOBAL,
                                                      .clip = 0.5},
                                 &err);
    if (!o) must(err.code);
    memset(ret, 0, sizeof *ret);
    for (int i = 0; i < PARAMS; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        /* as large as a fresh model's: softmax and its gradient stay away from 0 and 1, where float32's rounding is
         * all that is left */
        double factor = shapes[i][1] ? 1 / sqrt((double)shapes[i][1]) : 1;
        w[i] = scaled(dev, dtype, shapes[i][1] ? 2 : 1, shapes[i], 0, i, factor);
        must(hct_optim_add(o, 0, name, w[i], &err));
        ret->size[i] = hct_numel(hct_tensor_view(w[i]));
    }
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    for (int m = 0; m < MICRO; m++) {
        int64_t scan = m * BATCH + (alone ? 0 : comm->rank * batch);
        in[m] = tensor(dev, dtype, 3, (int64_t[]){batch, TOKENS, WIDTH}, scan * per_scan, 90);
        target[m] = tensor(dev, dtype, 3, (int64_t[]){batch, TOKENS, WIDTH}, scan * per_scan, 91);
        hct_id d = hct_sub(t, forward(t, w, hct_use(t, in[m]), batch), hct_use(t, target[m]));
        if (m == MICRO - 1 && !alone) hct_optim_reduce(o, t, bucket);
        hct_backward(t, hct_mean(t, hct_mul(t, d, d), HCT_AXES(3), 0), hct_fill(t, dtype, 0, NULL, 1.0 / MICRO));
    }
    for (int i = 0; i < PARAMS; i++)
        if (i != UNUSED) hct_keep(t, hct_grad(t, hct_param(t, w[i])));
    hct_optim_record(o, t);
    must(hct_compile(t, &err));
    ret->nodes = hct_stats(t).nodes;
    for (int step = 0; step < STEPS; step++) {
        must(hct_optim_step(o, &(hct_optim_rate){0.05, 0.1, 1}, &err));
        must(hct_run(t, &err));
        for (int i = 0; i < PARAMS; i++) {
            double **to = step == 0 ? &ret->grad[i] : step == STEPS - 1 ? &ret->weight[i] : NULL;
            if (!to || !(*to = calloc((size_t)ret->size[i], sizeof **to))) continue;
            if (step && to == &ret->weight[i]) must(hct_tensor_read(w[i], *to, &err));
            else if (i != UNUSED) must(hct_read(t, hct_grad(t, hct_param(t, w[i])), *to, &err));
            read_as_double(dtype, *to, *to, ret->size[i]);
        }
    }
    hct_tape_free(t);
    hct_optim_free(o);
    for (int i = 0; i < PARAMS; i++) hct_tensor_free(w[i]);
    for (int m = 0; m < MICRO; m++) hct_tensor_free(in[m]), hct_tensor_free(target[m]);
}

static void free_result(result *r) {
    for (int i = 0; i < PARAMS; i++) free(r->grad[i]), free(r->weight[i]);
}

/* The key third of qkv.bias has a gradient of zero: what is computed is noise. */
static int noise(int param, int64_t i) { return param == QKV_BIAS && i >= WIDTH && i < 2 * WIDTH; }

static double largest(double *const *a, double *const *b, const int64_t *n) {
    double worst = 0;
    for (int p = 0; p < PARAMS; p++)
        for (int64_t i = 0; i < n[p]; i++)
            if (!noise(p, i)) worst = fmax(worst, fabs(a[p][i] - b[p][i]));
    return worst;
}

/* The largest of all tensors', and whose it is. */
static double rel_l2(double *const *a, double *const *b, const int64_t *n, int *ret_param) {
    double worst = *ret_param = 0;
    for (int p = 0; p < PARAMS; p++) {
        double gap = 0, all = 0;
        for (int64_t i = 0; i < n[p]; i++)
            if (!noise(p, i)) gap += (a[p][i] - b[p][i]) * (a[p][i] - b[p][i]), all += b[p][i] * b[p][i];
        if (p != UNUSED && !(sqrt(gap / all) <= worst)) worst = sqrt(gap / all), *ret_param = p;
    }
    return worst;
}

/* Whether x[n] holds the same bits on every rank. */
static int same_everywhere(const void *x, size_t bytes) {
    char *all = malloc(bytes * (size_t)comm->ranks);
    must(comm->all_gather(comm, x, all, bytes, &err));
    int same = 1;
    for (int r = 1; r < comm->ranks; r++) same &= !memcmp(all, all + (size_t)r * bytes, bytes);
    free(all);
    return same;
}

static void shares_equal_the_whole(hct_dev *dev) {
    static const struct {
        hct_dtype dtype;
        hct_optim_kind kind;
        uint64_t bucket;
        uint32_t extra;
        const char *what;
    } cases[] = {
        {HCT_F64, HCT_ADAMW, 0, 2, "F64, AdamW, one bucket"},
        {HCT_F64, HCT_ADAMW, 512, 6 + 1, "F64, AdamW, many buckets"},
        {HCT_F64, HCT_SGD, 4096, 4 + 1, "F64, SGD, a few buckets"},
        {HCT_F32, HCT_SGD, 1, 13 + 1, "F32, SGD, a bucket each"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        result one, many;
        char text[160];
        train(dev, cases[k].dtype, cases[k].kind, 1, 0, &one);
        train(dev, cases[k].dtype, cases[k].kind, 0, cases[k].bucket, &many);
        int which;
        double grads = rel_l2(many.grad, one.grad, one.size, &which),
               weights = largest(many.weight, one.weight, one.size);
        snprintf(text, sizeof text, "%s: gradients within 1e-5 (rank 0: %.2g, p%d)", cases[k].what, grads, which);
        all_ok(grads <= (cases[k].dtype == HCT_F64 ? 1e-12 : 1e-5), text);
        snprintf(text, sizeof text, "%s: weights after %d steps within 1e-6 (rank 0: %.2g)", cases[k].what, STEPS,
                 weights);
        all_ok(weights <= 1e-6, text);
        snprintf(text, sizeof text, "%s: %u exchanges and a wait are added", cases[k].what, many.nodes - one.nodes - 1);
        all_ok(many.nodes - one.nodes == cases[k].extra, text);
        int same = 1;
        for (int i = 0; i < PARAMS; i++) same &= same_everywhere(many.weight[i], (size_t)many.size[i] * sizeof(double));
        snprintf(text, sizeof text, "%s: the same bits on all ranks", cases[k].what);
        all_ok(same, text);
        free_result(&one);
        free_result(&many);
    }
}

/* x minus its mean over all ranks' rows, as batch statistics are: value and gradient. */
static void gradients_flow_through(hct_dev *dev) {
    enum { N = 6 };
    double grad[2][N];
    for (int alone = 0; alone < 2; alone++) {
        int64_t n = alone ? N : N / comm->ranks, first = alone ? 0 : comm->rank * n;
        hct_tensor *x = tensor(dev, HCT_F64, 1, &n, first, 3);
        hct_tape *t = hct_tape_new(dev, HCT_EAGER);
        hct_id v = hct_param(t, x), mean = hct_mean(t, v, HCT_AXIS(0), 1);
        if (!alone) hct_all_reduce(t, &mean, 1, 1.0 / comm->ranks);
        hct_id d = hct_sub(t, v, mean), cube = hct_mul(t, d, hct_mul(t, d, d));
        hct_backward(t, hct_scale(t, hct_sum(t, cube, HCT_AXIS(0), 0), 1.0 / N, 0), 0);
        must(hct_tape_error(t, &err));
        must(hct_read(t, hct_grad(t, v), grad[alone], &err));
        hct_tape_free(t);
        hct_tensor_free(x);
    }
    double worst = 0;
    for (int i = 0; i < N / comm->ranks; i++)
        worst = fmax(worst, fabs(grad[0][i] - grad[1][comm->rank * (N / comm->ranks) + i]));
    all_ok(worst < 1e-14, "the gradient of a mean over all ranks");
}

/* Batch norm over all ranks' rows: value, gradient, and running statistics, against PyTorch's formula on the whole
 * batch. */
static void batch_statistics(hct_dev *dev) {
    enum { N = 6, C = 3 };
    int64_t n = N / comm->ranks, first = comm->rank * n;
    hct_tensor *x = tensor(dev, HCT_F64, 2, (int64_t[]){n, C}, first * C, 5),
               *mean = tensor(dev, HCT_F64, 1, (int64_t[]){C}, 0, 6),
               *var = tensor(dev, HCT_F64, 1, (int64_t[]){C}, 0, 7);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id v = hct_param(t, x), y = hct_batch_norm(t, v, hct_use(t, mean), hct_use(t, var), 0.1, 1e-5, 1),
           cube = hct_mul(t, y, hct_mul(t, y, y));
    hct_backward(t, hct_scale(t, hct_sum(t, cube, HCT_AXES(2), 0), 1, 0), 0);
    must(hct_tape_error(t, &err));
    double got[N * C], grad[N * C], running[2][C], worst = 0, off = 0, slope = 0;
    must(hct_read(t, y, got, &err));
    must(hct_read(t, hct_grad(t, v), grad, &err));
    must(hct_tensor_read(mean, running[0], &err));
    must(hct_tensor_read(var, running[1], &err));
    for (int c = 0; c < C; c++) {
        double m = 0, s = 0, z[N], sum = 0, with = 0;
        for (int i = 0; i < N; i++) m += value_at(i * C + c, 5) / N;
        for (int i = 0; i < N; i++) s += pow(value_at(i * C + c, 5) - m, 2) / N;
        for (int i = 0; i < N; i++)
            z[i] = (value_at(i * C + c, 5) - m) / sqrt(s + 1e-5), sum += 3 * z[i] * z[i] / N,
            with += 3 * z[i] * z[i] * z[i] / N;
        for (int64_t i = 0; i < n; i++) {
            double zi = z[first + i];
            worst = fmax(worst, fabs(got[i * C + c] - zi));
            slope = fmax(slope, fabs(grad[i * C + c] - (3 * zi * zi - sum - zi * with) / sqrt(s + 1e-5)));
        }
        off = fmax(off, fabs(running[0][c] - (0.9 * value_at(c, 6) + 0.1 * m)));
        off = fmax(off, fabs(running[1][c] - (0.9 * value_at(c, 7) + 0.1 * s * N / (N - 1))));
    }
    all_ok(worst < 1e-12, "batch norm takes the statistics of all ranks");
    all_ok(slope < 1e-11, "its gradient too");
    all_ok(off < 1e-12, "and moves its running statistics as one rank would");
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(mean);
    hct_tensor_free(var);
}

enum { VOLUMES = 6, CHANNELS = 3, VOXELS = 2 * 3 * 2 };

/* PyTorch's BatchNorm3d of all volumes, and the gradients of sum(y^3) with respect to x, w and b; in double. */
static void batch_norm3d_of_all(double *y, double *dx, double *dw, double *db, double *mean, double *var) {
    enum { N = VOLUMES * VOXELS };
    for (int c = 0; c < CHANNELS; c++) {
        double w = value_at(c, 10), b = value_at(c, 11), xhat[N], g[N], sum = 0, with = 0;
        mean[c] = var[c] = dw[c] = db[c] = 0;
        for (int k = 0; k < N; k++) mean[c] += value_at((k / VOXELS * CHANNELS + c) * VOXELS + k % VOXELS, 9) / N;
        for (int k = 0; k < N; k++)
            var[c] += pow(value_at((k / VOXELS * CHANNELS + c) * VOXELS + k % VOXELS, 9) - mean[c], 2) / N;
        for (int k = 0; k < N; k++) {
            int64_t i = (k / VOXELS * CHANNELS + c) * VOXELS + k % VOXELS;
            xhat[k] = (value_at(i, 9) - mean[c]) / sqrt(var[c] + 1e-5);
            y[i] = xhat[k] * w + b;
            g[k] = 3 * y[i] * y[i];
            dw[c] += g[k] * xhat[k], db[c] += g[k];
            sum += g[k] * w / N, with += g[k] * w * xhat[k] / N;
        }
        for (int k = 0; k < N; k++)
            dx[(k / VOXELS * CHANNELS + c) * VOXELS + k % VOXELS] =
                (g[k] * w - sum - xhat[k] * with) / sqrt(var[c] + 1e-5);
    }
}

static double gap(const double *a, const double *b, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}

/* Batch norm of volumes over all ranks: value, gradients (those of w and b are sums over this rank's volumes),
 * running statistics. */
static void volume_statistics(hct_dev *dev, hct_dtype dtype, double limit) {
    enum { ALL = VOLUMES * CHANNELS * VOXELS };
    const int64_t n = VOLUMES / comm->ranks, mine = n * CHANNELS * VOXELS, first = comm->rank * mine,
                  channels = CHANNELS;
    double y[ALL], dx[ALL], dw[CHANNELS], db[CHANNELS], m[CHANNELS], v[CHANNELS], got[ALL], running[2][CHANNELS],
        sums[2 * CHANNELS];
    batch_norm3d_of_all(y, dx, dw, db, m, v);
    hct_tensor *x = tensor(dev, dtype, 5, (int64_t[]){n, CHANNELS, 2, 3, 2}, first, 9),
               *w = tensor(dev, dtype, 1, &channels, 0, 10), *b = tensor(dev, dtype, 1, &channels, 0, 11),
               *mean = tensor(dev, dtype, 1, &channels, 0, 6), *var = tensor(dev, dtype, 1, &channels, 0, 7);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id px = hct_param(t, x), pw = hct_param(t, w), pb = hct_param(t, b);
    hct_id out = hct_batch_norm3d(t, px, pw, pb, hct_use(t, mean), hct_use(t, var), 0.1, 1e-5, 1),
           cube = hct_mul(t, out, hct_mul(t, out, out));
    hct_backward(t, hct_sum(t, cube, HCT_AXES(5), 0), 0);
    must(hct_tape_error(t, &err));
    must(hct_read(t, out, got, &err));
    read_as_double(dtype, got, got, mine);
    const char *type = dtype == HCT_F64 ? "F64" : "F32";
    char text[160];
    snprintf(text, sizeof text, "batch norm of volumes takes the statistics of all ranks, %s (rank 0: %.1e)", type,
             gap(got, y + first, mine));
    all_ok(gap(got, y + first, mine) <= limit, text);
    must(hct_read(t, hct_grad(t, px), got, &err));
    read_as_double(dtype, got, got, mine);
    snprintf(text, sizeof text, "its gradient too, %s (rank 0: %.1e)", type, gap(got, dx + first, mine));
    all_ok(gap(got, dx + first, mine) <= 20 * limit, text);
    for (int k = 0; k < 2; k++) {
        must(hct_read(t, hct_grad(t, k ? pb : pw), sums + k * CHANNELS, &err));
        read_as_double(dtype, sums + k * CHANNELS, sums + k * CHANNELS, CHANNELS);
    }
    must(hct_comm_mean(sums, 2 * CHANNELS, &err));
    for (int i = 0; i < 2 * CHANNELS; i++) sums[i] *= comm->ranks;
    all_ok(gap(sums, dw, CHANNELS) <= 200 * limit && gap(sums + CHANNELS, db, CHANNELS) <= 200 * limit,
           "weight and bias have theirs");
    for (int k = 0; k < 2; k++) {
        must(hct_tensor_read(k ? var : mean, running[k], &err));
        read_as_double(dtype, running[k], running[k], CHANNELS);
    }
    double off = 0;
    for (int c = 0; c < CHANNELS; c++) {
        off = fmax(off, fabs(running[0][c] - (0.9 * value_at(c, 6) + 0.1 * m[c])));
        off = fmax(off, fabs(running[1][c] -
                             (0.9 * value_at(c, 7) + 0.1 * v[c] * VOLUMES * VOXELS / (VOLUMES * VOXELS - 1))));
    }
    all_ok(off <= limit, "and the running statistics move as one rank's would");
    hct_tape_free(t);
    hct_tensor *all[] = {x, w, b, mean, var};
    for (int i = 0; i < 5; i++) hct_tensor_free(all[i]);
}

static void exchanges(void) {
    enum { N = 5000001 }; /* odd, and more than one piece of 8 MiB */
    float *x = malloc(N * sizeof *x);
    for (int64_t i = 0; i < N; i++) x[i] = (float)(i % 1000) + (float)comm->rank;
    must(comm->all_reduce(comm, x, N, HCT_F32, &err));
    int right = 1;
    for (int64_t i = 0; i < N; i++) {
        float want = 0;
        for (int r = 0; r < comm->ranks; r++) want += (float)(i % 1000) + (float)r;
        right &= x[i] == want;
    }
    all_ok(right, "a sum of 5,000,001 numbers");
    uint16_t half[2] = {hct_bf16_from_f32(1.5f * (float)(comm->rank + 1)), hct_bf16_from_f32(-2)};
    must(comm->all_reduce(comm, half, 2, HCT_BF16, &err));
    float sum = 0;
    for (int r = 0; r < comm->ranks; r++) sum += 1.5f * (float)(r + 1);
    all_ok(hct_f32_from_bf16(half[0]) == sum && hct_f32_from_bf16(half[1]) == -2 * (float)comm->ranks, "a sum in BF16");
    for (int64_t i = 0; i < N; i++) x[i] = comm->rank == 1 ? (float)i : 0;
    must(comm->broadcast(comm, x, N * sizeof *x, 1, &err));
    right = 1;
    for (int64_t i = 0; i < N; i++) right &= x[i] == (float)i;
    all_ok(right, "a broadcast from rank 1");
    char *all = malloc((size_t)comm->ranks * N * sizeof *x);
    for (int64_t i = 0; i < N; i++) x[i] = (float)(i + comm->rank);
    must(comm->all_gather(comm, x, all, N * sizeof *x, &err));
    right = 1;
    for (int r = 0; r < comm->ranks; r++)
        right &= ((float *)(void *)all)[(int64_t)r * N + 7] == (float)(7 + r) &&
                 ((float *)(void *)all)[(int64_t)r * N + N - 1] == (float)(N - 1 + r);
    all_ok(right, "a gathering of 20 MB from each");
    int64_t whole = 3;
    all_ok(comm->all_reduce(comm, &whole, 1, HCT_I64, &err) == HCT_EDTYPE && whole == 3, "whole numbers are refused");
    err.code = 0;
    all_ok(hct_comm_agree("colour", "blue", &err) == HCT_OK, "agreement");
    hct_status st = hct_comm_agree("colour", comm->rank == comm->ranks - 1 ? "red" : "blue", &err);
    int named = strstr(err.msg, "another colour") && strstr(err.msg, "red") && strstr(err.msg, "blue");
    err.code = 0;
    all_ok(st == HCT_EINVAL && named, "disagreement names what and who");
    free(x);
    free(all);
}

int main(void) {
    if (hct_comm_open(&comm, &err) < 0 || !comm) {
        printf("1..1\nnot ok 1 - ranks: %s\n", err.code < 0 ? err.msg : "start it by mpirun");
        return 1;
    }
    hct_ctx *ctx = hct_open(NULL, &err);
    hct_dev *dev = ctx ? hct_device_open(ctx, NULL, &err) : NULL;
    if (!dev) must(err.code);
    exchanges();
    gradients_flow_through(dev);
    batch_statistics(dev);
    volume_statistics(dev, HCT_F64, 1e-12);
    volume_statistics(dev, HCT_F32, 1e-6);
    shares_equal_the_whole(dev);
    hct_device_close(dev);
    hct_close(ctx);
    int code = comm->rank == 0 ? tap_done() : 0;
    hct_comm_close();
    return code;
}
