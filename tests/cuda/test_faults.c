/* Faults that the CUDA backend had, each as a test on the emulated device: test_faults NAME... runs those named.
 * faults.sh says in which environment, and what else must be seen. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/comm.h"
#include "hct/half.h"
#include "hct/hct.h"
#include "tap.h"

static hct_err err;
static hct_ctx *ctx;
static hct_dev *dev;

/* ---- values ---- */

static hct_tensor *tensor_on(hct_dev *d, hct_dtype dtype, int ndim, const int64_t *dim, double (*value)(int64_t)) {
    hct_tensor *t = hct_tensor_new(d, dtype, ndim, dim, &err);
    if (!t && err.code == HCT_ENOMEM) tap_ok(0, "memory for the test (%s)", err.msg), exit(tap_done());
    int64_t n = t ? hct_numel(hct_tensor_view(t)) : 0;
    char *bytes = malloc((size_t)n * 4 + 1);
    for (int64_t i = 0; i < n; i++) {
        float f = (float)value(i);
        uint16_t h = dtype == HCT_F16 ? hct_f16_from_f32(f) : hct_bf16_from_f32(f);
        if (dtype == HCT_F32) memcpy(bytes + 4 * i, &f, 4);
        else memcpy(bytes + 2 * i, &h, 2);
    }
    if (t) hct_tensor_write(t, bytes, &err);
    free(bytes);
    return t;
}
#define TENSOR(dtype, value, ...)                                                                                      \
    tensor_on(dev, dtype, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}, value)

static double one(int64_t i) { return (void)i, 1; }
static double ramp(int64_t i) { return (double)(i % 13) / 8 - 0.75; }
static double wave(int64_t i) { return nearbyint(32 * sin((double)i)) / 64; } /* exact in bf16, as ramp is */
static double unit(int64_t i) { return i % 8 == 0; }                          /* rows of 8: the first axis */

/* The floats of a value; NULL, with the tape's error in err. */
static float *floats(hct_tape *t, hct_id id) {
    if (hct_tape_error(t, &err) < 0) return NULL;
    const hct_view *v = hct_shape(t, id);
    int64_t n = hct_numel(v);
    char *bytes = malloc((size_t)n * 4 + 1);
    float *x = malloc((size_t)n * 4 + 1);
    int ok = hct_read(t, id, bytes, &err) == HCT_OK;
    for (int64_t i = 0; ok && i < n; i++) {
        uint16_t h;
        if (v->dtype == HCT_F32) memcpy(x + i, bytes + 4 * i, 4);
        else memcpy(&h, bytes + 2 * i, 2), x[i] = v->dtype == HCT_F16 ? hct_f32_from_f16(h) : hct_f32_from_bf16(h);
    }
    free(bytes);
    if (!ok) free(x), x = NULL;
    return x;
}

/* Whether y = x w^T on the device is what it is: x [5, 7], w [3, 7]. */
static int linear_works(hct_dev *d) {
    hct_tensor *x = tensor_on(d, HCT_F32, 2, (int64_t[]){5, 7}, ramp),
               *w = tensor_on(d, HCT_F32, 2, (int64_t[]){3, 7}, wave);
    hct_tape *t = hct_tape_new(d, HCT_EAGER);
    float *y = x && w ? floats(t, hct_linear(t, hct_use(t, x), hct_use(t, w), 0)) : NULL;
    int ok = y != NULL;
    for (int i = 0; ok && i < 15; i++) {
        double sum = 0;
        for (int k = 0; k < 7; k++) sum += ramp(i / 3 * 7 + k) * (double)(float)wave(i % 3 * 7 + k);
        ok = fabs(y[i] - sum) < 1e-5;
    }
    free(y);
    hct_tape_free(t);
    hct_tensor_free(x), hct_tensor_free(w);
    return ok;
}

/* ---- a: gradients of 16-bit copies stay in F32 ---- */

enum { ROWS = 301 }; /* a sum of ones that bf16 cannot hold: it would be 300 or 302 */

