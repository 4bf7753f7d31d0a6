/* Datasets that were prepared apart become one: first their files, then their rows. */
#include "dataset/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset/merge_rows.h"
#include "dataset/sources.h"
#include "hct/io.h"
#include "imaging/scan.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/stop.h"

typedef struct merge {
    const char *into;
    const char *const *shards;
    size_t n;
    dataset_index to, *from; /* to.db NULL: not there yet */
    merge_result *result;
    progress line;
    int64_t done, total;
} merge;

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory to merge datasets"); }

/* ---- the datasets ---- */

static bool is_same_folder(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* As it stands at this moment, whatever is prepared into it meanwhile. */
static hct_status open_shard(dataset_index *ix, const char *folder, hct_err *err) {
    hct_status s = index_open(ix, folder, 0, err);
    if (s == HCT_OK && ix->version != INDEX_VERSION)
        s = hct_fail(err, HCT_EVERSION,
                     "%s: was made by an earlier headct: run headct prepare there again, which brings it up to date",
                     ix->path);
    if (s == HCT_OK) s = index_check(ix, err);
    return s == HCT_OK ? index_exec(ix, "BEGIN; SELECT count(*) FROM settings", err) : s;
}

static hct_status open_all(merge *m, hct_err *err) {
    char *path = path_join(m->into, "index.sqlite");
    hct_status s = path && m->from ? HCT_OK : no_memory(err);
    for (size_t k = 0; k < m->n && s == HCT_OK; k++)
        if (is_same_folder(m->into, m->shards[k]))
            s = hct_fail(err, HCT_EINVAL, "%s: is to be joined to itself: name the others alone", m->shards[k]);
    for (size_t k = 0; k < m->n && s == HCT_OK; k++) s = open_shard(&m->from[k], m->shards[k], err);
    /* as one that is to be made: of a merge that was killed at its very beginning it has no tables yet */
    if (s == HCT_OK && path_is_file(path)) s = index_open(&m->to, m->into, 1, err);
    else if (s == HCT_OK) s = sources_check_output(m->into, err);
    free(path);
    return s;
}

/* Each with each, so that the two are named that do not go together. */
static hct_status check_all(merge *m, hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t k = 0; k < m->n && s == HCT_OK; k++) {
        if (m->to.db) s = merge_check(&m->to, &m->from[k], err);
        for (size_t j = 0; j < k && s == HCT_OK; j++) s = merge_check(&m->from[j], &m->from[k], err);
        if (s == HCT_OK) s = stop_check(0, m->n, err);
    }
    return s;
}

/* ---- files ---- */

static hct_status have_same_bytes(const char *a, const char *b, bool *ret, hct_err *err) {
    struct stat x, y;
    hct_mapped one = {0}, other = {0};
    *ret = stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    if (*ret) return HCT_OK;
    hct_status s = hct_map_file(a, &one, err);
    if (s == HCT_OK) s = hct_map_file(b, &other, err);
    *ret = s == HCT_OK && one.size == other.size && (!one.size || memcmp(one.bytes, other.bytes, one.size) == 0);
    hct_unmap_file(&one);
    hct_unmap_file(&other);
    return s;
}

static hct_status copy_file(const char *from, const char *to, hct_err *err) {
    hct_mapped bytes = {0};
    hct_status s = hct_load_file(from, &bytes, err);
    if (s < 0) return s;
    hct_outfile *f = hct_outfile_open(to, err);
    hct_outfile_write(f, bytes.bytes, bytes.size);
    s = hct_outfile_close(f, err);
    hct_unmap_file(&bytes);
    return s;
}

/* The file under its new name: another name of the same bytes where the file system can, for prepared volumes are
 * never written to, only replaced. What lies there with other bytes, and is in no index, was left by a merge that was
 * killed. */
static hct_status bring(merge *m, const char *from, const char *to, hct_err *err) {
    bool same = false;
    hct_status s = path_is_file(to) ? have_same_bytes(from, to, &same, err) : HCT_OK;
    if (s < 0 || same) return s;
    if (!path_is_file(to) && link(from, to) == 0) {
        m->result->linked++;
        return HCT_OK;
    }
    m->result->copied++;
    return copy_file(from, to, err);
}

