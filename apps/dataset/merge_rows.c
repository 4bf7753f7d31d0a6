/* Rows of one index put beside those of another. Numbers of rows differ from index to index, so all that refers to a
 * row goes by what names it: scans by id, patients and labels by name, items by identity, roots by mark. */
#include "dataset/merge_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/text.h"

/* ---- one row at a time ---- */

/* The columns of a row become the parameters of a statement, as many as that has. */
static hct_status give(dataset_index *to, sqlite3_stmt *row, sqlite3_stmt *put, hct_err *err) {
    const int n = sqlite3_column_count(row), m = sqlite3_bind_parameter_count(put);
    for (int k = 0; k < n && k < m; k++)
        if (sqlite3_bind_value(put, k + 1, sqlite3_column_value(row, k)) != SQLITE_OK) return index_fail(to, err);
    return HCT_OK;
}

/* Runs `put` in one index for every row that `get` finds in another. */
static hct_status copy(dataset_index *to, dataset_index *from, const char *get, const char *put, hct_err *err) {
    sqlite3_stmt *rows = index_query(from, err, get, ""), *one = rows ? index_query(to, err, put, "") : NULL;
    int step = one ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(from, rows, err)) > 0) {
        hct_status s = give(to, rows, one, err);
        if (s < 0 || (s = index_step(to, one, err)) < 0) step = s;
        sqlite3_reset(one);
    }
    sqlite3_finalize(one);
    sqlite3_finalize(rows);
    return step < 0 ? step : HCT_OK;
}

/* The first row of `get` for which `ask` finds something in the other index: its first column, and what was found, as
 * texts; "" where there is none. */
typedef struct clash {
    char what[300], other[300];
} clash;

static hct_status find_clash(dataset_index *to, dataset_index *from, const char *get, const char *ask, clash *ret,
                             hct_err *err) {
    sqlite3_stmt *rows = index_query(from, err, get, ""), *one = rows ? index_query(to, err, ask, "") : NULL;
    int step = one ? 1 : HCT_EIO;
    *ret = (clash){"", ""};
    while (step > 0 && !*ret->what && (step = index_step(from, rows, err)) > 0) {
        hct_status s = give(to, rows, one, err);
        int there = s < 0 ? s : index_step(to, one, err);
        if (there < 0) step = there;
        if (there > 0) {
            const char *what = (const char *)sqlite3_column_text(rows, 0),
                       *other = (const char *)sqlite3_column_text(one, 0);
            snprintf(ret->what, sizeof ret->what, "%s", what && *what ? what : "?");
            snprintf(ret->other, sizeof ret->other, "%s", other ? other : "");
        }
        sqlite3_reset(one);
    }
    sqlite3_finalize(one);
    sqlite3_finalize(rows);
    return step < 0 ? step : HCT_OK;
}

static hct_status one_text(dataset_index *ix, const char *sql, const char *bound, char *ret, size_t room,
                           hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err, sql, "s", bound);
    int step = q ? index_step(ix, q, err) : HCT_EIO;
    const char *text = step > 0 ? (const char *)sqlite3_column_text(q, 0) : NULL;
    snprintf(ret, room, "%s", text ? text : "");
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static bool has_evidence(dataset_index *ix) {
    hct_err ignored;
    char there[8];
    return one_text(ix, "SELECT 1 FROM sqlite_master WHERE name=?", "evidence", there, sizeof there, &ignored) ==
               HCT_OK &&
           *there;
}

/* ---- may they be joined? ---- */

#define SETTING "SELECT value FROM settings WHERE key=?"

/* Nothing was ever prepared into it: what a merge that was killed leaves, too. */
static hct_status is_blank(dataset_index *ix, bool *ret, hct_err *err) {
    char there[8];
    hct_status s = one_text(ix, "SELECT 1 FROM scans UNION ALL SELECT 1 FROM settings WHERE key=? LIMIT 1", "key",
                            there, sizeof there, err);
    *ret = !*there;
    return s;
}

static hct_status check_settings(dataset_index *to, dataset_index *from, hct_err *err) {
    static const char *const same[][3] = {
        {"key", "keys", "a patient of both would be two: prepare one again with the other's --key"},
        {"dates", "dates, shifted and clear", "prepare one again with the other's choice of --clear-dates"},
        {"filters", "filters", "prepare one again with the other's"}};
    char a[2000], b[2000];
    hct_status s = HCT_OK;
    for (size_t k = 0; k < sizeof same / sizeof *same && s == HCT_OK; k++) {
        s = one_text(to, SETTING, same[k][0], a, sizeof a, err);
        if (s == HCT_OK) s = one_text(from, SETTING, same[k][0], b, sizeof b, err);
        if (s < 0 || !strcmp(a, b)) continue;
        const bool told = k == 2;
        s = hct_fail(err, HCT_EINVAL, "%s and %s were made with different %s%s%.80s%s%.80s%s: %s", to->path, from->path,
                     same[k][1], told ? " (" : "", told ? *a ? a : "not known" : "", told ? "; " : "",
                     told ? *b ? b : "not known" : "", told ? ")" : "", same[k][2]);
    }
    return s;
}

