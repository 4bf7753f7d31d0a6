/* One call through the tape: value against truth, a program's bits against eager's, gradients against central
 * differences of random directions (v' J u), and composites. Inputs lie plain, or as permuted slices of larger tensors.
 */
#include "conformance.h"

#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double EPS = 1e-6, ATOL = 1e-5, RTOL = 1e-3; /* PyTorch's gradcheck */

typedef struct trial {
    const call *k;
    hct_dev *dev;
    bool gaps;         /* inputs are permuted slices */
    double *x[MAX_IN]; /* base tensors' values */
    int64_t n[MAX_IN];
    double *v[MAX_OUT]; /* the directions of outputs */
} trial;

typedef struct result { /* freed by result_free */
    double *y[MAX_OUT], *g[MAX_IN];
} result;

static uint32_t n_smooth(const call *k) { return k->c->n_smooth ? k->c->n_smooth : 1; }

static bool differentiable(const call *k, uint32_t i) {
    input_kind kind = k->c->in[i].kind;
    return (k->in[i].dtype == HCT_F64 || k->in[i].dtype == HCT_F32) && !k->c->in[i].fixed &&
           (kind == IN_RANGE || kind == IN_REAL || kind == IN_POSITIVE || kind == IN_DISTINCT || kind == IN_ANY);
}

/* ---- inputs ---- */

/* The tensor below input i: with gaps its axes are in reverse order and one longer, and the input starts at 1 of each.
 */
static hct_view base_of(const trial *t, uint32_t i) {
    hct_view b = t->k->in[i];
    for (int d = 0; t->gaps && d < b.ndim; d++) b.dim[d] = t->k->in[i].dim[b.ndim - 1 - d] + 1;
    return b;
}

static hct_id input_from(hct_tape *tape, const trial *t, uint32_t i, hct_id base) {
    if (!t->gaps) return base;
    int n = t->k->in[i].ndim, back[HCT_MAX_DIMS];
    for (int d = 0; d < n; d++) {
        base = hct_slice(tape, base, d, 1, t->k->in[i].dim[n - 1 - d]);
        back[d] = n - 1 - d;
    }
    return hct_permute(tape, base, back);
}

static void fill_base(trial *t, uint32_t i) {
    hct_view b = base_of(t, i), *in = (hct_view *)&t->k->in[i];
    uint64_t state = 77 + i;
    t->n[i] = hct_numel(&b);
    t->x[i] = malloc(sizeof(double) * (size_t)(t->n[i] + 1));
    if (!t->x[i]) abort();
    for (int64_t j = 0; j < t->n[i]; j++) t->x[i][j] = real_dtype(in->dtype) ? random_64th(&state) : 0;
    for (int64_t j = 0; j < hct_numel(in); j++) {
        int64_t at = 0, step = 1, rest = j;
        for (int d = 0; d < b.ndim && t->gaps; d++) { /* the view's last axis is the base's first */
            int64_t inner = 1;
            for (int e = 1 + d; e < b.ndim; e++) inner *= b.dim[e];
            at += (rest % in->dim[in->ndim - 1 - d] + 1) * inner;
            rest /= in->dim[in->ndim - 1 - d];
        }
        t->x[i][t->gaps ? at : j * step] = t->k->x[i][j];
    }
}

/* ---- one recording ---- */

static hct_tensor *tensor_of(hct_dev *dev, const hct_view *v, const double *x, hct_err *err) {
    hct_tensor *t = hct_tensor_new(dev, (hct_dtype)v->dtype, v->ndim, v->dim, err);
    void *bytes = malloc((size_t)hct_numel(v) * 8 + 1);
    if (!bytes) abort();
    encode(x, hct_numel(v), v->dtype, bytes);
    if (t && hct_tensor_write(t, bytes, err) < 0) {
        hct_tensor_free(t);
        t = NULL;
    }
    free(bytes);
    return t;
}

typedef struct recording {
    hct_tape *tape;
    hct_tensor *base[MAX_IN], *v[MAX_OUT];
    hct_id base_id[MAX_IN], in[MAX_IN], out[MAX_OUT];
} recording;

