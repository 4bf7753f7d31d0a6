/* Items of the index: ids that stay, the files that belong to them, findings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index_found.h"

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the list of scans"); }

/* Copies the text of the first row's first column; 0: no row. */
static int one_text(dataset_index *ix, sqlite3_stmt *q, char *ret, size_t room, hct_err *err) {
    int step = q ? index_step(ix, q, err) : HCT_EIO;
    if (step > 0) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        snprintf(ret, room, "%s", text ? text : "");
    }
    sqlite3_finalize(q);
    return step;
}

/* 1: the id is another item's, or that of a scan made of other bytes before the index had items. 0: it is free, or its
 * scan was made of the very bytes of this one, which then was moved. */
static int is_taken(found *f, const candidate_list *l, const candidate *c, const char *id, const char *mark,
                    hct_err *err) {
    char other[KEY_HEX] = "", made_of[KEY_HEX] = "", now[KEY_HEX] = "";
    int there = one_text(f->ix, index_query(f->ix, err, "SELECT identity FROM items WHERE id=?", "s", id), other,
                         sizeof other, err);
    if (there <= 0) return there; /* without an item, but perhaps a scan: one of an earlier version, taken over */
    int scan = one_text(f->ix, index_query(f->ix, err, "SELECT source_sha256 FROM scans WHERE id=?", "s", id), made_of,
                        sizeof made_of, err);
    if (scan < 0) return scan;
    int64_t living = 0;
    sqlite3_stmt *q =
        index_query(f->ix, err, "SELECT count(*) FROM files WHERE seen>=? AND item=(SELECT n FROM items WHERE id=?)",
                    "is", f->run, id);
    int step = q ? index_step(f->ix, q, err) : HCT_EIO;
    if (step > 0) living = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    if (step < 0) return step;
    hct_err why = {0};
    if (living || !scan || candidate_hash(l, c, now, &why) < 0 || strcmp(now, made_of) != 0) return 1;
    hct_status s = index_run(f->ix, err, "UPDATE items SET identity=? WHERE id=?", "ss", mark, id);
    return s < 0 ? s : 0;
}

static hct_status note_files(found *f, const candidate_list *l, const candidate *c, const char *id, hct_err *err) {
    size_t n = c->series ? c->series->n_files : 1;
    hct_status s = HCT_OK;
    for (size_t i = 0; i < n && s == HCT_OK; i++) {
        const pile_file *file = &l->files[c->series ? c->series->files[i] : c->nifti];
        const found_root *r = found_root_of(f, file);
        s = index_run(f->ix, err, "UPDATE files SET item=(SELECT n FROM items WHERE id=?) WHERE root=? AND path=?",
                      "sis", id, r ? r->n : (int64_t)0, file->relative);
    }
    return s;
}

hct_status found_item(found *f, const candidate_list *l, const candidate *c, const char *base, char id[FOUND_ID],
                      hct_err *err) {
    char mark[KEY_HEX], *identity = candidate_identity(l, c), *place = candidate_place(l, c);
    hct_status s = identity && place ? key_mark(f->key, "item", identity, mark, err) : no_memory(err);
    int known = s < 0 ? s
                      : one_text(f->ix, index_query(f->ix, err, "SELECT id FROM items WHERE identity=?", "s", mark), id,
                                 FOUND_ID, err);
    if (known == 0) {
        int taken = is_taken(f, l, c, base, mark, err);
        snprintf(id, FOUND_ID, taken > 0 ? "%.4300s-%.8s" : "%.4300s", base, mark);
        if (taken < 0) known = taken;
    }
    s = known < 0 ? known : HCT_OK;
    if (s == HCT_OK)
        s = index_run(f->ix, err,
                      "INSERT INTO items(identity, id, place, kind, slices) VALUES(?,?,?,?,?) ON CONFLICT(identity) DO"
                      " UPDATE SET place=excluded.place, kind=excluded.kind, slices=excluded.slices",
                      "ssssi", mark, id, place, c->series ? "DICOM" : "NIfTI",
                      c->series ? (int64_t)c->series->n_slices : (int64_t)0);
    if (s == HCT_OK) s = note_files(f, l, c, id, err);
    free(identity);
    free(place);
    return s;
}

hct_status found_id(found *f, const candidate_list *l, const candidate *c, char id[FOUND_ID], hct_err *err) {
    char mark[KEY_HEX], *identity = candidate_identity(l, c);
    hct_status s = identity ? key_mark(f->key, "item", identity, mark, err) : no_memory(err);
    free(identity);
    if (s < 0) return s;
    int known =
        one_text(f->ix, index_query(f->ix, err, "SELECT id FROM items WHERE identity=?", "s", mark), id, FOUND_ID, err);
    return known < 0 ? known : known ? HCT_OK : index_damaged(f->ix, err, "a scan's item is missing");
}

/* Only preparing finds these. */
#define LATE "word IN ('hu', 'wrapped', 'head-outside')"
enum { LATE_AT = 100 }; /* places of their own, behind the others */
static bool is_late(verdict_reason r) { return r == REASON_HU || r == REASON_WRAPPED || r == REASON_HEAD_OUTSIDE; }

hct_status found_judge(found *f, const candidate *c, const char *id, const char *reason, const char *sentence,
                       bool stays, bool keep_late, hct_err *err) {
    hct_status s = index_exec(f->ix, "BEGIN IMMEDIATE", err);
    if (s < 0) return s;
    s = index_run(f->ix, err, "UPDATE items SET reason=? WHERE id=?", "ss", stays ? NULL : reason, id);
    if (s == HCT_OK)
        s = index_run(f->ix, err,
                      keep_late ? "DELETE FROM findings WHERE item=(SELECT n FROM items WHERE id=?) AND NOT " LATE
                                : "DELETE FROM findings WHERE item=(SELECT n FROM items WHERE id=?)",
                      "s", id);
    bool said = false;
    for (size_t i = 0; i < c->verdict.n && s == HCT_OK; i++) {
        const verdict_finding *one = &c->verdict.findings[i];
        char *plain = found_relative(f, one->sentence);
        said = said || one->weight == VERDICT_REFUSE;
        s = plain ? index_run(f->ix, err, "INSERT OR REPLACE INTO findings SELECT n, ?, ?, ?, ? FROM items WHERE id=?",
                              "isiss", (int64_t)i + (is_late(one->reason) ? LATE_AT : 0), verdict_word(one->reason),
                              (int64_t)one->weight, plain, id)
                  : no_memory(err);
        free(plain);
    }
    if (s == HCT_OK && sentence && !said) {
        char *plain = found_relative(f, sentence);
        s = plain ? index_run(f->ix, err, "INSERT OR REPLACE INTO findings SELECT n, ?, ?, ?, ? FROM items WHERE id=?",
                              "isiss", (int64_t)c->verdict.n, reason, (int64_t)(stays ? VERDICT_WARN : VERDICT_REFUSE),
                              plain, id)
                  : no_memory(err);
        free(plain);
    }
    if (s == HCT_OK) s = index_exec(f->ix, "COMMIT", err);
    if (s < 0) index_exec(f->ix, "ROLLBACK", NULL);
    return s;
}
