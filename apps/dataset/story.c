/* The index in sentences and tables. */
#include "dataset/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/csv.h"
#include "support/paths.h"

static const char *text_at(sqlite3_stmt *q, int column) {
    const char *text = (const char *)sqlite3_column_text(q, column);
    return text ? text : "";
}

/* Runs a query with one text bound, giving each row to put; *ret_n counts them. */
typedef void put_row(sqlite3_stmt *q, text_buffer *out);
static hct_status each(dataset_index *ix, const char *sql, const char *bound, put_row *put, text_buffer *out,
                       size_t *ret_n, hct_err *err) {
    sqlite3_stmt *q = bound ? index_query(ix, err, sql, "s", bound) : index_query(ix, err, sql, "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        put(q, out);
        if (ret_n) ++*ret_n;
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

/* ---- why ---- */

static const char *weight_word(int64_t weight) { return weight == 2 ? "refused" : weight == 1 ? "warning" : "note"; }

static void put_item(sqlite3_stmt *q, text_buffer *out) {
    const char *id = text_at(q, 0), *kind = text_at(q, 2), *reason = text_at(q, 4);
    text_printf(out, "%s '%s': %s", *reason ? "left out" : "scan", id,
                strcmp(kind, "DICOM") == 0 ? "a DICOM series" : "a NIfTI file");
    if (sqlite3_column_int64(q, 3)) text_printf(out, " of %lld slices", (long long)sqlite3_column_int64(q, 3));
    text_printf(out, " at %s", text_at(q, 1));
    if (*reason) text_printf(out, "; reason: %s", reason);
    text_printf(out, "\n");
}

static void put_finding(sqlite3_stmt *q, text_buffer *out) {
    text_printf(out, "  %s: %s: %s\n", weight_word(sqlite3_column_int64(q, 1)), text_at(q, 0), text_at(q, 2));
}

static void put_scan(sqlite3_stmt *q, text_buffer *out) {
    text_printf(out, "  prepared as %s; patient %s; split %s\n", text_at(q, 0), text_at(q, 1),
                *text_at(q, 2) ? text_at(q, 2) : "none yet");
}

static void put_pair(sqlite3_stmt *q, text_buffer *out) {
    text_printf(out, "  %s: %s\n", text_at(q, 0), text_at(q, 1));
}

static void put_files(sqlite3_stmt *q, text_buffer *out) {
    text_printf(out, "  files: %lld, from %s to %s\n", (long long)sqlite3_column_int64(q, 0), text_at(q, 1),
                text_at(q, 2));
}

/* Only headct label makes the table. */
static bool has_evidence(dataset_index *ix) {
    hct_err ignored;
    sqlite3_stmt *q = index_query(ix, &ignored, "SELECT 1 FROM sqlite_master WHERE name='evidence'", "");
    bool there = q && index_step(ix, q, &ignored) > 0;
    sqlite3_finalize(q);
    return there;
}

static hct_status tell_item(dataset_index *ix, const char *id, text_buffer *out, hct_err *err) {
    hct_status s =
        each(ix, "SELECT id, place, kind, slices, reason FROM items WHERE id=?", id, put_item, out, NULL, err);
    if (s == HCT_OK)
        s = each(ix,
                 "SELECT f.word, f.weight, f.sentence FROM findings f JOIN items i ON i.n=f.item WHERE i.id=? ORDER BY "
                 "f.at",
                 id, put_finding, out, NULL, err);
    if (s == HCT_OK)
        s = each(ix,
                 "SELECT s.file, p.name, COALESCE(x.split, '') FROM scans s JOIN patients p ON p.id=s.patient LEFT JOIN"
                 " splits x ON x.patient=s.patient WHERE s.id=?",
                 id, put_scan, out, NULL, err);
    if (s == HCT_OK)
        s = each(ix, "SELECT t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan WHERE s.id=? ORDER BY t.key", id,
                 put_pair, out, NULL, err);
    if (s == HCT_OK)
        s = each(ix,
                 "SELECT 'label '||n.name, l.value FROM labels l JOIN label_names n ON n.id=l.label JOIN scans s ON"
                 " s.n=l.scan WHERE s.id=? ORDER BY n.id",
                 id, put_pair, out, NULL, err);
    if (s == HCT_OK && has_evidence(ix))
        s = each(ix,
                 "SELECT 'evidence of '||e.label, e.what||', '||e.days||' days after the scan' FROM evidence e JOIN "
                 "scans s ON"
                 " s.n=e.scan WHERE s.id=? ORDER BY e.label, e.days, e.what",
                 id, put_pair, out, NULL, err);
    if (s == HCT_OK)
        s = each(ix,
                 "SELECT count(*), min(f.path), max(f.path) FROM files f JOIN items i ON i.n=f.item WHERE i.id=?"
                 " HAVING count(*)>0",
                 id, put_files, out, NULL, err);
    return s;
}

static void put_file(sqlite3_stmt *q, text_buffer *out) {
    const char *path = text_at(q, 0), *kind = text_at(q, 1), *why = text_at(q, 2), *id = text_at(q, 3);
    const char *reason = text_at(q, 4);
    text_printf(out, "%s: ", path);
    if (*id && *reason) text_printf(out, "part of '%s', which was left out: %s", id, reason);
    else if (*id) text_printf(out, "part of scan '%s'", id);
    else if (strcmp(kind, "directory") == 0) text_printf(out, "no image: a table of contents (DICOMDIR or the like)");
    else if (strcmp(kind, "other") == 0) text_printf(out, "no image");
    else if (strcmp(kind, "again") == 0) text_printf(out, "the same file as another one, by a link");
    else if (strcmp(kind, "unread") == 0) text_printf(out, "not read");
    else text_printf(out, "%s", kind);
    if (*why) text_printf(out, ": %s", why);
    text_printf(out, "\n");
}

static void put_id(sqlite3_stmt *q, text_buffer *out) { text_printf(out, "%s\n", text_at(q, 0)); }

/* Items by name: an id, or a place. */
static hct_status tell_items(dataset_index *ix, const char *name, text_buffer *out, size_t *n, hct_err *err) {
    text_buffer ids = {0};
    hct_status s = each(ix,
                        "SELECT id FROM items WHERE id=?1 OR place=?1 OR (substr(place, 1, length(?1)+1)=?1||'/')"
                        " UNION SELECT id FROM scans WHERE id=?1 ORDER BY 1 LIMIT 100",
                        name, put_id, &ids, n, err);
    const char *all = s == HCT_OK ? text_get(&ids, "ids", err) : NULL;
    if (s == HCT_OK && !all) s = HCT_ENOMEM;
    while (s == HCT_OK && *all) {
        size_t length = strcspn(all, "\n");
        char id[4400];
        snprintf(id, sizeof id, "%.*s", (int)length, all);
        s = tell_item(ix, id, out, err);
        all += length + (all[length] == '\n');
    }
    text_free(&ids);
    return s;
}

hct_status story_why(dataset_index *ix, const char *name, text_buffer *out, hct_err *err) {
    size_t n = 0;
    hct_status s = tell_items(ix, name, out, &n, err);
    if (s == HCT_OK)
        s = each(
            ix,
            "SELECT f.path, f.kind, f.why, i.id, i.reason FROM files f LEFT JOIN items i ON i.n=f.item WHERE"
            " f.path=?1 OR (f.item IS NULL AND substr(f.path, 1, length(?1)+1)=?1||'/') ORDER BY f.path LIMIT 1000",
            name, put_file, out, &n, err);
    if (s == HCT_OK)
        s = each(ix, "SELECT id, reason FROM refusals WHERE id=?1 AND NOT EXISTS (SELECT 1 FROM items WHERE id=?1)",
                 name, put_pair, out, &n, err);
    if (s == HCT_OK && !n)
        s = hct_fail(err, HCT_ENOTFOUND,
                     "%s: knows nothing of '%s': name a scan's ID, or a path below the folder that was given to headct "
                     "prepare --in",
                     ix->path, name);
    return s;
}

/* ---- refused ---- */

static void put_refused(sqlite3_stmt *q, text_buffer *out) {
    for (int k = 0; k < 6; k++) csv_add(out, (size_t)k, text_at(q, k));
    text_add(out, "\n", 1);
}

hct_status story_refused(dataset_index *ix, text_buffer *out, hct_err *err) {
    text_printf(out, "scan,place,kind,slices,reason,sentence\n");
    return each(ix,
                "SELECT i.id, i.place, i.kind, i.slices, i.reason, COALESCE((SELECT sentence FROM findings WHERE"
                " item=i.n AND weight=2 ORDER BY at LIMIT 1), '') FROM items i WHERE i.reason IS NOT NULL"
                " UNION ALL SELECT '', path, 'file', '', 'not-read', COALESCE(why, '') FROM files WHERE kind='unread'"
                " UNION ALL SELECT id, source, '', '', '', reason FROM refusals WHERE id NOT IN (SELECT id FROM items)"
                " ORDER BY 2, 1",
                NULL, put_refused, out, NULL, err);
}

/* ---- list ---- */

/* Names of labels or tags, in columns; values by one query a scan, by name. */
typedef struct columns {
    char *names[256];
    size_t n;
} columns;

static hct_status read_columns(dataset_index *ix, const char *sql, columns *ret, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err, sql, "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && ret->n < sizeof ret->names / sizeof *ret->names && (step = index_step(ix, q, err)) > 0)
        if (!(ret->names[ret->n++] = strdup(text_at(q, 0)))) {
            ret->n--;
            step = hct_fail(err, HCT_ENOMEM, "no memory for the table");
        }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static hct_status put_values(dataset_index *ix, const char *sql, const char *id, const columns *c, size_t first,
                             text_buffer *out, hct_err *err) {
    const char *value[256] = {0};
    char kept[256][112];
    sqlite3_stmt *q = index_query(ix, err, sql, "s", id);
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0)
        for (size_t k = 0; k < c->n; k++)
            if (strcmp(c->names[k], text_at(q, 0)) == 0) {
                snprintf(kept[k], sizeof kept[k], "%s", text_at(q, 1));
                value[k] = kept[k];
            }
    sqlite3_finalize(q);
    for (size_t k = 0; k < c->n && step >= 0; k++) csv_add(out, first + k, value[k] ? value[k] : "");
    return step < 0 ? step : HCT_OK;
}

static hct_status put_scans(dataset_index *ix, const columns *labels, const columns *tags, text_buffer *out,
                            hct_err *err) {
    sqlite3_stmt *q =
        index_query(ix, err,
                    "SELECT s.id, p.name, COALESCE(x.split, ''), s.file, s.source, (SELECT group_concat(f.word,"
                    " ' ') FROM findings f JOIN items i ON i.n=f.item WHERE i.id=s.id AND f.weight=1) FROM"
                    " scans s JOIN patients p ON p.id=s.patient LEFT JOIN splits x ON x.patient=s.patient"
                    " ORDER BY s.id",
                    "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        for (int k = 0; k < 6; k++) csv_add(out, (size_t)k, text_at(q, k));
        hct_status s =
            put_values(ix,
                       "SELECT n.name, l.value FROM labels l JOIN label_names n ON n.id=l.label JOIN scans s ON"
                       " s.n=l.scan WHERE s.id=?",
                       text_at(q, 0), labels, 6, out, err);
        if (s == HCT_OK)
            s = put_values(ix, "SELECT t.key, t.value FROM tags t JOIN scans s ON s.n=t.scan WHERE s.id=?",
                           text_at(q, 0), tags, 6 + labels->n, out, err);
        text_add(out, "\n", 1);
        if (s < 0) step = s;
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

hct_status story_list(dataset_index *ix, text_buffer *out, hct_err *err) {
    columns labels = {.n = 0}, tags = {.n = 0};
    hct_status s = read_columns(ix, "SELECT name FROM label_names ORDER BY id", &labels, err);
    if (s == HCT_OK) s = read_columns(ix, "SELECT DISTINCT key FROM tags ORDER BY key", &tags, err);
    text_printf(out, "scan,patient,split,file,source,warnings");
    for (size_t k = 0; k < labels.n; k++) csv_add(out, 1, labels.names[k]);
    for (size_t k = 0; k < tags.n; k++) csv_add(out, 1, tags.names[k]);
    text_add(out, "\n", 1);
    if (s == HCT_OK) s = put_scans(ix, &labels, &tags, out, err);
    for (size_t k = 0; k < labels.n; k++) free(labels.names[k]);
    for (size_t k = 0; k < tags.n; k++) free(tags.names[k]);
    return s;
}

/* ---- remove ---- */

hct_status story_remove(dataset_index *ix, const char *folder, const char *id, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err, "SELECT file FROM scans WHERE id=?", "s", id);
    int step = q ? index_step(ix, q, err) : HCT_EIO;
    char *file = step > 0 ? path_join(folder, text_at(q, 0)) : NULL, *picture = NULL;
    sqlite3_finalize(q);
    if (step < 0) return step;
    if (step == 0) return hct_fail(err, HCT_ENOTFOUND, "%s: holds no scan '%s'", ix->path, id);
    hct_status s = file && asprintf(&picture, "%s/qc/%s.png", folder, id) >= 0
                       ? index_run(ix, err, "DELETE FROM scans WHERE id=?", "s", id)
                       : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK) s = index_run(ix, err, "UPDATE items SET reason='removed' WHERE id=?", "s", id);
    if (s == HCT_OK) {
        unlink(file);
        unlink(picture);
    }
    free(file);
    free(picture);
    return s;
}

/* ---- info ---- */

static void put_count(sqlite3_stmt *q, text_buffer *out) {
    text_printf(out, "%-28s %lld\n", text_at(q, 0), (long long)sqlite3_column_int64(q, 1));
}

hct_status story_info(dataset_index *ix, text_buffer *out, hct_err *err) {
    return each(
        ix,
        "SELECT 'scans', count(*) FROM scans UNION ALL SELECT 'patients', count(DISTINCT patient) FROM scans"
        " UNION ALL SELECT * FROM (SELECT 'split '||x.split, count(*) FROM scans s JOIN splits x ON"
        " x.patient=s.patient GROUP BY x.split ORDER BY 1)"
        " UNION ALL SELECT 'scans without a split', count(*) FROM scans WHERE patient NOT IN (SELECT patient FROM"
        " splits)"
        " UNION ALL SELECT 'scans whose source is gone', count(*) FROM scans s JOIN items i ON i.id=s.id WHERE NOT "
        "EXISTS"
        " (SELECT 1 FROM files f WHERE f.item=i.n)"
        " UNION ALL SELECT * FROM (SELECT 'label '||n.name||' = '||l.value, count(*) FROM labels l JOIN"
        " label_names n ON n.id=l.label GROUP BY n.id, l.value ORDER BY n.id, l.value)"
        " UNION ALL SELECT * FROM (SELECT 'left out: '||reason, count(*) FROM items WHERE reason IS NOT NULL"
        " GROUP BY reason ORDER BY count(*) DESC, reason)"
        " UNION ALL SELECT * FROM (SELECT 'warning: '||f.word, count(*) FROM findings f JOIN items i ON"
        " i.n=f.item WHERE i.reason IS NULL AND f.weight=1 GROUP BY f.word ORDER BY count(*) DESC, f.word)"
        " UNION ALL SELECT * FROM (SELECT 'files: '||kind, count(*) FROM files GROUP BY kind ORDER BY kind)",
        NULL, put_count, out, NULL, err);
}

/* ---- the funnel ---- */

/* What headct prepare took for scans or may have: NIfTI files and volumes of series; in indexes of earlier versions,
 * which have no items, scans and refusals. */
#define FOUND                                                                                                          \
    "(SELECT i.id, i.reason FROM items i UNION ALL SELECT s.id, NULL FROM scans s WHERE s.id NOT IN"                   \
    " (SELECT id FROM items) UNION ALL SELECT r.id, 'refused' FROM refusals r WHERE r.id NOT IN (SELECT id FROM"       \
    " items) AND r.id NOT IN (SELECT id FROM scans))"
#define PERCENT "printf('%.1f', 100.0*n/max(1, (SELECT count(*) FROM " FOUND ")))"

static void put_step_as_csv(sqlite3_stmt *q, text_buffer *out) {
    for (int k = 0; k < 5; k++) csv_add(out, (size_t)k, text_at(q, k));
    text_add(out, "\n", 1);
}

static void put_step(sqlite3_stmt *q, text_buffer *out) {
    text_printf(out, "%-10s %-24s %10s %10s %8s%%\n", text_at(q, 0), text_at(q, 1), text_at(q, 2), text_at(q, 3),
                text_at(q, 4));
}

hct_status story_funnel(dataset_index *ix, bool csv, text_buffer *out, hct_err *err) {
    if (csv) text_printf(out, "step,what,scans,patients,percent\n");
    else text_printf(out, "%-10s %-24s %10s %10s %9s\n", "step", "", "scans", "patients", "of found");
    return each(
        ix,
        "SELECT step, what, n, patients, " PERCENT " FROM (SELECT 'found' AS step, 'series and NIfTI files' AS what,"
        " count(*) AS n, '' AS patients FROM " FOUND
        " UNION ALL SELECT * FROM (SELECT 'left out', reason, count(*), '' FROM " FOUND
        " WHERE reason IS NOT NULL GROUP BY reason ORDER BY count(*) DESC, reason)"
        " UNION ALL SELECT * FROM (SELECT 'left out', 'not prepared yet', count(*) AS many, '' FROM " FOUND
        " WHERE reason IS NULL AND id NOT IN (SELECT id FROM scans)) WHERE many>0"
        " UNION ALL SELECT 'kept', 'scans', count(*), count(DISTINCT patient) FROM scans"
        " UNION ALL SELECT * FROM (SELECT 'part', COALESCE(x.split, 'none'), count(*), count(DISTINCT s.patient)"
        " FROM scans s LEFT JOIN splits x ON x.patient=s.patient GROUP BY x.split ORDER BY x.split IS NULL, CASE"
        " x.split WHEN 'train' THEN 1 WHEN 'val' THEN 2 WHEN 'test' THEN 3 ELSE 4 END, x.split))",
        NULL, csv ? put_step_as_csv : put_step, out, NULL, err);
}

/* ---- evidence ---- */

static void put_evidence(sqlite3_stmt *q, text_buffer *out) {
    for (int k = 0; k < 4; k++) csv_add(out, (size_t)k, text_at(q, k));
    text_add(out, "\n", 1);
}

hct_status story_evidence(dataset_index *ix, text_buffer *out, hct_err *err) {
    if (!has_evidence(ix))
        return hct_fail(err, HCT_ENOTFOUND, "%s: no labels were made of records: headct label makes them", ix->path);
    text_printf(out, "label,what,records,scans\n");
    return each(ix,
                "SELECT label, what, count(*), count(DISTINCT scan) FROM evidence GROUP BY label, what"
                " ORDER BY label, count(*) DESC, what",
                NULL, put_evidence, out, NULL, err);
}