/* The gradient of a parameter [4, 8] that meets ROWS rows of ones, seeded with ones; how: through what it goes. */
static void wide_gradient(const char *what, hct_id (*through)(hct_tape *, hct_id), int ndim, const int64_t *dim,
                          double (*value)(int64_t), int skip) {
    hct_tensor *master = tensor_on(dev, HCT_F32, ndim, dim, value), *copy = tensor_on(dev, HCT_BF16, ndim, dim, value),
               *x = TENSOR(HCT_BF16, one, ROWS, 8), *seed = TENSOR(HCT_BF16, one, ROWS, 4);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id w = hct_param_copy(t, master, copy), y = hct_linear(t, hct_use(t, x), through(t, w), 0);
    hct_backward(t, y, hct_use(t, seed));
    hct_id g = hct_grad(t, hct_param(t, master));
    float *got = g ? floats(t, g) : NULL;
    int ok = got && hct_shape(t, g)->dtype == HCT_F32;
    for (int i = 0; ok && i < 32; i++) ok = got[i] == (skip && i % 8 == 0 ? 0 : ROWS);
    tap_ok(ok, "the gradient of a copy %s is in F32, from F32 sums (%s, %g)", what, err.msg,
           got ? (double)got[1] : 0.0);
    free(got);
    hct_tape_free(t);
    hct_tensor_free(master), hct_tensor_free(copy), hct_tensor_free(x), hct_tensor_free(seed);
}
static hct_id itself(hct_tape *t, hct_id w) { return (void)t, w; }
static hct_id reshaped(hct_tape *t, hct_id w) { return hct_reshape(t, w, 2, (int64_t[]){4, 8}); }
static hct_tensor *ones;
static hct_id normalised(hct_tape *t, hct_id w) { return hct_mul(t, hct_l2_normalize(t, w, 1e-12), hct_use(t, ones)); }
static void wide(void) {
    ones = TENSOR(HCT_BF16, one, 4, 8);
    wide_gradient("that is multiplied", itself, 2, (int64_t[]){4, 8}, ramp, 0);
    wide_gradient("behind a reshape (patch embedding)", reshaped, 5, (int64_t[]){4, 1, 2, 2, 2}, ramp, 0);
    wide_gradient("that is normalised and scaled (prototypes)", normalised, 2, (int64_t[]){4, 8}, unit, 1);
    hct_tensor_free(ones);
}

/* ---- b: a refused call fails alone ---- */

static void refused(void) {
    static const char *const calls[] = {"matmul@1+", "launch@1+", "upload@1+=1", "sync@1+=800"};
    tap_ok(linear_works(dev), "a product (%s)", err.msg);
    for (int i = 0; i < 4; i++) {
        err.msg[0] = 0;
        setenv("EMU_FAIL", calls[i], 1);
        hct_tape *t = hct_tape_new(dev, HCT_EAGER);
        hct_tensor *x = TENSOR(HCT_F32, ramp, 5, 7), *w = TENSOR(HCT_F32, ramp, 3, 7);
        float *y = x && w ? floats(t, hct_gelu(t, hct_linear(t, hct_use(t, x), hct_use(t, w), 0))) : NULL;
        tap_ok(!y && err.msg[0], "%s: it fails (%s)", calls[i], err.msg);
        free(y);
        hct_tape_free(t);
        hct_tensor_free(x), hct_tensor_free(w);
        unsetenv("EMU_FAIL");
        tap_ok(linear_works(dev), "and the next call works (%s)", err.msg);
    }
}

/* EMU_FAIL=kernel@3=716: a kernel of ours is misaligned. */
static void lost(void) {
    for (int i = 0; i < 4; i++) (void)linear_works(dev); /* the third kernel of all is the one */
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id y = hct_fill(t, HCT_F32, 1, (int64_t[]){5}, 1);
    for (int i = 0; i < 4; i++) y = hct_scale(t, y, 2, 1);
    float *got = floats(t, y);
    tap_ok(!got && strstr(err.msg, "MISALIGNED") && strstr(err.msg, "cannot be used any more"),
           "a misaligned address ends the device, and says so: %s", err.msg);
    hct_tape_free(t);
    tap_ok(!linear_works(dev) && err.code == HCT_EDEVICE, "every later call says the device has failed (%s)", err.msg);
}

/* ---- c, d, e: what cuBLASLt is asked ---- */