/* Every scan of an index is of one preparation, and that is the other's. */
static hct_status check_preparation(dataset_index *to, dataset_index *from, hct_err *err) {
    dataset_index *both[] = {to, from};
    char made[2][65] = {"", ""};
    hct_status s = HCT_OK;
    for (int k = 0; k < 2 && s == HCT_OK; k++) {
        sqlite3_stmt *q = index_query(both[k], err, "SELECT DISTINCT preprocessing FROM scans LIMIT 2", "");
        int step = q ? 1 : HCT_EIO, n = 0;
        for (; step > 0 && (step = index_step(both[k], q, err)) > 0; n++)
            snprintf(made[k], sizeof made[k], "%s", (const char *)sqlite3_column_text(q, 0));
        sqlite3_finalize(q);
        s = step < 0 ? step
            : n > 1
                ? hct_fail(err, HCT_EINVAL,
                           "%s: holds scans of two preparations: run headct prepare there again before it is joined",
                           both[k]->path)
                : HCT_OK;
    }
    if (s == HCT_OK && *made[0] && *made[1] && strcmp(made[0], made[1]) != 0)
        s = hct_fail(err, HCT_EINVAL,
                     "%s and %s were prepared differently (%.12s; %.12s): prepare one again with the other's options",
                     to->path, from->path, made[0], made[1]);
    return s;
}

/* What both say of one scan or patient is the same. */
static hct_status check_clashes(dataset_index *to, dataset_index *from, hct_err *err) {
    static const struct {
        const char *get, *ask, *says;
    } asked[] = {
        {"SELECT s.id, i.identity FROM scans s JOIN items i ON i.id=s.id",
         "SELECT i.id FROM items i JOIN scans s ON s.id=i.id WHERE i.identity=?2 AND i.id<>?1",
         "scan '%s' goes by another ID in one of %s and %s: remove it from one (headct dataset remove)"},
        {"SELECT s.id, p.name FROM scans s JOIN patients p ON p.id=s.patient",
         "SELECT p.name FROM scans s JOIN patients p ON p.id=s.patient WHERE s.id=?1 AND p.name<>?2",
         "scan '%s' is of different patients in %s and %s: give it one in the tables of labels of both"},
        {"SELECT s.id, n.name, l.value FROM labels l JOIN scans s ON s.n=l.scan JOIN label_names n ON n.id=l.label",
         "SELECT n.name FROM labels l JOIN scans s ON s.n=l.scan JOIN label_names n ON n.id=l.label WHERE s.id=?1 AND"
         " n.name=?2 AND l.value<>?3",
         "scan '%s' has different labels in %s and %s: label one of them anew"},
        {"SELECT p.name, x.split FROM splits x JOIN patients p ON p.id=x.patient",
         "SELECT x.split FROM splits x JOIN patients p ON p.id=x.patient WHERE p.name=?1 AND x.split<>?2",
         "patient '%s' is in different parts of %s and %s: split one of them as the other (headct split --from)"},
    };
    hct_status s = HCT_OK;
    for (size_t k = 0; k < sizeof asked / sizeof *asked && s == HCT_OK; k++) {
        clash c;
        s = find_clash(to, from, asked[k].get, asked[k].ask, &c, err);
        if (s < 0 || !*c.what) continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        s = hct_fail(err, HCT_EINVAL, asked[k].says, c.what, to->path, from->path);
#pragma GCC diagnostic pop
    }
    return s;
}

/* Labels of records: of the same rules, whichever the records. "rules HASH, records HASH ..." */
static hct_status check_rules(dataset_index *to, dataset_index *from, hct_err *err) {
    char a[2000], b[2000];
    hct_status s = one_text(to, SETTING, "labels", a, sizeof a, err);
    if (s == HCT_OK) s = one_text(from, SETTING, "labels", b, sizeof b, err);
    size_t n = strcspn(a, ","), m = strcspn(b, ",");
    if (s == HCT_OK && *a && *b && (n != m || strncmp(a, b, n) != 0))
        s = hct_fail(err, HCT_EINVAL, "%s and %s were labelled by different rules: label one again (headct label)",
                     to->path, from->path);
    return s;
}

