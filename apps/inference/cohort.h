/* A cohort: the scans a model is run over, one after the other, those that cannot be read left out with their reason.
 *
 *   cohort c;
 *   cohort_of_dataset("data", "test", &c, &err);          or cohort_of_files(paths, n, NULL, &c, &err)
 *   cohort_run(&c, &encoder, 1, todo, n, &sink, stderr, &err);
 *   cohort_free(&c);
 */
#ifndef INFERENCE_COHORT_H
#define INFERENCE_COHORT_H

#include "dataset/dataset.h"
#include "dataset/identifiers.h"
#include "inference/cohort_files.h"
#include "inference/embedder.h"
#include "support/text.h"

typedef struct cohort_scan {
    char *id, *patient, *split; /* of a file: candidate_id, which is its own patient; split "" */
    char *path;                 /* NIfTI file, or where a series lies; of a dataset: the prepared volume */
    size_t at;                  /* number in the dataset */
    cohort_source found;        /* of a file or series */
    cohort_source *more;        /* [n_more]: further series of its study (cohort_join_studies) */
    size_t n_more;
    bool missing;           /* nothing is at its path */
    char *study, *folder;   /* of a file or series: StudyInstanceUID or NULL, and where all its files lie */
    char input[MODEL_HASH]; /* SHA-256 of the source (candidate_hash); of a file "" until it is read */
    identifiers names;      /* where c->clear; else all NULL */
    char *reason;           /* why it was left out; NULL: it was not */
} cohort_scan;

typedef struct cohort {
    dataset *data;        /* of a dataset */
    cohort_files *files;  /* of files and folders */
    text_buffer left_out; /* a line each: scouts and the like, files that could not be read */
    size_t n;
    cohort_scan *scans;
    size_t *by_id;                  /* [n], numbers of scans in order of id */
    bool clear;                     /* outputs name paths, UIDs and accession numbers */
    char preprocessing[MODEL_HASH]; /* SHA-256 of what all inputs went through */
} cohort;

/* split: "train", "val", "test" or "all". HCT_EINVAL: prepared in more than one way. */
hct_status cohort_of_dataset(const char *folder, const char *split, cohort *ret, hct_err *err);
/* Files, folders and archives as `headct prepare --in` takes them; filters: dicom/filters.h, NULL: any-head-ct. A path
 * that is not there, and a series that is refused, is a scan that is left out; scouts, dose pages and the like are told
 * of, and no scans. */
hct_status cohort_of_files(const char *const *paths, size_t n, const char *filters, cohort *ret, hct_err *err);
/* c.preprocessing of every cohort of files, before form_preparation. */
hct_status cohort_preparation(char ret[MODEL_HASH], hct_err *err);
void cohort_free(cohort *c);
/* Has outputs name the scans in clear (docs/privacy.md). key: file of the dataset's key, NULL: the default; files and
 * folders need none. */
hct_status cohort_name_clear(cohort *c, const char *key, hct_err *err);
/* Has scans be called by their series' UID, with _p1, _p2 behind it where several are of one; by `other` where there is
 * none. For files whose places say nothing; they are named in clear then. */
hct_status cohort_name_by_series(cohort *c, const char *other, hct_err *err);
/* What outputs say of that. */
const char *cohort_naming(const cohort *c);
/* Keeps scan i of a dataset's cohort where keep[scans[i].at] alone. */
hct_status cohort_keep(cohort *c, const bool *keep, hct_err *err);
/* Number of the scan with this id; -1 where there is none. */
int64_t cohort_find(const cohort *c, const char *id);
/* HCT_EINVAL where scan i is known to have another input than what an older result was made from. file: of that
 * result. */
hct_status cohort_same_input(const cohort *c, size_t i, const char *input, const char *file, hct_err *err);
/* Puts the series of a study together, in one scan of `more` series: DICOM series by StudyInstanceUID, NIfTI files by
 * the folder that they lie in. Its id is the folder's name, of a single series that one's. Of files and folders; the
 * scans of a dataset stay as they are. */
hct_status cohort_join_studies(cohort *c, hct_err *err);
/* Reads scan i of files and folders, all its series: [1 + n_more, input_floats] into out. Errors are the scan's. */
hct_status cohort_read(cohort *c, size_t i, const model_info *info, float *out, hct_err *why);
/* Scans that were left out so far. */
size_t cohort_refused(const cohort *c);
/* Logs them, each with its reason; returns how many. */
size_t cohort_tell_refused(const cohort *c);

typedef struct cohort_sink {
    void *context;
    /* After each batch: results of scans[0..n), numbers in the cohort. cls [n, width], of the first encoder;
     * probability [n, tasks], those of all encoders one after the other. */
    hct_status (*take)(void *context, const size_t *scans, size_t n, const float *cls, const double *probability,
                       hct_err *err);
} cohort_sink;

/* Runs scans todo[0..n), in that order, through all encoders, which take the same input and batch and have
 * MODEL_TASKS tasks at most. HCT_EINTERRUPTED: a signal asked to stop (support/stop.h); what was taken stays.
 * progress may be NULL. */
hct_status cohort_run(cohort *c, embedder *e, size_t n_embedders, const size_t *todo, size_t n, const cohort_sink *sink,
                      FILE *progress, hct_err *err);
/* The batch for a cohort of n scans: the same whether it is resumed or not. */
int64_t cohort_batch(const cohort *c);

#endif
