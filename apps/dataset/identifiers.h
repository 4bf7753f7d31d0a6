/* What names a scan outside of headct: its path, its study and series, its accession number. Written into outputs only
 * where the user asks for it (docs/privacy.md). */
#ifndef DATASET_IDENTIFIERS_H
#define DATASET_IDENTIFIERS_H

#include "dataset/candidate.h"
#include "dataset/index.h"
#include "dataset/key.h"

/* Each the caller's to free (identifiers_free); "" where the source says nothing, as a NIfTI file does of its UIDs. */
typedef struct identifiers {
    char *path, *study_uid, *series_uid, *accession;
} identifiers;

/* Of a candidate, as its input was named: of a series the folder, of a NIfTI file the file. */
hct_status identifiers_of_candidate(const candidate_list *l, const candidate *c, identifiers *ret, hct_err *err);
/* Of a path at which nothing was found. */
hct_status identifiers_of_path(const char *path, identifiers *ret, hct_err *err);
/* Of scans of a dataset by id, all at once: paths below their inputs, and the rest out of the headers that the index
 * keeps sealed. HCT_EINVAL: sealed with another key. ret: room for n. */
hct_status identifiers_of_dataset(const char *folder, const dataset_key *key, const char *const *ids, size_t n,
                                  identifiers *ret, hct_err *err);
void identifiers_free(identifiers *i);

#endif