static void alignment(void) {
    hct_tensor *x = TENSOR(HCT_BF16, ramp, 2, 3, 5, 2), *w = TENSOR(HCT_BF16, ramp, 2, 3, 7, 5);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    static const int swap[] = {0, 1, 3, 2};
    /* a copy in the workspace stands before cuBLASLt's own */
    float *y = floats(t, hct_linear(t, hct_permute(t, hct_use(t, x), swap),
                                    hct_reshape(t, hct_use(t, w), 2, (int64_t[]){42, 5}), 0));
    tap_ok(y != NULL, "a product behind a copy in the workspace (%s)", err.msg);
    free(y);
    hct_tape_free(t);
    t = hct_tape_new(dev, HCT_PROGRAM);
    hct_id kept[4];
    for (int i = 0; i < 4; i++) hct_keep(t, kept[i] = hct_fill(t, HCT_F32, 1, (int64_t[]){1}, i));
    int ok = hct_compile(t, &err) == HCT_OK && hct_run(t, &err) == HCT_OK;
    tap_ok(ok && hct_stats(t).arena == 4 * 256,
           "values of a program lie at multiples of 256 (%llu bytes for four numbers)",
           (unsigned long long)hct_stats(t).arena);
    hct_tape_free(t);
    hct_tensor_free(x), hct_tensor_free(w);
}

static void bias(void) {
    static const hct_dtype dtypes[] = {HCT_F32, HCT_BF16, HCT_F16};
    for (int d = 0; d < 3; d++)
        for (int64_t at = 1; at < 6; at += 4) {
            hct_tensor *x = TENSOR(dtypes[d], ramp, 4, 16), *w = TENSOR(dtypes[d], ramp, 8, 16),
                       *b = TENSOR(dtypes[d], ramp, 40);
            hct_tape *t = hct_tape_new(dev, HCT_EAGER);
            hct_id plain = hct_linear(t, hct_use(t, x), hct_use(t, w), 0);
            float *y = floats(t, hct_linear(t, hct_use(t, x), hct_use(t, w), hct_slice(t, hct_use(t, b), 0, at, 8))),
                  *z = floats(t, plain);
            int ok = y && z;
            for (int i = 0; ok && i < 32; i++)
                ok = fabs(y[i] - z[i] - ramp(at + i % 8)) <= (d ? 0.03 : 1e-6) * (1 + fabs((double)z[i]));
            tap_ok(ok, "a bias that begins at element %d of a vector, %s (%s)", (int)at, hct_dtype_name(dtypes[d]),
                   err.msg);
            free(y), free(z);
            hct_tape_free(t);
            hct_tensor_free(x), hct_tensor_free(w), hct_tensor_free(b);
        }
}

/* 257 in the first half, -256 in the second: in parts of bf16 it would be 0 or 2. */
static double halves(int64_t i) { return i % 512 == 0 ? 2 : i % 512 < 256 ? 1 : -1; }
static void split(void) {
    hct_tensor *x = TENSOR(HCT_BF16, one, 3, 512), *w = TENSOR(HCT_BF16, halves, 4, 512);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    float *y = floats(t, hct_linear(t, hct_use(t, x), hct_use(t, w), 0));
    const char *loose = getenv("HEADCT_SPLIT_SUMS");
    if (loose) tap_ok(y && y[0] != 1, "HEADCT_SPLIT_SUMS=1: parts may be rounded (%g)", y ? (double)y[0] : 0.0);
    else
        tap_ok(y && y[0] == 1 && y[11] == 1, "long sums are not added up from rounded parts (%g)",
               y ? (double)y[0] : 0.0);
    free(y);
    hct_tape_free(t);
    hct_tensor_free(x), hct_tensor_free(w);
}

/* ---- f: a graph that is refused ---- */

