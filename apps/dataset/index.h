/* The index of a dataset: one SQLite file, DATASET/index.sqlite, beside DATASET/scans/ID.nii.gz.
 *
 * Several processes (shards of a job array) may write at once: write-ahead log, writers wait up to a minute for each
 * other, one transaction a scan. The file must lie on a file system with working locks. Tables: index.c. */
#ifndef DATASET_INDEX_H
#define DATASET_INDEX_H

#include <sqlite3.h>

#include "dataset/candidate.h"
#include "imaging/fingerprint.h"

enum { INDEX_VERSION = 4 };

typedef struct dataset_index {
    sqlite3 *db;
    char *path;
    int64_t version; /* of the file: INDEX_VERSION, or an older one that is only read */
    int code;        /* SQLite's, of the last failure */
} dataset_index;

/* create: makes folder and file where missing, and brings an older file to INDEX_VERSION. HCT_ENOTFOUND: no dataset
 * there; HCT_EFORMAT: no index of ours; HCT_EVERSION: made by a later headct. */
hct_status index_open(dataset_index *ret, const char *folder, int create, hct_err *err);
/* One of no dataset, for one process: its file, in the folder of temporary files, has no name, and is gone with the
 * process, however that ends. */
hct_status index_open_private(dataset_index *ret, hct_err *err);
void index_close(dataset_index *ix);
/* Whether a folder is a dataset, told by its file's first bytes: nothing is opened, locked or changed. */
int index_is_in(const char *folder);

/* Runs SQL without results. */
hct_status index_exec(dataset_index *ix, const char *sql, hct_err *err);
/* Prepares a statement and binds its parameters: format has a letter for each, s (const char *, NULL allowed) or i
 * (int64_t), or b (const void *, then its bytes as int64_t). NULL and err on failure. Finish with sqlite3_finalize. */
sqlite3_stmt *index_query(dataset_index *ix, hct_err *err, const char *sql, const char *format, ...);
/* The same for statements without result rows: prepare, bind, run. */
hct_status index_run(dataset_index *ix, hct_err *err, const char *sql, const char *format, ...);
/* Steps a statement: 1 a row, 0 the end, < 0 an error. */
int index_step(dataset_index *ix, sqlite3_stmt *stmt, hct_err *err);
/* The text in a column that may not be empty of a value, borrowed until the next step; NULL and err (HCT_EFORMAT: the
 * index is damaged) where it holds NULL. what: the column in words. */
const char *index_text(dataset_index *ix, sqlite3_stmt *stmt, int column, const char *what, hct_err *err);
/* HCT_EFORMAT where the index has been damaged: says what is wrong with it, and what to do. */
hct_status index_damaged(const dataset_index *ix, hct_err *err, const char *what, ...) HCT_PRINTF(3, 4);
/* Refuses an index with rows that point at missing ones: a scan without its patient, a label of no scan, ... */
hct_status index_check(dataset_index *ix, hct_err *err);
/* The error SQLite met last, as one of ours. */
hct_status index_fail(dataset_index *ix, hct_err *err);

/* A prepared scan as it is put into the index. */
typedef struct index_scan {
    const char *id, *file, *source;
    const char *patient;       /* NULL: leave what is there; a new scan is its own patient */
    const char *preprocessing; /* SHA-256 of scan_preprocessing()'s text */
    const char *provenance;    /* SHA-256 of that and the source's */
    source_state state;
    const char *const (*tags)[2]; /* keys and values; tags that it does not name go */
    size_t n_tags;
    const int8_t *labels; /* one a label: 0, 1, or -1 not known; NULL: leave what is there */
    const int64_t *label_ids;
    size_t n_labels;
    const fingerprint *print; /* NULL: leave what is there, if it is of this provenance */
    const char *age, *sex;    /* tags beside the others, as a table tells them; NULL or "": leave what is there */
} index_scan;

/* Adds or replaces; forgets an earlier refusal. One transaction. */
hct_status index_put_scan(dataset_index *ix, const index_scan *s, hct_err *err);
/* Patient and labels anew for a scan that is already there, and the source's state; one transaction. */
hct_status index_refresh_scan(dataset_index *ix, const index_scan *s, hct_err *err);
/* Notes why a scan is left out; forgets the scan itself. */
hct_status index_put_refusal(dataset_index *ix, const char *id, const char *source, const char *reason, hct_err *err);

/* A further volume of a scan that is there (imaging/form.h): file relative to the dataset. Adds or replaces. */
hct_status index_put_form(dataset_index *ix, const char *id, const char *form, const char *file, const char *spec,
                          hct_err *err);
/* Its spec, where the scan has that form; "" where not. */
hct_status index_find_form(dataset_index *ix, const char *id, const char *form, char ret_spec[65], hct_err *err);

/* 1 where the scan is there (then state, its preprocessing and file are filled), 0 where not, < 0 an error. */
int index_find_scan(dataset_index *ix, const char *id, source_state *state, char preprocessing[65], hct_err *err);
/* 1 where a scan or a refusal of that id is there. */
int index_knows(dataset_index *ix, const char *id, hct_err *err);
/* The fingerprint of the volume that a scan has now, for an index of this version. */
hct_status index_put_print(dataset_index *ix, const char *id, const fingerprint *print, hct_err *err);
/* Ids of labels by name, added where missing, in the given order. */
hct_status index_label_ids(dataset_index *ix, const char *const *names, size_t n, int64_t *ret, hct_err *err);
/* The same inside of the caller's transaction, for labels that are all made anew: what scans have of them goes. */
hct_status index_renew_labels(dataset_index *ix, const char *const *names, size_t n, int64_t *ret, hct_err *err);
/* The table of the records behind labels (headct label), which only datasets have that were labelled by records. */
hct_status index_make_evidence(dataset_index *ix, hct_err *err);

#endif
