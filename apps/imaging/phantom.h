/* Phantoms: head CTs that were never taken. Skull, scalp, brain, ventricles and air in Hounsfield units, and the
 * paper's ten findings drawn as shapes, so that every label is known from what was drawn.
 *
 * A phantom is evaluated point by point in head coordinates: mm from the centre of the skull, x right, y front, z up.
 * Everything random comes from splitmix64 keyed by (seed, patient, scan): the same files for any number of threads.
 *   of the patient: head size, bone, tissue values, age (width of ventricles, folds and the gap below the skull), what
 *                   looks like a finding and is none (calcifications, dense sinuses and dura, old infarcts, cysts, pale
 *                   white matter, scalp haematomas, bony bumps), findings and where they lie
 *   of the scan:    pose, spacing, axes' direction, noise, shading and blur, small changes of size; each finding of the
 *                   patient is absent from a scan (not yet there, or resolved) with probability 0.15
 * What belongs to the scan, and what is harmless, is drawn without looking at the findings. Bleeds, tumours and oedema
 * push: the midline gives way, folds and ventricles of their side close. */
#ifndef IMAGING_PHANTOM_H
#define IMAGING_PHANTOM_H

#include "imaging/volume.h"

/* X(enumerator, column of labels.csv). The paper's ten tasks, in its order. ICH is any of the five bleeds. */
/* clang-format off */
#define FINDING_MAP(X)                                                                                          \
    X(TUMOR, "Tumor") X(HCP, "HCP") X(EDEMA, "Edema") X(ADRD, "ADRD") X(IPH, "IPH") X(IVH, "IVH") X(SDH, "SDH") \
    X(EDH, "EDH") X(SAH, "SAH") X(ICH, "ICH")
/* clang-format on */
typedef enum finding {
#define X(e, column) e,
    FINDING_MAP(X)
#undef X
        FINDINGS
} finding;
extern const char *const finding_names[FINDINGS];

/* What CQ500's readers say beside the findings: X(enumerator, column). Left is the patient's. */
#define READING_MAP(X)                                                                                                 \
    X(BLEED_LEFT, "BleedLocation-Left")                                                                                \
    X(BLEED_RIGHT, "BleedLocation-Right") X(MIDLINE_SHIFT, "MidlineShift") X(MASS_EFFECT, "MassEffect")
typedef enum reading {
#define X(e, column) e,
    READING_MAP(X)
#undef X
        READINGS
} reading;
extern const char *const reading_names[READINGS];

typedef enum phantom_size {
    PHANTOM_TINY,  /* about 3.5 x 3.5 x 6 mm: tests */
    PHANTOM_SMALL, /* about 2 x 2 x 4 mm */
    PHANTOM_FULL   /* about 0.5 x 0.5 x 0.6 to 5 mm, as a scanner's */
} phantom_size;

/* An ellipsoid with a wavy surface. */
typedef struct blob {
    float centre[3], axis[3]; /* mm */
    float wave[3];            /* phases of the surface */
} blob;

/* A cap of blood between skull and brain, deepest at `dir`. */
typedef struct cap {
    float dir[3];   /* unit vector from the skull's centre */
    float depth;    /* mm at its centre */
    float cos_edge; /* cosine of the angle at which it ends */
} cap;