/* A program that is ready to run: sum += gelu(x w^T) at each step. */
typedef struct program {
    hct_tensor *x, *w, *sum, *rates;
    hct_tape *t;
    hct_id y;
} program;
static int program_new(program *p, hct_dev *d) {
    p->x = tensor_on(d, HCT_F32, 2, (int64_t[]){5, 7}, ramp);
    p->w = tensor_on(d, HCT_F32, 2, (int64_t[]){3, 7}, wave);
    p->sum = tensor_on(d, HCT_F32, 2, (int64_t[]){5, 3}, ramp);
    p->rates = tensor_on(d, HCT_F32, 1, (int64_t[]){2}, one);
    p->t = hct_tape_new(d, HCT_PROGRAM);
    p->y = hct_gelu(p->t, hct_linear(p->t, hct_use(p->t, p->x), hct_use(p->t, p->w), 0));
    hct_ema(p->t, hct_use(p->t, p->rates), 0, (hct_id[]){hct_use(p->t, p->sum), p->y}, 1);
    hct_keep(p->t, p->y);
    return hct_compile(p->t, &err) == HCT_OK;
}
static int program_steps(const program *p, int n) {
    int ok = 1;
    for (int i = 0; ok && i < n; i++) ok = hct_run(p->t, &err) == HCT_OK;
    return ok;
}
/* Whether so many steps were done, each once. */
static int program_adds_up(const program *p, int steps) {
    float *got = floats(p->t, p->y), total[15];
    int ok = got && hct_tensor_read(p->sum, total, &err) == HCT_OK;
    for (int i = 0; ok && i < 15; i++) ok = fabs(total[i] - ramp(i) - steps * (double)got[i]) < 1e-5;
    free(got);
    return ok;
}
static void program_free(program *p) {
    hct_tape_free(p->t);
    hct_tensor_free(p->x), hct_tensor_free(p->w), hct_tensor_free(p->sum), hct_tensor_free(p->rates);
}

static int steps_work(const char *fails) {
    program p;
    int ok = program_new(&p, dev);
    setenv("EMU_FAIL", fails, 1);
    ok = ok && program_steps(&p, 4);
    unsetenv("EMU_FAIL");
    ok = ok && program_adds_up(&p, 4);
    program_free(&p);
    return ok;
}
static void steps(void) { tap_ok(steps_work(""), "four steps, the last three as a graph (%s)", err.msg); }
static void graph(void) {
    static const char *const fails[] = {"capture@1+", "endcapture@1+", "instantiate@1+", "graph@1+"};
    tap_ok(steps_work(""), "four steps, the last three as a graph (%s)", err.msg);
    for (int i = 0; i < 4; i++) tap_ok(steps_work(fails[i]), "%s: four steps, each done once (%s)", fails[i], err.msg);
    tap_ok(steps_work("launch@7"), "a call that fails only while it is captured: four steps (%s)", err.msg);
}

/* ---- g: memory that goes from one stream to another ---- */

static double seven(int64_t i) { return (void)i, 7; }
static double copies(int64_t i) { return i; } /* target = 0 target + 1 source */
static void pool(void) {
    enum { N = 6000000 }; /* more than the pinned pieces hold: the host waits for the copies, and so they go first */
    hct_tensor *target = TENSOR(HCT_F32, seven, N), *source = TENSOR(HCT_F32, one, N), *input = TENSOR(HCT_F32, one, N),
               *rates = TENSOR(HCT_F32, copies, 2);
    float *x = malloc(N * sizeof *x);
    for (int i = 0; i < N; i++) x[i] = (float)seven(i);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_ema(t, hct_use(t, rates), 0, (hct_id[]){hct_use(t, target), hct_use(t, source)}, 1); /* queued */
    hct_tape_free(t);
    hct_tensor_free(source); /* its block becomes the input's second place, on another stream */
    int ok = hct_ahead_begin(dev, &err) == HCT_OK && hct_tensor_write(input, x, &err) == HCT_OK;
    hct_ahead_end(dev);
    ok = ok && hct_tensor_read(target, x, &err) == HCT_OK;
    int wrong = 0;
    for (int i = 0; ok && i < N; i++) wrong += x[i] != 1;
    tap_ok(ok && !wrong,
           "a block that goes from one stream to another is written behind what reads it (%d of %d wrong)", wrong, N);
    free(x);
    hct_tensor_free(target), hct_tensor_free(input), hct_tensor_free(rates);
}

/* Batches that are sent ahead while the steps before are still queued: each is taken before the next takes its
 * place. */
