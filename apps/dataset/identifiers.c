/* Paths, UIDs and accession numbers of scans, from headers at hand or from those that the index keeps sealed. */
#include "dataset/identifiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index_found.h"

static hct_status fill(const dicom_header *h, const char *path, identifiers *ret, hct_err *err) {
    *ret = (identifiers){.path = strdup(path ? path : ""),
                         .study_uid = strdup(h && h->study_uid ? h->study_uid : ""),
                         .series_uid = strdup(h && h->series_uid ? h->series_uid : ""),
                         .accession = strdup(h && h->accession_number ? h->accession_number : "")};
    if (ret->path && ret->study_uid && ret->series_uid && ret->accession) return HCT_OK;
    identifiers_free(ret);
    return hct_fail(err, HCT_ENOMEM, "out of memory for a scan's identifiers");
}

void identifiers_free(identifiers *i) {
    free(i->path);
    free(i->study_uid);
    free(i->series_uid);
    free(i->accession);
    *i = (identifiers){0};
}

hct_status identifiers_of_candidate(const candidate_list *l, const candidate *c, identifiers *ret, hct_err *err) {
    const pile_file *file = candidate_file(l, c);
    size_t whole = strlen(file->path), below = strlen(file->relative), n = whole > below ? whole - below : 0;
    char *place = candidate_place(l, c), *path = NULL;
    if (place && strncmp(file->relative, place, strlen(place)) == 0) n += strlen(place);
    else if (!c->series || c->series->n_files == 1) n = whole;
    else
        while (n > 1 && file->path[n - 1] == '/') n--; /* slices that lie in the input itself */
    if (place) path = strndup(file->path, n);
    free(place);
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory for a scan's identifiers");
    hct_status s = fill(c->series ? &file->header : NULL, path, ret, err);
    free(path);
    return s;
}

hct_status identifiers_of_path(const char *path, identifiers *ret, hct_err *err) { return fill(NULL, path, ret, err); }

static hct_status unseal(const dataset_index *ix, const dataset_key *key, const void *sealed, size_t bytes,
                         dicom_header *ret, hct_err *err) {
    size_t n = 0;
    hct_err why;
    unsigned char *plain = key_unseal(key, sealed, bytes, &n, &why);
    hct_status s = plain ? dicom_header_unpack(plain, n, ret, &why) : why.code;
    free(plain);
    if (s == HCT_OK || s == HCT_ENOMEM) return s == HCT_OK ? HCT_OK : hct_fail(err, s, "%s", why.msg);
    return index_damaged(ix, err, "what it keeps of a header cannot be read (%s)", why.msg);
}

/* A scan's row: its place, and the sealed header of its first file. */
static hct_status of_row(dataset_index *ix, const dataset_key *key, sqlite3_stmt *q, identifiers *ret, hct_err *err) {
    const char *path = (const char *)sqlite3_column_text(q, 0);
    const void *sealed = sqlite3_column_blob(q, 1);
    dicom_header h = {0};
    hct_status s = sealed ? unseal(ix, key, sealed, (size_t)sqlite3_column_bytes(q, 1), &h, err) : HCT_OK;
    if (s == HCT_OK) s = fill(sealed ? &h : NULL, path, ret, err);
    dicom_header_free(&h);
    return s;
}

hct_status identifiers_of_dataset(const char *folder, const dataset_key *key, const char *const *ids, size_t n,
                                  identifiers *ret, hct_err *err) {
    dataset_index ix;
    memset(ret, 0, n * sizeof *ret);
    hct_status s = index_open(&ix, folder, 0, err);
    if (s < 0) return s;
    s = found_check_key(&ix, key, err);
    sqlite3_stmt *q =
        s == HCT_OK ? index_query(&ix, err,
                                  "SELECT s.source, (SELECT f.header FROM files f JOIN items i ON i.n=f.item WHERE "
                                  "i.id=s.id AND f.header IS NOT NULL ORDER BY f.root, f.path LIMIT 1) FROM scans s "
                                  "WHERE s.id=?",
                                  "")
                    : NULL;
    if (s == HCT_OK && !q) s = err ? err->code : HCT_EIO;
    for (size_t i = 0; s == HCT_OK && i < n; i++) {
        sqlite3_bind_text(q, 1, ids[i], -1, SQLITE_STATIC);
        int step = index_step(&ix, q, err);
        if (step < 0) s = step;
        else if (!step) s = hct_fail(err, HCT_ENOTFOUND, "%s: scan '%s' is in its index no more", folder, ids[i]);
        else s = of_row(&ix, key, q, &ret[i], err);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    index_close(&ix);
    if (s < 0)
        for (size_t i = 0; i < n; i++) identifiers_free(&ret[i]);
    return s;
}