static void loss_of(recording *r, const trial *t) {
    const call *k = t->k;
    hct_id v[MAX_OUT], loss = 0;
    for (uint32_t o = 0; o < n_smooth(k); o++) v[o] = hct_use(r->tape, r->v[o]);
    if (n_smooth(k) == 1) {
        hct_backward(r->tape, r->out[0], v[0]);
        return;
    }
    for (uint32_t o = 0; o < n_smooth(k); o++) {
        hct_id part = hct_sum(r->tape, hct_mul(r->tape, r->out[o], v[o]), HCT_AXES(k->out[o].ndim), 0);
        loss = loss ? hct_add(r->tape, loss, part) : part;
    }
    hct_backward(r->tape, loss, 0);
}

/* wrt: bits of the inputs that are parameters; 0: no backward. */
static bool record(recording *r, const trial *t, hct_mode mode, uint32_t wrt, hct_err *err) {
    const call *k = t->k;
    memset(r, 0, sizeof *r);
    r->tape = hct_tape_new(t->dev, mode);
    if (!r->tape) abort();
    for (uint32_t i = 0; i < k->n_in; i++) {
        hct_view b = base_of(t, i);
        if (!(r->base[i] = tensor_of(t->dev, &b, t->x[i], err))) return false;
        r->base_id[i] = wrt >> i & 1 ? hct_param(r->tape, r->base[i]) : hct_use(r->tape, r->base[i]);
        r->in[i] = input_from(r->tape, t, i, r->base_id[i]);
    }
    if (k->c->into[0]) {
        for (uint32_t o = 0; o < k->n_out; o++) r->out[o] = r->in[k->c->into[o] - 1];
        hct_emit_into(r->tape, k->c->op, r->in, k->n_in, k->c->attr, k->n_attr, r->out, k->n_out);
    } else {
        hct_emit(r->tape, k->c->op, r->in, k->n_in, k->c->attr, k->n_attr, r->out, k->n_out);
    }
    for (uint32_t o = 0; o < k->n_out; o++) hct_keep(r->tape, r->out[o]);
    for (uint32_t o = 0; wrt && o < n_smooth(k); o++)
        if (!(r->v[o] = tensor_of(t->dev, &k->out[o], t->v[o], err))) return false;
    if (wrt) loss_of(r, t);
    for (uint32_t i = 0; i < k->n_in; i++)
        if (wrt >> i & 1) hct_keep(r->tape, hct_grad(r->tape, r->base_id[i]));
    if (hct_tape_error(r->tape, err) < 0) return false;
    return mode == HCT_EAGER || (hct_compile(r->tape, err) == HCT_OK && hct_run(r->tape, err) == HCT_OK);
}

static void record_free(recording *r) {
    hct_tape_free(r->tape);
    for (int i = 0; i < MAX_IN; i++) hct_tensor_free(r->base[i]);
    for (int o = 0; o < MAX_OUT; o++) hct_tensor_free(r->v[o]);
}

static double *read_value(hct_tape *tape, hct_id id, const hct_view *v, hct_err *err) {
    size_t n = (size_t)hct_numel(v);
    void *bytes = malloc(n * 8 + 1);
    double *x = malloc(n * sizeof *x + 1);
    if (!bytes || !x) abort();
    if (hct_read(tape, id, bytes, err) == HCT_OK) decode(bytes, (int64_t)n, v->dtype, x);
    else free(x), x = NULL;
    free(bytes);
    return x;
}

static void result_free(result *s) {
    for (int i = 0; i < MAX_OUT; i++) free(s->y[i]);
    for (int i = 0; i < MAX_IN; i++) free(s->g[i]);
}

static bool evaluate(const trial *t, hct_mode mode, uint32_t wrt, result *s, hct_err *err) {
    recording r;
    memset(s, 0, sizeof *s);
    bool ok = record(&r, t, mode, wrt, err);
    for (uint32_t o = 0; ok && o < t->k->n_out; o++)
        ok = (s->y[o] = read_value(r.tape, r.out[o], &t->k->out[o], err)) != NULL;
    for (uint32_t i = 0; ok && i < t->k->n_in; i++) {
        if (!(wrt >> i & 1)) continue;
        hct_view b = base_of(t, i);
        hct_id g = hct_grad(r.tape, r.base_id[i]);
        ok = g ? (s->g[i] = read_value(r.tape, g, &b, err)) != NULL
               : hct_fail(err, HCT_EINVAL, "no gradient reaches input %u", i) == HCT_OK;
    }
    record_free(&r);
    return ok;
}