static void ahead(void) {
    enum { ROUNDS = 24, N = 5 };
    hct_tensor *sum = TENSOR(HCT_F32, ramp, N), *input = TENSOR(HCT_F32, ramp, N), *rates = TENSOR(HCT_F32, one, 2);
    float x[N], got[N];
    int ok = 1, wrong = 0;
    for (int r = 1; ok && r <= ROUNDS; r++) {
        for (int i = 0; i < N; i++) x[i] = (float)(r * r + i);
        ok = hct_ahead_begin(dev, &err) == HCT_OK && hct_tensor_write(input, x, &err) == HCT_OK;
        hct_ahead_end(dev);
        ok = ok && hct_ahead_take(dev, &err) == HCT_OK;
        hct_tape *t = hct_tape_new(dev, HCT_EAGER);
        hct_ema(t, hct_use(t, rates), 0, (hct_id[]){hct_use(t, sum), hct_use(t, input)}, 1);
        hct_tape_free(t);
    }
    ok = ok && hct_tensor_read(sum, got, &err) == HCT_OK;
    for (int i = 0; ok && i < N; i++) {
        double truth = ramp(i);
        for (int r = 1; r <= ROUNDS; r++) truth += r * r + i;
        wrong += fabs(got[i] - truth) > 1e-3;
    }
    tap_ok(ok && !wrong, "%d batches in a row (%d wrong, %s)", ROUNDS, wrong, err.msg);
    hct_tensor_free(sum), hct_tensor_free(input), hct_tensor_free(rates);
}

/* Uploads and downloads through pinned pieces, which are filled and read when the device is done with them. */
static void uploads(void) {
    enum { N = 6000000, ROUNDS = 3 };
    hct_tensor *t[ROUNDS];
    int ok = 1, wrong = 0;
    for (int r = 0; r < ROUNDS; r++) t[r] = TENSOR(HCT_F32, one, N);
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    for (int r = 0; r < ROUNDS && ok; r++) {
        for (int i = 0; i < N; i++) x[i] = (float)((i + r) % 9973);
        ok = hct_tensor_write(t[r], x, &err) == HCT_OK;
    }
    memset(x, 0, N * sizeof *x);
    for (int r = 0; r < ROUNDS && ok; r++) {
        ok = hct_tensor_read(t[r], y, &err) == HCT_OK;
        for (int i = 0; i < N; i++) wrong += y[i] != (float)((i + r) % 9973);
    }
    tap_ok(ok && !wrong, "72 MB go up in a row, and come back (%d wrong, %s)", wrong, err.msg);
    for (int r = 0; r < ROUNDS; r++) hct_tensor_free(t[r]);
    free(x);
    free(y);
}

/* ---- h: contexts ---- */

static int attention_works(hct_dev *d, int64_t tokens, int64_t keys, int expanded) {
    int64_t dim[] = {2, tokens, 2, 16}, kdim[] = {expanded ? 1 : 2, keys, 2, 16}, full[] = {2, keys, 2, 16};
    hct_tensor *x[3] = {tensor_on(d, HCT_BF16, 4, dim, ramp), tensor_on(d, HCT_BF16, 4, kdim, wave),
                        tensor_on(d, HCT_BF16, 4, kdim, ramp)},
               *seed = tensor_on(d, HCT_BF16, 4, dim, wave);
    hct_dev *cpu = hct_device_open(ctx, "cpu", &err);
    hct_tensor *cx[3] = {tensor_on(cpu, HCT_F32, 4, dim, ramp), tensor_on(cpu, HCT_F32, 4, kdim, wave),
                         tensor_on(cpu, HCT_F32, 4, kdim, ramp)},
               *cseed = tensor_on(cpu, HCT_F32, 4, dim, wave);
    float *got[2][4] = {{NULL}};
    for (int side = 0; side < 2; side++) {
        hct_tape *t = hct_tape_new(side ? cpu : d, HCT_EAGER);
        hct_id p[3], in[3];
        for (int i = 0; i < 3; i++) {
            in[i] = p[i] = hct_param(t, (side ? cx : x)[i]);
            if (i && expanded) in[i] = hct_expand(t, p[i], 4, full);
        }
        hct_id y = hct_attention(t, in[0], in[1], in[2], 0.25);
        hct_backward(t, y, hct_use(t, side ? cseed : seed));
        got[side][0] = floats(t, y);
        for (int i = 0; i < 3; i++) got[side][1 + i] = got[side][0] ? floats(t, hct_grad(t, p[i])) : NULL;
        hct_tape_free(t);
    }
    int ok = got[0][3] && got[1][3];
    for (int k = 0; ok && k < 4; k++) {
        int64_t n = (k < 2 ? dim[0] * tokens : kdim[0] * keys) * 32;
        double error = 0, truth = 0;
        for (int64_t i = 0; i < n; i++) {
            double e = (double)got[0][k][i] - (double)got[1][k][i];
            error += e * e;
            truth += (double)got[1][k][i] * (double)got[1][k][i];
        }
        /* roundings to bf16, of o too, whose dot with its gradient is taken from each score's gradient */
        ok = sqrt(error) <= 0.03 * sqrt(truth) + 1e-6;
    }
    for (int i = 0; i < 8; i++) free(got[i / 4][i % 4]);
    for (int i = 0; i < 3; i++) hct_tensor_free(x[i]), hct_tensor_free(cx[i]);
    hct_tensor_free(seed), hct_tensor_free(cseed);
    hct_device_close(cpu);
    return ok;
}

