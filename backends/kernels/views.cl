/* Training views of CT volumes: crop, windows, area resize, flips, shift; then smoothing and gamma. Definitions:
 * plugins/ct_views/views.h. Views without smoothing and gamma are done once they are resized; the others go on in
 * float, in memory of their own. A result is an image or its patches, float or bf16. Places within a view and within a
 * volume have 32 bits. */
#include "dialect.h"
#include "hct/view.h"

typedef struct views {
    i64 batch, channels, size;    /* an image is [channels, size, size, size] */
    i64 dim[3], step[3];          /* of a source along x, y, z */
    i64 step_batch, step_channel; /* of the source */
    i64 hu;                       /* int16 HU, windowed here; else ready images */
    i64 patch;                    /* 0: the result is images; else [views, batch, patches, channels, patch^3] */
    i64 bf16;                     /* the result's type; else float */
} views;

FN i32 is_smoothed(GLOBAL const float *q) {
    return q[HCT_VIEW_SIGMA] > 0 || q[HCT_VIEW_SIGMA + 1] > 0 || q[HCT_VIEW_SIGMA + 2] > 0;
}
FN i32 has_gamma(GLOBAL const float *q) { return q[HCT_VIEW_GAMMA] > 0; }

/* Element `i` of a view's result: its channel and place at[3] in the image; returns where it is in the image. */
FN u32 place_of(const views *z, u32 i, u32 *ret_channel, i32 at[3]) {
    u32 s = (u32)z->size, p = (u32)z->patch, rest = i;
    if (p == 0) {
        for (i32 a = 2; a >= 0; a--) {
            at[a] = (i32)(rest % s);
            rest /= s;
        }
        *ret_channel = rest;
        return i;
    }
    for (i32 a = 2; a >= 0; a--) {
        at[a] = (i32)(rest % p);
        rest /= p;
    }
    *ret_channel = rest % (u32)z->channels;
    rest /= (u32)z->channels;
    for (i32 a = 2; a >= 0; a--) {
        at[a] += (i32)(rest % (s / p) * p);
        rest /= s / p;
    }
    return ((*ret_channel * s + (u32)at[0]) * s + (u32)at[1]) * s + (u32)at[2];
}

FN void put_result(const views *z, GLOBAL char *y, i64 i, float v) {
    if (z->bf16) ((GLOBAL u16 *)y)[i] = bf16_of_f32(v);
    else ((GLOBAL float *)y)[i] = v;
}

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
 * within it. What is smoothed or given a gamma goes on in `apart`, as an image. */
