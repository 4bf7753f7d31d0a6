/* ct_views: all training views of a batch in one op.
 *
 *   ct_views(volumes I16 [B, Z, Y, X] in HU, params F32 [V, B, 16], windows F32 [C, 2] centre and width)
 *   ct_views(images F32 [B, C, X, Y, Z], params F32 [V, B, 16])
 *
 * Both give F32 [V, B, C, S, S, S]; with attribute "patch" P the patches of each view's image, [V, B, (S / P)^3, C P^3]
 * as unfold3d orders them, in F32 or, with "bf16", in BF16.
 *
 * Attribute "size": S; "smoothed" and "gamma" (reals): shares of the views that are, where they are known, for accounts
 * of what a device moves. params: views.h. Crops that leave the volume fail at run time. No gradient. */
#include "views.h"

#include <stdlib.h>

#include "hct/half.h"
#include "hct/plugin.h"

#ifdef _OPENMP
#include <omp.h>
static int threads(void) { return omp_get_max_threads(); }
static int thread(void) { return omp_get_thread_num(); }
#else
static int threads(void) { return 1; }
static int thread(void) { return 0; }
#endif

static int64_t size_of(const hct_problem *p) { return hct_attr_int(p->attr, p->n_attr, "size", 0); }

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    if (p->n_in < 2 || p->n_out != 1)
        return hct_plugin_fail(err, HCT_EINVAL, "takes volumes, params (and windows), and gives one output");
    const hct_view *v = &p->in[0], *q = &p->in[1];
    int hu = v->dtype == HCT_I16;
    if (!hu && v->dtype != HCT_F32)
        return hct_plugin_fail(err, HCT_EDTYPE, "volumes are I16 in HU, or F32 ready images");
    if (p->n_in != (hu ? 3u : 2u))
        return hct_plugin_fail(err, HCT_EDTYPE,
                               hu ? "volumes in HU need windows [C, 2]" : "volumes with windows are I16, in HU");
    if (v->ndim != (hu ? 4 : 5))
        return hct_plugin_fail(err, HCT_ESHAPE, hu ? "volumes are [B, Z, Y, X]" : "images are [B, C, X, Y, Z]");
    if (q->ndim != 3 || q->dim[1] != v->dim[0] || q->dim[2] != HCT_VIEW_FLOATS || q->dtype != HCT_F32)
        return hct_plugin_fail(err, HCT_ESHAPE, "params are F32 [V, B, %d]", HCT_VIEW_FLOATS);
    if (hu && (p->in[2].ndim != 2 || p->in[2].dim[1] != 2 || p->in[2].dtype != HCT_F32))
        return hct_plugin_fail(err, HCT_ESHAPE, "windows are F32 [C, 2], centre and width");
    int64_t channels = hu ? p->in[2].dim[0] : v->dim[1], s = size_of(p);
    if (channels < 1 || channels > HCT_VIEW_WINDOWS)
        return hct_plugin_fail(err, HCT_ESHAPE, "%lld channels; 1 to %d are possible", (long long)channels,
                               HCT_VIEW_WINDOWS);
    if (s < 1 || s > 4096)
        return hct_plugin_fail(err, HCT_EINVAL, "attribute 'size', the edge of a view, is %lld", (long long)s);
    for (uint32_t i = 0; i < p->n_in; i++)
        if (!hct_is_contiguous(&p->in[i]))
            return hct_plugin_fail(err, HCT_ESHAPE, "input %u has gaps; copy it first", i);
    int64_t patch = hct_attr_int(p->attr, p->n_attr, "patch", 0), bf16 = hct_attr_int(p->attr, p->n_attr, "bf16", 0);
    if (patch < 0 || (patch && s % patch) || (bf16 && !patch))
        return hct_plugin_fail(err, HCT_EINVAL, "attribute 'patch' is %lld: it divides the edge of a view, %lld",
                               (long long)patch, (long long)s);
    const int64_t grid = patch ? s / patch : 0, dim[] = {q->dim[0],
                                                         q->dim[1],
                                                         patch ? grid * grid * grid : channels,
                                                         patch ? channels * patch * patch * patch : s,
                                                         s,
                                                         s};
    out->dtype = bf16 ? HCT_BF16 : HCT_F32;
    out->ndim = patch ? 4 : 6;
    for (int i = 0; i < out->ndim; i++) out->dim[i] = dim[i];
    return HCT_OK;
}

static const hct_op op = {.size = sizeof(hct_op), .name = "ct_views", .infer = infer};

/* ---- the CPU's kernel: a view a thread ---- */

typedef struct state {
    int64_t size, patch; /* patch 0: images */
    int bf16;
    uint64_t scratch, each; /* bytes of a thread: of view_make; and of the image, where patches are made of it */
    int threads;
} state;

/* The patches of image x [channels, size^3]; to: float, or bf16. */
static void unfold(const state *st, int64_t channels, const float *x, void *to) {
    int64_t s = st->size, p = st->patch, grid = s / p, at = 0;
    for (int64_t token = 0; token < grid * grid * grid; token++) {
        int64_t i0 = token / (grid * grid) * p, j0 = token / grid % grid * p, k0 = token % grid * p;
        for (int64_t line = 0; line < channels * p * p; line++) {
            int64_t c = line / (p * p), i = i0 + line / p % p, j = j0 + line % p;
            const float *from = x + ((c * s + i) * s + j) * s + k0;
            if (st->bf16)
                for (int64_t k = 0; k < p; k++) ((uint16_t *)to)[at++] = hct_bf16_from_f32(from[k]);
            else
                for (int64_t k = 0; k < p; k++) ((float *)to)[at++] = from[k];
        }
    }
}