static void reopened(void) {
    for (int i = 0; i < 3; i++) {
        tap_ok(attention_works(dev, 9, 9, 0), "attention by cuDNN, the device opened %d times (%s)", i + 1, err.msg);
        hct_device_close(dev);
        dev = hct_device_open(ctx, "cuda", &err);
    }
}

static void *elsewhere(void *arg) {
    const program *p = arg;
    return (void *)(intptr_t)(program_steps(p, 4) && program_adds_up(p, 4));
}
static void *everything(void *arg) {
    hct_dev *d = arg;
    return (void *)(intptr_t)(linear_works(d) && attention_works(d, 9, 9, 0) && steps_work("") && linear_works(d));
}
static void threads(void) {
    void *(*const tasks[])(void *) = {elsewhere, everything};
    program p;
    int ready = program_new(&p, dev);
    for (int i = 0; i < 2 && ready; i++) {
        pthread_t other;
        void *ok = NULL;
        pthread_create(&other, NULL, tasks[i], i ? (void *)dev : (void *)&p);
        pthread_join(other, &ok);
        tap_ok(ok != NULL, "%s on a thread that did not open the device (%s)",
               i ? "products, attention and captured steps" : "a program that was compiled before", err.msg);
    }
    program_free(&p);
}
static void devices(void) { /* EMU_DEVICES=2 */
    hct_dev *second = hct_device_open(ctx, "cuda:1", &err);
    int ok = second != NULL;
    program p, q;
    for (int i = 0; ok && i < 3; i++)
        ok = linear_works(dev) && linear_works(second) && attention_works(dev, 9, 9, 0) &&
             attention_works(second, 9, 9, 0);
    tap_ok(ok, "two devices by turns (%s)", err.msg);
    if (!second) return;
    ok = program_new(&p, dev) && program_new(&q, second);
    for (int i = 0; ok && i < 4; i++) ok = program_steps(&p, 1) && program_steps(&q, 1);
    tap_ok(ok && program_adds_up(&p, 4) && program_adds_up(&q, 4), "and a program on each, step by step (%s)", err.msg);
    program_free(&p);
    program_free(&q);
    hct_device_close(second);
}

/* ---- i: sums over ranks ---- */

/* As one of as many ranks as the launcher's environment says, all of which have the same (lone/). */
static void mean(void) {
    const hct_comm *comm = hct_comm_world();
    int ranks = comm ? comm->ranks : 1;
    hct_tensor *x = TENSOR(HCT_F32, ramp, 40);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id id = hct_use(t, x);
    hct_all_reduce(t, &id, 1, 1.0 / ranks);
    float *y = floats(t, id);
    int ok = y != NULL;
    for (int i = 0; ok && i < 40; i++) ok = fabs(y[i] - ramp(i)) < 1e-6;
    tap_ok(ok, "the mean over %d ranks (%s)", ranks, err.msg);
    free(y);
    hct_tape_free(t);
    hct_tensor_free(x);
}