KERNEL(views_resize)(MEM(y), MEM(apart), MEM(x), MEM(params), MEM(windows), views z, EACH_ARGS) {
    EACH(i);
    u32 each = (u32)(z.channels * z.size * z.size * z.size), c;
    i64 view = i / each, b = view % z.batch;
    i32 at[3], from[3], to[3], s = (i32)z.size, count = 1;
    u32 image = place_of(&z, (u32)(i - view * each), &c, at);
    GLOBAL const float *q = AT(float, params) + view * HCT_VIEW_FLOATS;
    for (i32 a = 0; a < 3; a++) {
        i32 dim = (i32)z.dim[a], start = (i32)q[HCT_VIEW_START + a], extent = (i32)q[HCT_VIEW_EXTENT + a],
            bin = q[HCT_VIEW_FLIP + a] != 0 ? s - 1 - at[a] : at[a];
        start = start < 0 ? 0 : start >= dim ? dim - 1 : start;
        extent = extent < 1 ? 1 : extent > dim - start ? dim - start : extent;
        from[a] = start + (i32)((u32)(bin * extent) / (u32)s);
        to[a] = start + (i32)((u32)((bin + 1) * extent + s - 1) / (u32)s);
        count *= to[a] - from[a];
    }
    float sum = 0, low = 0, per = 1;
    if (z.hu) {
        float centre = AT(float, windows)[2 * c], width = AT(float, windows)[2 * c + 1];
        low = centre - width / 2;
        per = 1.0f / width;
    }
    i64 base = b * z.step_batch + (i64)c * z.step_channel;
    GLOBAL const i16 *hu = AT(i16, x) + base;
    GLOBAL const float *ready = AT(float, x) + base;
    i32 step_x = (i32)z.step[0], step_y = (i32)z.step[1], step_z = (i32)z.step[2];
    for (i32 u = from[0]; u < to[0]; u++)
        for (i32 v = from[1]; v < to[1]; v++) {
            i32 row = u * step_x + v * step_y;
            for (i32 w = from[2]; w < to[2]; w++) {
                i32 place = row + w * step_z;
                if (z.hu) sum += MINF(MAXF(((float)hu[place] - low) * per, 0.0f), 1.0f);
                else sum += ready[place];
            }
        }
    float v = sum / (float)count + q[HCT_VIEW_SHIFT];
    if (is_smoothed(q) || has_gamma(q)) AT(float, apart)[view * each + image] = v;
    else put_result(&z, y_mem + y_off, i, v);
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

/* One voxel, smoothed along an axis whose neighbours lie `step` apart; zeros outside. Views that are not smoothed are
 * left. */
KERNEL(views_smooth)(MEM(y), MEM(x), MEM(taps), MEM(params), i64 channels, i64 s, i64 axis, i64 step, EACH_ARGS) {
    EACH(i);
    i64 view = i / (channels * s * s * s);
    GLOBAL const float *q = AT(float, params) + view * HCT_VIEW_FLOATS;
    if (is_smoothed(q)) {
        i32 own = (i32)((u32)(i - view * channels * s * s * s) / (u32)step % (u32)s), r = 0;
        GLOBAL const float *x = AT(float, x) + i, *t = AT(float, taps) + (view * 3 + axis) * (HCT_VIEW_TAPS + 1);
        float sigma = q[HCT_VIEW_SIGMA + axis], sum = 0;
        if (sigma > 0) r = (i32)(MAXF(4.0f * sigma, 0.5f) + 0.5f);
        r = r > HCT_VIEW_TAPS ? HCT_VIEW_TAPS : r;
        for (i32 k = own < r ? -own : -r; k <= r && own + k < s; k++) sum += t[k < 0 ? -k : k] * x[k * step];
        AT(float, y)[i] = sum;
    }
}

/* ROW: a view. range [views batch][2] = the lowest value, and the highest less the lowest, over its n values: of
 * `smooth` where it was smoothed, else of `apart`. */
KERNEL(views_range)(MEM(range), MEM(apart), MEM(smooth), MEM(params), i64 n) {
    SCRATCH;
    GLOBAL const float *q = AT(float, params) + ROW * HCT_VIEW_FLOATS;
    if (!has_gamma(q)) return;
    GLOBAL const float *x = (is_smoothed(q) ? AT(float, smooth) : AT(float, apart)) + ROW * n;
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

/* What went on apart becomes the result. */
KERNEL(views_finish)(MEM(y), MEM(apart), MEM(smooth), MEM(range), MEM(params), views z, EACH_ARGS) {
    EACH(i);
    u32 each = (u32)(z.channels * z.size * z.size * z.size), c;
    i64 view = i / each;
    GLOBAL const float *q = AT(float, params) + view * HCT_VIEW_FLOATS;
    i32 smoothed = is_smoothed(q);
    if (smoothed || has_gamma(q)) {
        i32 at[3];
        u32 image = place_of(&z, (u32)(i - view * each), &c, at);
        float v = (smoothed ? AT(float, smooth) : AT(float, apart))[view * each + image], gamma = q[HCT_VIEW_GAMMA];
        if (gamma > 0) {
            float low = AT(float, range)[2 * view], range = AT(float, range)[2 * view + 1];
            v = POWF((v - low) / (range + 1e-7f), gamma) * range + low;
        }
        put_result(&z, y_mem + y_off, i, v);
    }
}