/* Names on disk before rows that speak of them. */
static void sync_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* Whether an index has a scan, or the form of it in a file. */
static int knows(dataset_index *ix, const char *sql, const char *id, const char *file, hct_err *err) {
    if (!ix->db) return 0;
    sqlite3_stmt *q = file ? index_query(ix, err, sql, "ss", id, file) : index_query(ix, err, sql, "s", id);
    int there = q ? index_step(ix, q, err) : HCT_EIO;
    sqlite3_finalize(q);
    return there;
}

/* A scan of shard k that `folder` has too, where its index says so, has the same volume there. */
static hct_status compare_with(merge *m, size_t k, dataset_index *ix, const char *folder, const char *id,
                               const char *file, bool *ret_known, hct_err *err) {
    int there = knows(ix, "SELECT 1 FROM scans WHERE id=?", id, NULL, err);
    if (there <= 0) return there;
    bool same = false;
    char *a = path_join(folder, file), *b = path_join(m->shards[k], file);
    hct_status s = a && b ? have_same_bytes(a, b, &same, err) : no_memory(err);
    if (s == HCT_OK && !same)
        s = hct_fail(err, HCT_EINVAL,
                     "scan '%s' has different volumes in %s and %s: prepare one of them under another path, so that "
                     "its ID is another, or remove it there (headct dataset remove)",
                     id, folder, m->shards[k]);
    free(a);
    free(b);
    *ret_known = true;
    return s;
}

static hct_status check_scan(merge *m, size_t k, const char *id, const char *file, hct_err *err) {
    bool known = false;
    char *path = path_join(m->shards[k], file);
    hct_status s = path ? HCT_OK : no_memory(err);
    if (s == HCT_OK && !scan_is_prepared(path, 0) && !scan_is_prepared(path, 1))
        s = hct_fail(err, HCT_EFORMAT, "%s: is missing or damaged: run headct prepare there again, which mends it",
                     path);
    if (s == HCT_OK) s = compare_with(m, k, &m->to, m->into, id, file, &known, err);
    for (size_t j = 0; j < k && s == HCT_OK && !known; j++)
        s = compare_with(m, k, &m->from[j], m->shards[j], id, file, &known, err);
    if (known) m->result->known++;
    else m->result->added++;
    free(path);
    return s;
}

/* Does something with id and file of each row. */
typedef hct_status with_file(merge *m, size_t shard, const char *id, const char *file, hct_err *err);
static hct_status each(merge *m, const char *sql, with_file *run, hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t k = 0; k < m->n && s == HCT_OK; k++) {
        dataset_index *ix = &m->from[k];
        sqlite3_stmt *q = index_query(ix, err, sql, "");
        int step = q ? 1 : HCT_EIO;
        while (step > 0 && (step = index_step(ix, q, err)) > 0) {
            const char *id = index_text(ix, q, 0, "a scan's id", err),
                       *file = id ? index_text(ix, q, 1, "a scan's file", err) : NULL;
            hct_status r = file ? stop_check((size_t)m->done, (size_t)m->total, err) : HCT_EFORMAT;
            if (r == HCT_OK) r = run(m, k, id, file, err);
            if (r < 0) step = r;
        }
        sqlite3_finalize(q);
        if (step < 0) s = step;
    }
    return s;
}

static hct_status bring_volume(merge *m, size_t k, const char *id, const char *file, hct_err *err) {
    (void)id;
    char *from = path_join(m->shards[k], file), *to = path_join(m->into, file);
    hct_status s = from && to ? bring(m, from, to, err) : no_memory(err);
    free(from);
    free(to);
    progress_show(&m->line, ++m->done, "");
    return s;
}

/* Of a form: other volumes than the dataset's own. The first dataset that has one counts, as its row does. */
static hct_status bring_form(merge *m, size_t k, const char *id, const char *file, hct_err *err) {
    static const char sql[] = "SELECT 1 FROM forms f JOIN scans s ON s.n=f.scan WHERE s.id=? AND f.file=?";
    int known = knows(&m->to, sql, id, file, err);
    for (size_t j = 0; j < k && known == 0; j++) known = knows(&m->from[j], sql, id, file, err);
    if (known) return known < 0 ? known : HCT_OK;
    char *from = path_join(m->shards[k], file), *to = path_join(m->into, file), *folder = to ? path_folder(to) : NULL;
    hct_status s = from && folder ? path_make_folders(folder, err) : no_memory(err);
    if (s == HCT_OK) s = bring(m, from, to, err);
    if (s == HCT_OK) sync_folder(folder);
    free(from);
    free(to);
    free(folder);
    return s;
}

