/* Scans by what tables call them: a scan's id; its path, or an ending of it that no other scan has, in whole folder
 * names ("site1/ct7" of "in/site1/ct7.nii.gz"); or a SeriesInstanceUID.
 *
 *   scan_names *n = scan_names_new();
 *   scan_names_add(n, id, place, mark);                   of every scan
 *   scan_names_ready(n);
 *   scan_names_find(n, cell, key, &found, &err); */
#ifndef DATASET_SCAN_NAMES_H
#define DATASET_SCAN_NAMES_H

#include "dataset/index.h"
#include "dataset/key.h"

typedef struct scan_names scan_names;

typedef enum scan_name_kind { SCAN_NAMED_NOT, SCAN_NAMED_ID, SCAN_NAMED_PATH, SCAN_NAMED_SERIES } scan_name_kind;

typedef struct scan_name_match {
    scan_name_kind kind;
    size_t first, n; /* scan_names_id(names, first + k): of a series several volumes may have been made */
} scan_name_match;

/* NULL: no memory. */
scan_names *scan_names_new(void);
void scan_names_free(scan_names *n);
/* place: its path, as much as is known of it; mark: key_mark(key, "series", SeriesInstanceUID), or its first 16 digits;
 * NULL: none. */
hct_status scan_names_add(scan_names *n, const char *id, const char *place, const char *mark, hct_err *err);
/* Every scan of an index, with the marks in its tags; left_out: what was refused, too. */
hct_status scan_names_of_index(scan_names *n, dataset_index *ix, bool left_out, hct_err *err);
/* Of one id that was added twice the first counts. */
hct_status scan_names_ready(scan_names *n, hct_err *err);
/* cell: as a table has it. key: for cells that look like UIDs; NULL: they are no names. HCT_EINVAL: an ending that
 * several scans have; both are named. */
hct_status scan_names_find(const scan_names *n, const char *cell, const dataset_key *key, scan_name_match *ret,
                           hct_err *err);
/* The id of a match's scan. */
const char *scan_names_id(const scan_names *n, const scan_name_match *m, size_t k);

#endif
