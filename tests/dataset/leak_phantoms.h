/* Phantoms, and the same scans once more in other files: what a check for leaks must find. */
#ifndef TESTS_DATASET_LEAK_PHANTOMS_H
#define TESTS_DATASET_LEAK_PHANTOMS_H

#include "imaging/phantom.h"

/* X(enumerator, what was done to the scan) */
#define PLANT_MAP(X)                                                                                                   \
    X(PLANT_BYTES, "the same bytes")                                                                                   \
    X(PLANT_RESAVED, "float32 instead of int16")                                                                       \
    X(PLANT_TURNED, "other order and direction of axes")                                                               \
    X(PLANT_CROPPED, "cut: 5 to 15 mm at each side, 10 to 40 mm below")                                                \
    X(PLANT_NOISY, "noise of 5 to 10 HU added")                                                                        \
    X(PLANT_SERIES, "another series: thinner slices, other pixels and noise")                                          \
    X(PLANT_MIRRORED, "left and right exchanged")
typedef enum plant_kind {
#define X(e, what) e,
    PLANT_MAP(X)
#undef X
        PLANTS
} plant_kind;
extern const char *const plant_words[PLANTS];

/* The scan of a patient of the set, as it is. */
hct_status leak_original(const phantom_set *set, uint64_t patient, volume *ret, hct_err *err);
/* The same scan again; what is drawn depends on patient and kind. */
hct_status leak_again(const phantom_set *set, uint64_t patient, plant_kind kind, volume *ret, hct_err *err);

#endif
