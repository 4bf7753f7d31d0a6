/* What the index keeps of a scan's source, for subgroups and for labels: words and numbers without a name, an id or a
 * true date. docs/privacy.md lists them. */
#ifndef DATASET_SCAN_TAGS_H
#define DATASET_SCAN_TAGS_H

#include "dataset/candidate.h"
#include "dataset/key.h"

enum { SCAN_TAGS = 32, SCAN_TAG = 96 };

typedef struct scan_tags {
    const char *pairs[SCAN_TAGS][2]; /* key and value, for index_scan */
    char values[SCAN_TAGS][SCAN_TAG];
    size_t n;
} scan_tags;

/* Of a candidate that was prepared. patient: its mark, by which dates are shifted; NULL: none, and no date is kept.
 * clear_dates: they stay as they are. */
hct_status scan_tags_of(const candidate_list *l, const candidate *c, const candidate_facts *facts,
                        const dataset_key *key, const char *patient, bool clear_dates, scan_tags *ret, hct_err *err);

/* The mark of whose scan it is: of PatientID, where that is empty of the study. *ret "": nothing tells. */
hct_status scan_patient(const candidate_list *l, const candidate *c, const dataset_key *key, char ret[KEY_HEX],
                        hct_err *err);
/* What patients are called in the index: "p" and 16 digits of the mark. */
enum { SCAN_PATIENT = 20 };
void scan_patient_name(const char *mark, char ret[SCAN_PATIENT]);

/* "20240131" less so many days, as "2024-01-31"; "" where text is no date. */
void scan_date(const char *text, int days, char ret[16]);

#endif