/* ---- checks ---- */

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static bool weighted(const trial *t, double *ret, hct_err *err) {
    result s;
    bool ok = evaluate(t, HCT_EAGER, 0, &s, err);
    *ret = 0;
    for (uint32_t o = 0; ok && o < n_smooth(t->k); o++) *ret += dot(t->v[o], s.y[o], hct_numel(&t->k->out[o]));
    result_free(&s);
    return ok;
}

/* v' J u of input i, by backward and by central differences along a random u of the base tensor. */
static bool gradient_of(trial *t, uint32_t i, uint64_t seed, hct_err *err) {
    result s;
    double *u = malloc(sizeof *u * (size_t)(t->n[i] + 1)), *x = t->x[i],
           *moved = malloc(sizeof *u * (size_t)(t->n[i] + 1)), up = 0, down = 0;
    if (!u || !moved) abort();
    for (int64_t j = 0; j < t->n[i]; j++) u[j] = random_64th(&seed);
    bool ok = evaluate(t, HCT_EAGER, 1u << i, &s, err);
    double backward = ok ? dot(s.g[i], u, t->n[i]) : 0;
    t->x[i] = moved;
    for (int side = 0; ok && side < 2; side++) {
        for (int64_t j = 0; j < t->n[i]; j++) moved[j] = x[j] + (side ? -EPS : EPS) * u[j];
        ok = weighted(t, side ? &down : &up, err);
    }
    t->x[i] = x;
    double difference = (up - down) / (2 * EPS);
    if (ok && !(fabs(backward - difference) <= ATOL + RTOL * fabs(difference))) /* NaN fails */
        ok = hct_fail(err, HCT_EINVAL, "gradient of input %u: backward gives %.9g, central differences %.9g", i,
                      backward, difference) == HCT_OK;
    result_free(&s);
    free(u);
    free(moved);
    return ok;
}

static bool same_bits(const trial *t, const result *a, const result *b, hct_err *err) {
    for (uint32_t o = 0; o < t->k->n_out; o++)
        if (memcmp(a->y[o], b->y[o], sizeof(double) * (size_t)hct_numel(&t->k->out[o])) != 0)
            return hct_fail(err, HCT_EINVAL, "output %u: program and eager differ", o), false;
    for (uint32_t i = 0; i < t->k->n_in; i++)
        if (a->g[i] && memcmp(a->g[i], b->g[i], sizeof(double) * (size_t)t->n[i]) != 0)
            return hct_fail(err, HCT_EINVAL, "gradient of input %u: program and eager differ", i), false;
    return true;
}

static bool check_trial(trial *t, bool gradients, hct_err *err) {
    const call *k = t->k;
    uint32_t wrt = 0;
    for (uint32_t i = 0; gradients && i < k->n_in; i++) wrt |= (uint32_t)differentiable(k, i) << i;
    if (gradients && !wrt) return hct_fail(err, HCT_EINVAL, "the case has no differentiable input"), false;
    result eager, program = {0};
    bool ok = evaluate(t, HCT_EAGER, wrt, &eager, err) && evaluate(t, HCT_PROGRAM, wrt, &program, err) &&
              same_bits(t, &eager, &program, err);
    for (uint32_t o = 0; ok && o < k->n_out; o++) ok = call_compare(k, o, eager.y[o], err);
    result_free(&eager);
    result_free(&program);
    for (uint32_t i = 0; ok && i < k->n_in; i++)
        for (uint64_t seed = 1; ok && (wrt >> i & 1) && seed <= 2; seed++) ok = gradient_of(t, i, seed * 1000 + i, err);
    return ok;
}

/* Gradients of the same call on two devices, in F32: both add up in more, and round a few times. */
static bool near_gradients(const trial *t, const result *got, const result *want, hct_err *err) {
    const double most = 64 * 0x1p-24; /* relative L2 */
    for (uint32_t i = 0; i < t->k->n_in; i++) {
        double error = 0, truth = 0;
        for (int64_t j = 0; got->g[i] && j < t->n[i]; j++) {
            error += (got->g[i][j] - want->g[i][j]) * (got->g[i][j] - want->g[i][j]);
            truth += want->g[i][j] * want->g[i][j];
        }
        if (!(sqrt(error) <= most * sqrt(truth))) /* NaN fails */
            return hct_fail(err, HCT_EINVAL, "gradient of input %u: relative L2 to the reference's is %.3g", i,
                            sqrt(error / truth)) == HCT_OK;
    }
    return true;
}

