/* Splits that exist already: a table of scans, series, studies or patients and their parts, or another dataset's.
 *
 *   scan,split          also name, series, study, patient or id for the first column, part, set or fold for the second
 *   CQ500-CT-12,train
 *
 * A row's name may be a scan's (scan_names.h), a patient's (as in the index, or the PatientID that it is the keyed hash
 * of), a StudyInstanceUID, or a word of a folder's name, with hyphens or without: it stands for all patients with such
 * scans. */
#ifndef DATASET_SPLIT_FROM_H
#define DATASET_SPLIT_FROM_H

#include "dataset/index.h"
#include "dataset/split.h"

typedef struct split_place {
    int64_t patient;
    char part[16];
    int line; /* of the table; 0: of another dataset */
} split_place;

/* Where rule->from puts patients of ix, each once, in order of patient; the caller's to free. HCT_EFORMAT: no part, or
 * two parts for one patient, with both lines. */
hct_status split_from(dataset_index *ix, const char *dataset, const split_rule *rule, split_place **ret, size_t *ret_n,
                      split_result *result, hct_err *err);

#endif
