/* The index of a dataset: an SQLite file of scans, patients, labels and splits. */
#include "dataset/index.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "hct/io.h"
#include "support/paths.h"
#include "support/text.h"

enum { BUSY_MS = 60000, BUSY_STEP_MS = 20 };
#define APPLICATION_ID 0x48435444 /* "HCTD" */

/* Further volumes of a scan, made for encoders that do not take the dataset's own (imaging/input_spec.h): file
 * relative to the dataset, spec: SHA-256 of what they are cut by. Since version 2. */
#define FORMS                                                                                                          \
    "CREATE TABLE forms(scan INTEGER NOT NULL REFERENCES scans(n) ON DELETE CASCADE, form TEXT NOT NULL, file TEXT"    \
    " NOT NULL, spec TEXT NOT NULL, PRIMARY KEY(scan, form)) WITHOUT ROWID;"

/* What was found below the inputs of headct prepare (index_found.h). Since version 3. */
#define FOUND                                                                                                          \
    "CREATE TABLE roots(n INTEGER PRIMARY KEY, mark TEXT NOT NULL UNIQUE);"                                            \
    "CREATE TABLE items(n INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, id TEXT NOT NULL UNIQUE, place TEXT NOT" \
    " NULL, kind TEXT NOT NULL, slices INTEGER NOT NULL, reason TEXT);"                                                \
    "CREATE TABLE files(root INTEGER NOT NULL REFERENCES roots(n), path TEXT NOT NULL, archive TEXT, member INTEGER"   \
    " NOT NULL, bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, kind TEXT NOT NULL, folder TEXT NOT NULL, grp "     \
    "TEXT,"                                                                                                            \
    " header BLOB, why TEXT, seen INTEGER NOT NULL, item INTEGER REFERENCES items(n) ON DELETE SET NULL,"              \
    " PRIMARY KEY(root, path)) WITHOUT ROWID;"                                                                         \
    "CREATE INDEX files_grp ON files(grp); CREATE INDEX files_folder ON files(folder);"                                \
    "CREATE INDEX files_item ON files(item);"                                                                          \
    "CREATE TABLE findings(item INTEGER NOT NULL REFERENCES items(n) ON DELETE CASCADE, at INTEGER NOT NULL, word "    \
    "TEXT"                                                                                                             \
    " NOT NULL, weight INTEGER NOT NULL, sentence TEXT NOT NULL, PRIMARY KEY(item, at)) WITHOUT ROWID;"

/* Fingerprints (imaging/fingerprint.h), of the volume that had this provenance. Since version 4. */
#define PRINTS                                                                                                         \
    "CREATE TABLE prints(scan INTEGER PRIMARY KEY REFERENCES scans(n) ON DELETE CASCADE, version INTEGER NOT NULL, "   \
    "provenance TEXT NOT NULL, bytes BLOB NOT NULL);"

static const char schema[] =
    "CREATE TABLE patients(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    /* id: the user's word for the scan; file: relative to the dataset; preprocessing, provenance: SHA-256 */
    "CREATE TABLE scans(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, patient INTEGER NOT NULL REFERENCES "
    "patients(id),"
    " file TEXT NOT NULL, source TEXT NOT NULL, source_bytes INTEGER NOT NULL, source_mtime_ns INTEGER NOT NULL,"
    " source_sha256 TEXT NOT NULL, preprocessing TEXT NOT NULL, provenance TEXT NOT NULL);"
    "CREATE INDEX scans_patient ON scans(patient);"
    /* what is known of the source: kind, size, spacing */
    "CREATE TABLE tags(scan INTEGER NOT NULL REFERENCES scans(n) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT "
    "NULL,"
    " PRIMARY KEY(scan, key)) WITHOUT ROWID;"
    "CREATE TABLE label_names(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    /* no row: not known */
    "CREATE TABLE labels(scan INTEGER NOT NULL REFERENCES scans(n) ON DELETE CASCADE, label INTEGER NOT NULL REFERENCES"
    " label_names(id), value INTEGER NOT NULL CHECK(value IN (0, 1)), PRIMARY KEY(scan, label)) WITHOUT ROWID;"
    /* split: train, val or test; before version 2 the column was named part */
    "CREATE TABLE splits(patient INTEGER PRIMARY KEY REFERENCES patients(id), split TEXT NOT NULL);"
    "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE refusals(id TEXT PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;" FORMS FOUND
        PRINTS;