static view_source source_of(const hct_view *in, int64_t b) {
    const hct_view *v = &in[0];
    view_source s = {.channels = 1};
    if (v->dtype == HCT_I16) {
        for (int a = 0; a < 3; a++) s.dim[a] = v->dim[3 - a];
        s.channels = (int)in[2].dim[0];
        if (v->mem) s.hu = (const int16_t *)hct_ptr(v) + b * s.dim[0] * s.dim[1] * s.dim[2];
        for (int c = 0; in[2].mem && c < s.channels; c++) {
            const float *w = (const float *)hct_ptr(&in[2]) + 2 * c;
            s.low[c] = (float)((double)w[0] - (double)w[1] / 2);
            s.per_width[c] = (float)(1 / (double)w[1]);
        }
    } else {
        for (int a = 0; a < 3; a++) s.dim[a] = v->dim[2 + a];
        s.channels = (int)v->dim[1];
        if (v->mem) s.ready = (const float *)hct_ptr(v) + b * s.channels * s.dim[0] * s.dim[1] * s.dim[2];
    }
    return s;
}

static hct_status plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    state *s = malloc(sizeof *s);
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    view_source source = source_of(p->in, 0);
    int64_t size = size_of(p), patch = hct_attr_int(p->attr, p->n_attr, "patch", 0);
    uint64_t scratch = (view_scratch(&source, size) + 127) / 128 * 128,
             image = patch ? (uint64_t)(source.channels * size * size * size) * sizeof(float) : 0;
    *s = (state){size, patch, p->out[0].dtype == HCT_BF16, scratch, (scratch + image + 127) / 128 * 128, threads()};
    ret->state = s;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = s->each * (uint64_t)s->threads;
    return HCT_OK;
}

static void release(hct_plan *p) {
    free(p->state);
    p->state = NULL;
}

static int fits(const view_source *s, const float *q) {
    for (int a = 0; a < 3; a++)
        if (!(q[HCT_VIEW_START + a] >= 0 && q[HCT_VIEW_EXTENT + a] >= 1 &&
              q[HCT_VIEW_START + a] + q[HCT_VIEW_EXTENT + a] <= (float)s->dim[a]))
            return 0;
    return 1;
}

static hct_status make_views(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                             const hct_view *ws, hct_err *err) {
    (void)stream;
    const state *st = p->state;
    int64_t views = out->dim[0], batch = out->dim[1];
    const float *params = hct_ptr(&in[1]);
    view_maker *make = view_make_best();
    for (int64_t i = 0; i < views * batch; i++) {
        view_source s = source_of(in, i % batch);
        const float *q = params + i * HCT_VIEW_FLOATS;
        if (!fits(&s, q))
            return hct_plugin_fail(err, HCT_EINVAL,
                                   "view %lld of volume %lld: a crop of %g,%g,%g voxels from %g,%g,%g on leaves the "
                                   "volume of %lld,%lld,%lld",
                                   (long long)(i / batch), (long long)(i % batch), (double)q[HCT_VIEW_EXTENT],
                                   (double)q[HCT_VIEW_EXTENT + 1], (double)q[HCT_VIEW_EXTENT + 2],
                                   (double)q[HCT_VIEW_START], (double)q[HCT_VIEW_START + 1],
                                   (double)q[HCT_VIEW_START + 2], (long long)s.dim[0], (long long)s.dim[1],
                                   (long long)s.dim[2]);
    }
#pragma omp parallel for schedule(dynamic) num_threads(st->threads)
    for (int64_t i = 0; i < views * batch; i++) {
        view_source s = source_of(in, i % batch);
        int64_t each = s.channels * st->size * st->size * st->size;
        char *own = (char *)hct_ptr(ws) + (uint64_t)thread() * st->each,
             *to = (char *)hct_ptr(out) + (uint64_t)(i * each) * (st->bf16 ? sizeof(uint16_t) : sizeof(float));
        float *image = (float *)(void *)(st->patch ? own + st->scratch : to);
        make(&s, params + i * HCT_VIEW_FLOATS, st->size, image, own);
        if (st->patch) unfold(st, s.channels, image, to);
    }
    return HCT_OK;
}

static const hct_kernel kernel = {.size = sizeof(hct_kernel),
                                  .name = "ct_views:cpu",
                                  .op = "ct_views",
                                  .backend = "cpu",
                                  .priority = 100,
                                  .dtypes = 1u << HCT_I16 | 1u << HCT_F32,
                                  .plan = plan,
                                  .run = make_views,
                                  .release = release};

/* ---- builds by instruction set ---- */

view_maker view_make_plain;
#ifdef HAVE_X86
view_maker view_make_avx2, view_make_avx512;
#endif

view_maker *view_make_best(void) {
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return view_make_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return view_make_avx2;
#endif
    return view_make_plain;
}

uint64_t view_scratch(const view_source *s, int64_t size) {
    uint64_t fast = (uint64_t)(s->dim[0] > s->dim[2] ? s->dim[0] : s->dim[2]), m = (uint64_t)size,
             c = (uint64_t)s->channels;
    return sizeof(float) * (c * m * m * m + m + MOST_TAPS + fast + 2 * c * m * fast);
}

static hct_status init(const hct_host *host, hct_err *err) {
    hct_status st = host->add_op(host, &op, err);
    return st < 0 ? st : host->add_kernel(host, &kernel, err);
}

HCT_PLUGIN_DEFINE("ct_views", "0.1.0", init)
