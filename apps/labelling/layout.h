/* Data sets of any shape, described by a YAML file (recipes/layouts has those of CT-ICH, BHSD, INSTANCE22, SinoCT and
 * Johns Hopkins): which files are scans, whose they are, and where their labels stand.
 *
 *   scans: 'ct_scans/([0-9]+)[.]nii'   a POSIX extended regular expression of a file's path below --in; what its first
 *                                      group matches is the scan's name
 *   exclude: '_Mask[.]nii'             such files are none; may be left out
 *   patient: 'ich-\1'                  the patient; \0 to \9: what groups of `scans` match. Left out: as headers say
 *   table:                             left out: no table is read
 *     name: PatientNumber              the column of names
 *     match: '([0-9]+)'                what of its cells is the name (first group); left out: all of it
 *     number: true                     049 and 49 are one name
 *     age: Age, sex: Gender            columns that become tags
 *   mask: 'masks/\1.nii.gz'            the scan's mask, a path below --in; left out: there are none
 *   labels:
 *     IVH: Intraventricular            a column; of a name with several rows, positive where one of them is
 *     ICH: Intraventricular or "Other bleed" == yes or mask == 2
 *     Normal: not Abnormal
 *
 * Expressions: `or`, `and`, `not`, brackets; a column (in double quotes where it is no plain word) alone holds a
 * label as tables of labels do, or is compared (==, !=, >=, <=, >, <) with a word or number; `mask` alone: any voxel is
 * not 0;
 * `mask == N`: one is N. What is not known stays so: it is neither true nor false, and `or` with one true is true. */
#ifndef LABELLING_LAYOUT_H
#define LABELLING_LAYOUT_H

#include <regex.h>
#include <stdbool.h>

#include "hct/types.h"

enum { LAYOUT_LABELS = 60, LAYOUT_NAME = 64 };

typedef struct layout {
    char *path;
    regex_t scans, exclude, match;
    bool has_scans, has_exclude, has_match, number; /* has_: the pattern is there */
    char *patient, *mask, *name_column, *age, *sex; /* NULL: left out */
    bool has_table;
    int n;
    char names[LAYOUT_LABELS][LAYOUT_NAME];
    char *expressions[LAYOUT_LABELS];
} layout;

/* path: a file, or the name of one of those that came with headct ("ct-ich"). HCT_EFORMAT says what is wrong, with the
 * line: an unknown key, an expression or pattern that is none. Free with layout_free in any case. */
hct_status layout_read(const char *path, layout *ret, hct_err *err);
void layout_free(layout *l);
/* Whether a file is a scan, by its path below --in. For prepare_options.wanted. */
bool layout_wants(const layout *l, const char *relative);

typedef struct layout_result {
    int64_t scans, labelled, without; /* of the layout; with labels; that no row or mask tells of */
    int64_t rows, unused;             /* of the table; those of no scan here */
    int64_t positive[LAYOUT_LABELS], known[LAYOUT_LABELS];
} layout_result;

/* Patients and labels onto the dataset that was prepared of the inputs: one transaction. table: NULL where the layout
 * has none. HCT_EFORMAT: the table or a mask is not of that form. */
hct_status layout_label(const char *dataset, const layout *l, const char *table, const char *const *inputs,
                        size_t n_inputs, layout_result *ret, hct_err *err);

/* ---- expressions ---- */

/* What a name of an expression stands for: 1, 0, -1 not known. compare: NULL, or an operator with its word. */
typedef int layout_value(void *context, const char *column, const char *compare, const char *word, hct_err *err);
/* -2 and err: it is no expression (err->code HCT_EFORMAT), or value failed. */
int layout_evaluate(const char *expression, layout_value *value, void *context, hct_err *err);

#endif
