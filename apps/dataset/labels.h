/* The table that tells patients and labels of scans: a CSV with the columns
 *   scan     the scan's id, as sources.h makes it from the file's name; an ending of .nii or .nii.gz is ignored
 *   patient  who was scanned: all scans of one patient fall in the same split; blanks at both ends are cut
 *   others   labels: 1 present, 0 absent (or 1.0, True; 0.0, False), empty not known (or NaN, NA)
 * in any order. */
#ifndef DATASET_LABELS_H
#define DATASET_LABELS_H

#include "dataset/sources.h"
#include "support/csv.h"

typedef struct label_table {
    csv *csv;
    size_t n; /* labels */
    const char **names;
    int8_t *values;  /* [rows, n]: 0, 1, -1 not known */
    char **ids;      /* [rows] */
    int *line;       /* [rows] of the file, for messages */
    char **patients; /* [rows] */
    size_t *order;   /* [rows]: rows by id */
    size_t rows;
} label_table;

/* What a label of -1 (uncertain) counts as. */
typedef enum label_uncertain {
    UNCERTAIN_REFUSED,
    UNCERTAIN_ABSENT,
    UNCERTAIN_PRESENT,
    UNCERTAIN_UNKNOWN
} label_uncertain;

/* wanted: take only these columns as labels (n_wanted 0: all but scan and patient). Errors name file, line and
 * column: no column scan or patient (with those that there are), a wanted column that is not there (with the
 * nearest), a value that is no label, one scan twice, an empty patient. */
hct_status labels_read(const char *path, const char *const *wanted, size_t n_wanted, label_uncertain uncertain,
                       label_table *ret, hct_err *err);
void labels_free(label_table *t);
/* The row of a scan's id, -1 where it has none. */
int64_t labels_row(const label_table *t, const char *id);

#endif
