/* What a phantom looks like: every random choice is made here. */
#include "imaging/phantom.h"

#include <math.h>
#include <string.h>

const char *const finding_names[FINDINGS] = {
#define X(e, column) column,
    FINDING_MAP(X)
#undef X
};

const char *const reading_names[READINGS] = {
#define X(e, column) column,
    READING_MAP(X)
#undef X
};

const phantom_set phantom_usual = {
    .size = PHANTOM_SMALL, .prevalence = 0.2, .pose = 1, .heads = 1, .noise_min = 2, .noise_max = 7};

/* Keeps what is harmless apart from the findings' draws. */
#define STREAM_HARMLESS 0x6861726D6C657373u

/* From here on a shift of the midline, and a push of one side, are labels, mm. */
#define MIDLINE_MM 4
#define MASS_MM 3

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
/* Ranges that numbers of a patient are drawn from. */
typedef struct range {
    double low, high;
} range;
static float of(uint64_t *s, range r) { return between(s, r.low, r.high); }
static int chance(uint64_t *s, double p) { return between(s, 0, 1) < (float)p; }
static float sign(uint64_t *s) { return next(s) >> 63 ? 1.0f : -1.0f; }

static void direction(uint64_t *s, float ret[3], float side, float min_z, float max_z) {
    float z = between(s, min_z, max_z), turn = between(s, -1.1, 1.1), flat = sqrtf(1 - z * z);
    ret[0] = side * flat * cosf(turn);
    ret[1] = flat * sinf(turn);
    ret[2] = z;
}

