/* Training views voxel by voxel, from the definitions in plugins/ct_views/views.h: bins, then shift, sums of taps,
 * gamma. */
#include "naive.h"

#include <math.h>
#include <stdlib.h>

#define EACH(i, n) for (int64_t i = 0, end_##i = (n); i < end_##i; i++)

/* Channel c of volume b at x, y, z: a window of HU, or a ready image. */
static double source(const call *k, int64_t b, int64_t c, int64_t x, int64_t y, int64_t z) {
    const int64_t *d = k->in[0].dim;
    if (k->n_in == 2) return k->x[0][(((b * d[1] + c) * d[2] + x) * d[3] + y) * d[4] + z];
    double hu = k->x[0][((b * d[1] + z) * d[2] + y) * d[3] + x], centre = k->x[2][2 * c], width = k->x[2][2 * c + 1];
    return fmin(1, fmax(0, (hu - (centre - width / 2)) / width));
}

static double bin_mean(const call *k, int64_t b, int64_t c, const double *q, const int64_t at[3], int64_t size) {
    int64_t from[3], to[3], n = 1;
    double sum = 0;
    for (int a = 0; a < 3; a++) {
        int64_t extent = (int64_t)q[3 + a], i = q[6 + a] != 0 ? size - 1 - at[a] : at[a];
        from[a] = (int64_t)q[a] + (int64_t)floor((double)(i * extent) / (double)size);
        to[a] = (int64_t)q[a] + (int64_t)ceil((double)((i + 1) * extent) / (double)size);
        n *= to[a] - from[a];
    }
    for (int64_t x = from[0]; x < to[0]; x++)
        for (int64_t y = from[1]; y < to[1]; y++)
            for (int64_t z = from[2]; z < to[2]; z++) sum += source(k, b, c, x, y, z);
    return sum / (double)n + q[9];
}

static double tap(double sigma, int64_t distance) {
    if (sigma <= 0) return distance == 0;
    double t = 0.70710678 / sigma, d = (double)distance;
    return llabs(distance) > (int64_t)(fmax(4 * sigma, 0.5) + 0.5) ? 0
                                                                   : 0.5 * (erf(t * (d + 0.5)) - erf(t * (d - 0.5)));
}

/* One axis after the other: `step` is the distance of neighbours along it. */
static void smooth(double *x, double *other, int64_t s, const double *sigma) {
    const int64_t step[] = {s * s, s, 1};
    for (int a = 0; a < 3; a++) {
        EACH(i, s * s * s) {
            int64_t own = i / step[a] % s;
            other[i] = 0;
            EACH(k, s) {
                double w = tap(sigma[a], k - own);
                if (w != 0) other[i] += w * x[i + (k - own) * step[a]];
            }
        }
        EACH(i, s * s * s) x[i] = other[i];
    }
}

/* An image [channels, s^3] becomes its patches, tokens first. */
static void patches(double *x, double *other, int64_t channels, int64_t s, int64_t p) {
    int64_t g = s / p, n = 0;
    EACH(token, g * g * g) EACH(c, channels) EACH(u, p) EACH(v, p) EACH(w, p) {
        int64_t i = token / (g * g) * p + u, j = token / g % g * p + v, l = token % g * p + w;
        other[n++] = x[((c * s + i) * s + j) * s + l];
    }
    EACH(i, n) x[i] = other[i];
}

void naive_views(call *k) {
    const hct_view *o = &k->out[0];
    int64_t batch = o->dim[1], s = call_int(k, "size", 0), cube = s * s * s, patch = call_int(k, "patch", 0),
            channels = hct_numel(o) / (o->dim[0] * batch * cube);
    double *other = malloc((size_t)(channels * cube) * sizeof *other);
    if (!other) abort();
    EACH(view, o->dim[0] * batch) {
        const double *q = k->x[1] + view * 16;
        double *out = k->y[0] + view * channels * cube, low = INFINITY, high = -INFINITY;
        EACH(c, channels) {
            EACH(i, cube)
            out[c * cube + i] = bin_mean(k, view % batch, c, q, (int64_t[]){i / (s * s), i / s % s, i % s}, s);
            smooth(out + c * cube, other, s, q + 11);
        }
        EACH(i, channels * cube) low = fmin(low, out[i]), high = fmax(high, out[i]);
        if (q[10] > 0)
            EACH(i, channels * cube) out[i] = pow((out[i] - low) / (high - low + 1e-7), q[10]) * (high - low) + low;
        if (patch) patches(out, other, channels, s, patch);
    }
    free(other);
}
