#include "imaging/spline.h"

#include <math.h>
#include <stdlib.h>

#include "imaging/parallel.h"

#define POLE (-0.26794919243112270647) /* sqrt(3) - 2, the root of z^2 + 4z + 1 inside the unit circle */
enum { LINES = 64 };                   /* lines filtered side by side */

/* Filters `width` <= LINES lines of n elements in place; element m of line x is c[m * stride + x].
 *   forward   c+(m) = 6 s(m) + z c+(m-1)       c+(0) from the symmetric extension s(-1-m) = s(m)
 *   backward  c(m)  = z (c(m+1) - c+(m))       c(n-1) = z / (z - 1) c+(n-1)
 * n is at least 2 SPLINE_PAD + 1, so leaving out the extension's second period costs less than 1e-14. */
static void filter_lines(double *c, int64_t n, int64_t stride, int64_t width) {
    double first[LINES] = {0}, zm = POLE;
    int64_t horizon = n < 60 ? n : 60;
    for (int64_t m = 0; m < horizon; m++, zm *= POLE)
        for (int64_t x = 0; x < width; x++) first[x] += zm * c[m * stride + x];
    for (int64_t x = 0; x < width; x++) c[x] = 6 * (c[x] + first[x]);
    for (int64_t m = 1; m < n; m++) {
        double *now = c + m * stride, *before = now - stride;
        for (int64_t x = 0; x < width; x++) now[x] = 6 * now[x] + POLE * before[x];
    }
    double *last = c + (n - 1) * stride;
    for (int64_t x = 0; x < width; x++) last[x] *= POLE / (POLE - 1);
    for (int64_t m = n - 2; m >= 0; m--) {
        double *now = c + m * stride, *after = now + stride;
        for (int64_t x = 0; x < width; x++) now[x] = POLE * (after[x] - now[x]);
    }
}

static int64_t clamp(int64_t i, int64_t n) {
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* One extended plane z (in extended coordinates): edge values outside the volume; filtered along x and y.
 * Filtering a copy of an edge plane equals copying the filtered plane, so each plane can be done alone. */
static void fit_plane(const volume *v, spline *s, int64_t z) {
    int64_t nx = s->dim[0], ny = s->dim[1];
    int64_t k = clamp(z - SPLINE_PAD, v->dim[2]);
    for (int64_t y = 0; y < ny; y++) {
        int64_t from = v->dim[0] * (clamp(y - SPLINE_PAD, v->dim[1]) + v->dim[1] * k);
        double *row = s->c + nx * (y + ny * z);
        for (int64_t x = 0; x < nx; x++) {
            int64_t i = from + clamp(x - SPLINE_PAD, v->dim[0]);
            row[x] = v->dtype == HCT_I16 ? v->i16[i] : v->f32[i];
        }
        filter_lines(row, nx, 1, 1);
    }
    for (int64_t x = 0; x < nx; x += LINES)
        filter_lines(s->c + nx * ny * z + x, ny, nx, nx - x < LINES ? nx - x : LINES);
}

hct_status spline_fit(const volume *v, spline *ret, hct_err *err) {
    int64_t n = 1;
    for (int a = 0; a < 3; a++) n *= ret->dim[a] = v->dim[a] + 2 * SPLINE_PAD;
    ret->c = malloc((size_t)n * sizeof *ret->c);
    if (!ret->c)
        return hct_fail(err, HCT_ENOMEM, "no memory for the spline of a %lld x %lld x %lld volume (%lld MiB)",
                        (long long)v->dim[0], (long long)v->dim[1], (long long)v->dim[2], (long long)(n >> 17));
    int64_t plane = ret->dim[0] * ret->dim[1];
    PARALLEL_FOR
    for (int64_t z = 0; z < ret->dim[2]; z++) fit_plane(v, ret, z);
    PARALLEL_FOR
    for (int64_t p = 0; p < (plane + LINES - 1) / LINES; p++)
        filter_lines(ret->c + p * LINES, ret->dim[2], plane, plane - p * LINES < LINES ? plane - p * LINES : LINES);
    return HCT_OK;
}

void spline_free(spline *s) {
    free(s->c);
    s->c = NULL;
}

spline_tap spline_tap_at(double x, int64_t n) {
    spline_tap t;
    x += SPLINE_PAD;
    x = x < 0 ? 0 : x > (double)(n - 1) ? (double)(n - 1) : x;
    int64_t first = (int64_t)x;
    double f = x - (double)first, g = 1 - f;
    t.w[0] = g * g * g / 6;
    t.w[1] = (4 - 6 * f * f + 3 * f * f * f) / 6;
    t.w[2] = (4 - 6 * g * g + 3 * g * g * g) / 6;
    t.w[3] = f * f * f / 6;
    for (int q = 0; q < 4; q++) {
        int64_t i = first - 1 + q;
        t.at[q] = i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i; /* half-sample symmetric */
    }
    return t;
}
