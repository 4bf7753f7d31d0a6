/* Cubic B-spline prefilter and weights. */
#include "imaging/spline.h"

#include <math.h>

#define POLE (-0.26794919243112270647) /* sqrt(3) - 2, the root of z^2 + 4z + 1 inside the unit circle */
#define INLINE static inline __attribute__((always_inline))

/*   forward   c+(m) = 6 s(m) + z c+(m-1)       c+(0) from the symmetric extension s(-1-m) = s(m)
 *   backward  c(m)  = z (c(m+1) - c+(m))       c(n-1) = z / (z - 1) c+(n-1)
 * A whole extended axis has at least 2 SPLINE_PAD + 1 elements, so leaving out the extension's second period costs less
 * than 1e-14. */
INLINE void filter(double *c, int64_t n, int64_t stride) {
    double first[SPLINE_LINES] = {0}, zm = POLE;
    int64_t horizon = n < 60 ? n : 60;
    for (int64_t m = 0; m < horizon; m++, zm *= POLE)
        for (int x = 0; x < SPLINE_LINES; x++) first[x] += zm * c[m * stride + x];
    for (int x = 0; x < SPLINE_LINES; x++) first[x] = c[x] = 6 * (c[x] + first[x]);
    for (int64_t m = 1; m < n; m++) {
        double *now = c + m * stride;
        for (int x = 0; x < SPLINE_LINES; x++) first[x] = now[x] = 6 * now[x] + POLE * first[x];
    }
    double *end = c + (n - 1) * stride;
    for (int x = 0; x < SPLINE_LINES; x++) first[x] = end[x] *= POLE / (POLE - 1);
    for (int64_t m = n - 2; m >= 0; m--) {
        double *now = c + m * stride;
        for (int x = 0; x < SPLINE_LINES; x++) first[x] = now[x] = POLE * (first[x] - now[x]);
    }
}

/* The loop that all blends share; CONVERT makes an output of the double x. */
#define BLEND(CONVERT)                                                                                                 \
    const double *c0 = c + t->at[0] * stride, *c1 = c + t->at[1] * stride, *c2 = c + t->at[2] * stride,                \
                 *c3 = c + t->at[3] * stride;                                                                          \
    double w0 = t->w[0], w1 = t->w[1], w2 = t->w[2], w3 = t->w[3];                                                     \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
        double x = w0 * c0[i] + w1 * c1[i] + w2 * c2[i] + w3 * c3[i];                                                  \
        to[i] = CONVERT;                                                                                               \
    }

INLINE int16_t to_i16(float x) {
    x = x < -32768.0f ? -32768.0f : x > 32767.0f ? 32767.0f : x;
    return (int16_t)rintf(x); /* the default rounding mode: half to even */
}

INLINE void blend(const spline_tap *t, const double *c, int64_t stride, int64_t n, double *restrict to){BLEND(x)} INLINE
    void blend_f32(const spline_tap *t, const double *c, int64_t stride, int64_t n, float *restrict to){
        BLEND((float)x)} INLINE void blend_i16(const spline_tap *t, const double *c, int64_t stride, int64_t n,
                                               int16_t *restrict to){BLEND(to_i16((float)x))}

INLINE void weights(double f, double w[4]) {
    double g = 1 - f;
    w[0] = g * g * g / 6;
    w[1] = (4 - 6 * f * f + 3 * f * f * f) / 6;
    w[2] = (4 - 6 * g * g + 3 * g * g * g) / 6;
    w[3] = f * f * f / 6;
}

INLINE void sample(double *c, const spline_span *s, int64_t dim, double x0, double step, int64_t n,
                   double *restrict to) {
    double low = -SPLINE_PAD, high = (double)(dim - 1 + SPLINE_PAD);
    c[-1] = c[0]; /* half-sample symmetric, where the span is the whole axis; otherwise no x comes near */
    c[s->n] = c[s->n - 1];
    c[s->n + 1] = c[s->n - 2];
    for (int64_t i = 0; i < n; i++) {
        double x = x0 + step * (double)i, w[4];
        x = x < low ? low : x > high ? high : x;
        double whole = floor(x);
        const double *at = c + (int32_t)whole - s->first;
        weights(x - whole, w);
        to[i] = w[0] * at[-1] + w[1] * at[0] + w[2] * at[1] + w[3] * at[2];
    }
}

/* Each loop twice: for any machine, and for AVX2 where the machine has it. */
#if defined __x86_64__
#define ON_AVX2(NAME, PARAMETERS, ARGUMENTS)                                                                           \
    __attribute__((target("avx2"))) static void NAME##_avx2 PARAMETERS { NAME ARGUMENTS; }                             \
    void spline_##NAME PARAMETERS {                                                                                    \
        if (__builtin_cpu_supports("avx2")) NAME##_avx2 ARGUMENTS;                                                     \
        else NAME ARGUMENTS;                                                                                           \
    }
#else
#define ON_AVX2(NAME, PARAMETERS, ARGUMENTS)                                                                           \
    void spline_##NAME PARAMETERS { NAME ARGUMENTS; }
#endif

ON_AVX2(filter, (double *block, int64_t n, int64_t stride), (block, n, stride))
ON_AVX2(blend, (const spline_tap *t, const double *c, int64_t stride, int64_t n, double *to), (t, c, stride, n, to))
ON_AVX2(blend_f32, (const spline_tap *t, const double *c, int64_t stride, int64_t n, float *to), (t, c, stride, n, to))
ON_AVX2(blend_i16, (const spline_tap *t, const double *c, int64_t stride, int64_t n, int16_t *to),
        (t, c, stride, n, to))
ON_AVX2(sample, (double *c, const spline_span *s, int64_t dim, double x0, double step, int64_t n, double *to),
        (c, s, dim, x0, step, n, to))

spline_span spline_span_of(int64_t dim, double low, double high) {
    double end = (double)(dim - 1 + SPLINE_PAD);
    low = fmin(fmax(low, -SPLINE_PAD), end);
    high = fmin(fmax(high, -SPLINE_PAD), end);
    double first = fmax(floor(low) - 1 - SPLINE_REACH, -SPLINE_PAD), last = fmin(floor(high) + 2 + SPLINE_REACH, end);
    return (spline_span){(int64_t)first, (int64_t)(last - first) + 1};
}

spline_tap spline_tap_at(double x, int64_t dim, const spline_span *s) {
    spline_tap t;
    int64_t n = dim + 2 * SPLINE_PAD;
    x = fmin(fmax(x + SPLINE_PAD, 0), (double)(n - 1));
    int64_t first = (int64_t)x;
    weights(x - (double)first, t.w);
    for (int q = 0; q < 4; q++) {
        int64_t i = first - 1 + q;
        t.at[q] = (i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i) - SPLINE_PAD - s->first; /* half-sample symmetric */
    }
    return t;
}
