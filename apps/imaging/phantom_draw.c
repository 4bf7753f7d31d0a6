/* What a phantom looks like: every random choice is made here. */
#include "imaging/phantom.h"

#include <math.h>
#include <string.h>

const char *const finding_names[FINDINGS] = {
#define X(e, column) column,
    FINDING_MAP(X)
#undef X
};

const phantom_set phantom_usual = {.size = PHANTOM_SMALL, .prevalence = 0.2, .pose = 1, .noise_min = 2, .noise_max = 7};

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014) */
static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t keyed(uint64_t seed, uint64_t patient, uint64_t scan) {
    uint64_t s = seed;
    s = next(&s) ^ patient;
    s = next(&s) ^ scan;
    return next(&s);
}

static float between(uint64_t *s, double lo, double hi) {
    return (float)(lo + (hi - lo) * (double)(next(s) >> 11) / 9007199254740992.0);
}
static int chance(uint64_t *s, double p) { return between(s, 0, 1) < (float)p; }
static float sign(uint64_t *s) { return next(s) >> 63 ? 1.0f : -1.0f; }

static void direction(uint64_t *s, float ret[3], float side, float min_z, float max_z) {
    float z = between(s, min_z, max_z), turn = between(s, -1.1, 1.1), flat = sqrtf(1 - z * z);
    ret[0] = side * flat * cosf(turn);
    ret[1] = flat * sinf(turn);
    ret[2] = z;
}

/* A blob inside the brain, off the midline. */
static blob place_blob(uint64_t *s, const phantom *p, float min_mm, float max_mm) {
    blob b;
    float radius = between(s, min_mm, max_mm);
    for (int a = 0; a < 3; a++) {
        b.axis[a] = radius * between(s, 0.75, 1.25);
        b.wave[a] = between(s, 0, 6.28);
    }
    float side = sign(s);
    for (int tries = 0; tries < 64; tries++) {
        float r2 = 0;
        for (int a = 0; a < 3; a++) {
            b.centre[a] = p->inner[a] * (a == 0   ? side * between(s, 0.12, 0.8)
                                         : a == 1 ? between(s, -0.75, 0.75)
                                                  : between(s, -0.35, 0.75));
            float x = b.centre[a] / (p->inner[a] - 0.7f * b.axis[a] - p->gap_mm);
            r2 += x * x;
        }
        if (r2 < 1)
            break; /* the last try is kept in any case: then part of it lies outside and is cut off by the skull */
    }
    return b;
}

static cap place_cap(uint64_t *s, double min_mm, double max_mm, double min_deg, double max_deg) {
    cap c;
    direction(s, c.dir, sign(s), -0.1f, 0.6f);
    c.depth = between(s, min_mm, max_mm);
    c.cos_edge = cosf(between(s, min_deg, max_deg) * 0.0174533f);
    return c;
}

static void draw_patient(phantom *p, uint64_t s, double prevalence) {
    static const float inner[3] = {66, 82, 67};
    float size = between(&s, 0.92, 1.08);
    for (int a = 0; a < 3; a++) p->inner[a] = inner[a] * size * between(&s, 0.96, 1.04);
    p->bone_mm = between(&s, 4.5, 9);
    p->scalp_mm = between(&s, 4, 8);
    p->gap_mm = between(&s, 1.2, 2.8);
    p->sulcus_width = between(&s, 0.75, 1.25);
    for (int i = 0; i < 9; i++) p->sulcus_phase[i] = between(&s, 0, 6.28);
    p->ventricle = between(&s, 0.8, 1.2);
    p->grey = between(&s, 35, 40);
    p->white = p->grey - between(&s, 7, 10);
    p->csf = between(&s, 3, 9);
    p->bone = between(&s, 900, 1500);
    p->scalp = between(&s, 10, 50);
    for (int i = 0; i < 3; i++) p->calcified[i] = chance(&s, 0.5) ? between(&s, 1, 3.5) : 0;
    for (int f = 0; f < FINDINGS; f++) p->present[f] = f != ICH && chance(&s, prevalence);
    p->iph = place_blob(&s, p, 9, 21);
    p->tumor = place_blob(&s, p, 11, 23);
    p->edema = place_blob(&s, p, 20, 34);
    p->sdh = place_cap(&s, 7, 15, 58, 75);
    p->edh = place_cap(&s, 13, 26, 28, 40);
    direction(&s, p->sah_dir, sign(&s), -0.2f, 0.5f);
    p->sah_cos_edge = cosf(between(&s, 60, 110) * 0.0174533f);
    p->ivh_side = chance(&s, 0.5) ? (int)sign(&s) : 0;
    p->ivh_level = between(&s, -26, -6);
    for (int f = 0; f < FINDINGS; f++) p->blood[f] = between(&s, 58, 78);
    p->tumor_rim = between(&s, 46, 58);
    p->tumor_core = between(&s, 14, 24);
    p->edema_drop = between(&s, 10, 15);
    if (p->present[HCP]) p->ventricle *= between(&s, 1.7, 2.2);
    else if (p->present[ADRD]) p->ventricle *= between(&s, 1.3, 1.5);
}

