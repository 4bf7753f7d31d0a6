/* A CSV that grows row by row: opened, cut to whole rows, appended to. */
#include "support/row_file.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "support/paths.h"

struct row_file {
    int fd;
    char *path;
    off_t size; /* of the whole rows */
};

static hct_status failed(const row_file *f, hct_err *err) {
    return hct_fail(err, HCT_EIO, "%s: cannot be written: %s", f->path, strerror(errno));
}

/* Bytes up to the last line end outside quotes, or up to the end of line number `most`, counted from 1. */
static size_t whole_rows(const char *text, size_t n, size_t most) {
    size_t whole = 0;
    int quoted = 0;
    for (size_t i = 0; i < n && most; i++) {
        if (text[i] == '"') quoted = !quoted;
        if (text[i] == '\n' && !quoted) whole = i + 1, most--;
    }
    return whole;
}

static hct_status append(row_file *f, const char *bytes, size_t n, hct_err *err) {
    for (size_t at = 0; at < n;) {
        ssize_t k = pwrite(f->fd, bytes + at, n - at, f->size + (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            if (!k) errno = EIO;
            hct_status st = failed(f, err);
            if (ftruncate(f->fd, f->size) < 0) return failed(f, err);
            return st;
        }
        at += (size_t)k;
    }
    if (fsync(f->fd) < 0 && errno != EINVAL) return failed(f, err);
    f->size += (off_t)n;
    return HCT_OK;
}

/* Compares, or writes, PATH.json. */
static hct_status check_origin(const row_file *f, const char *origin, hct_err *err) {
    char *path = NULL, *have = NULL;
    if (asprintf(&path, "%s.json", f->path) < 0) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->path);
    hct_status st = HCT_OK;
    if (f->size == 0 || !path_is_file(path)) {
        if (f->size)
            st = hct_fail(err, HCT_EINVAL,
                          "%s: %s is missing, so nobody knows which weights made its rows; name another file", f->path,
                          path);
        hct_outfile *out = st == HCT_OK ? hct_outfile_open(path, err) : NULL;
        if (out) hct_outfile_printf(out, "%s\n", origin);
        if (st == HCT_OK) st = hct_outfile_close(out, err);
    } else if ((st = hct_read_file(path, &have, NULL, err)) == HCT_OK) {
        cJSON *old = cJSON_Parse(have), *now = cJSON_Parse(origin);
        const cJSON *item;
        if (!cJSON_IsObject(old)) st = hct_fail(err, HCT_EFORMAT, "%s: is no JSON object; name another CSV", path);
        cJSON_ArrayForEach(item, now) {
            const cJSON *was = cJSON_GetObjectItemCaseSensitive(old, item->string);
            if (st < 0 || cJSON_Compare(was, item, 1)) continue;
            const char *a = cJSON_GetStringValue(was), *b = cJSON_GetStringValue(item);
            st = hct_fail(err, HCT_EINVAL, "%s: its rows have another %s (%.12s, now %.12s); name another file",
                          f->path, item->string, a ? a : "other", b ? b : "other");
        }
        cJSON_ArrayForEach(item, old) if (st == HCT_OK && !cJSON_GetObjectItemCaseSensitive(now, item->string)) {
            const char *was = cJSON_GetStringValue(item);
            st = hct_fail(err, HCT_EINVAL, "%s: its rows have another %s (%.12s, now none); name another file", f->path,
                          item->string, was ? was : "other");
        }
        cJSON_Delete(old);
        cJSON_Delete(now);
    }
    free(path);
    free(have);
    return st;
}

/* Refuses bytes that this program did not leave there: *ret_whole is what stays of them. A writer that was killed
 * leaves whole rows and part of one, or part of the header. */
static hct_status check_rows(const row_file *f, const hct_mapped *m, const char *header, size_t *ret_whole,
                             hct_err *err) {
    size_t length = strlen(header), whole = whole_rows((const char *)m->bytes, m->size, SIZE_MAX);
    *ret_whole = whole;
    if (whole ? whole < length || memcmp(m->bytes, header, length) != 0
              : m->size > length || memcmp(m->bytes, header, m->size) != 0)
        return hct_fail(err, HCT_EINVAL,
                        "%s: its first line is not '%.*s': other tasks, or another program's file; name another file",
                        f->path, (int)strcspn(header, "\n"), header);
    if (whole && memchr(m->bytes + whole, '\n', m->size - whole))
        return hct_fail(err, HCT_EINVAL, "%s: a quote is opened and never closed; mend the file, or name another one",
                        f->path);
    return HCT_OK;
}

/* Cuts what is there to whole rows; an empty file gets its header. */
static hct_status begin(row_file *f, const char *header, const char *origin, hct_err *err) {
    hct_mapped m = {NULL, 0};
    hct_status st = hct_load_file(f->path, &m, err);
    if (st < 0) return st;
    size_t whole = 0;
    if (m.size) st = check_rows(f, &m, header, &whole, err);
    hct_unmap_file(&m);
    f->size = (off_t)whole;
    if (st == HCT_OK) st = check_origin(f, origin, err);
    if (st == HCT_OK && ftruncate(f->fd, f->size) < 0) st = failed(f, err);
    return st == HCT_OK && !whole ? append(f, header, strlen(header), err) : st;
}

row_file *row_file_open(const char *path, const char *header, const char *origin, csv **ret_rows, hct_err *err) {
    row_file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(path))) {
        hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        free(f);
        return NULL;
    }
    f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    hct_status st = f->fd < 0 ? failed(f, err) : HCT_OK;
    if (st == HCT_OK && flock(f->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        st = hct_fail(err, HCT_EINVAL, "%s: another headct is writing to it", path);
    if (st == HCT_OK) st = begin(f, header, origin, err);
    if (st == HCT_OK && !(*ret_rows = csv_read(path, err))) st = HCT_EFORMAT;
    if (st == HCT_OK) return f;
    row_file_close(f);
    return NULL;
}

hct_status row_file_add(row_file *f, const text_buffer *rows, hct_err *err) {
    const char *bytes = text_get(rows, f->path, err);
    return bytes ? append(f, bytes, text_length(rows), err) : HCT_ENOMEM;
}

hct_status row_file_cut(row_file *f, size_t row, hct_err *err) {
    hct_mapped m = {NULL, 0};
    hct_status st = hct_load_file(f->path, &m, err);
    if (st < 0) return st;
    f->size = (off_t)whole_rows((const char *)m.bytes, m.size, row + 1);
    hct_unmap_file(&m);
    return ftruncate(f->fd, f->size) < 0 ? failed(f, err) : HCT_OK;
}

void row_file_close(row_file *f) {
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    free(f->path);
    free(f);
}
