/* Labels of public sets, from the tables they are published with, onto a dataset that was prepared of their files.
 *
 *   rsna    RSNA Intracranial Hemorrhage Detection 2019: CSV `ID,Label`, ID = ID_<image>_<type>, a row a slice
 *           and type; a scan is positive where one of its slices is. Slices are told by their files' names
 *           (ID_<image>.dcm).
 *   cq500   CQ500's reads.csv: `name,Category,R1:ICH,...,R3:MidlineShift`; a study is positive where two of three
 *           readers say so. Studies are told by the number in their files' paths (CQ500CT120, CQ500-CT-120).
 */
#ifndef LABELLING_PUBLIC_H
#define LABELLING_PUBLIC_H

#include <stdbool.h>
#include <stdint.h>

#include "hct/types.h"

typedef enum public_layout { LAYOUT_NONE, LAYOUT_RSNA, LAYOUT_CQ500 } public_layout;
bool public_layout_find(const char *word, public_layout *ret);

enum { PUBLIC_LABELS = 16 };

typedef struct public_result {
    int n;
    const char *names[PUBLIC_LABELS];
    int64_t positive[PUBLIC_LABELS];
    int64_t labelled, incomplete,
        without;                    /* scans with labels; those that lack some slices' (not labelled); without any */
    int64_t rows, repeated, unused; /* of the table: equal ones that were dropped; those of no scan here */
} public_result;

/* Replaces the labels of these names; one transaction. HCT_EFORMAT: not a table of that form, a label that is none, a
 * slice or study with two different labels; the line is named. */
hct_status public_label(const char *dataset, public_layout layout, const char *csv, public_result *ret, hct_err *err);

#endif
