/* What was found below the inputs of `headct prepare`, in the index: every file once, with the heading it came under;
 * items, which may be scans (NIfTI files and DICOM series); and the findings on them.
 *
 *   roots     an input's real path as a keyed mark (key.h)
 *   files     path below the root; kind (dicom/files.h); grp: the mark of the series it was grouped as; header: what
 *             was read of a DICOM file, sealed with the key; seen: the last run that met it; item: what it is part of
 *   items     identity: a mark that stays (candidate_identity); id: the scan's; reason: why it was left out, a word
 *   findings  of an item, in the order of the checks: word, weight (verdict_weight), sentence with paths below the root
 */
#ifndef DATASET_INDEX_FOUND_H
#define DATASET_INDEX_FOUND_H

#include "dataset/candidate.h"
#include "dataset/index.h"
#include "dataset/key.h"

/* One input of this run: what the paths of its files begin with, as they were walked and really. */
typedef struct found_root {
    char *walked, *real;
    int64_t n;
} found_root;

typedef struct found {
    dataset_index *ix;
    const dataset_key *key;
    found_root *roots;
    size_t n_roots;
    int64_t run; /* number of this run */
    int64_t pending;
    pile_counts counts;
    sqlite3_stmt *look, *put, *touch;
    bool (*leave_out)(void *context, const char *folder);
    void *context;
    bool cached; /* whether the file at hand is in the index as it is */
    bool clear;  /* the index is private: paths stay as the inputs were named */
} found;

/* Begins a run: HCT_EINVAL where the index was made with another key. */
hct_status found_begin(dataset_index *ix, const dataset_key *key, found *ret, hct_err *err);
/* HCT_EINVAL where the index was made with another key; nothing is written. */
hct_status found_check_key(dataset_index *ix, const dataset_key *key, hct_err *err);
/* Walks the inputs and notes every file; those that are gone since the last run go. leave_out: pile.h. */
hct_status found_walk(found *f, const char *const *inputs, size_t n, bool (*leave_out)(void *context, const char *),
                      void *context, hct_err *err);
void found_end(found *f);

/* What may be scans, in order of root and path: a NIfTI file, or the files of one mark. Its key: the mark, or "". */
typedef struct found_unit {
    char *grp;  /* NULL: a NIfTI file */
    char *path; /* of the first file, below its root */
    int64_t root;
} found_unit;
hct_status found_units(found *f, found_unit **ret, size_t *ret_n, hct_err *err);
void found_units_free(found_unit *u, size_t n);
/* The files of a unit, and those in their folders that could not be read: as from a pile. Free each, then the array. */
hct_status found_files(found *f, const found_unit *u, pile_file **ret, size_t *ret_n, hct_err *err);
void found_files_free(pile_file *files, size_t n);
/* How many series have files in the folder of this file. */
hct_status found_neighbours(found *f, const pile_file *file, int64_t *ret, hct_err *err);

/* The item of an identity, made where it is new, with the id that it had or gets: `base`, or where another item has
 * that, base and eight digits of the identity. Its files are noted as its parts. id: FOUND_ID bytes. */
enum { FOUND_ID = 4352 };
hct_status found_item(found *f, const candidate_list *l, const candidate *c, const char *base, char id[FOUND_ID],
                      hct_err *err);
/* The id of an identity that found_item noted. */
hct_status found_id(found *f, const candidate_list *l, const candidate *c, char id[FOUND_ID], hct_err *err);
/* Findings anew: those of c's verdict, and the sentence that refuses it, where it is left out or could not be read
 * now (NULL: neither), under the reason's word. stays: what an earlier run made of it stays, and so it is no reason
 * to leave it out. keep_late: findings that only preparing tells stay as they were. */
hct_status found_judge(found *f, const candidate *c, const char *id, const char *reason, const char *sentence,
                       bool stays, bool keep_late, hct_err *err);
/* The root that a file of found_files lies below; NULL: none of this run's. */
const found_root *found_root_of(const found *f, const pile_file *file);
/* A text with the roots' paths cut off where one begins (not inside of a word), the caller's to free; NULL: no
 * memory. */
char *found_relative(const found *f, const char *text);

#endif
