/* Draws views: crops, flips, shifts, smoothing, gamma. */
#include "dataset/views.h"

#include <math.h>
#include <string.h>

#include "hct/philox.h"
#include "support/streams.h"

static hct_status check_edges(const views_config *c, const char *name, const int64_t edge[2], hct_err *err) {
    if (edge[0] > edge[1])
        return hct_fail(err, HCT_EINVAL, "views.%s_min: %lld is more than views.%s_max, %lld", name, (long long)edge[0],
                        name, (long long)edge[1]);
    if (edge[1] > c->region)
        return hct_fail(err, HCT_EINVAL, "views.%s_max: %lld mm do not fit views.region, %lld", name,
                        (long long)edge[1], (long long)c->region);
    if (edge[1] / c->shrink < (edge[0] + c->shrink - 1) / c->shrink)
        return hct_fail(err, HCT_EINVAL, "views.%s_min: no crop of %lld to %lld mm is a whole number of %lld mm voxels",
                        name, (long long)edge[0], (long long)edge[1], (long long)c->shrink);
    return HCT_OK;
}

hct_status views_check(const views_config *c, hct_err *err) {
    if (c->region % c->shrink)
        return hct_fail(err, HCT_EINVAL, "views.region: %lld is no multiple of views.shrink, %lld",
                        (long long)c->region, (long long)c->shrink);
    hct_status st = check_edges(c, "global", c->global_edge, err);
    if (st == HCT_OK && c->local) st = check_edges(c, "local", c->local_edge, err);
    if (st < 0) return st;
    if (c->sigma[0] > c->sigma[1]) return hct_fail(err, HCT_EINVAL, "views.sigma_min: more than views.sigma_max");
    if (c->gamma[0] > c->gamma[1]) return hct_fail(err, HCT_EINVAL, "views.gamma_min: more than views.gamma_max");
    return HCT_OK;
}

int views_augments(const views_config *c) {
    return c->flip > 0 || (c->shift_prob > 0 && c->shift > 0) || c->smooth_prob > 0 || c->gamma_prob > 0;
}

/* A view's own stream of uniform numbers. */
typedef struct stream {
    uint64_t key, scan, counter;
    hct_philox block;
    int used;
} stream;

static stream stream_of(uint64_t seed, uint64_t epoch, uint64_t scan, int64_t view) {
    return (stream){.key = seed ^ STREAM_VIEWS, .scan = scan, .counter = epoch << 24 | (uint64_t)view << 8, .used = 4};
}

static double uniform(stream *s) {
    if (s->used == 4) {
        s->block = hct_philox4x32(s->key, s->counter++, s->scan);
        s->used = 0;
    }
    return hct_u01(s->block.v[s->used++]);
}
static double between(stream *s, const double range[2]) { return range[0] + uniform(s) * (range[1] - range[0]); }
static int64_t whole(stream *s, int64_t low, int64_t high) {
    return low + (int64_t)(uniform(s) * (double)(high - low + 1));
}

static void draw_crop(const views_config *c, stream *s, const int64_t edge[2], float *q) {
    int64_t low = (edge[0] + c->shrink - 1) / c->shrink, high = edge[1] / c->shrink, same = whole(s, low, high);
    for (int a = 0; a < 3; a++) {
        int64_t extent = c->shape == VIEWS_CUBE || a == 0 ? same : whole(s, low, high);
        q[HCT_VIEW_EXTENT + a] = (float)extent;
        q[HCT_VIEW_START + a] = (float)whole(s, 0, views_source(c) - extent);
    }
}

static void draw_flip_and_shift(const views_config *c, stream *s, float *q) {
    for (int a = 0; a < 3; a++) q[HCT_VIEW_FLIP + a] = uniform(s) < c->flip;
    double chance = uniform(s), shift = between(s, (double[]){-c->shift, c->shift});
    q[HCT_VIEW_SHIFT] = chance < c->shift_prob ? (float)shift : 0;
}

void views_draw_crop(const views_config *c, uint64_t seed, uint64_t epoch, uint64_t scan, int64_t view,
                     float q[HCT_VIEW_FLOATS]) {
    stream s = stream_of(seed, epoch, scan, view);
    int local = view >= c->global, all = c->placement == VIEWS_ALL;
    memset(q, 0, HCT_VIEW_FLOATS * sizeof *q);
    draw_crop(c, &s, local ? c->local_edge : c->global_edge, q);
    if (local && !all) return;
    draw_flip_and_shift(c, &s, q);
    double smooth = uniform(&s), sigma[3], adjust = uniform(&s), gamma = between(&s, c->gamma);
    for (int a = 0; a < 3; a++) sigma[a] = between(&s, c->sigma);
    for (int a = 0; a < 3 && smooth < c->smooth_prob && (all || view == 0); a++)
        q[HCT_VIEW_SIGMA + a] = (float)sigma[a];
    if (adjust < c->gamma_prob && (all || view == 1)) q[HCT_VIEW_GAMMA] = (float)gamma;
}

void views_draw_whole(const views_config *c, uint64_t seed, uint64_t epoch, uint64_t scan, int64_t size,
                      float q[HCT_VIEW_FLOATS]) {
    stream s = stream_of(seed, epoch, scan, 255);
    memset(q, 0, HCT_VIEW_FLOATS * sizeof *q);
    for (int a = 0; a < 3; a++) q[HCT_VIEW_EXTENT + a] = (float)size;
    draw_flip_and_shift(c, &s, q);
}
