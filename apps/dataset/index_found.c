/* Files, items and findings in the index. */
#include "dataset/index_found.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/paths.h"
#include "support/text.h"

enum { ROWS_AT_ONCE = 2000 }; /* of a transaction */

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the list of files"); }

static hct_status one_number(dataset_index *ix, sqlite3_stmt *stmt, int64_t *ret, hct_err *err) {
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    if (step > 0) *ret = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

/* ---- a run ---- */

static hct_status fingerprint_of_key(const dataset_key *key, char ret[KEY_HEX], hct_err *err) {
    hct_status s = key_mark(key, "fingerprint", "", ret, err);
    ret[16] = 0;
    return s;
}

hct_status found_check_key(dataset_index *ix, const dataset_key *key, hct_err *err) {
    char mark[KEY_HEX];
    int64_t same = 1; /* an index that no key has made anything of yet */
    hct_status s = fingerprint_of_key(key, mark, err);
    if (s == HCT_OK)
        s = one_number(ix, index_query(ix, err, "SELECT value=? FROM settings WHERE key='key'", "s", mark), &same, err);
    if (s == HCT_OK && !same)
        s = hct_fail(err, HCT_EINVAL,
                     "%s: was made with another key than %s: its patients would not be known again; name that key "
                     "with --key FILE",
                     ix->path, key->path);
    return s;
}

static hct_status take_key(found *f, hct_err *err) {
    char mark[KEY_HEX];
    hct_status s = fingerprint_of_key(f->key, mark, err);
    if (s == HCT_OK) s = index_run(f->ix, err, "INSERT OR IGNORE INTO settings VALUES('key', ?)", "s", mark);
    return s == HCT_OK ? found_check_key(f->ix, f->key, err) : s;
}

hct_status found_begin(dataset_index *ix, const dataset_key *key, found *ret, hct_err *err) {
    *ret = (found){.ix = ix, .key = key};
    hct_status s = index_exec(ix, "BEGIN IMMEDIATE", err);
    if (s < 0) return s;
    s = take_key(ret, err);
    if (s == HCT_OK)
        s = index_exec(
            ix, "INSERT INTO settings VALUES('run', '1') ON CONFLICT(key) DO UPDATE SET value=CAST(value+1 AS TEXT)",
            err);
    if (s == HCT_OK)
        s = one_number(ix, index_query(ix, err, "SELECT CAST(value AS INTEGER) FROM settings WHERE key='run'", ""),
                       &ret->run, err);
    if (s == HCT_OK) s = index_exec(ix, "COMMIT", err);
    if (s < 0) index_exec(ix, "ROLLBACK", NULL);
    return s;
}

void found_end(found *f) {
    sqlite3_finalize(f->look);
    sqlite3_finalize(f->put);
    sqlite3_finalize(f->touch);
    for (size_t i = 0; i < f->n_roots; i++) {
        free(f->roots[i].walked);
        free(f->roots[i].real);
    }
    free(f->roots);
    *f = (found){0};
}

/* ---- walking ---- */

static hct_status add_root(found *f, const char *walked, const found_root **ret, hct_err *err) {
    char mark[KEY_HEX], real[PATH_MAX];
    found_root *more = realloc(f->roots, (f->n_roots + 1) * sizeof *more);
    if (!more) return no_memory(err);
    f->roots = more;
    found_root *r = &more[f->n_roots];
    *r = (found_root){.walked = strdup(walked)};
    if (f->clear || !realpath(*walked ? walked : ".", real)) snprintf(real, sizeof real, "%s", walked);
    r->real = malloc(strlen(real) + 2);
    if (!r->walked || !r->real) {
        free(r->walked);
        free(r->real);
        return no_memory(err);
    }
    f->n_roots++;
    snprintf(r->real, strlen(real) + 2, "%s%s", real, f->clear || strcmp(real, "/") == 0 ? "" : "/");
    hct_status s = key_mark(f->key, "root", r->real, mark, err);
    if (s == HCT_OK) s = index_run(f->ix, err, "INSERT OR IGNORE INTO roots(mark) VALUES(?)", "s", mark);
    if (s == HCT_OK)
        s = one_number(f->ix, index_query(f->ix, err, "SELECT n FROM roots WHERE mark=?", "s", mark), &r->n, err);
    *ret = r;
    return s;
}

/* The root of a file: what its path begins with before the part below. */
static hct_status root_of(found *f, const pile_file *file, const found_root **ret, hct_err *err) {
    size_t n = strlen(file->path), m = strlen(file->relative);
    size_t cut = n > m ? n - m : 0;
    for (size_t i = f->n_roots; i-- > 0;) {
        *ret = &f->roots[i];
        if (strlen(f->roots[i].walked) == cut && memcmp(f->roots[i].walked, file->path, cut) == 0) return HCT_OK;
    }
    char *walked = strndup(file->path, cut);
    hct_status s = walked ? add_root(f, walked, ret, err) : no_memory(err);
    free(walked);
    return s;
}

static char *joined(const char *a, const char *b) {
    char *text = NULL;
    return asprintf(&text, "%s%s", a, b) < 0 ? NULL : text;
}

static char *folder_of(int64_t root, const char *relative) {
    const char *slash = strrchr(relative, '/');
    char *text = NULL;
    if (asprintf(&text, "%lld:%.*s", (long long)root, slash ? (int)(slash - relative) : 0, relative) < 0) text = NULL;
    return text;
}

static bool is_cached(void *context, const pile_file *file, dicom_header *ret) {
    found *f = context;
    const found_root *r;
    hct_err ignored;
    f->cached = false;
    memset(ret, 0, sizeof *ret);
    if (root_of(f, file, &r, &ignored) < 0) return false;
    sqlite3_bind_int64(f->look, 1, r->n);
    sqlite3_bind_text(f->look, 2, file->relative, -1, SQLITE_STATIC);
    sqlite3_bind_int64(f->look, 3, (int64_t)file->size);
    sqlite3_bind_int64(f->look, 4, file->mtime_ns);
    f->cached = sqlite3_step(f->look) == SQLITE_ROW;
    sqlite3_reset(f->look);
    return f->cached;
}

static hct_status step_and_reset(found *f, sqlite3_stmt *stmt, hct_err *err) {
    int step = index_step(f->ix, stmt, err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return step < 0 ? step : HCT_OK;
}

static hct_status touch(found *f, const found_root *r, const char *relative, hct_err *err) {
    sqlite3_bind_int64(f->touch, 1, f->run);
    sqlite3_bind_int64(f->touch, 2, r->n);
    sqlite3_bind_text(f->touch, 3, relative, -1, SQLITE_STATIC);
    return step_and_reset(f, f->touch, err);
}

/* The mark that files of one series share, and the sealed header. */
static hct_status seal_header(found *f, const pile_file *file, char grp[KEY_HEX], unsigned char **ret, size_t *ret_n,
                              hct_err *err) {
    size_t n;
    char *key = series_group_key(file);
    unsigned char *plain = dicom_header_pack(&file->header, &n);
    hct_status s = key && plain ? key_mark(f->key, "series", key, grp, err) : no_memory(err);
    if (s == HCT_OK && !(*ret = key_seal(f->key, plain, n, ret_n, err))) s = err ? err->code : HCT_ENOMEM;
    free(key);
    free(plain);
    return s;
}

static hct_status put_file(found *f, const found_root *r, const pile_file *file, hct_err *err) {
    char grp[KEY_HEX] = "";
    unsigned char *header = NULL;
    size_t n = 0, prefix = strlen(r->real);
    hct_status s = HCT_OK;
    char *folder = folder_of(r->n, file->relative), *why = file->why ? found_relative(f, file->why) : NULL;
    if (!folder || (file->why && !why)) s = no_memory(err);
    bool has_header = file->kind == PILE_DICOM || (file->kind == PILE_UNREAD && file->header.frames);
    if (s == HCT_OK && has_header) s = seal_header(f, file, grp, &header, &n, err);
    sqlite3_stmt *q = f->put;
    sqlite3_bind_int64(q, 1, r->n);
    sqlite3_bind_text(q, 2, file->relative, -1, SQLITE_STATIC);
    if (file->archive) sqlite3_bind_text(q, 3, file->archive + prefix, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, file->member);
    sqlite3_bind_int64(q, 5, (int64_t)file->size);
    sqlite3_bind_int64(q, 6, file->mtime_ns);
    sqlite3_bind_text(q, 7, pile_kind_name(file->kind), -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 8, folder, -1, SQLITE_STATIC);
    if (file->kind == PILE_DICOM) sqlite3_bind_text(q, 9, grp, -1, SQLITE_STATIC);
    if (header) sqlite3_bind_blob64(q, 10, header, n, SQLITE_STATIC);
    if (why) sqlite3_bind_text(q, 11, why, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 12, f->run);
    if (s == HCT_OK) s = step_and_reset(f, q, err);
    free(folder);
    free(why);
    free(header);
    return s;
}

/* With its real path, so that what is made of paths does not depend on how the input was named. */
static hct_status use_real_path(const found_root *r, pile_file *file, hct_err *err) {
    size_t cut = strlen(r->walked);
    char *path = joined(r->real, file->relative);
    char *archive = file->archive ? joined(r->real, file->archive + cut) : NULL;
    if (!path || (file->archive && !archive)) {
        free(path);
        free(archive);
        return no_memory(err);
    }
    free(file->path);
    file->path = path;
    free(file->archive);
    file->archive = archive;
    return HCT_OK;
}

static hct_status take(void *context, pile_file *file, hct_err *err) {
    found *f = context;
    const found_root *r;
    bool cached = f->cached && file->kind == PILE_DICOM;
    f->cached = false;
    hct_status s = root_of(f, file, &r, err);
    if (s == HCT_OK && f->pending++ % ROWS_AT_ONCE == 0) {
        if (f->pending > 1) s = index_exec(f->ix, "COMMIT", err);
        if (s == HCT_OK) s = index_exec(f->ix, "BEGIN IMMEDIATE", err);
    }
    if (s == HCT_OK && cached) return touch(f, r, file->relative, err);
    if (s == HCT_OK) s = use_real_path(r, file, err);
    return s == HCT_OK ? put_file(f, r, file, err) : s;
}

static bool is_left_out(void *context, const char *folder) {
    found *f = context;
    return f->leave_out && f->leave_out(f->context, folder);
}

static hct_status forget_gone(found *f, hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t i = 0; i < f->n_roots && s == HCT_OK; i++)
        s = index_run(f->ix, err, "DELETE FROM files WHERE root=? AND seen<?", "ii", f->roots[i].n, f->run);
    return s;
}

hct_status found_walk(found *f, const char *const *inputs, size_t n, bool (*leave_out)(void *context, const char *),
                      void *context, hct_err *err) {
    f->look =
        index_query(f->ix, err,
                    "SELECT 1 FROM files WHERE root=? AND path=? AND bytes=? AND mtime_ns=? AND kind='dicom'", "");
    f->touch = index_query(f->ix, err, "UPDATE files SET seen=max(seen, ?) WHERE root=? AND path=?", "");
    f->put = index_query(f->ix, err,
                         "INSERT INTO files(root, path, archive, member, bytes, mtime_ns, kind, folder, grp, header,"
                         " why, seen) VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(root, path) DO UPDATE SET"
                         " archive=excluded.archive, member=excluded.member, bytes=excluded.bytes,"
                         " mtime_ns=excluded.mtime_ns, kind=excluded.kind, folder=excluded.folder, grp=excluded.grp,"
                         " header=excluded.header, why=excluded.why, seen=max(seen, excluded.seen)"
                         /* met a second time in one run, by another way to the same place */
                         " WHERE NOT (excluded.kind='again' AND files.seen=excluded.seen)",
                         "");
    if (!f->look || !f->touch || !f->put) return err ? err->code : HCT_EIO;
    f->leave_out = leave_out;
    f->context = context;
    pile_options o = {
        .inputs = inputs, .n_inputs = n, .take = take, .cached = is_cached, .leave_out = is_left_out, .context = f};
    hct_status s = pile_walk(&o, &f->counts, err);
    if (f->pending) {
        if (s == HCT_OK) s = forget_gone(f, err);
        if (s == HCT_OK) s = index_exec(f->ix, "COMMIT", err);
        else index_exec(f->ix, "ROLLBACK", NULL);
    }
    return s;
}

/* ---- units ---- */

static bool is_mine(const found *f, int64_t root) {
    for (size_t i = 0; i < f->n_roots; i++)
        if (f->roots[i].n == root) return true;
    return false;
}

hct_status found_units(found *f, found_unit **ret, size_t *ret_n, hct_err *err) {
    sqlite3_stmt *q = index_query(f->ix, err,
                                  "SELECT root, min(path), grp FROM files WHERE seen>=?1 AND kind='dicom' GROUP BY grp"
                                  " UNION ALL SELECT root, path, NULL FROM files WHERE seen>=?1 AND kind='nifti'"
                                  " ORDER BY 1, 2",
                                  "i", f->run);
    int step = q ? 1 : HCT_EIO;
    size_t room = 0;
    *ret = NULL;
    *ret_n = 0;
    while (step > 0 && (step = index_step(f->ix, q, err)) > 0) {
        int64_t root = sqlite3_column_int64(q, 0);
        if (!is_mine(f, root)) continue;
        if (*ret_n == room) {
            room = room ? 2 * room : 256;
            found_unit *more = realloc(*ret, room * sizeof *more);
            if (!more) step = no_memory(err);
            else *ret = more;
        }
        const char *path = (const char *)sqlite3_column_text(q, 1), *grp = (const char *)sqlite3_column_text(q, 2);
        if (step > 0) {
            found_unit *u = &(*ret)[(*ret_n)++];
            *u = (found_unit){grp ? strdup(grp) : NULL, strdup(path ? path : ""), root};
            if (!u->path || (grp && !u->grp)) step = no_memory(err);
        }
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

void found_units_free(found_unit *u, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(u[i].grp);
        free(u[i].path);
    }
    free(u);
}

static pile_kind kind_of(const char *name) {
    for (int k = 0; k <= PILE_LEFT_OUT; k++)
        if (name && strcmp(pile_kind_name((pile_kind)k), name) == 0) return (pile_kind)k;
    return PILE_OTHER;
}

/* What the index keeps of a header; where it cannot be used (another version of headct), the file's own. */
static hct_status header_of(found *f, sqlite3_stmt *q, int column, pile_file *file, hct_err *err) {
    size_t n = 0;
    hct_err why = {0};
    const void *sealed = sqlite3_column_blob(q, column);
    unsigned char *plain =
        sealed ? key_unseal(f->key, sealed, (size_t)sqlite3_column_bytes(q, column), &n, &why) : NULL;
    hct_status s = plain ? dicom_header_unpack(plain, n, &file->header, &why) : HCT_EFORMAT;
    free(plain);
    if (s == HCT_OK || file->kind != PILE_DICOM) return HCT_OK;
    pile_open_file o = {0};
    dicom_header_free(&file->header);
    s = pile_open(file, &o, err);
    if (s == HCT_OK) s = dicom_header_read(o.bytes, &file->header, err);
    pile_close(&o);
    return s;
}

/* root, path, archive, member, bytes, mtime_ns, kind, header, why */
static hct_status file_of_row(found *f, sqlite3_stmt *q, pile_file *ret, hct_err *err) {
    const char *real = "", *path = (const char *)sqlite3_column_text(q, 1);
    const char *archive = (const char *)sqlite3_column_text(q, 2), *why = (const char *)sqlite3_column_text(q, 8);
    for (size_t i = 0; i < f->n_roots; i++)
        if (f->roots[i].n == sqlite3_column_int64(q, 0)) real = f->roots[i].real;
    *ret = (pile_file){.kind = kind_of((const char *)sqlite3_column_text(q, 6)),
                       .path = joined(real, path ? path : ""),
                       .relative = strdup(path ? path : ""),
                       .archive = archive ? joined(real, archive) : NULL,
                       .member = sqlite3_column_int64(q, 3),
                       .size = (uint64_t)sqlite3_column_int64(q, 4),
                       .mtime_ns = sqlite3_column_int64(q, 5),
                       .why = why ? strdup(why) : NULL};
    ret->status = ret->kind == PILE_UNREAD ? HCT_EFORMAT : HCT_OK;
    if (!ret->path || !ret->relative || (archive && !ret->archive) || (why && !ret->why)) return no_memory(err);
    return ret->kind == PILE_DICOM || ret->kind == PILE_UNREAD ? header_of(f, q, 7, ret, err) : HCT_OK;
}

#define FILE_COLUMNS "root, path, archive, member, bytes, mtime_ns, kind, header, why"

hct_status found_files(found *f, const found_unit *u, pile_file **ret, size_t *ret_n, hct_err *err) {
    sqlite3_stmt *q =
        u->grp ? index_query(f->ix, err,
                             "SELECT " FILE_COLUMNS " FROM files WHERE seen>=?2 AND (grp=?1 OR (kind IN ('unread',"
                             " 'other') AND folder IN (SELECT DISTINCT folder FROM files WHERE grp=?1 AND seen>=?2)))"
                             " ORDER BY root, path",
                             "si", u->grp, f->run)
               : index_query(f->ix, err, "SELECT " FILE_COLUMNS " FROM files WHERE root=? AND path=? AND kind='nifti'",
                             "is", u->root, u->path);
    int step = q ? 1 : HCT_EIO;
    size_t room = 0;
    *ret = NULL;
    *ret_n = 0;
    while (step > 0 && (step = index_step(f->ix, q, err)) > 0) {
        if (!is_mine(f, sqlite3_column_int64(q, 0))) continue; /* a run over other inputs */
        if (*ret_n == room) {
            room = room ? 2 * room : 64;
            pile_file *more = realloc(*ret, room * sizeof *more);
            if (!more) step = no_memory(err);
            else *ret = more;
        }
        if (step > 0) {
            hct_status s = file_of_row(f, q, &(*ret)[(*ret_n)++], err);
            if (s < 0) step = s;
        }
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

void found_files_free(pile_file *files, size_t n) {
    for (size_t i = 0; i < n; i++) pile_file_free(&files[i]);
    free(files);
}

const found_root *found_root_of(const found *f, const pile_file *file) {
    for (size_t i = 0; i < f->n_roots; i++) {
        size_t n = strlen(f->roots[i].real);
        if (strncmp(file->path, f->roots[i].real, n) == 0 && strcmp(file->path + n, file->relative) == 0)
            return &f->roots[i];
    }
    return NULL;
}

hct_status found_neighbours(found *f, const pile_file *file, int64_t *ret, hct_err *err) {
    const found_root *r = found_root_of(f, file);
    char *folder = folder_of(r ? r->n : 0, file->relative);
    if (!folder) return no_memory(err);
    hct_status s = one_number(f->ix,
                              index_query(f->ix, err,
                                          "SELECT count(DISTINCT grp) FROM files WHERE folder=? AND kind='dicom' AND"
                                          " seen>=?",
                                          "si", folder, f->run),
                              ret, err);
    free(folder);
    return s;
}

/* Whether a path may begin at a place of a text: "in a/b", not the "a/" of "data/b". */
static bool begins_here(const char *text, const char *at) { return at == text || strchr(" '\"(:", at[-1]) != NULL; }

char *found_relative(const found *f, const char *text) {
    char *out = strdup(text);
    for (size_t i = 0; out && !f->clear && i < f->n_roots; i++) {
        const char *const forms[] = {f->roots[i].real, f->roots[i].walked};
        for (int k = 0; k < 2; k++) {
            size_t n = strlen(forms[k]);
            if (n < 2) continue;
            for (char *at = out; (at = strstr(at, forms[k]));) {
                if (begins_here(out, at)) memmove(at, at + n, strlen(at + n) + 1);
                else at++;
            }
        }
    }
    return out;
}
