/* The work of `headct prepare`: scans on disk to a dataset folder.
 *
 *   DATASET/index.sqlite      what is known of each scan (index.h)
 *   DATASET/scans/ID.nii.gz   the prepared volume (imaging/scan.h)
 */
#ifndef DATASET_PREPARE_H
#define DATASET_PREPARE_H

#include <stdio.h>

#include "dataset/candidate.h"
#include "dataset/labels.h"
#include "dataset/one_per_study.h"

typedef struct prepare_options {
    const char *const *inputs; /* files, folders, archives (dicom/pile.h) */
    size_t n_inputs;
    const char *dataset;
    const char *labels; /* CSV (labels.h), NULL: none */
    label_form form;
    bool partial;               /* labels of scans that are nowhere are expected: no warning, and no error */
    const char *filters;        /* which series are wanted (dicom/filters.h): a file, or a name; NULL: any-head-ct */
    const char *key;            /* file of the key (key.h), NULL: the user's */
    study_choice one_per_study; /* STUDY_ALL: all that fit are kept */
    bool ids_by_uid;            /* ids of DICOM series are marks of their UIDs, not paths */
    bool clear_dates;           /* dates go into the index as they are */
    bool strict;                /* values that are no HU refuse a scan; a row of labels without a scan is an error */
    const form *volumes;        /* also makes the volumes of this form (imaging/form.h); NULL: none */
    candidate_options how;
    int jobs;          /* threads, 0: one a CPU */
    int shard, shards; /* does every shards-th scan of the sorted list, the shard-th of each; 1 of 1 does all */
    /* Which files may be scans, by their paths below the inputs; NULL: all. Others are noted as files, and no more. */
    bool (*wanted)(void *context, const char *relative);
    void *wanted_context;
    FILE *progress; /* NULL: quiet */
    /* Optional, from several threads: of each scan that is made its volume; of each series that is left out, but can be
     * read, a slice of HU. What they fail with ends the run. */
    hct_status (*made)(const char *dataset, const char *id, const volume *v, hct_err *err);
    hct_status (*left_out)(const char *dataset, const char *id, const float *hu, int64_t columns, int64_t rows,
                           hct_err *err);
} prepare_options;

typedef struct prepare_refusal {
    char *id, *source, *reason;
    const char *word; /* dicom/verdict.h */
    bool expected;    /* a scout, a dose page or the like, which no one takes for a scan */
} prepare_refusal;

enum { PREPARE_TOLD = 200 };

typedef struct prepare_result {
    size_t prepared, unchanged, n_refused;
    size_t formed; /* volumes of the form that were made */
    char **warned; /* a line each on scans that were kept with a warning, the first PREPARE_TOLD of n_warned */
    size_t n_warned;
    prepare_refusal *refused; /* in order of id */
    pile_counts files;
    char **unread; /* a line each on files that could not be read, the first PREPARE_TOLD of them */
    size_t n_unread;
    int64_t without_split; /* scans of patients that came after headct split */
    char *left_out;        /* folders of prepared scans among the inputs; NULL: none */
    size_t n_gone;         /* scans of the dataset whose source is no longer below its input */
    char gone[400];        /* the first ten: 'a', 'b' */
    label_matches matches; /* of the table of labels */
    char *made_key;        /* the key's file, where it was made now */
} prepare_result;

/* Walks the inputs, notes every file in the index (index_found.h), judges every series, and prepares those that are
 * kept. Prepared scans are no sources, wherever they are met among the inputs. HCT_EINVAL: a scan of a dataset is an
 * input by name, or DATASET/scans holds volumes that no index knows of. A scan that is there, its file whole, made by
 * the same preparation from unchanged files (same sizes and times, or else same SHA-256), is not made again; its
 * patient and labels are brought up to date. A scan that cannot be read is refused: noted in the index with its
 * reason, and in *ret. Half-written volumes of writers that were killed are removed (hct_leftovers_remove). Errors
 * (labels that do not fit, a full disk, ...) end the run, and so does a signal that asks to stop (support/stop.h,
 * HCT_EINTERRUPTED), after the scans in work; what was finished stays. *ret is to be freed in any case. */
hct_status prepare_dataset(const prepare_options *options, prepare_result *ret, hct_err *err);
void prepare_free(prepare_result *r);

#endif
