/* A phantom's HU at each point of the head. */
#include "imaging/phantom.h"

#include <math.h>

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
static float ventricles(const float at[3], float size, float horns, int *lateral) {
    float m[3] = {fabsf(at[0]), at[1], at[2]};
    float wide = size, tall = sqrtf(size), long_ = 0.75f + 0.25f * size;
    float body = ellipsoid(m, 6 + 4 * wide, 9, 13, 4.6f * wide, 25 * long_, 6.5f * tall);
    float back = ellipsoid(m, 14 + 5 * wide, -27, 7, 5.2f * wide, 19 * long_, 6.5f * tall);
    float temporal = ellipsoid(m, 29, -6, -17, 3.0f * wide * horns, 15 * long_, 3.6f * tall * sqrtf(horns));
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

/* Where a point of the brain would lie if nothing pushed: masses move the middle of the brain, not what is held by the
 * skull. */
static void unpushed(const phantom *p, const float at[3], float ret[3]) {
    ret[0] = at[0], ret[1] = at[1], ret[2] = at[2];
    if (p->midline_mm == 0) return;
    float x = at[0] / p->inner[0], y = (at[1] - 5) / 50, z = (at[2] - 8) / 38;
    ret[0] -= p->midline_mm * expf(-y * y - z * z) * fmaxf(1 - x * x, 0);
}

/* Falx and tentorium, thin dense sheets; the falx has a calcified stretch in some. 0: none is here. q: scaled to an
 * average head. */
static float dura_hu(const phantom *p, const float at[3], const float q[3], float depth) {
    float across = fabsf(at[0]), dense = 0.75f * p->sinus_hu;
    if (depth < 26 && q[2] > -10) {
        if (across < p->plaque[2] && depth > 3 && depth < 16) {
            float round = atan2f(at[2] + 10, -at[1]); /* 0 at the back, pi at the front */
            if (fabsf(round - p->plaque[0]) < p->plaque[1]) return p->calcified_hu;
        }
        if (across < p->falx_mm) return dense;
    }
    if (q[1] < -18) {
        float back = 0.05f * (q[1] + 18), roof = -14 - 0.2f * fabsf(q[0]) - back;
        if (fabsf(q[2] - roof) < p->falx_mm && fabsf(q[0]) > 6 - 2 * back) return dense;
    }
    return 0;
}

/* Venous sinuses and the arteries at the base: blood where it belongs. 0: none is here. */
static float vessel_hu(const phantom *p, const float at[3], float depth) {
    float across = fabsf(at[0]), w = p->sinus_mm;
    int sagittal =
        depth < 1.6f * w && across < 0.9f * w * (1 - depth / (2.2f * w)) && at[2] > -18 && (at[2] > 20 || at[1] < 0);
    float side = at[0] > 0 ? 1 + p->sinus_side : 1 - p->sinus_side, t = w * (0.35f + 0.55f * side);
    int transverse = depth < t && at[1] < -0.35f * p->inner[1] && fabsf(at[2] + 20) < 0.6f * t;
    int straight = across < 0.4f * w && at[1] < -28 && fabsf(at[2] - 0.35f * (at[1] + 28) - 4) < 0.4f * w;
    if (sagittal || transverse || straight) return p->sinus_hu;
    if (ellipsoid(at, 0, -6, -36, 2.2f, 2.2f, 9) < 1) return 0.9f * p->sinus_hu;    /* basilar artery */
    if (ellipsoid((float[]){across, at[1], at[2]}, 13, 12, -34, 2.6f, 2.6f, 5) < 1) /* carotids */
        return p->calcified[0] > 2 ? p->calcified_hu : p->sinus_hu;
    return 0;
}

/* Blood and tumour in the brain; 0: neither is here. */
static float lesion_hu(const phantom *p, const float at[3]) {
    if (p->present[IPH] && blob_radius(&p->iph, at) < 1) return p->blood[IPH];
    if (p->present[TUMOR]) {
        float r = blob_radius(&p->tumor, at);
        if (r < 1) return r > 0.62f ? p->tumor_rim : p->tumor_core;
    }
    return 0;
}

/* Ventricles and the white matter round them; 0: neither is here. */
static float ventricle_hu(const phantom *p, const float q[3], float squeezed, int swollen) {
    if (fabsf(q[0]) >= 48 || fabsf(q[1]) >= 66 || fabsf(q[2]) >= 48) return 0;
    int lateral;
    float v = ventricles(q, p->ventricle * (1 - 0.4f * squeezed), p->horns, &lateral);
    if (v < 1) {
        int blood = p->present[IVH] && lateral && (p->ivh_side ? q[0] * (float)p->ivh_side > 0 : q[1] < p->ivh_level);
        return blood ? p->blood[IVH] : p->csf;
    }
    if (v < 1.35f && p->present[HCP]) return p->white - 8; /* water pressed into the white matter */
    if (v < 1.6f && p->pale > 0 && !swollen) return p->white - p->pale * (1.6f - v) / 0.6f;
    return 0;
}

static float brain_hu(const phantom *p, const float at[3], float depth) {
    float moved[3];
    unpushed(p, at, moved);
    float q[3] = {moved[0] * 66 / p->inner[0], at[1] * 82 / p->inner[1], at[2] * 67 / p->inner[2]};
    float squeezed = p->squeezed[at[0] > 0], across = fabsf(q[0]), width = p->sulcus_width * (1 - 0.8f * squeezed), hu;
    int swollen = p->present[EDEMA] && blob_radius(&p->edema, at) < 1; /* oedema closes the folds */
    if (!p->plain && (hu = dura_hu(p, moved, q, depth)) > 0) return hu;
    if ((hu = lesion_hu(p, at)) > 0) return hu;
    if ((hu = ventricle_hu(p, q, squeezed, swollen)) > 0) return hu;
    if (!p->plain) {
        float slit = 1.8f * (p->horns - 0.5f); /* between the inner temporal lobe and the brain stem */
        if (ellipsoid((float[]){across, q[1], q[2]}, 21, -8, -20, slit, 12, 1.6f * slit) < 1) return cistern_hu(p, at);
        if (p->has_scar && blob_radius(&p->scar, at) < 1) return p->csf + 4;
    }
    if (ellipsoid(q, 0, 10, -36, 13, 11, 7) < 1 || ellipsoid(q, 0, -22, -24, 15, 5, 6) < 1) return cistern_hu(p, at);
    if (!swollen && across < 0.9f + 0.7f * width && depth < 24 && q[2] > -12) return cistern_hu(p, at);
    if (!swollen && ellipsoid((float[]){across, q[1], q[2]}, 47, 12, -8, 15, 17, 1.6f * width + 0.6f) < 1)
        return cistern_hu(p, at); /* Sylvian fissures */
    float drop = swollen ? p->edema_drop : 0;
    if (depth < 15) {
        float fold = fabsf(folds(p, at)), sulcus = swollen ? 0 : 0.32f * width * (1.1f - depth / 15);
        if (fold < sulcus) return cistern_hu(p, at);
        if (depth < 3.5f || fold < sulcus + 0.42f) return p->grey - 0.6f * drop; /* cortex */
    }
    float r = p->ganglia_mm;
    if (r > 0 && ellipsoid((float[]){across, q[1], q[2]}, 19, 5, 3, r, 1.5f * r, r) < 1)
        return 0.5f * p->calcified_hu + 10;
    int deep = ellipsoid((float[]){across, q[1], q[2]}, 20, 6, 2, 8, 17, 10) < 1;
    int cerebellum = ellipsoid(q, 0, -42, -38, 44, 26, 20) < 1;
    if (deep || cerebellum) return p->grey - 2 - 0.6f * drop;
    return p->white - drop;
}

/* Pineal gland and both choroid plexuses: common, harmless, bright. */
static int is_calcified(const phantom *p, const float at[3]) {
    static const float x[3] = {0, -22, 22}, y[3] = {-16, -30, -30}, z[3] = {2, 6, 6};
    for (int i = 0; i < 3; i++) {
        float r = p->calcified[i];
        if (r > 0 && ellipsoid(at, x[i], y[i], z[i], r, r, r) < 1) return 1;
    }
    return 0;
}

/* Inside the skull: blood under the bone first, then water, then brain; what lies under blood is pushed inward. */
static float cranium_hu(const phantom *p, const float at[3], float depth) {
    float pushed = p->gap_mm, moved[3], hu;
    if (p->has_bump && depth < cap_depth(&p->bump, at, 0)) return p->bone;
    pushed *= (1 + p->gap_side * at[0] / p->inner[0]) * (1 - 0.6f * p->squeezed[at[0] > 0]);
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
    unpushed(p, at, moved);
    if (is_calcified(p, moved)) return p->plain ? 180 : p->calcified_hu;
    if (!p->plain && (hu = vessel_hu(p, at, depth)) > 0) return hu;
    if (p->has_cyst && blob_radius(&p->cyst, at) < 1) return p->csf;
    if (depth < pushed) return cistern_hu(p, at);
    return brain_hu(p, at, depth - pushed);
}

/* Everything but shading; *ret_depth: below the inside of the skull, mm, negative: outside of it. */
static float head_hu(const phantom *p, const float at[3], float *ret_depth) {
    float lump = p->has_scalp ? cap_depth(&p->lump, at, 0) : 0,
          skin = depth_below(at, p->inner, p->bone_mm + p->scalp_mm + lump);
    int neck = at[2] < -30 && ellipsoid((float[]){at[0], at[1], 0}, 0, -8, 0, 58, 68, 1) < 1;
    *ret_depth = -1;
    if (skin < 0 && !neck) {
        int rest = p->rest_hu > -1000 && at[1] < -30 && at[2] > -50 && skin < -4 && skin > -9 && fabsf(at[0]) < 75;
        return rest ? p->rest_hu : -1000;
    }
    const float *tilt = p->bone_tilt;
    float thick = p->bone_mm * (1 + tilt[0] * at[0] / 80 + tilt[1] * at[1] / 100 + tilt[2] * at[2] / 80);
    float to_bone = depth_below(at, p->inner, thick), depth = to_bone < 0 ? -1 : depth_below(at, p->inner, 0);
    *ret_depth = depth;
    if (depth > 0) return cranium_hu(p, at, depth);
    float across = fabsf(at[0]);
    if (ellipsoid((float[]){across, at[1], at[2]}, 10, p->inner[1] - 2, -46, 9, 13, 16) < 1) return -950; /* sinuses */
    if (ellipsoid((float[]){across, at[1], at[2]}, 32, p->inner[1] - 8, -40, 12, 12, 12) < 1) return 12;  /* eyes */
    if (to_bone >= 0) { /* two hard tables, softer between them */
        float rest = thick - to_bone;
        return to_bone < 1.6f || rest < 1.6f ? p->bone : 0.55f * p->bone;
    }
    if (neck && ellipsoid((float[]){at[0], at[1], 0}, 0, -22, 0, 12, 12, 1) < 1) return 0.6f * p->bone; /* spine */
    if (neck) return 45;
    return lump > 1 && skin > 2 ? p->lump_hu : p->scalp;
}

/* What beam hardening and reconstruction do to soft tissue inside the skull. */
static float shaded(const phantom *p, const float at[3], float depth, float hu) {
    hu = hu * p->gain + p->cup * (expf(-depth / p->cup_mm) - 0.25f);
    float z = (at[2] - p->dark_z) / 7;
    if (z * z < 9 && fabsf(at[0]) < 45) { /* the dark band between the petrous bones */
        float y = (at[1] + 12) / 16, stripes = 0.7f + 0.3f * sinf(0.5f * at[1] + 0.05f * at[0]);
        hu -= p->dark * expf(-0.5f * (z * z + y * y)) * stripes;
    }
    float along = cosf(p->streak[1]) * at[0] + sinf(p->streak[1]) * at[1];
    hu += p->streak[0] * sinf(p->streak[2] * along + p->streak[3]) * sinf(0.11f * at[2] + p->streak[3]);
    return hu + p->shade[0] * at[0] / 70 + p->shade[1] * at[1] / 80 + p->shade[2] * at[2] / 70;
}

float phantom_hu(const phantom *p, const float at[3]) {
    float depth, hu = head_hu(p, at, &depth);
    return p->plain || depth <= 0 || hu > 200 ? hu : shaded(p, at, depth, hu);
}

float phantom_depth(const phantom *p, const float at[3]) { return depth_below(at, p->inner, 0); }
