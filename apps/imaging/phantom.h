/* Phantoms: head CTs that were never taken. Skull, scalp, brain, ventricles and air in Hounsfield units, and the
 * paper's ten findings drawn as shapes, so that every label is known from what was drawn.
 *
 * A phantom is evaluated point by point in head coordinates: mm from the centre of the skull, x right, y front, z up.
 * Everything random comes from splitmix64 keyed by (seed, patient, scan): the same files for any number of threads.
 *   of the patient: head size, bone thickness, tissue values, ventricle and sulcus size, findings and where they lie
 *   of the scan:    pose, spacing, axes' direction, noise, offset in HU, small changes of size; each finding of the
 *                   patient is absent from a scan (not yet there, or resolved) with probability 0.15
 * What belongs to the scan is drawn without looking at the findings. */
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
    /* of the scan */
    double affine[4][4]; /* voxel indices to scanner coordinates, as stored */
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
    double noise_min, noise_max; /* each scan's standard deviation of its noise is drawn from between these, HU */
    /* For sets that are easy to learn; 0: as usual. What is drawn at random stays the same. */
    double larger;      /* intraparenchymal bleeds are longer along each axis, subdural ones thicker by this share */
    double brighter_hu; /* added to blood */
    unsigned only;      /* 1 << finding: no other is ever present */
} phantom_set;
extern const phantom_set phantom_usual; /* seed 0, small, prevalence 0.2, pose 1, noise 2 to 7 HU */

/* Scan `scan` of patient `patient`, both from 0. */
void phantom_draw(phantom *ret, const phantom_set *set, uint64_t patient, uint64_t scan);

/* How many scans a patient has, from low to high. */
int64_t phantom_scans(uint64_t seed, uint64_t patient, int64_t low, int64_t high);

/* HU at a point of the head (mm), without noise. */
float phantom_hu(const phantom *p, const float at[3]);

/* 1 where the centre of a voxel lies in the finding, else 0: int16, on the voxels of phantom_render. Bleeds alone (IPH,
 * IVH, SDH, EDH, SAH): HCT_EINVAL for others. One that is not present: all 0. */
hct_status phantom_mask(const phantom *p, finding f, volume *ret, hct_err *err);

/* The same of what the skull encloses. */
hct_status phantom_inside(const phantom *p, volume *ret, hct_err *err);

/* The scan: int16 HU with noise, in the stored orientation of p->affine. */
hct_status phantom_render(const phantom *p, volume *ret, hct_err *err);

#endif
