/* Values, shapes and truth of one case. */
#include "conformance.h"

#include "hct/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t case_inputs(const op_case *c) {
    uint32_t n = 0;
    while (n < MAX_IN && c->in[n].kind != IN_NONE) n++;
    return n;
}

uint32_t case_attrs(const op_case *c) {
    uint32_t n = 0;
    while (n < MAX_ATTR && c->attr[n].name) n++;
    return n;
}

int64_t call_int(const call *k, const char *name, int64_t otherwise) {
    return hct_attr_int(k->c->attr, k->n_attr, name, otherwise);
}
double call_real(const call *k, const char *name) { return hct_attr_real(k->c->attr, k->n_attr, name, NAN); }

bool real_dtype(int32_t d) { return d == HCT_F32 || d == HCT_F64 || d == HCT_BF16 || d == HCT_F16; }

void encode(const double *x, int64_t n, int32_t dtype, void *to) {
    for (int64_t i = 0; i < n; i++) switch (dtype) {
        case HCT_F32: ((float *)to)[i] = (float)x[i]; break;
        case HCT_F64: ((double *)to)[i] = x[i]; break;
        case HCT_BF16: ((uint16_t *)to)[i] = hct_bf16_from_f32((float)x[i]); break;
        case HCT_F16: ((uint16_t *)to)[i] = hct_f16_from_f32((float)x[i]); break;
        case HCT_I64: ((int64_t *)to)[i] = (int64_t)x[i]; break;
        case HCT_I32: ((int32_t *)to)[i] = (int32_t)x[i]; break;
        case HCT_I16: ((int16_t *)to)[i] = (int16_t)x[i]; break;
        case HCT_I8: ((int8_t *)to)[i] = (int8_t)x[i]; break;
        default: ((uint8_t *)to)[i] = (uint8_t)x[i];
        }
}

void decode(const void *from, int64_t n, int32_t dtype, double *x) {
    for (int64_t i = 0; i < n; i++) switch (dtype) {
        case HCT_F32: x[i] = (double)((const float *)from)[i]; break;
        case HCT_F64: x[i] = ((const double *)from)[i]; break;
        case HCT_BF16: x[i] = (double)hct_f32_from_bf16(((const uint16_t *)from)[i]); break;
        case HCT_F16: x[i] = (double)hct_f32_from_f16(((const uint16_t *)from)[i]); break;
        case HCT_I64: x[i] = (double)((const int64_t *)from)[i]; break;
        case HCT_I32: x[i] = ((const int32_t *)from)[i]; break;
        case HCT_I16: x[i] = ((const int16_t *)from)[i]; break;
        case HCT_I8: x[i] = ((const int8_t *)from)[i]; break;
        default: x[i] = ((const uint8_t *)from)[i];
        }
}

/* splitmix64 (Steele, Lea & Flood 2014). */
static uint64_t step(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double random_64th(uint64_t *state) { return (double)((int64_t)(step(state) % 257) - 128) / 64; }

static double draw(const case_input *in, int32_t dtype, int64_t i, uint64_t *state) {
    uint64_t r = step(state);
    switch (in->kind) {
    case IN_POSITIVE: return (double)(16 + r % 113) / 64;
    case IN_F32: return (double)(1 + r % 128) / 64;
    case IN_INDEX: return (double)(r % (uint64_t)in->limit);
    case IN_MASK: return r % 4 ? 1 : 0;
    case IN_RNG: return (double)(1000 + 77 * i);
    case IN_FINE: return ((double)(r % 4194304) - 2097152) / 1048576;
    case IN_DISTINCT: return (double)((97 * i + 31) % 257 - 128) / 64;
    case IN_LARGE: return (double)((int64_t)(r % 257) - 128) * 4;
    case IN_LIST: return listed_value(in, dtype, i);
    case IN_RANGE:
        if (!real_dtype(dtype)) return in->low + (double)(r % (uint64_t)(in->high - in->low + 1));
        return in->low + (in->high - in->low) * (double)(r >> 11) * 0x1p-53;
    case IN_WIDE: return real_dtype(dtype) ? (double)(r % 241) / 2 - 20 : (double)(r % 100);
    case IN_ANY:
        if (!real_dtype(dtype)) return (double)(1 + r % 100);
        return (double)((int64_t)(r % 257) - 128) / 64;
    default: return (double)((int64_t)(r % 257) - 128) / 64;
    }
}

static int32_t input_dtype(const case_input *in, int32_t dtype) {
    input_kind kind = in->kind;
    if (in->fixed) return in->fixed - 1;
    if (kind == IN_STAT) return dtype == HCT_F64 ? HCT_F64 : HCT_F32;
    if (kind == IN_F32) return HCT_F32;
    if (kind == IN_COPY) return HCT_BF16;
    return kind == IN_INDEX || kind == IN_RNG ? HCT_I32 : dtype;
}

static void contiguous(hct_view *v) {
    int64_t s = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        v->stride[d] = s;
        s *= v->dim[d];
    }
}