hct_status merge_check(dataset_index *to, dataset_index *from, hct_err *err) {
    bool blank;
    hct_status s = is_blank(to, &blank, err);
    if (s < 0 || blank) return s;
    s = check_settings(to, from, err);
    if (s == HCT_OK) s = check_preparation(to, from, err);
    if (s == HCT_OK) s = check_rules(to, from, err);
    return s == HCT_OK ? check_clashes(to, from, err) : s;
}

/* ---- rows ---- */

/* What goes before: items that had no scan and no findings so far, and scans that are new. */
static hct_status note_fresh(dataset_index *to, hct_err *err) {
    return index_exec(to,
                      "CREATE TEMP TABLE IF NOT EXISTS fresh_items(n INTEGER PRIMARY KEY);"
                      "CREATE TEMP TABLE IF NOT EXISTS fresh_scans(id TEXT PRIMARY KEY);"
                      "DELETE FROM fresh_items; DELETE FROM fresh_scans;",
                      err);
}

#define HAS_SCAN "EXISTS(SELECT 1 FROM scans s WHERE s.id=i.id)"
#define ITEM "COALESCE((SELECT n FROM items WHERE identity=?1), (SELECT n FROM items WHERE id=?2))"

static const struct {
    const char *get, *put;
} tables[] = {
    {"SELECT name FROM patients ORDER BY id", "INSERT OR IGNORE INTO patients(name) VALUES(?1)"},
    {"SELECT name FROM label_names ORDER BY id", "INSERT OR IGNORE INTO label_names(name) VALUES(?1)"},
    {"SELECT mark FROM roots ORDER BY n", "INSERT OR IGNORE INTO roots(mark) VALUES(?1)"},
    /* an item without a scan makes way for a scan of its id, as a later item does that is found by headct prepare */
    {"SELECT i.identity, i.id FROM items i WHERE " HAS_SCAN,
     "UPDATE refusals SET id=id||'-'||(SELECT substr(identity, 1, 8) FROM items WHERE id=?2) WHERE id=?2 AND EXISTS("
     "SELECT 1 FROM items i WHERE i.id=?2 AND i.identity<>?1 AND NOT " HAS_SCAN ")"},
    {"SELECT i.identity, i.id FROM items i WHERE " HAS_SCAN,
     "UPDATE items AS i SET id=id||'-'||substr(identity, 1, 8) WHERE id=?2 AND identity<>?1 AND NOT " HAS_SCAN},
    /* what one index knows as a scan, and the other as left out or not judged yet, is a scan */
    {"SELECT i.identity, i.id FROM items i WHERE " HAS_SCAN,
     "DELETE FROM findings WHERE item=(SELECT i.n FROM items i WHERE i.identity=?1 AND NOT " HAS_SCAN ")"},
    {"SELECT i.identity, i.id FROM items i WHERE " HAS_SCAN, "DELETE FROM refusals WHERE id=?2"},
    {"SELECT i.identity, i.id, i.place, i.kind, i.slices, i.reason, " HAS_SCAN " FROM items i ORDER BY i.n",
     "INSERT INTO items(identity, id, place, kind, slices, reason) SELECT ?1, CASE WHEN EXISTS(SELECT 1 FROM items"
     " WHERE id=?2) OR (NOT ?7 AND EXISTS(SELECT 1 FROM scans WHERE id=?2)) THEN ?2||'-'||substr(?1, 1, 8) ELSE ?2 END,"
     " ?3, ?4, ?5, ?6 WHERE NOT (?7 AND EXISTS(SELECT 1 FROM scans WHERE id=?2) AND NOT EXISTS(SELECT 1 FROM items"
     " WHERE identity=?1)) ON CONFLICT(identity) DO UPDATE SET reason=CASE WHEN ?7 THEN NULL WHEN EXISTS(SELECT 1 FROM"
     " scans s WHERE s.id=items.id) THEN reason ELSE COALESCE(reason, excluded.reason) END"},
    {"SELECT 1",
     "INSERT INTO fresh_items SELECT n FROM items i WHERE NOT EXISTS(SELECT 1 FROM findings WHERE item=i.n)"},
    {"SELECT i.identity, i.id, f.at, f.word, f.weight, f.sentence FROM findings f JOIN items i ON i.n=f.item",
     "INSERT OR IGNORE INTO findings SELECT n, ?3, ?4, ?5, ?6 FROM fresh_items WHERE n=(SELECT n FROM items WHERE"
     " identity=?1)"},
    {"SELECT id FROM scans", "INSERT INTO fresh_scans SELECT ?1 WHERE NOT EXISTS(SELECT 1 FROM scans WHERE id=?1)"},
    {"SELECT s.id, p.name, s.file, s.source, s.source_bytes, s.source_mtime_ns, s.source_sha256, s.preprocessing,"
     " s.provenance FROM scans s JOIN patients p ON p.id=s.patient ORDER BY s.n",
     "INSERT OR IGNORE INTO scans(id, patient, file, source, source_bytes, source_mtime_ns, source_sha256,"
     " preprocessing, provenance) SELECT ?1, (SELECT id FROM patients WHERE name=?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9"},
    {"SELECT s.id, t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan",
     "INSERT OR IGNORE INTO tags SELECT n, ?2, ?3 FROM scans WHERE id=?1"},
    {"SELECT s.id, n.name, l.value FROM labels l JOIN scans s ON s.n=l.scan JOIN label_names n ON n.id=l.label",
     "INSERT OR IGNORE INTO labels SELECT s.n, n.id, ?3 FROM scans s, label_names n WHERE s.id=?1 AND n.name=?2"},
    {"SELECT s.id, f.form, f.file, f.spec FROM forms f JOIN scans s ON s.n=f.scan",
     "INSERT OR IGNORE INTO forms(scan, form, file, spec) SELECT n, ?2, ?3, ?4 FROM scans WHERE id=?1"},
    {"SELECT s.id, p.version, p.provenance, p.bytes FROM prints p JOIN scans s ON s.n=p.scan",
     "INSERT OR IGNORE INTO prints SELECT n, ?2, ?3, ?4 FROM scans WHERE id=?1"},
    {"SELECT p.name, x.split FROM splits x JOIN patients p ON p.id=x.patient",
     "INSERT OR IGNORE INTO splits SELECT id, ?2 FROM patients WHERE name=?1"},
    {"SELECT r.id, COALESCE(i.identity, ''), r.source, r.reason FROM refusals r LEFT JOIN items i ON i.id=r.id",
     "INSERT OR IGNORE INTO refusals SELECT x.id, ?3, ?4 FROM (SELECT COALESCE((SELECT id FROM items WHERE"
     " identity=?2), ?1) AS id) x WHERE NOT EXISTS(SELECT 1 FROM scans s WHERE s.id=x.id)"},
    /* a folder is the number of its root, a colon, and its path */
    {"SELECT i.identity, i.id, r.mark, f.path, f.archive, f.member, f.bytes, f.mtime_ns, f.kind,"
     " substr(f.folder, instr(f.folder, ':')), f.grp, f.header, f.why, f.seen FROM files f JOIN roots r ON r.n=f.root"
     " LEFT JOIN items i ON i.n=f.item",
     "INSERT INTO files(root, path, archive, member, bytes, mtime_ns, kind, folder, grp, header, why, seen, item)"
     " SELECT r.n, ?4, ?5, ?6, ?7, ?8, ?9, r.n||?10, ?11, ?12, ?13, ?14, " ITEM " FROM roots r WHERE r.mark=?3"
     " ON CONFLICT(root, path) DO UPDATE SET item=COALESCE(item, excluded.item)"},
    /* files of the next run are newer than any of these */
    {"SELECT value FROM settings WHERE key='run'",
     "INSERT INTO settings VALUES('run', ?1) ON CONFLICT(key) DO UPDATE SET value=CAST(max(CAST(value AS INTEGER),"
     " CAST(?1 AS INTEGER)) AS TEXT)"},
    /* who has no part yet is dealt one by the rule, where that is one rule */
    {"SELECT value FROM settings WHERE key='split'",
     "INSERT INTO settings VALUES('split', ?1) ON CONFLICT(key) DO UPDATE SET value=CASE WHEN value=?1 THEN value ELSE"
     " 'as the datasets have it that were merged' END"},
    {"SELECT value FROM settings WHERE key='labels'",
     "INSERT INTO settings VALUES('labels', ?1) ON CONFLICT(key) DO UPDATE SET value=CASE WHEN instr(value, ?1) THEN"
     " value ELSE value||'; '||?1 END"},
    {"SELECT key, value FROM settings WHERE key IN ('key', 'dates', 'filters')",
     "INSERT OR IGNORE INTO settings VALUES(?1, ?2)"},
};

hct_status merge_rows(dataset_index *to, dataset_index *from, hct_err *err) {
    hct_status s = note_fresh(to, err);
    for (size_t k = 0; k < sizeof tables / sizeof *tables && s == HCT_OK; k++)
        s = copy(to, from, tables[k].get, tables[k].put, err);
    if (s == HCT_OK && has_evidence(from)) {
        s = index_make_evidence(to, err);
        if (s == HCT_OK)
            s = copy(to, from, "SELECT s.id, e.label, e.what, e.days FROM evidence e JOIN scans s ON s.n=e.scan",
                     "INSERT INTO evidence SELECT s.n, ?2, ?3, ?4 FROM scans s JOIN fresh_scans f ON f.id=s.id WHERE"
                     " s.id=?1",
                     err);
    }
    return s;
}
