/* Leaks: what is in two parts of a dataset and should be in one. */
#ifndef DATASET_LEAKS_H
#define DATASET_LEAKS_H

#include <stdbool.h>
#include <stdio.h>

#include "hct/types.h"
#include "support/text.h"

typedef enum leak_kind {
    LEAK_SOURCE, /* the same bytes */
    LEAK_STUDY,  /* the same StudyInstanceUID, under two patients */
    LEAK_SCAN,   /* the same scan in another file (imaging/fingerprint.h) */
    LEAK_KINDS
} leak_kind;
extern const char *const leak_kind_words[LEAK_KINDS]; /* "source", "study", "scan" */

typedef struct leaks_result {
    size_t scans, made;        /* made: fingerprints that were missing */
    size_t in_two[LEAK_KINDS]; /* pairs in two parts; of a dataset that is not split, of two patients */
    size_t in_one[LEAK_KINDS]; /* pairs of two patients in one part */
    size_t without_part;       /* scans of no part, where others have one */
    bool is_split;
} leaks_result;

/* All pairs of two patients' scans; csv: a row each, kind,scan,other,patient,other_patient,part,other_part,leak (yes,
 * no),difference,half (fingerprint.h),mirrored. Fingerprints that the index lacks are made of the prepared volumes and
 * kept. HCT_ENOTFOUND: a volume that is not there. */
hct_status leaks_find(const char *dataset, int jobs, FILE *progress, text_buffer *csv, leaks_result *ret, hct_err *err);

#endif
