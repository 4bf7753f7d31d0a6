/* A phantom's HU at each point, and the scan made of them. */
#include "imaging/phantom.h"

#include <math.h>
#include <string.h>

/* Below 1 inside the ellipsoid: its radius relative to the surface. */
static inline float ellipsoid(const float at[3], float cx, float cy, float cz, float ax, float ay, float az) {
    float x = (at[0] - cx) / ax, y = (at[1] - cy) / ay, z = (at[2] - cz) / az;
    return sqrtf(x * x + y * y + z * z);
}

/* Depth below an ellipsoid about the origin in mm (first order: exact at the surface), negative outside. */
static inline float depth_below(const float at[3], const float axis[3], float grow) {
    float k0 = 0, k1 = 0;
    for (int a = 0; a < 3; a++) {
        float r = axis[a] + grow, x = at[a] / r;
        k0 += x * x;
        k1 += x * x / (r * r);
    }
    if (k1 < 1e-12f) return axis[0] + grow;
    k0 = sqrtf(k0);
    return k0 * (1 - k0) / sqrtf(k1);
}

/* Radius relative to a blob's wavy surface. */
static float blob_radius(const blob *b, const float at[3]) {
    float d[3], r2 = 0;
    for (int a = 0; a < 3; a++) {
        d[a] = (at[a] - b->centre[a]) / b->axis[a];
        r2 += d[a] * d[a];
    }
    if (r2 > 2.2f) return 2;
    return sqrtf(r2) * (1 + 0.13f * sinf(2.6f * d[0] + b->wave[0]) * sinf(2.3f * d[1] + b->wave[1]) +
                        0.08f * sinf(4.1f * d[2] + 2.2f * d[0] + b->wave[2]));
}

static inline float cosine_to(const float at[3], const float dir[3]) {
    float r = sqrtf(at[0] * at[0] + at[1] * at[1] + at[2] * at[2]);
    return r < 1 ? -1 : (at[0] * dir[0] + at[1] * dir[1] + at[2] * dir[2]) / r;
}

/* Thickness of a cap in this direction. Lens (epidural): a parabola. Crescent (subdural): nearly even, thin at its
 * ends, and never across the midline. */
static float cap_depth(const cap *c, const float at[3], int crescent) {
    float cosine = cosine_to(at, c->dir);
    if (cosine <= c->cos_edge) return 0;
    float t = (1 - cosine) / (1 - c->cos_edge);
    if (!crescent) return c->depth * (1 - t);
    if (at[0] * c->dir[0] < 0) return 0;
    return c->depth * sqrtf(1 - t);
}

/* Below 1 in a ventricle; *lateral tells the paired ones from the third and fourth. at: scaled to an average head. */
static float ventricles(const float at[3], float size, int *lateral) {
    float m[3] = {fabsf(at[0]), at[1], at[2]};
    float wide = size, tall = sqrtf(size), long_ = 0.75f + 0.25f * size;
    float body = ellipsoid(m, 6 + 4 * wide, 9, 13, 4.6f * wide, 25 * long_, 6.5f * tall);
    float back = ellipsoid(m, 14 + 5 * wide, -27, 7, 5.2f * wide, 19 * long_, 6.5f * tall);
    float temporal = ellipsoid(m, 29, -6, -17, 3.0f * wide, 15 * long_, 3.6f * tall);
    float third = ellipsoid(m, 0, -2, 0, 1.8f * wide, 12 * long_, 8);
    float fourth = ellipsoid(m, 0, -38, -36, 5.5f * tall, 4.5f * tall, 7);
    float pair = fminf(fminf(body, back), temporal), middle = fminf(third, fourth);
    *lateral = pair <= middle;
    return fminf(pair, middle);
}

/* The folds: sulci lie where this is near 0. */
static float folds(const phantom *p, const float at[3]) {
    const float *f = p->sulcus_phase;
    return sinf(0.19f * at[0] + 0.9f * sinf(0.055f * at[1] + f[0]) + f[1]) +
           sinf(0.17f * at[1] + 0.8f * sinf(0.06f * at[2] + f[2]) + f[3]) +
           sinf(0.20f * at[2] + 0.9f * sinf(0.05f * at[0] + f[4]) + f[5]);
}

/* Water around the brain and in its folds, or blood there. */
static float cistern_hu(const phantom *p, const float at[3]) {
    return p->present[SAH] && cosine_to(at, p->sah_dir) > p->sah_cos_edge ? p->blood[SAH] : p->csf;
}

