/* The files of a cohort of files and folders: listed once in a private index (dataset/index_found.h), so that however
 * many there are no more than one series' headers are in memory. */
#ifndef INFERENCE_COHORT_FILES_H
#define INFERENCE_COHORT_FILES_H

#include "dataset/candidate.h"
#include "dataset/index_found.h"
#include "support/text.h"

/* A NIfTI file, or a series: which unit of the list, and which of the candidates in it. */
typedef struct cohort_source {
    size_t unit, item;
} cohort_source;

typedef struct cohort_files {
    dataset_index list;
    dataset_key key;
    found found;
    found_unit *units;
    size_t n;
    series_filters filters;
    /* the unit at hand */
    size_t at; /* n: none */
    pile_file *files;
    size_t n_files;
    candidate_list candidates;
} cohort_files;

/* Walks the inputs. filters: dicom/filters.h, NULL: any-head-ct. NULL and err on failure. */
cohort_files *cohort_files_open(const char *const *paths, size_t n, const char *filters, hct_err *err);
void cohort_files_close(cohort_files *f);
/* The candidates of a unit, judged; as they were after this call until the next one. NULL and err. */
candidate_list *cohort_files_unit(cohort_files *f, size_t unit, hct_err *err);
/* The same for one of them. */
candidate *cohort_files_find(cohort_files *f, cohort_source source, hct_err *err);
/* An id of a candidate of the unit at hand that no other has: candidate_id, or that with -2, -3 ... behind it. The
 * caller's to free; NULL and err. */
char *cohort_files_id(cohort_files *f, const candidate *one, hct_err *err);
/* base, or that with -2, -3 ... behind it where it was given before. */
char *cohort_files_new_id(cohort_files *f, const char *base, hct_err *err);
/* It may be given again. */
hct_status cohort_files_forget_id(cohort_files *f, const char *id, hct_err *err);
/* A line each on files that could not be read and are part of no series. */
hct_status cohort_files_unread(cohort_files *f, text_buffer *lines, hct_err *err);

#endif