/* A blob inside the brain, off the midline. */
static blob place_blob(uint64_t *s, const phantom *p, range mm) {
    blob b;
    float radius = of(s, mm);
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

static cap place_cap(uint64_t *s, range mm, range degrees) {
    cap c;
    direction(s, c.dir, sign(s), -0.1f, 0.6f);
    c.depth = of(s, mm);
    c.cos_edge = cosf(of(s, degrees) * 0.0174533f);
    return c;
}

typedef struct look {
    range size, shape, bone_mm, scalp_mm, gap_mm, sulcus, ventricle, grey, bone, calcified_mm;
    double calcified; /* probability */
    range iph_mm, tumor_mm, edema_mm, sdh_mm, sdh_deg, edh_mm, edh_deg, sah_deg, blood, sdh_blood, rim, core, drop;
} look;

static const look plain_look = {
    .size = {0.92, 1.08},
    .shape = {0.96, 1.04},
    .bone_mm = {4.5, 9},
    .scalp_mm = {4, 8},
    .gap_mm = {1.2, 2.8},
    .sulcus = {0.75, 1.25},
    .ventricle = {0.8, 1.2},
    .grey = {35, 40},
    .bone = {900, 1500},
    .calcified_mm = {1, 3.5},
    .calcified = 0.5,
    .iph_mm = {9, 21},
    .tumor_mm = {11, 23},
    .edema_mm = {20, 34},
    .sdh_mm = {7, 15},
    .sdh_deg = {58, 75},
    .edh_mm = {13, 26},
    .edh_deg = {28, 40},
    .sah_deg = {60, 110},
    .blood = {58, 78},
    .sdh_blood = {58, 78},
    .rim = {46, 58},
    .core = {14, 24},
    .drop = {10, 15},
};

/* Gap, sulcus and ventricle: what is left of their spread beside age. Blood is iso- to hyperdense. */
static const look usual_look = {
    .size = {0.9, 1.1},
    .shape = {0.95, 1.05},
    .bone_mm = {3.5, 10.5},
    .scalp_mm = {3, 10},
    .gap_mm = {0.8, 1.4},
    .sulcus = {0.6, 0.8},
    .ventricle = {0.7, 0.9},
    .grey = {34, 41},
    .bone = {700, 1800},
    .calcified_mm = {1, 5.5},
    .calcified = 0.65,
    .iph_mm = {8, 18},
    .tumor_mm = {9, 20},
    .edema_mm = {14, 28},
    .sdh_mm = {6, 14},
    .sdh_deg = {35, 60},
    .edh_mm = {10, 22},
    .edh_deg = {22, 36},
    .sah_deg = {25, 60},
    .blood = {50, 78},
    .sdh_blood = {34, 76},
    .rim = {42, 58},
    .core = {14, 32},
    .drop = {8, 15},
};

/* The middle of the range, or up to `share` of the way to its ends. */
static range narrow(range r, double share) {
    if (share == 1) return r; /* its very numbers */
    double middle = (r.low + r.high) / 2, half = (r.high - r.low) / 2 * share;
    return (range){middle - half, middle + half};
}

/* What looks like a finding and is none, and how age widens what holds water. */
static void draw_harmless(phantom *p, uint64_t s, double heads) {
    float age = between(&s, 0, 1);
    p->gap_mm += 5.5f * age * between(&s, 0.7, 1);
    p->sulcus_width += 0.9f * age * between(&s, 0.7, 1);
    p->ventricle += 0.5f * age * between(&s, 0.6, 1);
    p->horns = between(&s, 0.7, 1) + 0.3f * age;
    p->gap_side = between(&s, -0.35, 0.35);
    p->ventricle_factor[0] = between(&s, 1.6, 2.1);
    p->ventricle_factor[1] = between(&s, 1.1, 1.3);
    p->push = between(&s, 0.1, 1.7);
    p->falx_mm = between(&s, 0.6, 1.4);
    p->plaque[0] = between(&s, 0, 3.14);
    p->plaque[1] = between(&s, 0.08, 0.5);
    p->plaque[2] = chance(&s, 0.4) ? between(&s, 1, 3.5) : 0;
    p->sinus_hu = between(&s, 46, 74);
    p->sinus_mm = between(&s, 3.5, 8);
    p->sinus_side = between(&s, -1, 1);
    p->calcified_hu = between(&s, 80, 320);
    p->ganglia_mm = chance(&s, 0.35) ? between(&s, 1.5, 6) : 0;
    p->pale = chance(&s, 0.5) ? between(&s, 3, 10) : 0;
    p->has_scar = chance(&s, 0.35);
    p->scar = place_blob(&s, p, (range){4, 15});
    p->has_cyst = chance(&s, 0.15);
    p->cyst = place_blob(&s, p, (range){8, 20});
    float to[3];
    direction(&s, to, sign(&s), -0.35f, 0.8f);
    for (int a = 0; a < 3; a++) p->cyst.centre[a] = to[a] * (p->inner[a] - 4);
    p->has_scalp = chance(&s, 0.35);
    p->lump = place_cap(&s, (range){5, 16}, (range){18, 45});
    p->lump_hu = between(&s, 45, 76);
    p->has_bump = chance(&s, 0.3);
    p->bump = place_cap(&s, (range){3, 9}, (range){10, 40});
    for (int a = 0; a < 3; a++) p->bone_tilt[a] = (float)heads * between(&s, -0.3, 0.3);
}

static void draw_patient(phantom *p, uint64_t s, const phantom_set *set) {
    static const float inner[3] = {66, 82, 67};
    const look *l = set->plain ? &plain_look : &usual_look;
    const double heads = set->plain ? 1 : set->heads;
    const uint64_t harmless = s ^ STREAM_HARMLESS;
    float size = of(&s, narrow(l->size, heads));
    for (int a = 0; a < 3; a++) p->inner[a] = inner[a] * size * of(&s, narrow(l->shape, heads));
    p->bone_mm = of(&s, narrow(l->bone_mm, heads));
    p->scalp_mm = of(&s, narrow(l->scalp_mm, heads));
    p->gap_mm = of(&s, l->gap_mm);
    p->sulcus_width = of(&s, l->sulcus);
    for (int i = 0; i < 9; i++) p->sulcus_phase[i] = between(&s, 0, 6.28);
    p->ventricle = of(&s, l->ventricle);
    p->grey = of(&s, l->grey);
    p->white = p->grey - between(&s, 7, 10);
    p->csf = between(&s, 3, 9);
    p->bone = of(&s, narrow(l->bone, heads));
    p->scalp = between(&s, 10, 50);
    for (int i = 0; i < 3; i++) p->calcified[i] = chance(&s, l->calcified) ? of(&s, l->calcified_mm) : 0;
    for (int f = 0; f < FINDINGS; f++) p->present[f] = f != ICH && chance(&s, set->prevalence);
    p->iph = place_blob(&s, p, l->iph_mm);
    p->tumor = place_blob(&s, p, l->tumor_mm);
    p->edema = place_blob(&s, p, l->edema_mm);
    p->sdh = place_cap(&s, l->sdh_mm, l->sdh_deg);
    p->edh = place_cap(&s, l->edh_mm, l->edh_deg);
    direction(&s, p->sah_dir, sign(&s), -0.2f, 0.5f);
    p->sah_cos_edge = cosf(of(&s, l->sah_deg) * 0.0174533f);
    p->ivh_side = chance(&s, 0.5) ? (int)sign(&s) : 0;
    p->ivh_level = between(&s, -26, -6);
    for (int f = 0; f < FINDINGS; f++) p->blood[f] = of(&s, f == SDH ? l->sdh_blood : l->blood);
    p->tumor_rim = of(&s, l->rim);
    p->tumor_core = of(&s, l->core);
    p->edema_drop = of(&s, l->drop);
    p->plain = set->plain;
    p->horns = 1;
    if (!set->plain) {
        draw_harmless(p, harmless, heads);
        return;
    }
    if (p->present[HCP]) p->ventricle *= between(&s, 1.7, 2.2);
    else if (p->present[ADRD]) p->ventricle *= between(&s, 1.3, 1.5);
}

/* ---- what findings do to the rest of the head ---- */

static float mean_axis(const blob *b) { return (b->axis[0] + b->axis[1] + b->axis[2]) / 3; }

/* Adds what a mass at this side (x of its middle) pushes, mm. */
static void add_mass(float pushed[2], int present, float x, float mm) {
    if (present) pushed[x > 0] += mm;
}

/* Masses push the middle away from them and close folds and ventricle of their side; what a reader says of that. */
static void apply_masses(phantom *p) {
    const int *has = p->present;
    float pushed[2] = {0, 0}; /* from the left, from the right */
    add_mass(pushed, has[SDH], p->sdh.dir[0], 0.5f * p->sdh.depth);
    add_mass(pushed, has[EDH], p->edh.dir[0], 0.25f * p->edh.depth);
    add_mass(pushed, has[IPH], p->iph.centre[0], 0.3f * mean_axis(&p->iph));
    add_mass(pushed, has[TUMOR], p->tumor.centre[0], 0.25f * mean_axis(&p->tumor));
    add_mass(pushed, has[EDEMA], p->edema.centre[0], 0.12f * mean_axis(&p->edema));
    for (int k = 0; k < 2; k++) {
        pushed[k] *= p->push;
        p->squeezed[k] = fminf(pushed[k] / 7, 1);
    }
    p->midline_mm = fmaxf(fminf(pushed[0] - pushed[1], 14), -14);
    int left = (has[IPH] && p->iph.centre[0] < 0) || (has[SDH] && p->sdh.dir[0] < 0) ||
               (has[EDH] && p->edh.dir[0] < 0) || (has[SAH] && p->sah_dir[0] < 0) || (has[IVH] && p->ivh_side <= 0);
    int right = (has[IPH] && p->iph.centre[0] > 0) || (has[SDH] && p->sdh.dir[0] > 0) ||
                (has[EDH] && p->edh.dir[0] > 0) || (has[SAH] && p->sah_dir[0] > 0) || (has[IVH] && p->ivh_side >= 0);
    p->reads[BLEED_LEFT] = left;
    p->reads[BLEED_RIGHT] = right;
    p->reads[MIDLINE_SHIFT] = fabsf(p->midline_mm) >= MIDLINE_MM;
    p->reads[MASS_EFFECT] = fmaxf(pushed[0], pushed[1]) >= MASS_MM;
}

/* Sizes that come with a finding, and change with it from scan to scan. */
static void apply_findings(phantom *p, const phantom *before) {
    const int *has = p->present;
    p->present[ICH] = has[IPH] || has[IVH] || has[SDH] || has[EDH] || has[SAH];
    if (!p->plain) {
        if (has[ADRD]) { /* a little more of what age does, and the inner temporal lobes shrink */
            p->gap_mm += 1.0f;
            p->sulcus_width *= 1.2f;
            p->horns *= 2.0f;
        }
        if (has[HCP]) p->gap_mm *= 0.6f, p->sulcus_width *= 0.45f, p->horns *= 1.3f; /* pressure from inside */
        p->ventricle *= has[HCP] ? p->ventricle_factor[0] : has[ADRD] ? p->ventricle_factor[1] : 1;
        apply_masses(p);
        return;
    }
    if (has[ADRD]) { /* atrophy: brain shrinks from the skull, folds open */
        p->gap_mm += 3.5f;
        p->sulcus_width *= 2.0f;
    }
    if (has[HCP]) { /* pressure from inside: folds close */
        p->gap_mm *= 0.6f;
        p->sulcus_width *= 0.45f;
    }
    if (before->present[HCP] && !has[HCP]) p->ventricle = has[ADRD] ? 1.4f : 1.0f;
    else if (before->present[ADRD] && !has[ADRD] && !has[HCP]) p->ventricle = 1.0f;
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

/* What scanners and reconstructions leave behind: no two scans have the same HU of the same tissue. */
static void draw_shading(phantom *p, uint64_t s, double heads) {
    const float h = (float)heads;
    p->gain = 1 + h * between(&s, -0.06, 0.06);
    p->cup = h * between(&s, 0, 14);
    p->cup_mm = between(&s, 4, 12);
    p->dark = h * between(&s, 0, 18);
    p->dark_z = between(&s, -40, -28);
    p->streak[0] = h * between(&s, 0, 5);
    p->streak[1] = between(&s, 0, 3.14);
    p->streak[2] = between(&s, 0.15, 0.6);
    p->streak[3] = between(&s, 0, 6.28);
    p->blur = between(&s, 0.8, 2.2);
    p->rest_hu = chance(&s, 0.8) ? between(&s, -60, 120) : -1000;
    for (int a = 0; a < 3; a++) p->shade[a] = h * between(&s, -4, 4);
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
    p->gain = p->blur = 1;
    p->rest_hu = -1000;
    if (!set->plain) draw_shading(p, keyed(p->noise_key, STREAM_HARMLESS, 0), set->heads);
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
    draw_patient(ret, keyed(set->seed, patient, 0), set);
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
