/* Parting a dataset by patient: into train, val and test, into folds, or as a file or another dataset has it.
 *
 * Parts are named train, val and test, or fold1, fold2, ...; where a split is asked for, names with + between them
 * ("fold1+fold2") take several. */
#ifndef DATASET_SPLIT_H
#define DATASET_SPLIT_H

#include <stdbool.h>

#include "hct/types.h"

enum { SPLITS = 3, SPLIT_FOLDS = 32, SPLIT_LABELS = 64 };
extern const char *const split_names[SPLITS]; /* "train", "val", "test" */

typedef struct split_rule {
    double ratios[SPLITS]; /* of train, val and test */
    int64_t folds;         /* 0: train, val and test; else that many equal folds */
    int64_t seed;
    const char *stratify; /* "A,B": positives of these labels are dealt evenly, too; "all"; NULL: none */
    const char *from;     /* a table (split_from.h) or a dataset whose split is taken; NULL: patients are dealt */
    const char *id_column, *key;
    bool keep;  /* nobody moves; only patients without a part get one, by the rule that was stored, or `given` */
    bool given; /* ratios, folds or seed were asked for */
    bool allow_copies;
} split_rule;

typedef struct split_result {
    size_t placed;        /* patients who got a part */
    size_t rows, no_scan; /* of the table; rows that name no scan or patient here */
    char named[400];      /* the first of these */
    char rule[160];       /* in words, as it is stored */
} split_result;

/* The order of patients depends on seed and their names only (SHA-256). Without `keep` it is cut in the proportions of
 * the rule (largest remainders; a part with a ratio gets at least one patient while there are enough), replacing an
 * earlier split. With it each patient without a part gets one by its own place in that order (its SHA-256 as a number
 * from 0 to 1, cut in the proportions). All scans of a patient fall in one part. HCT_EINVAL: the same bytes are scans
 * of two patients, unless allow_copies; a table that puts a patient into two parts. */
hct_status split_dataset(const char *dataset, const split_rule *rule, split_result *ret, hct_err *err);

/* Whether a part is one of those that `wanted` names: "fold1" of "fold1+fold2". */
bool split_is_of(const char *part, const char *wanted);
/* The name of a part in a file of others, as ours: "training" is train, "valid", "dev" val; "3" fold3, counted as it
 * is; NULL: none. buffer of 16. */
const char *split_name_of(const char *word, char buffer[16]);

#endif