static float brain_hu(const phantom *p, const float at[3], float depth) {
    float q[3] = {at[0] * 66 / p->inner[0], at[1] * 82 / p->inner[1], at[2] * 67 / p->inner[2]};
    float edema = p->present[EDEMA] ? blob_radius(&p->edema, at) : 2;
    if (p->present[IPH]) {
        float r = blob_radius(&p->iph, at);
        if (r < 1) return p->blood[IPH];
    }
    if (p->present[TUMOR]) {
        float r = blob_radius(&p->tumor, at);
        if (r < 1) return r > 0.62f ? p->tumor_rim : p->tumor_core;
    }
    if (fabsf(q[0]) < 48 && fabsf(q[1]) < 66 && fabsf(q[2]) < 48) {
        int lateral;
        float v = ventricles(q, p->ventricle, &lateral);
        if (v < 1) {
            int blood =
                p->present[IVH] && lateral && (p->ivh_side ? q[0] * (float)p->ivh_side > 0 : q[1] < p->ivh_level);
            return blood ? p->blood[IVH] : p->csf;
        }
        if (v < 1.35f && p->present[HCP]) return p->white - 8; /* water pressed into the white matter */
    }
    if (ellipsoid(q, 0, 10, -36, 13, 11, 7) < 1 || ellipsoid(q, 0, -22, -24, 15, 5, 6) < 1) return cistern_hu(p, at);
    float swollen = edema < 1 ? 0 : 1; /* oedema closes the folds */
    float across = fabsf(q[0]);
    if (across < 0.9f + 0.7f * p->sulcus_width && depth < 24 && q[2] > -12 && swollen > 0) return cistern_hu(p, at);
    if (ellipsoid((float[]){across, q[1], q[2]}, 47, 12, -8, 15, 17, 1.6f * p->sulcus_width + 0.6f) < 1 && swollen > 0)
        return cistern_hu(p, at); /* Sylvian fissures */
    float drop = edema < 1 ? p->edema_drop : 0;
    if (depth < 15) {
        float fold = fabsf(folds(p, at)), sulcus = 0.32f * p->sulcus_width * (1.1f - depth / 15) * swollen;
        if (fold < sulcus) return cistern_hu(p, at);
        if (depth < 3.5f || fold < sulcus + 0.42f) return p->grey - 0.6f * drop; /* cortex */
    }
    int deep = ellipsoid((float[]){across, q[1], q[2]}, 20, 6, 2, 8, 17, 10) < 1;
    int cerebellum = ellipsoid(q, 0, -42, -38, 44, 26, 20) < 1;
    if (deep || cerebellum) return p->grey - 2 - 0.6f * drop;
    return p->white - drop;
}

/* Inside the skull: blood under the bone first, then water, then brain; what lies under blood is pushed inward. */
static float cranium_hu(const phantom *p, const float at[3], float depth) {
    float pushed = p->gap_mm;
    if (p->present[EDH]) {
        float thick = cap_depth(&p->edh, at, 0);
        if (depth < thick) return p->blood[EDH];
        pushed = fmaxf(pushed, thick);
    }
    if (p->present[SDH]) {
        float thick = cap_depth(&p->sdh, at, 1);
        if (depth < thick) return p->blood[SDH];
        pushed = fmaxf(pushed, thick);
    }
    for (int i = 0; i < 3; i++) { /* pineal gland and both choroid plexuses: common, harmless, bright */
        static const float x[3] = {0, -22, 22}, y[3] = {-16, -30, -30}, z[3] = {2, 6, 6};
        float r = p->calcified[i];
        if (r > 0 && ellipsoid(at, x[i], y[i], z[i], r, r, r) < 1) return 180;
    }
    if (depth < pushed) return cistern_hu(p, at);
    return brain_hu(p, at, depth - pushed);
}

float phantom_hu(const phantom *p, const float at[3]) {
    float outer = p->bone_mm + p->scalp_mm;
    int neck = at[2] < -30 && ellipsoid((float[]){at[0], at[1], 0}, 0, -8, 0, 58, 68, 1) < 1;
    if (depth_below(at, p->inner, outer) < 0 && !neck) return -1000;
    float to_bone = depth_below(at, p->inner, p->bone_mm), depth = to_bone < 0 ? -1 : depth_below(at, p->inner, 0);
    if (depth > 0) return cranium_hu(p, at, depth);
    float across = fabsf(at[0]);
    if (ellipsoid((float[]){across, at[1], at[2]}, 10, p->inner[1] - 2, -46, 9, 13, 16) < 1) return -950; /* sinuses */
    if (ellipsoid((float[]){across, at[1], at[2]}, 32, p->inner[1] - 8, -40, 12, 12, 12) < 1) return 12;  /* eyes */
    if (to_bone >= 0) { /* two hard tables, softer between them */
        float rest = p->bone_mm - to_bone;
        return to_bone < 1.6f || rest < 1.6f ? p->bone : 0.55f * p->bone;
    }
    if (neck && ellipsoid((float[]){at[0], at[1], 0}, 0, -22, 0, 12, 12, 1) < 1) return 0.6f * p->bone; /* spine */
    return neck ? 45 : p->scalp;
}