static bool compare_trial(trial *t, hct_dev *reference, bool gradients, hct_err *err) {
    const call *k = t->k;
    uint32_t wrt = 0;
    for (uint32_t i = 0; gradients && i < k->n_in; i++) wrt |= (uint32_t)differentiable(k, i) << i;
    trial there = *t;
    there.dev = reference;
    result eager, program = {0}, want = {0};
    bool ok = evaluate(t, HCT_EAGER, wrt, &eager, err) && evaluate(t, HCT_PROGRAM, wrt, &program, err) &&
              same_bits(t, &eager, &program, err) && evaluate(&there, HCT_EAGER, wrt, &want, err) &&
              near_gradients(t, &eager, &want, err);
    for (uint32_t o = 0; ok && o < k->n_out; o++) ok = call_compare(k, o, eager.y[o], err);
    result_free(&eager);
    result_free(&program);
    result_free(&want);
    return ok;
}

/* reference: NULL, or the device whose gradients count. */
static verdict try_tape(hct_dev *dev, hct_dev *reference, const call *k, bool contiguous, bool gradients,
                        hct_err *why) {
    trial t = {.k = k, .dev = dev, .gaps = !contiguous};
    uint64_t state = 5;
    for (uint32_t i = 0; i < k->n_in; i++) fill_base(&t, i);
    for (uint32_t o = 0; o < k->n_out; o++) {
        int64_t n = hct_numel(&k->out[o]);
        t.v[o] = malloc(sizeof(double) * (size_t)(n + 1));
        if (!t.v[o]) abort();
        for (int64_t j = 0; j < n; j++) t.v[o][j] = random_64th(&state);
    }
    bool ok = reference ? compare_trial(&t, reference, gradients, why) : check_trial(&t, gradients, why);
    for (int i = 0; i < MAX_IN; i++) free(t.x[i]);
    for (int o = 0; o < MAX_OUT; o++) free(t.v[o]);
    return ok ? PASSED : FAILED;
}

verdict tape_check(hct_dev *dev, const call *k, bool contiguous, bool gradients, hct_err *why) {
    return try_tape(dev, NULL, k, contiguous, gradients, why);
}

verdict tape_compare(hct_dev *dev, hct_dev *reference, const call *k, bool contiguous, bool gradients, hct_err *why) {
    return try_tape(dev, reference, k, contiguous, gradients, why);
}

verdict composite_check(hct_dev *dev, const call *k, hct_err *why) {
    if (!HCT_HAS(k->op, compose)) return SKIPPED;
    hct_tape *tape = hct_tape_new(dev, HCT_EAGER);
    hct_tensor *x[MAX_IN] = {0};
    hct_id in[MAX_IN], out[MAX_OUT] = {0};
    bool ok = tape != NULL;
    for (uint32_t i = 0; ok && i < k->n_in; i++) {
        ok = (x[i] = tensor_of(dev, &k->in[i], k->x[i], why)) != NULL;
        in[i] = ok ? hct_use(tape, x[i]) : 0;
    }
    hct_node n = {.size = sizeof n,
                  .n_in = k->n_in,
                  .n_out = k->n_out,
                  .n_attr = k->n_attr,
                  .op = k->c->op,
                  .in = in,
                  .out = out,
                  .attr = k->c->attr};
    ok = ok && k->op->compose(&hct_device_context(dev)->host, tape, &n, out, why) == HCT_OK &&
         hct_tape_error(tape, why) == HCT_OK;
    for (uint32_t o = 0; ok && o < k->n_out; o++) {
        if (!out[o]) continue; /* values that only the op's own backward reads */
        double *y = read_value(tape, out[o], &k->out[o], why);
        ok = y && call_compare(k, o, y, why);
        free(y);
    }
    hct_tape_free(tape);
    for (int i = 0; i < MAX_IN; i++) hct_tensor_free(x[i]);
    return ok && out[0] ? PASSED : FAILED;
}