/* Only the page of pictures misses one that is not there. */
static hct_status bring_picture(merge *m, size_t k, const char *id, const char *file, hct_err *err) {
    (void)id;
    char *from = path_join(m->shards[k], file), *to = path_join(m->into, file);
    hct_status s = from && to ? HCT_OK : no_memory(err);
    if (s == HCT_OK && path_is_file(from) && !path_is_file(to)) s = bring(m, from, to, err);
    free(from);
    free(to);
    return s;
}

static hct_status bring_all(merge *m, FILE *out, hct_err *err) {
    char *scans = path_join(m->into, "scans"), *qc = path_join(m->into, "qc");
    hct_status s = scans && qc ? path_make_folders(scans, err) : no_memory(err);
    if (s == HCT_OK) s = path_make_folders(qc, err);
    if (s == HCT_OK) hct_leftovers_remove(scans);
    m->line = progress_begin(out, "merge", 0, m->total, "scans", 1);
    if (s == HCT_OK) s = each(m, "SELECT id, file FROM scans ORDER BY id", bring_volume, err);
    if (s == HCT_OK)
        s = each(m, "SELECT s.id, f.file FROM forms f JOIN scans s ON s.n=f.scan ORDER BY s.id, f.form", bring_form,
                 err);
    if (s == HCT_OK)
        s = each(m, "SELECT id, 'qc/'||id||'.png' FROM items UNION SELECT id, 'qc/'||id||'.png' FROM scans",
                 bring_picture, err);
    if (s == HCT_OK) progress_end(&m->line, "");
    else progress_break(&m->line);
    if (s == HCT_OK) sync_folder(scans);
    free(scans);
    free(qc);
    return s;
}

/* ---- rows ---- */

static hct_status count(merge *m, const char *sql, int64_t *ret, hct_err *err) {
    sqlite3_stmt *q = index_query(&m->to, err, sql, "");
    int step = q ? index_step(&m->to, q, err) : HCT_EIO;
    if (step > 0) *ret = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static hct_status put_rows(merge *m, hct_err *err) {
    hct_status s = index_exec(&m->to, "BEGIN IMMEDIATE", err);
    if (s < 0) return s;
    for (size_t k = 0; k < m->n && s == HCT_OK; k++) {
        s = merge_check(&m->to, &m->from[k], err); /* somebody may have changed it meanwhile */
        if (s == HCT_OK) s = merge_rows(&m->to, &m->from[k], err);
    }
    if (s == HCT_OK) s = index_check(&m->to, err);
    if (s == HCT_OK) s = index_exec(&m->to, "COMMIT", err);
    if (s < 0) index_exec(&m->to, "ROLLBACK", NULL);
    if (s == HCT_OK) s = count(m, "SELECT count(*) FROM scans", &m->result->scans, err);
    if (s == HCT_OK)
        s = count(m,
                  "SELECT count(*) FROM scans WHERE EXISTS (SELECT 1 FROM splits) AND patient NOT IN (SELECT patient"
                  " FROM splits)",
                  &m->result->without_split, err);
    return s;
}

hct_status merge_datasets(const char *into, const char *const *shards, size_t n, FILE *out, merge_result *ret,
                          hct_err *err) {
    merge m = {.into = into, .shards = shards, .n = n, .from = calloc(n + 1, sizeof *m.from), .result = ret};
    *ret = (merge_result){0};
    hct_status s = open_all(&m, err);
    if (s == HCT_OK) s = check_all(&m, err);
    if (s == HCT_OK) s = each(&m, "SELECT id, file FROM scans ORDER BY id", check_scan, err);
    m.total = ret->added + ret->known;
    if (s == HCT_OK && !m.to.db) s = index_open(&m.to, into, 1, err);
    if (s == HCT_OK) s = bring_all(&m, out, err);
    if (s == HCT_OK) s = put_rows(&m, err);
    for (size_t k = 0; m.from && k < n; k++)
        if (m.from[k].db) index_close(&m.from[k]);
    if (m.to.db) index_close(&m.to);
    free(m.from);
    return s;
}