static double *values(int64_t n) {
    double *x = calloc((size_t)n + 1, sizeof *x);
    if (!x) abort();
    return x;
}

static void make_input(call *k, uint32_t i, int32_t dtype, bool broadcast) {
    const case_input *in = &k->c->in[i];
    hct_view *v = &k->in[i];
    *v = (hct_view){.ndim = in->ndim, .dtype = input_dtype(in, dtype)};
    memcpy(v->dim, in->dim, sizeof v->dim);
    contiguous(v);
    int64_t n = hct_numel(v), row = v->ndim && v->dim[0] ? n / v->dim[0] : n;
    uint64_t state = i + 1;
    for (const char *s = k->c->op; *s; s++) state = state * 31 + (unsigned char)*s;
    k->x[i] = values(n);
    for (int64_t j = 0; j < n; j++)
        k->x[i][j] = broadcast && j >= row ? k->x[i][j - row] : draw(in, in->fixed ? v->dtype : dtype, j, &state);
}

bool call_make(call *k, const device *reference, const op_case *c, int32_t dtype, bool broadcast, hct_err *why) {
    *k = (call){.c = c, .n_in = case_inputs(c), .n_out = c->n_out ? c->n_out : 1, .n_attr = case_attrs(c)};
    k->op = hct_op_find(reference->ctx, c->op);
    if (!k->op) return hct_fail(why, HCT_ENOTFOUND, "the table has a case for '%s', which is no op", c->op), false;
    for (uint32_t i = 0; i < k->n_in; i++) make_input(k, i, dtype, broadcast);
    if (c->derive) c->derive(k);
    for (uint32_t i = 0; i < k->n_in; i++) {
        int64_t n = hct_numel(&k->in[i]);
        void *bytes = malloc((size_t)n * 8 + 1);
        if (!bytes) abort();
        encode(k->x[i], n, k->in[i].dtype, bytes);
        decode(bytes, n, k->in[i].dtype, k->x[i]);
        free(bytes);
    }
    hct_problem p = {.size = sizeof p,
                     .op = c->op,
                     .in = k->in,
                     .out = k->out,
                     .attr = c->attr,
                     .n_in = k->n_in,
                     .n_out = k->n_out,
                     .n_attr = k->n_attr};
    hct_status st = k->op->infer(&p, k->out, why);
    if (st != HCT_OK) return false;
    for (uint32_t o = 0; o < k->n_out; o++) {
        if (!(k->op->flags & HCT_OP_VIEW)) contiguous(&k->out[o]);
        k->y[o] = values(hct_numel(&k->out[o]));
    }
    if (!reference->backend) return true;
    if (!c->naive) return reference_run(reference, k, why);
    c->naive(k);
    return true;
}

void call_free(call *k) {
    for (int i = 0; i < MAX_IN; i++) free(k->x[i]);
    for (int i = 0; i < MAX_OUT; i++) free(k->y[i]);
}