/* An exchange is under way, and nothing has waited for it, when the device is closed. */
static void side(void) {
    hct_tensor *x = TENSOR(HCT_F32, ramp, 40), *y = TENSOR(HCT_F32, ramp, 40);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id in[] = {hct_use(t, x), hct_use(t, y)}, out[2];
    hct_emit(t, "all_reduce", in, 2, &(hct_attr){.name = "scale", .kind = HCT_ATTR_REAL, .real = 1}, 1, out, 2);
    tap_ok(hct_tape_error(t, &err) == HCT_OK, "an exchange that nothing waits for (%s)", err.msg);
    hct_tape_free(t);
    hct_tensor_free(x), hct_tensor_free(y);
}

/* Memory that an exchange still works on goes to others: to the same stream, and to the one of uploads. */
static void exchanged(hct_tensor *x) { /* begins; its result's memory is free again */
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id in = hct_use(t, x), out;
    hct_emit(t, "all_reduce", &in, 1, &(hct_attr){.name = "scale", .kind = HCT_ATTR_REAL, .real = 1}, 1, &out, 1);
    hct_tape_free(t);
}
static int exchanges_end(void) {
    hct_tensor *x = TENSOR(HCT_F32, one, 3);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id id = hct_use(t, x);
    hct_all_reduce(t, &id, 1, 1);
    float *got = floats(t, id);
    hct_tape_free(t);
    hct_tensor_free(x);
    free(got);
    return got != NULL;
}
static void crossing(void) {
    enum { N = 6000000 }; /* as in pool() */
    float *x = malloc(N * sizeof *x);
    hct_tensor *source = TENSOR(HCT_F32, one, N), *input = TENSOR(HCT_F32, one, N);
    for (int up = 0; up < 2; up++) {
        int wrong = 0, ok = exchanges_end();
        exchanged(source);
        hct_tensor *next = up ? NULL : TENSOR(HCT_F32, seven, N); /* written */
        for (int i = 0; i < N; i++) x[i] = 7;
        if (up) {
            ok = ok && hct_ahead_begin(dev, &err) == HCT_OK && hct_tensor_write(input, x, &err) == HCT_OK;
            hct_ahead_end(dev);
        } else ok = ok && hct_tensor_read(next, x, &err) == HCT_OK;
        ok = ok && exchanges_end() && (!up || hct_ahead_take(dev, &err) == HCT_OK);
        ok = ok && hct_tensor_read(up ? input : next, x, &err) == HCT_OK;
        for (int i = 0; ok && i < N; i++) wrong += x[i] != 7;
        tap_ok(ok && !wrong, "an exchange's memory is given to %s behind it (%d of %d wrong, %s)",
               up ? "uploads" : "its own stream", wrong, N, err.msg);
        hct_tensor_free(next);
    }
    free(x);
    hct_tensor_free(source), hct_tensor_free(input);
}

/* A device is closed while its work is queued. */
static void closing(void) {
    hct_tensor *x = TENSOR(HCT_F32, ramp, 40);
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_scale(t, hct_use(t, x), 2, 1);
    tap_ok(hct_tape_error(t, &err) == HCT_OK, "work that nothing waits for (%s)", err.msg);
    hct_tape_free(t);
    hct_tensor_free(x);
}

/* A graph goes while it is queued: hct_run waits for each step, other callers of a backend need not. */
static void dropped(void) {
    const hct_backend *b = NULL;
    hct_device *d = NULL;
    hct_stream *s = NULL;
    void *from = NULL, *to = NULL, *graph = NULL;
    for (size_t i = 0; i < hct_backend_count(ctx); i++)
        if (!strcmp(hct_backend_at(ctx, i)->name, "cuda")) b = hct_backend_at(ctx, i);
    int ok = b && b->open(0, &d, &err) == HCT_OK && b->stream_new(d, &s, &err) == HCT_OK &&
             b->alloc(d, 4096, &from, &err) == HCT_OK && b->alloc(d, 4096, &to, &err) == HCT_OK &&
             b->capture_begin(s, &err) == HCT_OK &&
             b->copy(d, s, HCT_DEVICE_TO_DEVICE, to, 0, from, 0, 4096, &err) == HCT_OK &&
             b->capture_end(s, &graph, &err) == HCT_OK && b->graph_launch(s, graph, &err) == HCT_OK;
    tap_ok(ok, "a graph that nothing has waited for is freed (%s)", err.msg);
    if (graph) b->graph_free(s, graph);
    if (from) b->free(d, from);
    if (to) b->free(d, to);
    if (s) b->stream_free(s);
    if (d) b->close(d);
}