typedef struct phantom {
    /* of the patient */
    float inner[3];                      /* half axes of the skull's inside, mm */
    float bone_mm, scalp_mm, gap_mm;     /* thickness of skull, of scalp, of the CSF over the brain */
    float sulcus_width, sulcus_phase[9]; /* relative width; the pattern of the folds */
    float ventricle;                     /* size, 1 = average */
    float grey, white, csf, bone, scalp; /* HU */
    float calcified[3];                  /* radius in mm of pineal gland and choroid plexus calcification; 0: none */
    int present[FINDINGS];               /* the labels */
    blob iph, tumor, edema;
    cap sdh, edh;
    float sah_dir[3], sah_cos_edge; /* sulci within that angle of the direction hold blood */
    int ivh_side;          /* -1 or 1: that lateral ventricle is full; 0: blood lies in both, behind ivh_level */
    float ivh_level;       /* y, mm */
    float blood[FINDINGS]; /* HU of each bleed */
    float tumor_core, tumor_rim, edema_drop; /* HU */
    int plain;                               /* none of what follows is drawn, up to "of the scan" */
    float ventricle_factor[2];               /* by which HCP and ADRD widen them */
    float horns;                             /* relative width of the temporal horns; wide in ADRD */
    float push;                              /* how much masses push, 1 on average */
    int reads[READINGS];                     /* labels that follow from the findings, their places and push */
    float midline_mm;                        /* how far the middle of the brain lies to the right of the skull's */
    float squeezed[2]; /* 0 to 1: how far folds and ventricle of the left, of the right side are closed */
    float gap_side;    /* the gap is wider on the right by this share, and narrower on the left */
    float falx_mm;     /* half thickness of falx and tentorium */
    float plaque[3];   /* a calcified stretch of the falx: its angle, half its width; half thickness, 0: none */
    float sinus_hu, sinus_mm, sinus_side; /* dense venous sinuses; -1 to 1: which transverse sinus is larger */
    float calcified_hu, ganglia_mm;       /* HU of calcifications; radius in the basal ganglia, 0: none */
    float pale;                           /* HU that the white matter round the ventricles lacks */
    int has_scar, has_cyst, has_scalp, has_bump;
    blob scar, cyst; /* an old infarct; an arachnoid cyst */
    cap lump, bump;  /* a scalp haematoma; a bony bump inside the skull */
    float lump_hu;
    float bone_tilt[3]; /* the skull is thicker towards +x, +y, +z by this share */
    /* of the scan */
    float gain, cup, cup_mm; /* of HU; brightness below the bone that beam hardening leaves, HU, and its depth */
    float dark, dark_z;      /* the dark band between the petrous bones, HU; its height */
    float streak[4];         /* HU, direction, wave number, phase */
    float shade[3], blur;    /* HU from the middle to each side; spread of a voxel's points */
    float rest_hu;           /* of the headrest; -1000: none */
    double affine[4][4];     /* voxel indices to scanner coordinates, as stored */
    int64_t dim[3];
    float rotation[3][3], shift[3];  /* head = rotation * (scanner - shift) */
    float spacing[3], noise, offset; /* mm; HU */
    uint64_t noise_key;
} phantom;

/* What the phantoms of a set have in common. */
typedef struct phantom_set {
    uint64_t seed;
    phantom_size size;
    double prevalence;           /* probability of each drawn finding in a patient (ICH follows from the others) */
    double pose;                 /* how far heads are moved and turned, 1 is up to 8 mm and 14 degrees */
    double heads;                /* how much heads differ in size, bone and shading, 1: size by 10% either way */
    double noise_min, noise_max; /* each scan's standard deviation of its noise is drawn from between these, HU */
    /* For sets that are easy to learn; 0: as usual. What is drawn at random stays the same. */
    double larger;      /* intraparenchymal bleeds are longer along each axis, subdural ones thicker by this share */
    double brighter_hu; /* added to blood */
    unsigned only;      /* 1 << finding: no other is ever present */
    /* Heads of headct 0.1, with nothing that looks like a finding and is none, and nothing that pushes: what tests
     * and figures from before rest on. `heads` has no part in it. */
    int plain;
} phantom_set;
extern const phantom_set phantom_usual; /* seed 0, small, prevalence 0.2, pose 1, heads 1, noise 2 to 7 HU */

/* Scan `scan` of patient `patient`, both from 0. */
void phantom_draw(phantom *ret, const phantom_set *set, uint64_t patient, uint64_t scan);

/* How many scans a patient has, from low to high. */
int64_t phantom_scans(uint64_t seed, uint64_t patient, int64_t low, int64_t high);

/* HU at a point of the head (mm), without noise. */
float phantom_hu(const phantom *p, const float at[3]);
/* Depth of a point below the skull's inside, mm; negative: it is no part of what the skull encloses. */
float phantom_depth(const phantom *p, const float at[3]);

/* 1 where the centre of a voxel lies in the finding, else 0: int16, on the voxels of phantom_render. Bleeds alone (IPH,
 * IVH, SDH, EDH, SAH): HCT_EINVAL for others. One that is not present: all 0. */
hct_status phantom_mask(const phantom *p, finding f, volume *ret, hct_err *err);

/* The same of what the skull encloses. */
hct_status phantom_inside(const phantom *p, volume *ret, hct_err *err);

/* The scan: int16 HU with noise, in the stored orientation of p->affine. */
hct_status phantom_render(const phantom *p, volume *ret, hct_err *err);

#endif