/* What brings a file of version i + 1 to i + 2. */
static const char *const migrations[INDEX_VERSION - 1] = {"ALTER TABLE splits RENAME COLUMN part TO split;" FORMS,
                                                          FOUND, PRINTS};

hct_status index_fail(dataset_index *ix, hct_err *err) {
    int code = ix->db ? sqlite3_errcode(ix->db) & 0xff : SQLITE_NOMEM;
    ix->code = code;
    hct_status status = code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? HCT_EFORMAT
                        : code == SQLITE_NOMEM                          ? HCT_ENOMEM
                                                                        : HCT_EIO;
    const char *todo =
        code == SQLITE_FULL || code == SQLITE_IOERR ? ": is its disk full? free some space and run it again" : "";
    return hct_fail(err, status, "%s: %s%s", ix->path, ix->db ? sqlite3_errmsg(ix->db) : "no memory", todo);
}

hct_status index_exec(dataset_index *ix, const char *sql, hct_err *err) {
    return sqlite3_exec(ix->db, sql, NULL, NULL, NULL) == SQLITE_OK ? HCT_OK : index_fail(ix, err);
}

static sqlite3_stmt *bind(dataset_index *ix, hct_err *err, const char *sql, const char *format, va_list ap) {
    sqlite3_stmt *stmt = NULL;
    int ok = sqlite3_prepare_v2(ix->db, sql, -1, &stmt, NULL) == SQLITE_OK;
    for (int k = 1; ok && *format; k++, format++) {
        int code;
        if (*format == 'b') {
            const void *bytes = va_arg(ap, const void *);
            code = sqlite3_bind_blob64(stmt, k, bytes, (sqlite3_uint64)va_arg(ap, int64_t), SQLITE_TRANSIENT);
        } else if (*format == 's') {
            code = sqlite3_bind_text(stmt, k, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        } else {
            code = sqlite3_bind_int64(stmt, k, va_arg(ap, int64_t));
        }
        ok = code == SQLITE_OK;
    }
    if (ok) return stmt;
    index_fail(ix, err);
    sqlite3_finalize(stmt);
    return NULL;
}

sqlite3_stmt *index_query(dataset_index *ix, hct_err *err, const char *sql, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    sqlite3_stmt *stmt = bind(ix, err, sql, format, ap);
    va_end(ap);
    return stmt;
}

int index_step(dataset_index *ix, sqlite3_stmt *stmt, hct_err *err) {
    int code = sqlite3_step(stmt);
    return code == SQLITE_ROW ? 1 : code == SQLITE_DONE ? 0 : index_fail(ix, err);
}

hct_status index_damaged(const dataset_index *ix, hct_err *err, const char *what, ...) {
    char text[400];
    va_list ap;
    va_start(ap, what);
    vsnprintf(text, sizeof text, what, ap);
    va_end(ap);
    return hct_fail(err, HCT_EFORMAT,
                    "%s: is damaged: %s; put back a copy of it, or remove it and run headct prepare and split again",
                    ix->path, text);
}

const char *index_text(dataset_index *ix, sqlite3_stmt *stmt, int column, const char *what, hct_err *err) {
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        index_damaged(ix, err, "%s is missing", what);
        return NULL;
    }
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    if (!text) hct_fail(err, HCT_ENOMEM, "%s: no memory", ix->path);
    return text;
}

hct_status index_check(dataset_index *ix, hct_err *err) {
    sqlite3_stmt *stmt = index_query(ix, err, "PRAGMA foreign_key_check", "");
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    if (step > 0) {
        const char *table = (const char *)sqlite3_column_text(stmt, 0),
                   *wants = (const char *)sqlite3_column_text(stmt, 2);
        step = index_damaged(ix, err, "a row of '%s' points at a row of '%s' that is not there", table ? table : "?",
                             wants ? wants : "?");
    } else if (step < 0 && ix->code == SQLITE_ERROR) { /* columns that others refer to are not there, or not unique */
        step = index_damaged(ix, err, "its tables are not those of headct prepare (%s)", sqlite3_errmsg(ix->db));
    }
    sqlite3_finalize(stmt);
    return step;
}

