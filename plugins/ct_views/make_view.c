/* Makes one view. Compiled once for each instruction set with -DISA=name; loops are written so that compilers
 * vectorise them. */
#include "views.h"

#include <math.h>
#include <string.h>

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)

static int64_t bin_first(int64_t i, int64_t n, int64_t m) { return i * n / m; }
static int64_t bin_end(int64_t i, int64_t n, int64_t m) { return ((i + 1) * n + m - 1) / m; }
static int64_t first_bin_of(int64_t at, int64_t n, int64_t m) { /* the first bin that holds source voxel `at` */
    int64_t bin = at * m / n;
    while (bin > 0 && bin_end(bin - 1, n, m) > at) bin--;
    return bin;
}

typedef struct job {
    const view_source *s;
    int64_t start[3], extent[3], size; /* in memory order: slow, mid, fast */
    int flip[3];
    float shift;
    float *row, *mid, *slab; /* [fast extent]; [channels, size, fast extent]: a plane, a bin of planes */
} job;

/* Adds the window of one row of HU to every mid bin of the row. */
static void add_windowed(float *restrict to, const float *restrict hu, int64_t n, float low, float per_width) {
    for (int64_t x = 0; x < n; x++) {
        float v = (hu[x] - low) * per_width;
        v = v < 0.0f ? 0.0f : v;
        to[x] += v > 1.0f ? 1.0f : v;
    }
}

static void add(float *restrict to, const float *restrict from, int64_t n) {
    for (int64_t x = 0; x < n; x++) to[x] += from[x];
}

/* mid = plane `at` of the crop, its rows summed in bins along the mid axis. */
static void reduce_plane(const job *b, int64_t at) {
    const view_source *s = b->s;
    int reversed = s->hu != NULL; /* slow, mid, fast are z, y, x */
    const int64_t *d = s->dim;
    int64_t slow = d[reversed ? 2 : 0], mid = d[1], fast = d[reversed ? 0 : 2], n = b->extent[2], my = b->extent[1];
    memset(b->mid, 0, (size_t)(s->channels * b->size * n) * sizeof *b->mid);
    for (int64_t y = 0; y < my; y++) {
        int64_t place = ((b->start[0] + at) * mid + b->start[1] + y) * fast + b->start[2],
                first = first_bin_of(y, my, b->size);
        if (s->hu)
            for (int64_t x = 0; x < n; x++) b->row[x] = s->hu[place + x];
        for (int c = 0; c < s->channels; c++)
            for (int64_t j = first; j < b->size && bin_first(j, my, b->size) <= y; j++) {
                float *to = b->mid + (c * b->size + j) * n;
                if (s->hu) add_windowed(to, b->row, n, s->low[c], s->per_width[c]);
                else add(to, s->ready + c * slow * mid * fast + place, n);
            }
    }
}

/* Bins along the fast axis of a finished slab, as means plus the shift: out [size, size] for one channel. */
static void finish_slab(const job *b, const float *slab, int64_t k, float *out) {
    int64_t m = b->size, n = b->extent[2], depth = bin_end(k, b->extent[0], m) - bin_first(k, b->extent[0], m);
    const int64_t whole = n / m, over = n % m; /* bins follow each other by n / m: no division for each of them */
    for (int64_t j = 0; j < m; j++) {
        const float *row = slab + j * n;
        float *to = out + (b->flip[1] ? m - 1 - j : j) * m;
        int64_t area = depth * (bin_end(j, b->extent[1], m) - bin_first(j, b->extent[1], m));
        for (int64_t i = 0, first = 0, rest = 0, next; i < m; i++, first = next) {
            next = first + whole, rest += over;
            if (rest >= m) next++, rest -= m;
            int64_t end = next + (rest > 0);
            float sum = row[first];
            for (int64_t x = first + 1; x < end; x++) sum += row[x];
            to[b->flip[2] ? m - 1 - i : i] = sum / (float)(area * (end - first)) + b->shift;
        }
    }
}

/* to [i][j][k] = from [k][j][i], in blocks that stay in cache. */
static void transpose(const float *restrict from, float *restrict to, int64_t m) {
    enum { BLOCK = 16 };
    for (int64_t j = 0; j < m; j++)
        for (int64_t i0 = 0; i0 < m; i0 += BLOCK)
            for (int64_t k0 = 0; k0 < m; k0 += BLOCK)
                for (int64_t i = i0; i < m && i < i0 + BLOCK; i++)
                    for (int64_t k = k0; k < m && k < k0 + BLOCK; k++)
                        to[(i * m + j) * m + k] = from[(k * m + j) * m + i];
}

/* resized: [channels][slow][mid][fast] bins. Neighbouring bins share a plane at most, the last of one being the
 * first of the next. */
static void resize(job *b, float *resized) {
    int64_t m = b->size, n = b->extent[2], slab = (int64_t)b->s->channels * m * n, volume = m * m * m, reduced = -1;
    for (int64_t k = 0; k < m; k++) {
        memset(b->slab, 0, (size_t)slab * sizeof *b->slab);
        for (int64_t at = bin_first(k, b->extent[0], m); at < bin_end(k, b->extent[0], m); at++) {
            if (at != reduced) reduce_plane(b, at);
            reduced = at;
            add(b->slab, b->mid, slab);
        }
        int64_t place = b->flip[0] ? m - 1 - k : k;
        for (int c = 0; c < b->s->channels; c++)
            finish_slab(b, b->slab + c * m * n, k, resized + c * volume + place * m * m);
    }
}

/* ---- smoothing ---- */