/* Nearly normal noise of variance 1 from a counter: the sum of four 16-bit uniforms (Irwin-Hall). */
static inline float noise_at(uint64_t key, uint64_t i) {
    uint64_t z = key + 0x9E3779B97F4A7C15u * (i + 1);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    float sum = (float)(z & 0xffff) + (float)(z >> 16 & 0xffff) + (float)(z >> 32 & 0xffff) + (float)(z >> 48);
    return (sum - 131070.0f) * (1.7320508f / 65535.0f);
}

/* The head's coordinates of a place in the volume, in voxels. */
static void to_head(const phantom *p, const float index[3], float at[3]) {
    float w[3];
    for (int a = 0; a < 3; a++) w[a] = (float)p->affine[a][a] * index[a] + (float)p->affine[a][3] - p->shift[a];
    for (int a = 0; a < 3; a++) at[a] = p->rotation[a][0] * w[0] + p->rotation[a][1] * w[1] + p->rotation[a][2] * w[2];
}

static hct_status make_mask(const phantom *p, volume *ret, hct_err *err) {
    hct_status status = volume_alloc(ret, HCT_I16, p->dim, err);
    if (status == HCT_OK) memcpy(ret->affine, p->affine, sizeof ret->affine);
    return status;
}

hct_status phantom_mask(const phantom *p, finding f, volume *ret, hct_err *err) {
    enum { MARK = 30000 }; /* HU that nothing else has */
    if (f < IPH || f > SAH)
        return hct_fail(err, HCT_EINVAL, "%s: a mask is drawn of bleeds alone: IPH, IVH, SDH, EDH, SAH",
                        finding_names[f]);
    hct_status status = make_mask(p, ret, err);
    if (status < 0) return status;
    phantom marked = *p;
    marked.blood[f] = MARK;
    int64_t n = 0;
    for (int64_t k = 0; k < p->dim[2]; k++)
        for (int64_t j = 0; j < p->dim[1]; j++)
            for (int64_t i = 0; i < p->dim[0]; i++) {
                float at[3];
                to_head(p, (const float[]){(float)i, (float)j, (float)k}, at);
                ret->i16[n++] = p->present[f] && phantom_hu(&marked, at) > MARK / 2.0f;
            }
    return HCT_OK;
}

hct_status phantom_inside(const phantom *p, volume *ret, hct_err *err) {
    hct_status status = make_mask(p, ret, err);
    if (status < 0) return status;
    int64_t n = 0;
    for (int64_t k = 0; k < p->dim[2]; k++)
        for (int64_t j = 0; j < p->dim[1]; j++)
            for (int64_t i = 0; i < p->dim[0]; i++) {
                float at[3];
                to_head(p, (const float[]){(float)i, (float)j, (float)k}, at);
                ret->i16[n++] = depth_below(at, p->inner, 0) > 0;
            }
    return HCT_OK;
}

hct_status phantom_render(const phantom *p, volume *ret, hct_err *err) {
    enum { SAMPLES = 3 }; /* points a voxel, spread through its depth: partial volume */
    static const float where[SAMPLES][3] = {{-0.25f, 0.05f, -0.33f}, {0.05f, -0.25f, 0}, {0.2f, 0.2f, 0.33f}};
    hct_status status = volume_alloc(ret, HCT_I16, p->dim, err);
    if (status < 0) return status;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) ret->affine[i][j] = p->affine[i][j];
    int64_t n = 0;
    for (int64_t k = 0; k < p->dim[2]; k++)
        for (int64_t j = 0; j < p->dim[1]; j++)
            for (int64_t i = 0; i < p->dim[0]; i++, n++) {
                float sum = 0;
                for (int s = 0; s < SAMPLES; s++) {
                    float at[3];
                    float index[3] = {(float)i + where[s][0], (float)j + where[s][1], (float)k + where[s][2]};
                    to_head(p, index, at);
                    sum += phantom_hu(p, at);
                }
                float hu = sum / SAMPLES + p->offset + p->noise * noise_at(p->noise_key, (uint64_t)n);
                ret->i16[n] = (int16_t)lrintf(hu < -1024 ? -1024 : hu);
            }
    return HCT_OK;
}
