/* Which scans a run learned from: RUN/training.csv, written when it begins, and what of another dataset is among them.
 *
 *   scan,patient,source_sha256      a row a scan of the training split
 *
 * A scan is known again by the bytes of its source, whatever it is called there. A patient is known again where a scan
 * of theirs is, in the same dataset by name, and elsewhere by the keyed mark that names patients of DICOM files
 * (docs/privacy.md): a plain name such as "p1" of a table of labels says nothing of another dataset. */
#ifndef RUN_TRAINING_SCANS_H
#define RUN_TRAINING_SCANS_H

#include "dataset/dataset.h"

/* RUN/training.csv of scans[0..n). resume: what is there stays. */
hct_status training_scans_write(const char *run, const dataset *d, const size_t *scans, size_t n, bool resume,
                                hct_err *err);

typedef enum training_match { TRAINING_NOT, TRAINING_SCAN, TRAINING_PATIENT, TRAINING_MATCHES } training_match;
extern const char *const training_match_words[TRAINING_MATCHES]; /* "", "scan", "patient" */

typedef struct training_matches {
    training_match *of; /* [d->n] */
    char *unknown;      /* the run, and encoders that it began from, whose training scans are not known; NULL: none */
    size_t same_names;  /* patients of d who only have the same name as one of another dataset */
} training_matches;

/* Compares every scan of d. Where a run has no training.csv (headct 0.1), its dataset is asked, if that is still what
 * the weights were trained on. Free in any case. */
hct_status training_scans_match(const char *run, const dataset *d, training_matches *ret, hct_err *err);
void training_matches_free(training_matches *m);

#endif