/* Fills taps [2 r + 1]; returns r. */
static int taps_of(float sigma, float taps[MOST_TAPS]) {
    double t = 0.70710678 / (double)sigma;
    int r = (int)(fmax(4.0 * (double)sigma, 0.5) + 0.5);
    if (r > MOST_TAPS / 2) r = MOST_TAPS / 2;
    for (int k = -r; k <= r; k++) taps[k + r] = (float)(0.5 * (erf(t * (k + 0.5)) - erf(t * (k - 0.5))));
    return r;
}

static void add_scaled(float *restrict to, const float *restrict from, float f, int64_t n) {
    for (int64_t x = 0; x < n; x++) to[x] += f * from[x];
}

/* Along an axis of m lines of `inner` values: to [m][inner] = sum of taps times lines. */
static void smooth_lines(const float *from, float *to, int64_t m, int64_t inner, const float *taps, int r) {
    for (int64_t i = 0; i < m; i++) {
        memset(to + i * inner, 0, (size_t)inner * sizeof *to);
        for (int64_t k = i < r ? 0 : i - r; k < m && k <= i + r; k++)
            add_scaled(to + i * inner, from + k * inner, taps[k - i + r], inner);
    }
}

/* Along the fastest axis: a row between zeros, shifted copies of it added. */
static void smooth_rows(const float *from, float *to, int64_t rows, int64_t m, const float *taps, int r,
                        float *padded) {
    memset(padded, 0, (size_t)(m + 2 * r) * sizeof *padded);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(padded + r, from + i * m, (size_t)m * sizeof *padded);
        memset(to + i * m, 0, (size_t)m * sizeof *to);
        for (int k = 0; k <= 2 * r; k++) add_scaled(to + i * m, padded + k, taps[k], m);
    }
}

/* In place on one channel; other [size^3] and padded [size + MOST_TAPS] are scratch. */
static void smooth(float *x, float *other, float *padded, int64_t m, const float sigma[3]) {
    float taps[MOST_TAPS];
    for (int axis = 0; axis < 3; axis++) {
        if (!(sigma[axis] > 0)) continue;
        int r = taps_of(sigma[axis], taps);
        if (axis == 0) smooth_lines(x, other, m, m * m, taps, r);
        else if (axis == 1)
            for (int64_t i = 0; i < m; i++) smooth_lines(x + i * m * m, other + i * m * m, m, m, taps, r);
        else smooth_rows(x, other, m * m, m, taps, r, padded);
        memcpy(x, other, (size_t)(m * m * m) * sizeof *x);
    }
}

/* ---- gamma ---- */

/* x^g for x of [0, 1] and g > 0, within 1e-6: 2^(g log2 x). log2 by atanh's series about sqrt(2)/2..sqrt(2), 2^f by
 * Taylor on [-1/2, 1/2]. */
static inline float power(float x, float g) {
    union {
        float f;
        int32_t i;
    } u = {x < 1e-30f ? 1e-30f : x}, e;
    int32_t exponent = (u.i - 0x3f3504f3) >> 23;
    u.i -= exponent * 0x800000;
    float s = (u.f - 1) / (u.f + 1), q = s * s;
    float log2x = (float)exponent +
                  s * (2.88539008f + q * (0.961796694f + q * (0.577078016f + q * (0.412198583f + q * 0.320598898f))));
    float y = g * log2x;
    y = y < -126.0f ? -126.0f : y;
    float whole = (float)(int32_t)(y - 0.5f), f = (y - whole) * 0.693147181f;
    e.i = ((int32_t)whole + 127) * 0x800000;
    float r =
        1 + f * (1 + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (0.00833333333f + f * 0.00138888889f)))));
    return x <= 0.0f ? 0.0f : e.f * r;
}

static void apply_gamma(float *restrict x, int64_t n, float g) {
    float low = x[0], high = x[0];
    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float range = high - low, scale = 1.0f / (range + 1e-7f);
    for (int64_t i = 0; i < n; i++) x[i] = power((x[i] - low) * scale, g) * range + low;
}

/* ---- all of it ---- */

view_maker JOIN(view_make, ISA);
void JOIN(view_make, ISA)(const view_source *s, const float params[HCT_VIEW_FLOATS], int64_t size, float *out,
                          void *scratch) {
    int64_t volume = size * size * size;
    job b = {.s = s, .size = size, .shift = params[HCT_VIEW_SHIFT]};
    for (int a = 0; a < 3; a++) {
        int axis = s->hu ? 2 - a : a; /* x, y, z of memory axis a */
        b.start[a] = (int64_t)params[HCT_VIEW_START + axis];
        b.extent[a] = (int64_t)params[HCT_VIEW_EXTENT + axis];
        b.flip[a] = params[HCT_VIEW_FLIP + axis] != 0;
    }
    float *other = scratch, *padded = other + s->channels * volume;
    b.row = padded + size + MOST_TAPS;
    b.mid = b.row + b.extent[2];
    b.slab = b.mid + s->channels * size * b.extent[2];
    resize(&b, s->hu ? other : out);
    for (int c = 0; s->hu && c < s->channels; c++) transpose(other + c * volume, out + c * volume, size);
    const float *sigma = params + HCT_VIEW_SIGMA;
    for (int c = 0; (sigma[0] > 0 || sigma[1] > 0 || sigma[2] > 0) && c < s->channels; c++)
        smooth(out + c * volume, other, padded, size, sigma);
    if (params[HCT_VIEW_GAMMA] > 0) apply_gamma(out, s->channels * volume, params[HCT_VIEW_GAMMA]);
}
