/* Whether an image's values can be Hounsfield units of a head: raw scanner values, grey levels, masks, constants and
 * MR are told by what CT always has, air around the patient and soft tissue in the middle. A warning, for a rare scan
 * may be cut out of its air. */
#ifndef IMAGING_HU_CHECK_H
#define IMAGING_HU_CHECK_H

#include "imaging/volume.h"

typedef struct hu_stats {
    float least;
    int64_t soft;           /* voxels from 0 to 100 HU, anywhere */
    int64_t middle, tissue; /* voxels of the middle half of each axis, and of them those from -20 to 80 HU */
} hu_stats;

/* Counts `slices` x rows x columns in parts: begin, one call of hu_stats_plane for each plane, and hu_stats_add to sum
 * what several threads counted. */
void hu_stats_begin(hu_stats *s);
void hu_stats_plane(hu_stats *s, const float *pixels, int64_t columns, int64_t rows, int64_t k, int64_t slices);
void hu_stats_add(hu_stats *to, const hu_stats *from);
/* The same of a whole volume. */
void hu_stats_volume(hu_stats *s, const volume *v);

/* X(name, word, sentence) */
/* clang-format off */
#define HU_FAULTS(X)                                                                                                   \
    X(HU_FINE, "", "")                                                                                                 \
    X(HU_NO_AIR, "no-air",                                                                                             \
      "no voxel lies below -200 HU, as air does: these are no Hounsfield units, or the air was cut off")               \
    X(HU_NO_SOFT, "no-soft-tissue",                                                                                    \
      "no voxel lies from 0 to 100 HU, as the brain does: these are no Hounsfield units")                              \
    X(HU_LITTLE_TISSUE, "little-tissue", "less than 5% of the middle lies from -20 to 80 HU, as a brain does")
/* clang-format on */
typedef enum hu_fault {
#define X(name, word, sentence) name,
    HU_FAULTS(X)
#undef X
} hu_fault;
hu_fault hu_check(const hu_stats *s);
const char *hu_fault_word(hu_fault f);
const char *hu_fault_sentence(hu_fault f);

/* RSNA 2019: 12-bit values that wrapped below -1000: HU = (value + 1000) mod 4096 - 1000, in place. */
void hu_unwrap(volume *v);
/* Raises what lies below floor to it: padding that a spline would turn into a bright ring in the air beside it. */
void hu_raise(volume *v, float floor);

#endif
