/* The work of `headct label`: records of patients to labels of their scans.
 *
 * A patient's records are found by the keyed mark of the patient's id (dataset/key.h), and their dates shifted as
 * the scans' were, so that distances in days are true. A scan with a record in its window has each label of the
 * rules, 1 or 0; one without has none: it is not known. */
#ifndef LABELLING_LABEL_H
#define LABELLING_LABEL_H

#include <stdio.h>

#include "labelling/rules.h"
#include "support/text.h"

typedef struct label_options {
    const char *dataset, *rules; /* rules.h */
    const char *diagnoses;       /* CSV: patient, date (YYYY-MM-DD), code */
    const char *medications;     /* CSV: patient, date, name; NULL: none */
    const char *brands;          /* CSV: brand, name; other words for medications; NULL: none */
    const char *icd9;            /* CSV: icd9, icd10; NULL: a code of ICD-9 is an error */
    const char *key;             /* NULL: the user's */
    const char *patient_column, *date_column, *code_column; /* NULL: "patient", "date", "code" or "name" */
    const char *system_column; /* CSV column that says ICD-9 or ICD-10 of each diagnosis; NULL: codes tell */
    const char *window;        /* rules_window; NULL: the rules' own */
    bool dry;                  /* counts, and writes nothing */
} label_options;

typedef struct label_result {
    int n;
    char names[RULES_LABELS][RULES_NAME];
    int64_t positive[RULES_LABELS], known, scans, undated; /* scans: of the dataset; undated: without a date */
    int64_t first, last;                                   /* days of the window */
    int64_t records, unmatched;                            /* rows; those of patients that the dataset lacks */
    int64_t either;                                        /* codes that may be ICD-9's: V.., E8..; read as ICD-10 */
} label_result;

/* All in one transaction; why a label is positive goes into the table evidence (headct dataset why). Errors name file,
 * line and what is wrong. HCT_EINVAL: another key than the dataset's. */
hct_status label_dataset(const label_options *o, label_result *ret, hct_err *err);

/* What two files of rules say of the same scans and records. */
typedef struct label_difference {
    char name[RULES_NAME];
    bool in[2];                /* which of the files have it */
    int64_t positive[2], both; /* scans; both: positive by both */
    int64_t only[2];           /* positive by one, and not by the other, or not known by it */
} label_difference;

typedef struct label_differences {
    int n;
    label_difference of[2 * RULES_LABELS];
    int64_t known[2], scans;
} label_differences;

/* Writes nothing; o->rules is the first, `other` the second. csv (may be NULL): scan,label and what either says: 1, 0,
 * empty; those that differ. */
hct_status label_compare(const label_options *o, const char *other, label_differences *ret, text_buffer *csv,
                         hct_err *err);

#endif