/* Sizes that come with a finding, and change with it from scan to scan. */
static void apply_findings(phantom *p, const phantom *before) {
    if (p->present[ADRD]) { /* atrophy: brain shrinks from the skull, folds open */
        p->gap_mm += 3.5f;
        p->sulcus_width *= 2.0f;
    }
    if (p->present[HCP]) { /* pressure from inside: folds close */
        p->gap_mm *= 0.6f;
        p->sulcus_width *= 0.45f;
    }
    if (before->present[HCP] && !p->present[HCP]) p->ventricle = p->present[ADRD] ? 1.4f : 1.0f;
    else if (before->present[ADRD] && !p->present[ADRD] && !p->present[HCP]) p->ventricle = 1.0f;
    p->present[ICH] = p->present[IPH] || p->present[IVH] || p->present[SDH] || p->present[EDH] || p->present[SAH];
}

static void scale_blob(blob *b, float f) {
    for (int a = 0; a < 3; a++) b->axis[a] *= f;
}

static void rotate(float m[3][3], int axis, float angle) {
    int u = (axis + 1) % 3, v = (axis + 2) % 3;
    for (int j = 0; j < 3; j++) {
        float a = m[u][j], b = m[v][j];
        m[u][j] = cosf(angle) * a - sinf(angle) * b;
        m[v][j] = sinf(angle) * a + cosf(angle) * b;
    }
}

/* Grid and pose. The grid covers the head in any pose; x and y may run either way, as in files of real scanners. */
static void draw_scan(phantom *p, uint64_t *s, const phantom_set *set) {
    static const float range[3][4] = {
        {3, 4, 5, 7},
        {1.8f, 2.3f, 3.2f, 5},
        {0.43f, 0.6f, 0.6f, 5},
    };                                             /* in plane; slices */
    static const float cover[3] = {200, 240, 190}; /* mm */
    const float *r = range[set->size], pose = (float)set->pose;
    p->spacing[0] = p->spacing[1] = between(s, r[0], r[1]);
    p->spacing[2] = between(s, r[2], r[3]);
    memset(p->affine, 0, sizeof p->affine);
    p->affine[3][3] = 1;
    for (int a = 0; a < 3; a++) {
        int back = a < 2 && chance(s, 0.5);
        p->dim[a] = (int64_t)ceilf(cover[a] / p->spacing[a]);
        float centre = a == 2 ? -6 : 0;
        p->affine[a][a] = back ? -p->spacing[a] : p->spacing[a];
        p->affine[a][3] = centre - p->affine[a][a] * (double)(p->dim[a] - 1) / 2;
    }
    memset(p->rotation, 0, sizeof p->rotation);
    for (int a = 0; a < 3; a++) p->rotation[a][a] = 1;
    static const float max_angle[3] = {0.25f, 0.14f, 0.18f}; /* nodding, leaning, turning; radians */
    for (int a = 0; a < 3; a++) rotate(p->rotation, a, pose * between(s, -max_angle[a], max_angle[a]));
    for (int a = 0; a < 3; a++) p->shift[a] = pose * between(s, -8, 8);
    p->noise = between(s, set->noise_min, set->noise_max);
    p->offset = between(s, -3, 3);
    p->noise_key = next(s);
}

int64_t phantom_scans(uint64_t seed, uint64_t patient, int64_t low, int64_t high) {
    return low + (int64_t)(keyed(~seed, patient, 0) % (uint64_t)(high - low + 1));
}

static void make_easier(phantom *p, const phantom_set *set) {
    for (int f = 0; f < FINDINGS; f++) {
        p->blood[f] += (float)set->brighter_hu;
        if (set->only && !(set->only >> f & 1)) p->present[f] = 0;
    }
    scale_blob(&p->iph, 1 + (float)set->larger);
    p->sdh.depth *= 1 + (float)set->larger;
}

void phantom_draw(phantom *ret, const phantom_set *set, uint64_t patient, uint64_t scan) {
    memset(ret, 0, sizeof *ret);
    draw_patient(ret, keyed(set->seed, patient, 0), set->prevalence);
    uint64_t s = keyed(set->seed, patient, scan + 1);
    draw_scan(ret, &s, set);
    phantom patient_only = *ret;
    for (int f = 0; f < FINDINGS; f++) {
        int gone = chance(&s, 0.15);
        ret->present[f] = ret->present[f] && !gone;
    }
    scale_blob(&ret->iph, between(&s, 0.88, 1.08));
    scale_blob(&ret->tumor, between(&s, 0.92, 1.08));
    scale_blob(&ret->edema, between(&s, 0.9, 1.1));
    ret->sdh.depth *= between(&s, 0.88, 1.1);
    ret->edh.depth *= between(&s, 0.9, 1.1);
    make_easier(ret, set);
    apply_findings(ret, &patient_only);
}
