/* Training views of CT volumes: crop, windows, area resize, flips, shift; then smoothing and gamma. Definitions:
 * plugins/ct_views/views.h. Steps that a view does not take leave its values as they are. */
#include "dialect.h"
#include "hct/view.h"

typedef struct views {
    i64 batch, channels, size;    /* out [views, batch, channels, size, size, size] */
    i64 dim[3], step[3];          /* of a source along x, y, z */
    i64 step_batch, step_channel; /* of the source */
    i64 hu;                       /* int16 HU, windowed here; else ready images */
} views;

/* An item a view of a volume. Complains where its crop leaves the volume. */
KERNEL(views_check)(MEM(params), MEM(status), views z, EACH_ARGS) {
    EACH(i);
    GLOBAL const float *q = AT(float, params) + i * HCT_VIEW_FLOATS;
    i32 fits = 1;
    for (i32 a = 0; a < 3; a++)
        if (!(q[HCT_VIEW_START + a] >= 0 && q[HCT_VIEW_EXTENT + a] >= 1 &&
              q[HCT_VIEW_START + a] + q[HCT_VIEW_EXTENT + a] <= (float)z.dim[a]))
            fits = 0;
    if (!fits) FAIL(AT(i32, status), 3, (i32)i);
}

/* One voxel of the resized crop: the mean of its bin, plus the shift. Bins of a crop that leaves the volume are held
 * within it. */
KERNEL(views_resize)(MEM(y), MEM(x), MEM(params), MEM(windows), views z, EACH_ARGS) {
    EACH(i);
    i64 at[3], rest = i, from[3], to[3], s = z.size;
    for (i32 a = 2; a >= 0; a--) {
        at[a] = rest % s;
        rest /= s;
    }
    i64 c = rest % z.channels, view = rest / z.channels, b = view % z.batch;
    GLOBAL const float *q = AT(float, params) + view * HCT_VIEW_FLOATS;
    i64 count = 1;
    for (i32 a = 0; a < 3; a++) {
        i64 start = (i64)q[HCT_VIEW_START + a], extent = (i64)q[HCT_VIEW_EXTENT + a],
            bin = q[HCT_VIEW_FLIP + a] != 0 ? s - 1 - at[a] : at[a];
        start = start < 0 ? 0 : start >= z.dim[a] ? z.dim[a] - 1 : start;
        extent = extent < 1 ? 1 : extent > z.dim[a] - start ? z.dim[a] - start : extent;
        from[a] = start + bin * extent / s;
        to[a] = start + ((bin + 1) * extent + s - 1) / s;
        count *= to[a] - from[a];
    }
    float sum = 0, low = 0, per = 1;
    if (z.hu) {
        float centre = AT(float, windows)[2 * c], width = AT(float, windows)[2 * c + 1];
        low = centre - width / 2;
        per = 1.0f / width;
    }
    i64 base = b * z.step_batch + c * z.step_channel;
    for (i64 u = from[0]; u < to[0]; u++)
        for (i64 v = from[1]; v < to[1]; v++)
            for (i64 w = from[2]; w < to[2]; w++) {
                i64 place = base + u * z.step[0] + v * z.step[1] + w * z.step[2];
                if (z.hu) sum += MINF(MAXF(((float)AT(i16, x)[place] - low) * per, 0.0f), 1.0f);
                else sum += AT(float, x)[place];
            }
    AT(float, y)[i] = sum / (float)count + q[HCT_VIEW_SHIFT];
}

/* taps [views batch][3][HCT_VIEW_TAPS + 1], symmetric, as differences of erf; a view without smoothing along an axis
 * has taps 1, 0, 0, ... */
KERNEL(views_taps)(MEM(taps), MEM(params), EACH_ARGS) {
    EACH(i);
    i64 k = i % (HCT_VIEW_TAPS + 1), axis = i / (HCT_VIEW_TAPS + 1) % 3, view = i / ((HCT_VIEW_TAPS + 1) * 3);
    float sigma = AT(float, params)[view * HCT_VIEW_FLOATS + HCT_VIEW_SIGMA + axis], t = k == 0 ? 1.0f : 0.0f;
    if (sigma > 0) {
        i64 r = (i64)(MAXF(4.0f * sigma, 0.5f) + 0.5f);
        float per = 0.70710678f / sigma, d = (float)k;
        t = k > r ? 0.0f : 0.5f * (ERFF(per * (d + 0.5f)) - ERFF(per * (d - 0.5f)));
    }
    AT(float, taps)[i] = t;
}

/* One voxel, smoothed along an axis whose neighbours lie `step` apart; zeros outside. */
KERNEL(views_smooth)(MEM(y), MEM(x), MEM(taps), MEM(params), i64 channels, i64 s, i64 axis, i64 step, EACH_ARGS) {
    EACH(i);
    i64 view = i / (s * s * s) / channels, own = i / step % s, r = 0;
    GLOBAL const float *x = AT(float, x) + i, *t = AT(float, taps) + (view * 3 + axis) * (HCT_VIEW_TAPS + 1);
    float sigma = AT(float, params)[view * HCT_VIEW_FLOATS + HCT_VIEW_SIGMA + axis], sum = 0;
    if (sigma > 0) r = (i64)(MAXF(4.0f * sigma, 0.5f) + 0.5f);
    r = r > HCT_VIEW_TAPS ? HCT_VIEW_TAPS : r;
    for (i64 k = own < r ? -own : -r; k <= r && own + k < s; k++) sum += t[k < 0 ? -k : k] * x[k * step];
    AT(float, y)[i] = sum;
}

/* ROW: a view. range [views batch][2] = the lowest value, and the highest less the lowest, over its n values. */
KERNEL(views_range)(MEM(range), MEM(x), MEM(params), i64 n) {
    SCRATCH;
    if (!(AT(float, params)[ROW * HCT_VIEW_FLOATS + HCT_VIEW_GAMMA] > 0)) return;
    GLOBAL const float *x = AT(float, x) + ROW * n;
    float low = INFINITY, high = -INFINITY;
    for (i64 i = LANE; i < n; i += GROUP) {
        low = MINF(low, x[i]);
        high = MAXF(high, x[i]);
    }
    high = GROUP_MAX(high);
    low = -GROUP_MAX(-low);
    if (LANE != 0) return;
    AT(float, range)[2 * ROW] = low;
    AT(float, range)[2 * ROW + 1] = high - low;
}

KERNEL(views_gamma)(MEM(y), MEM(x), MEM(range), MEM(params), i64 n, EACH_ARGS) {
    EACH(i);
    i64 view = i / n;
    float v = AT(float, x)[i], gamma = AT(float, params)[view * HCT_VIEW_FLOATS + HCT_VIEW_GAMMA];
    if (gamma > 0) {
        float low = AT(float, range)[2 * view], range = AT(float, range)[2 * view + 1];
        v = POWF((v - low) / (range + 1e-7f), gamma) * range + low;
    }
    AT(float, y)[i] = v;
}