hct_status index_run(dataset_index *ix, hct_err *err, const char *sql, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    sqlite3_stmt *stmt = bind(ix, err, sql, format, ap);
    va_end(ap);
    if (!stmt) return err ? err->code : HCT_EIO;
    int step = index_step(ix, stmt, err);
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

static hct_status pragma(dataset_index *ix, const char *sql, int64_t *ret, hct_err *err) {
    sqlite3_stmt *stmt = index_query(ix, err, sql, "");
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    if (step > 0) *ret = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

static hct_status stamp(dataset_index *ix, hct_err *err) {
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, INDEX_VERSION);
    ix->version = INDEX_VERSION;
    return index_exec(ix, sql, err);
}

static hct_status migrate(dataset_index *ix, hct_err *err) {
    hct_status s = HCT_OK;
    for (int64_t v = ix->version; s == HCT_OK && v < INDEX_VERSION; v++) s = index_exec(ix, migrations[v - 1], err);
    return s == HCT_OK ? stamp(ix, err) : s;
}

/* Makes the tables of a new file, or checks that an old one is ours, and with create brings it up to date. */
static hct_status check_schema(dataset_index *ix, int create, hct_err *err) {
    int64_t application = 0, tables = 0;
    hct_status s = create ? index_exec(ix, "BEGIN IMMEDIATE", err) : index_exec(ix, "BEGIN", err);
    if (s == HCT_OK) s = pragma(ix, "PRAGMA application_id", &application, err);
    if (s == HCT_OK) s = pragma(ix, "PRAGMA user_version", &ix->version, err);
    if (s == HCT_OK) s = pragma(ix, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (s == HCT_OK && tables == 0 && create) {
        s = index_exec(ix, schema, err);
        if (s == HCT_OK) s = stamp(ix, err);
    } else if (s == HCT_OK && application != APPLICATION_ID) {
        s = hct_fail(err, HCT_EFORMAT, "%s: not an index made by headct prepare", ix->path);
    } else if (s == HCT_OK && (ix->version > INDEX_VERSION || ix->version < 1)) {
        s = hct_fail(err, HCT_EVERSION, "%s: index version %lld, this headct reads 1 to %d: use a newer headct",
                     ix->path, (long long)ix->version, INDEX_VERSION);
    } else if (s == HCT_OK && create) {
        s = migrate(ix, err);
    }
    if (s < 0) index_exec(ix, "ROLLBACK", NULL);
    else s = index_exec(ix, "COMMIT", err);
    return s;
}

static hct_status open_database(dataset_index *ix, const char *name, int flags, int create, hct_err *err) {
    hct_status s = HCT_OK;
    if (sqlite3_open_v2(name, &ix->db, flags | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK) s = index_fail(ix, err);
    if (s == HCT_OK) sqlite3_busy_timeout(ix->db, BUSY_MS);
    if (s == HCT_OK && !(flags & SQLITE_OPEN_READONLY))
        s = index_exec(ix, "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON", err);
    if (s == HCT_OK) s = check_schema(ix, create, err);
    return s;
}

/* SQLite's own waiting does not cover the moment when several processes turn a new file to write-ahead logging. */
static void wait_for_others(dataset_index *ix) {
    sqlite3_close(ix->db);
    ix->db = NULL;
    nanosleep(&(struct timespec){.tv_nsec = BUSY_STEP_MS * 1000000L}, NULL);
}

/* Whether rows lie in the write-ahead log that the file itself does not hold yet. */
static hct_status check_log(const dataset_index *ix, hct_err *err) {
    struct stat st;
    char *log = NULL;
    if (asprintf(&log, "%s-wal", ix->path) < 0) return hct_fail(err, HCT_ENOMEM, "no memory");
    const int rows = stat(log, &st) == 0 && st.st_size > 0;
    free(log);
    return rows
               ? hct_fail(err, HCT_EINVAL,
                          "%s: its last rows are in %s-wal, which only a program that may write to the folder can take "
                          "in; run headct dataset info there as its owner, or copy the folder and read the copy",
                          ix->path, path_base(ix->path))
               : HCT_OK;
}

/* A write-ahead log needs a folder that can be written to; where it cannot, nobody else can write either, and the file
 * is read as it stands. */
static hct_status open_on_read_only_disk(dataset_index *ix, hct_err *err) {
    text_buffer uri = {0};
    hct_status whole = check_log(ix, err);
    if (whole < 0) return whole;
    text_printf(&uri, "file:");
    for (const char *c = ix->path; *c; c++) text_printf(&uri, strchr("%?# ", *c) ? "%%%02X" : "%c", (unsigned char)*c);
    text_printf(&uri, "?immutable=1");
    sqlite3_close(ix->db);
    ix->db = NULL;
    const char *name = text_get(&uri, ix->path, err);
    hct_status s = name ? open_database(ix, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, 0, err) : HCT_ENOMEM;
    text_free(&uri);
    return s;
}

hct_status index_open(dataset_index *ret, const char *folder, int create, hct_err *err) {
    *ret = (dataset_index){0};
    hct_status s = HCT_OK;
    if (create) s = path_make_folders(folder, err);
    if (s < 0) return s;
    ret->path = path_join(folder, "index.sqlite");
    if (!ret->path) return hct_fail(err, HCT_ENOMEM, "no memory");
    if (!create && !path_is_file(ret->path)) {
        s = hct_fail(err, HCT_ENOTFOUND, "%s: no dataset (no index.sqlite in it): make one with headct prepare",
                     folder);
    } else {
        int code = SQLITE_BUSY;
        for (int tries = 0; code == SQLITE_BUSY && tries < BUSY_MS / BUSY_STEP_MS; tries++) {
            if (tries > 0) wait_for_others(ret);
            s = open_database(ret, ret->path, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0), create, err);
            code = s == HCT_OK ? SQLITE_OK : ret->code;
        }
        if (s < 0 && !create && (code == SQLITE_CANTOPEN || code == SQLITE_READONLY))
            s = open_on_read_only_disk(ret, err);
    }
    if (s < 0) index_close(ret);
    return s;
}

hct_status index_open_private(dataset_index *ret, hct_err *err) {
    *ret = (dataset_index){.path = strdup("the list of files")};
    if (!ret->path) return hct_fail(err, HCT_ENOMEM, "no memory");
    hct_status s = open_database(ret, "", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 1, err);
    if (s < 0) index_close(ret);
    return s;
}

void index_close(dataset_index *ix) {
    sqlite3_close(ix->db);
    free(ix->path);
    *ix = (dataset_index){0};
}

/* The file's header: https://www.sqlite.org/fileformat.html. Where a log is left beside the file, our stamp may
 * still stand in that alone. */
int index_is_in(const char *folder) {
    char *path = path_join(folder, "index.sqlite"), *log = path_join(folder, "index.sqlite-wal");
    hct_mapped m = {NULL, 0};
    hct_err ignored;
    unsigned char head[100] = {0};
    if (path && hct_map_file(path, &m, &ignored) == HCT_OK && m.size >= sizeof head) memcpy(head, m.bytes, sizeof head);
    hct_unmap_file(&m);
    uint32_t application = (uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 | head[71];
    int ours = memcmp(head, "SQLite format 3", 16) == 0 &&
               (application == APPLICATION_ID || (application == 0 && log && path_is_file(log)));
    free(path);
    free(log);
    return ours;
}

/* Sets the patient, where one is given, and the labels of a scan that is there. */
static hct_status put_patient_and_labels(dataset_index *ix, const index_scan *s, hct_err *err) {
    hct_status r = HCT_OK;
    if (s->patient) r = index_run(ix, err, "INSERT OR IGNORE INTO patients(name) VALUES(?)", "s", s->patient);
    if (s->patient && r == HCT_OK)
        r = index_run(ix, err, "UPDATE scans SET patient=(SELECT id FROM patients WHERE name=?) WHERE id=?", "ss",
                      s->patient, s->id);
    for (size_t k = 0; r == HCT_OK && s->labels && k < s->n_labels; k++)
        if (s->labels[k] < 0)
            r = index_run(ix, err, "DELETE FROM labels WHERE label=? AND scan=(SELECT n FROM scans WHERE id=?)", "is",
                          s->label_ids[k], s->id);
        else
            r = index_run(ix, err, "INSERT OR REPLACE INTO labels SELECT n, ?, ? FROM scans WHERE id=?", "iis",
                          s->label_ids[k], (int64_t)s->labels[k], s->id);
    return r;
}

static hct_status put_tags(dataset_index *ix, const index_scan *s, hct_err *err) {
    hct_status r = index_run(ix, err, "DELETE FROM tags WHERE scan=(SELECT n FROM scans WHERE id=?)", "s", s->id);
    for (size_t k = 0; r == HCT_OK && k < s->n_tags; k++)
        r = index_run(ix, err, "INSERT OR REPLACE INTO tags SELECT n, ?, ? FROM scans WHERE id=?", "sss", s->tags[k][0],
                      s->tags[k][1], s->id);
    return r;
}

/* What a table of labels says of the person wins over the header. */
static hct_status put_person(dataset_index *ix, const index_scan *s, hct_err *err) {
    const char *const pairs[2][2] = {{"age", s->age}, {"sex", s->sex}};
    hct_status r = HCT_OK;
    for (int k = 0; r == HCT_OK && k < 2; k++)
        if (pairs[k][1] && *pairs[k][1])
            r = index_run(ix, err, "INSERT OR REPLACE INTO tags SELECT n, ?, ? FROM scans WHERE id=?", "sss",
                          pairs[k][0], pairs[k][1], s->id);
    return r;
}

static hct_status put_print(dataset_index *ix, const char *id, const fingerprint *print, hct_err *err) {
    if (!print) return HCT_OK;
    return index_run(ix, err, "INSERT OR REPLACE INTO prints SELECT n, ?, provenance, ? FROM scans WHERE id=?", "ibs",
                     (int64_t)FINGERPRINT_VERSION, (const void *)print, (int64_t)sizeof *print, id);
}

static hct_status finish(dataset_index *ix, hct_status s, hct_err *err) {
    if (s == HCT_OK) s = index_exec(ix, "COMMIT", err);
    if (s < 0) index_exec(ix, "ROLLBACK", NULL);
    return s;
}

hct_status index_put_scan(dataset_index *ix, const index_scan *s, hct_err *err) {
    const char *patient = s->patient ? s->patient : s->id; /* of a scan that is new */
    hct_status r = index_exec(ix, "BEGIN IMMEDIATE", err);
    if (r < 0) return r;
    r = index_run(ix, err,
                  "INSERT OR IGNORE INTO patients(name) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM scans WHERE id=?2)",
                  "ss", patient, s->id);
    if (r == HCT_OK)
        r = index_run(ix, err,
                      "INSERT INTO scans(id, patient, file, source, source_bytes, source_mtime_ns, source_sha256,"
                      " preprocessing, provenance) VALUES(?1, COALESCE((SELECT patient FROM scans WHERE id=?1),"
                      " (SELECT id FROM patients WHERE name=?2)), ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
                      " ON CONFLICT(id) DO UPDATE SET file=excluded.file, source=excluded.source,"
                      " source_bytes=excluded.source_bytes, source_mtime_ns=excluded.source_mtime_ns,"
                      " source_sha256=excluded.source_sha256, preprocessing=excluded.preprocessing,"
                      " provenance=excluded.provenance",
                      "ssssiisss", s->id, patient, s->file, s->source, s->state.bytes, s->state.mtime_ns,
                      s->state.sha256, s->preprocessing, s->provenance);
    if (r == HCT_OK) r = put_patient_and_labels(ix, s, err);
    if (r == HCT_OK) r = put_tags(ix, s, err);
    if (r == HCT_OK) r = put_person(ix, s, err);
    if (r == HCT_OK) r = put_print(ix, s->id, s->print, err);
    if (r == HCT_OK) r = index_run(ix, err, "DELETE FROM refusals WHERE id=?", "s", s->id);
    return finish(ix, r, err);
}

hct_status index_put_print(dataset_index *ix, const char *id, const fingerprint *print, hct_err *err) {
    return put_print(ix, id, print, err);
}

hct_status index_refresh_scan(dataset_index *ix, const index_scan *s, hct_err *err) {
    hct_status r = index_exec(ix, "BEGIN IMMEDIATE", err);
    if (r < 0) return r;
    r = index_run(ix, err, "UPDATE scans SET source=?, source_bytes=?, source_mtime_ns=? WHERE id=?", "siis", s->source,
                  s->state.bytes, s->state.mtime_ns, s->id);
    if (r == HCT_OK) r = put_patient_and_labels(ix, s, err);
    if (r == HCT_OK) r = put_person(ix, s, err);
    return finish(ix, r, err);
}

hct_status index_put_form(dataset_index *ix, const char *id, const char *form, const char *file, const char *spec,
                          hct_err *err) {
    return index_run(ix, err,
                     "INSERT OR REPLACE INTO forms(scan, form, file, spec) SELECT n, ?2, ?3, ?4 FROM scans WHERE id=?1",
                     "ssss", id, form, file, spec);
}

hct_status index_find_form(dataset_index *ix, const char *id, const char *form, char ret_spec[65], hct_err *err) {
    *ret_spec = 0;
    sqlite3_stmt *stmt =
        index_query(ix, err, "SELECT spec FROM forms WHERE form=?2 AND scan=(SELECT n FROM scans WHERE id=?1)", "ss",
                    id, form);
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    const char *text = step > 0 ? index_text(ix, stmt, 0, "a form's spec", err) : NULL;
    if (text) snprintf(ret_spec, 65, "%s", text);
    if (step > 0 && !text) step = HCT_EFORMAT;
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

hct_status index_put_refusal(dataset_index *ix, const char *id, const char *source, const char *reason, hct_err *err) {
    hct_status r = index_exec(ix, "BEGIN IMMEDIATE", err);
    if (r < 0) return r;
    r = index_run(ix, err, "DELETE FROM scans WHERE id=?", "s", id);
    if (r == HCT_OK)
        r = index_run(ix, err, "INSERT OR REPLACE INTO refusals VALUES(?, ?, ?)", "sss", id, source, reason);
    return finish(ix, r, err);
}

int index_find_scan(dataset_index *ix, const char *id, source_state *state, char preprocessing[65], hct_err *err) {
    sqlite3_stmt *stmt =
        index_query(ix, err, "SELECT source_bytes, source_mtime_ns, source_sha256, preprocessing FROM scans WHERE id=?",
                    "s", id);
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    if (step > 0) {
        const char *source = index_text(ix, stmt, 2, "a scan's source_sha256", err),
                   *made = source ? index_text(ix, stmt, 3, "a scan's preprocessing", err) : NULL;
        state->bytes = sqlite3_column_int64(stmt, 0);
        state->mtime_ns = sqlite3_column_int64(stmt, 1);
        if (made) {
            snprintf(state->sha256, sizeof state->sha256, "%s", source);
            snprintf(preprocessing, 65, "%s", made);
        } else {
            step = HCT_EFORMAT;
        }
    }
    sqlite3_finalize(stmt);
    return step;
}

int index_knows(dataset_index *ix, const char *id, hct_err *err) {
    sqlite3_stmt *stmt =
        index_query(ix, err,
                    "SELECT 1 FROM scans WHERE id=?1 UNION ALL SELECT 1 FROM refusals WHERE id=?1 UNION ALL SELECT 1"
                    " FROM items WHERE id=?1",
                    "s", id);
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    sqlite3_finalize(stmt);
    return step;
}

static hct_status label_id(dataset_index *ix, const char *name, int64_t *ret, hct_err *err) {
    hct_status r = index_run(ix, err, "INSERT OR IGNORE INTO label_names(name) VALUES(?)", "s", name);
    if (r < 0) return r;
    sqlite3_stmt *stmt = index_query(ix, err, "SELECT id FROM label_names WHERE name=?", "s", name);
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    if (step > 0) *ret = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

hct_status index_label_ids(dataset_index *ix, const char *const *names, size_t n, int64_t *ret, hct_err *err) {
    hct_status r = index_exec(ix, "BEGIN IMMEDIATE", err);
    if (r < 0) return r;
    for (size_t k = 0; r == HCT_OK && k < n; k++) r = label_id(ix, names[k], &ret[k], err);
    return finish(ix, r, err);
}

hct_status index_renew_labels(dataset_index *ix, const char *const *names, size_t n, int64_t *ret, hct_err *err) {
    hct_status r = HCT_OK;
    for (size_t k = 0; r == HCT_OK && k < n; k++) {
        r = label_id(ix, names[k], &ret[k], err);
        if (r == HCT_OK) r = index_run(ix, err, "DELETE FROM labels WHERE label=?", "i", ret[k]);
    }
    return r;
}

hct_status index_make_evidence(dataset_index *ix, hct_err *err) {
    return index_exec(ix,
                      "CREATE TABLE IF NOT EXISTS evidence(scan INTEGER NOT NULL REFERENCES scans(n) ON DELETE CASCADE,"
                      " label TEXT NOT NULL, what TEXT NOT NULL, days INTEGER NOT NULL)",
                      err);
}
