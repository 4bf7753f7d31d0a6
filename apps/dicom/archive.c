/* Members of archives through libarchive. */
#include "dicom/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hct/utf8.h"

static bool ends_in(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcasecmp(name + n - m, ending) == 0;
}

static bool ends_in_one(const char *name, const char *const *endings) {
    while (*endings && !ends_in(name, *endings)) endings++;
    return *endings != NULL;
}

bool archive_is(const char *name, const unsigned char *bytes, size_t n) {
    static const char *const others[] = {".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".jar",
                                         ".apk",  ".whl",  ".npz",  ".pt",  ".pth", ".mgz", NULL};
    static const char *const packed_tar[] = {".tgz",    ".tar.gz", ".tbz",     ".tbz2", ".tar.bz2",
                                             ".tar.xz", ".txz",    ".tar.zst", ".tzst", NULL};
    if (n >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) return !ends_in_one(name, others);
    if (n >= 262 && memcmp(bytes + 257, "ustar", 5) == 0) return true;
    bool packed = n >= 6 && (memcmp(bytes, "\x1f\x8b", 2) == 0 || memcmp(bytes, "BZh", 3) == 0 ||
                             memcmp(bytes,
                                    "\xfd"
                                    "7zXZ",
                                    5) == 0 ||
                             memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0);
    return packed && ends_in_one(name, packed_tar);
}

static struct archive *open_archive(const char *path, hct_err *err) {
    struct archive *a = archive_read_new();
    if (!a) {
        hct_fail(err, HCT_ENOMEM, "%s: no memory", path);
        return NULL;
    }
    archive_read_support_format_zip(a);
    archive_read_support_format_tar(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    if (archive_read_open_filename(a, path, 1 << 16) == ARCHIVE_OK) return a;
    hct_fail(err, HCT_EFORMAT, "%s: cannot be opened as an archive: it is damaged, or no zip or tar file", path);
    archive_read_free(a);
    return NULL;
}

/* libarchive gives no name where the locale cannot show it. */
static const char *name_of(struct archive_entry *e, char *buffer, size_t n, int64_t number) {
    const char *name = archive_entry_pathname_utf8(e);
    if (!name) name = archive_entry_pathname(e);
    if (!name) {
        snprintf(buffer, n, "member %lld", (long long)number);
        return buffer;
    }
    size_t to = 0;
    for (size_t left = strlen(name), step; left && to + 5 < n; name += step, left -= step) {
        step = hct_utf8_length(name, left);
        bool good = step > 1 || (step == 1 && (unsigned char)*name >= 0x20 && *name != 0x7f);
        if (!step) step = 1;
        if (good) memcpy(buffer + to, name, step);
        else buffer[to] = '?';
        to += good ? step : 1;
    }
    buffer[to] = 0;
    return buffer;
}

hct_status archive_walk(const char *path, archive_visit *visit, void *context, hct_err *err) {
    struct archive *a = open_archive(path, err);
    struct archive_entry *e;
    hct_status s = HCT_OK;
    int64_t number = 0;
    if (!a) return err ? err->code : HCT_EFORMAT;
    for (int code; s == HCT_OK; number++) {
        code = archive_read_next_header(a, &e);
        if (code == ARCHIVE_EOF) break;
        if (code == ARCHIVE_RETRY) continue;
        if (code < ARCHIVE_WARN) {
            s = hct_fail(err, HCT_EFORMAT, "%s: is damaged after %lld members: copy the file again", path,
                         (long long)number);
            break;
        }
        char name[4096];
        bool link = archive_entry_hardlink(e) || archive_entry_filetype(e) == AE_IFLNK;
        archive_member m = {.name = name_of(e, name, sizeof name, number),
                            .number = number,
                            .size = archive_entry_size_is_set(e) ? (uint64_t)archive_entry_size(e) : UINT64_MAX,
                            .mtime_ns = (int64_t)archive_entry_mtime(e) * 1000000000 + archive_entry_mtime_nsec(e),
                            .is_file = archive_entry_filetype(e) == AE_IFREG && !link,
                            .is_link = link,
                            .is_encrypted = archive_entry_is_data_encrypted(e) > 0,
                            .reader = a};
        s = visit(context, &m, err);
    }
    archive_read_free(a);
    return s > 0 ? HCT_OK : s;
}

size_t archive_read_some(void *member, unsigned char *to, size_t room) {
    archive_member *m = member;
    la_ssize_t k = archive_read_data(m->reader, to, room);
    return k > 0 ? (size_t)k : 0;
}

hct_status archive_read_all(archive_member *m, size_t most, unsigned char **ret, size_t *ret_n, hct_err *err) {
    size_t room = m->size != UINT64_MAX && m->size < most ? (size_t)m->size + 1 : 1 << 16, n = 0;
    unsigned char *bytes = malloc(room);
    *ret = NULL;
    *ret_n = 0;
    while (bytes) {
        size_t k = archive_read_some(m, bytes + n, room - n);
        n += k;
        if (!k && n < room) break;
        if (n < room) continue;
        if (room > most) {
            free(bytes);
            return hct_fail(err, HCT_EDTYPE, "%s: is larger than %zu MiB in its archive", m->name, most >> 20);
        }
        unsigned char *more = realloc(bytes, room *= 2);
        if (!more) free(bytes);
        bytes = more;
    }
    if (!bytes) return hct_fail(err, HCT_ENOMEM, "%s: no memory", m->name);
    if (m->size != UINT64_MAX && n < m->size) {
        free(bytes);
        return hct_fail(err, HCT_EFORMAT, "%s: is damaged or cut in its archive", m->name);
    }
    *ret = bytes;
    *ret_n = n;
    return HCT_OK;
}
