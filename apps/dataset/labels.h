/* The table that tells patients and labels of scans: a CSV with the columns
 *   scan      the scan's id, as sources.h makes it from the file's name; an ending of .nii or .nii.gz is ignored; or
 *             what scan_names.h knows it by
 *   patient   who was scanned: all scans of one patient fall in the same split; blanks at both ends are cut
 *   age, sex  (also gender; any case) years; M, F, O or words for them: tags of the scan, no labels
 *   others    labels: 1 present, 0 absent (or 1.0, True, yes; 0.0, False, no), empty not known (or NaN, NA)
 * in any order. */
#ifndef DATASET_LABELS_H
#define DATASET_LABELS_H

#include "dataset/scan_names.h"
#include "dataset/sources.h"
#include "support/csv.h"

/* What a label of -1 (uncertain) counts as. */
typedef enum label_uncertain {
    UNCERTAIN_REFUSED,
    UNCERTAIN_ABSENT,
    UNCERTAIN_PRESENT,
    UNCERTAIN_UNKNOWN
} label_uncertain;

typedef struct label_table {
    csv *csv;
    size_t n; /* labels */
    const char **names;
    int8_t *values;  /* [rows, n]: 0, 1, -1 not known */
    char **ids;      /* [rows] */
    int *line;       /* [rows] of the file, for messages */
    char **patients; /* [rows]; all NULL: the table does not tell */
    int age, sex;    /* columns; < 0: none */
    size_t rows;
    struct label_name {
        char *id;
        size_t row;
    } * order; /* [n_order], in order of id: scans and their rows */
    size_t n_order, room;
    const char *id_column; /* its name */
} label_table;

typedef struct label_form {
    const char *const *wanted; /* take only these columns as labels (n_wanted 0: all others) */
    size_t n_wanted;
    label_uncertain uncertain;
    const char *id, *patient; /* names of columns; NULL: scan, patient. patient "-": none is read */
} label_form;

/* Errors name file, line and column: no column of scans or patients (with those that there are), a wanted column
 * that is not there (with the nearest), a value that is no label, one scan twice, an empty patient. f NULL: all by
 * default. */
hct_status labels_read(const char *path, const label_form *f, label_table *ret, hct_err *err);
void labels_free(label_table *t);
typedef struct label_matches {
    size_t by_id, by_path, by_series; /* rows */
    size_t n_missing;                 /* those of no scan */
    int line;                         /* of the first of these */
    char missing[400];                /* the first ten, as the table has them: 'a', 'b' and 5 more */
} label_matches;

/* Finds each row's scans by their names; from then on labels_row answers for these. HCT_EINVAL: a name that several
 * scans have, two rows of one scan. */
hct_status labels_match(label_table *t, const scan_names *names, const dataset_key *key, label_matches *ret,
                        hct_err *err);
/* Cells of age and sex as tags have them: years, of 90 and more 90; M, F or O; "" where a cell tells neither. */
void labels_person_cells(const char *age_cell, const char *sex_cell, char age[16], char sex[4]);
/* The same of a row of the table. */
void labels_person(const label_table *t, size_t row, char age[16], char sex[4]);
/* The row of a scan's id, -1 where it has none. */
int64_t labels_row(const label_table *t, const char *id);

#endif