/* ---- tolerance ----
 *
 * Inputs are exact in every dtype, so an output differs from the truth by the rounding of its own storage (at most
 * eps/2 of the element) and by what the kernel's sums lose. The 16-bit dtypes compute in F32, so storage is nearly all
 * of it: 2 eps of the largest element leaves a kernel that rounds one intermediate to 16 bits its place. In F32 and F64
 * sums over up to 513 terms of either sign lose a few tens of eps of their result: 64 eps of the largest element, 32
 * eps in the mean (relative L2). */
static double eps_of(int32_t dtype) {
    return dtype == HCT_F64    ? 0x1p-52
           : dtype == HCT_F32  ? 0x1p-23
           : dtype == HCT_F16  ? 0x1p-10
           : dtype == HCT_BF16 ? 0x1p-7
                               : 0;
}

static double rounded(double x, int32_t dtype) {
    double back, bytes;
    encode(&x, 1, dtype, &bytes);
    decode(&bytes, 1, dtype, &back);
    return back;
}

/* Element by element: what the dtype rounds to inf or nan is that; the rest within c eps of itself, or of the smallest
 * normal number, below which a device may have no numbers. EXACT: the sign of a zero too. */
static bool elements_compare(const call *k, uint32_t o, const double *got, hct_err *why) {
    int32_t dtype = k->out[o].dtype;
    const double *truth = k->y[o];
    double c = dtype == HCT_F16 || dtype == HCT_BF16 ? 2 : 64;
    for (int64_t i = 0; i < hct_numel(&k->out[o]); i++) {
        double want = rounded(truth[i], dtype);
        bool ok = isnan(want)   ? isnan(got[i])
                  : isinf(want) ? got[i] == want
                  : k->c->flags & EXACT
                      ? got[i] == want && !signbit(got[i]) == !signbit(want)
                      : fabs(got[i] - truth[i]) <= c * eps_of(dtype) * fabs(truth[i]) + least_normal(dtype);
        if (ok) continue;
        hct_fail(why, HCT_EINVAL, "output %u (%s): element %lld is %.9g, the truth %.9g", o, hct_dtype_name(dtype),
                 (long long)i, got[i], truth[i]);
        return false;
    }
    return true;
}

bool call_compare(const call *k, uint32_t o, const double *got, hct_err *why) {
    if (k->c->flags & ELEMENTWISE) return elements_compare(k, o, got, why);
    int32_t dtype = k->out[o].dtype;
    int64_t n = hct_numel(&k->out[o]), worst = 0;
    double eps = eps_of(dtype), scale = 0, most = 0, sum_error = 0, sum_truth = 0;
    double c_max = dtype == HCT_F16 || dtype == HCT_BF16 ? 2 : 64,
           c_l2 = dtype == HCT_F16 || dtype == HCT_BF16 ? 1 : 32;
    const double *truth = k->y[o];
    if (k->c->flags & EXACT) c_max = c_l2 = 0;
    for (int64_t i = 0; i < n; i++) {
        double want = k->c->flags & EXACT ? rounded(truth[i], dtype) : truth[i],
               e = got[i] == want ? 0 : fabs(got[i] - want);
        if (!(e <= most)) most = e, worst = i;
        if (e != e) break;
        scale = fmax(scale, fabs(truth[i]));
        sum_error += e * e;
        sum_truth += truth[i] * truth[i];
    }
    double l2 = sum_truth > 0 ? sqrt(sum_error / sum_truth) : sum_error > 0 ? INFINITY : 0;
    if (most <= c_max * eps * scale && l2 <= c_l2 * eps) return true;
    hct_fail(
        why, HCT_EINVAL,
        "output %u (%s): element %lld is %.9g, the truth %.9g; worst error %.3g of %.3g, relative L2 %.3g; eps is %.3g",
        o, hct_dtype_name(dtype), (long long)worst, n ? got[worst] : 0, n ? truth[worst] : 0, most, scale, l2, eps);
    return false;
}

bool call_mistrusted(const call *k) {
    if (k->c->flags & ZEROS) return false;
    int64_t n = hct_numel(&k->out[0]), zeros = 0;
    for (int64_t i = 0; i < n; i++) zeros += k->y[0][i] == 0;
    return n > 0 && 2 * zeros > n;
}
