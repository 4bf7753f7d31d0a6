/* A verdict on a series: kept, or refused and why; and what else is to be said of it.
 *
 * Checks run in one order (PS: features of the files first, then of the images, then of the volume they make, then of
 * what it shows), all of them, and each that finds something leaves a finding: a stable word, how grave it is, and a
 * sentence. The first that refuses is the series' reason. Sentences name files by their paths, numbers, and words of
 * our own lists; no id, UID, date or text of a header. */
#ifndef DICOM_VERDICT_H
#define DICOM_VERDICT_H

#include "dicom/filters.h"

/* X(name, word, whether the filters decide) in the order of the checks */
/* clang-format off */
#define VERDICT_REASONS(X)                                                                                             \
    X(REASON_NO_IMAGE,          "no-image",          0) /* a DICOM object without an image: a report */                \
    X(REASON_UNREADABLE,        "unreadable",        0) /* a file whose pixels cannot be read, with its syntax */      \
    X(REASON_MEMBER_UNREADABLE, "member-unreadable", 0) /* a file that most likely belongs to it cannot be read */     \
    X(REASON_MODALITY,          "modality",          1)                                                                \
    X(REASON_LOCALIZER,         "localizer",         1)                                                                \
    X(REASON_SECONDARY,         "secondary-capture", 1)                                                                \
    X(REASON_REFORMAT,          "reformat",          1)                                                                \
    X(REASON_PERFUSION,         "perfusion-map",     1)                                                                \
    X(REASON_DOSE,              "dose-page",         1)                                                                \
    X(REASON_COLOUR,            "colour",            0)                                                                \
    X(REASON_DERIVED,           "derived",           1)                                                                \
    X(REASON_ORIENTATION,       "orientation",       1)                                                                \
    X(REASON_SIZE,              "size",              0) /* rows and columns change inside the volume */                \
    X(REASON_SPACING,           "spacing",           0) /* pixel spacing is absent, or changes inside the volume */    \
    X(REASON_RESCALE,           "no-rescale",        0)                                                                \
    X(REASON_POSITION,          "no-position",       0)                                                                \
    X(REASON_ONE_POSITION,      "one-position",      0)                                                                \
    X(REASON_DUPLICATES,        "duplicates",        0) /* slices at one place that differ */                          \
    X(REASON_GAP,               "gap",               0) /* a slice is missing */                                       \
    X(REASON_RECENTRED,         "recentred",         0) /* slices do not lie on one line */                            \
    X(REASON_FEW_SLICES,        "few-slices",        1)                                                                \
    X(REASON_THICKNESS,         "thickness",         1)                                                                \
    X(REASON_KVP,               "kvp",               1)                                                                \
    X(REASON_KERNEL,            "kernel",            1)                                                                \
    X(REASON_WHITELIST,         "whitelist",         1)                                                                \
    X(REASON_CONTRAST,          "contrast",          1)                                                                \
    X(REASON_NOT_HEAD,          "not-head",          1)                                                                \
    X(REASON_WORDS,             "words",             1)                                                                \
    X(REASON_COVERAGE,          "coverage",          1)                                                                \
    X(REASON_MATRIX,            "matrix",            1)                                                                \
    X(REASON_EXTENT,            "extent",            1)                                                                \
    X(REASON_COPIES,            "copies",            0) /* equal slices at one place: dropped */                       \
    X(REASON_TILT,              "tilt",              0) /* resolved */                                                 \
    X(REASON_UNEVEN,            "uneven",            0) /* resolved */                                                 \
    X(REASON_LOSSY,             "lossy",             0)                                                                \
    X(REASON_MONOCHROME1,       "monochrome1",       0) /* values are read as they are; their display is inverted */   \
    X(REASON_NOT_CHOSEN,        "not-chosen",        0) /* another series of its study was, where one is asked for */ \
    X(REASON_HU,                "hu",                1) /* values that cannot be HU; after the volume was made */      \
    X(REASON_WRAPPED,           "wrapped",           1) /* 12-bit values that wrapped, mended or not */                \
    X(REASON_HEAD_OUTSIDE,      "head-outside",      0) /* the model's cube misses a part of the body */
/* clang-format on */
typedef enum verdict_reason {
#define X(name, word, filtered) name,
    VERDICT_REASONS(X)
#undef X
} verdict_reason;
const char *verdict_word(verdict_reason r);

typedef enum verdict_weight { VERDICT_NOTE, VERDICT_WARN, VERDICT_REFUSE } verdict_weight;

typedef struct verdict_finding {
    verdict_reason reason;
    verdict_weight weight;
    char *sentence;
} verdict_finding;

typedef struct verdict {
    verdict_finding *findings; /* in the order of the checks */
    size_t n;
    const verdict_finding *refusal; /* the first that refuses; NULL: the series is kept */
} verdict;

/* equal (series.h) is asked only where slices share places and nothing refused the series before; equal slices are
 * dropped from s. NULL: they are not compared, and count as different. HCT_ENOMEM, or what equal failed with. */
hct_status verdict_of(series *s, const pile_file *files, const series_filters *f, series_equal *equal, void *context,
                      verdict *ret, hct_err *err);
/* Adds a finding of a later step (HU, head). */
hct_status verdict_add(verdict *v, verdict_reason reason, verdict_weight weight, hct_err *err, const char *fmt, ...)
    HCT_PRINTF(5, 6);
void verdict_free(verdict *v);
/* Whether it refuses what nobody takes for a scan of a head: an object without an image, a scout, a screen capture, a
 * reformat, a perfusion map, a dose page; or what was not chosen of a study's series. */
bool verdict_is_no_scan(const verdict *v);

/* equal for files as they lie on disk or in archives: compares the frames' HU. context: NULL. */
int verdict_equal(void *files, const series_slice *a, const series_slice *b, hct_err *err);

#endif