/* ---- j, k ---- */

static void attention(void) {
    static const int64_t sizes[][2] = {{9, 9}, {128, 128}, {65, 131}, {1, 7}};
    for (int i = 0; i < 4; i++)
        tap_ok(attention_works(dev, sizes[i][0], sizes[i][1], 0), "attention of %d queries and %d keys, and back (%s)",
               (int)sizes[i][0], (int)sizes[i][1], err.msg);
}
static void token(void) { tap_ok(attention_works(dev, 1, 1, 0), "attention of one token, and back (%s)", err.msg); }
static void strides(void) {
    tap_ok(attention_works(dev, 9, 9, 1), "attention whose keys are the same for every scan (%s)", err.msg);
}
static void release(void) { /* EMU_FAIL=free@1 */
    for (int i = 0; i < 3; i++) hct_tensor_free(hct_tensor_new(dev, HCT_U8, 1, (int64_t[]){1 << 30}, &err));
    tap_ok(linear_works(dev), "the driver does not take a block back, work goes on (%s)", err.msg);
}
static void waits(void) { /* HCT_SYNC=1 EMU_FAIL=kernel@2=716 */
    hct_tape *t = hct_tape_new(dev, HCT_EAGER);
    hct_id y = hct_gelu(t, hct_scale(t, hct_fill(t, HCT_F32, 1, (int64_t[]){5}, 1), 2, 1));
    float *got = floats(t, hct_scale(t, y, 2, 1));
    tap_ok(!got && strstr(err.msg, "scale: found after cu:scale (HCT_SYNC=1)"), "HCT_SYNC=1 names the call: %s",
           err.msg);
    free(got);
    hct_tape_free(t);
}
static void flops(void) {
    double sum[2];
    for (int back = 0; back < 2; back++) {
        hct_tensor *x = TENSOR(HCT_F32, ramp, 2, 5, 3, 8);
        hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
        hct_id p = hct_param(t, x), y = hct_attention(t, p, p, p, 1);
        if (back) hct_backward(t, y, hct_use(t, x));
        hct_keep(t, back ? hct_grad(t, p) : y);
        sum[back] = hct_plan_only(t, &err) == HCT_OK ? hct_stats(t).flops : 0;
        hct_tape_free(t);
        hct_tensor_free(x);
    }
    tap_ok(sum[0] == 4.0 * 2 * 5 * 5 * 3 * 8 && sum[1] == 3 * sum[0],
           "attention's backward counts as twice its forward, however often a kernel computes the scores (%g, %g)",
           sum[0], sum[1]);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {{"wide", wide},       {"refused", refused}, {"lost", lost},         {"alignment", alignment},
             {"bias", bias},       {"split", split},     {"steps", steps},       {"graph", graph},
             {"pool", pool},       {"uploads", uploads}, {"reopened", reopened}, {"threads", threads},
             {"devices", devices}, {"mean", mean},       {"side", side},         {"attention", attention},
             {"token", token},     {"strides", strides}, {"release", release},   {"waits", waits},
             {"flops", flops},     {"ahead", ahead},     {"crossing", crossing}, {"closing", closing},
             {"dropped", dropped}};

int main(int argc, char **argv) {
    const hct_comm *comm = NULL;
    if (hct_comm_open(&comm, &err) < 0) tap_note("%s", err.msg);
    ctx = hct_open(NULL, &err);
    dev = ctx ? hct_device_open(ctx, "cuda", &err) : NULL;
    if (!dev) tap_ok(0, "the device opens: %s", err.msg);
    for (int a = 1; dev && a < argc; a++)
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
            if (!strcmp(argv[a], tests[i].name)) err.msg[0] = 0, tests[i].run();
    hct_device_close(dev);
    hct_close(ctx);
    hct_comm_close();
    return tap_done();
}
