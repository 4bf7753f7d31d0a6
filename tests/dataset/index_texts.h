/* An index as text, by which two datasets are compared. After check_main.h. */
#ifndef TESTS_DATASET_INDEX_TEXTS_H
#define TESTS_DATASET_INDEX_TEXTS_H

#include "dataset/index.h"
#include "support/text.h"

/* The whole index as text, without row numbers, times and what tells runs apart. */
static inline char *index_text_of(const char *folder) {
    /* clang-format off */
    static const char *const queries[] = {
        "SELECT id, place, kind, slices, reason FROM items ORDER BY id",
        ("SELECT f.path, f.bytes, f.kind, f.folder, f.grp, f.why, i.id FROM files f LEFT JOIN items i ON i.n=f.item"
         " ORDER BY f.path"),
        ("SELECT s.id, p.name, s.file, s.source, s.source_bytes, s.source_sha256, s.preprocessing, s.provenance"
         " FROM scans s JOIN patients p ON p.id=s.patient ORDER BY s.id"),
        "SELECT s.id, t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan ORDER BY s.id, t.key",
        ("SELECT i.id, f.at, f.word, f.weight, f.sentence FROM findings f JOIN items i ON i.n=f.item"
         " ORDER BY i.id, f.at"),
        "SELECT id, source, reason FROM refusals ORDER BY id",
        ("SELECT s.id, n.name, l.value FROM labels l JOIN scans s ON s.n=l.scan JOIN label_names n ON n.id=l.label"
         " ORDER BY s.id, n.name"),
        "SELECT p.name, x.split FROM splits x JOIN patients p ON p.id=x.patient ORDER BY p.name",
        "SELECT s.id, p.version, p.provenance, hex(p.bytes) FROM prints p JOIN scans s ON s.n=p.scan ORDER BY s.id",
        "SELECT s.id, f.form, f.file, f.spec FROM forms f JOIN scans s ON s.n=f.scan ORDER BY s.id, f.form",
        "SELECT key, value FROM settings WHERE key<>'run' ORDER BY key",
    };
    /* clang-format on */
    dataset_index ix;
    text_buffer t = {0};
    hct_err err = {0};
    ck_assert_msg(index_open(&ix, folder, 0, &err) == HCT_OK, "%s", err.msg);
    for (size_t k = 0; k < sizeof queries / sizeof *queries; k++) {
        sqlite3_stmt *q = index_query(&ix, &err, queries[k], "");
        ck_assert_msg(q != NULL, "%s", err.msg);
        while (index_step(&ix, q, &err) > 0) {
            for (int c = 0; c < sqlite3_column_count(q); c++)
                text_printf(&t, "%s|", sqlite3_column_text(q, c) ? (const char *)sqlite3_column_text(q, c) : "");
            text_printf(&t, "\n");
        }
        sqlite3_finalize(q);
    }
    index_close(&ix);
    return text_take(&t, "index", &err);
}

#endif
