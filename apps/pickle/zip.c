/* Zip archives, read only, as torch.save writes them. */
#include "pickle/zip.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"

enum {
    LOCAL = 0x04034b50,
    CENTRAL = 0x02014b50,
    END = 0x06054b50,
    END64 = 0x06064b50,
    LOCATOR = 0x07064b50,
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    COMMENT_MAX = 65535,
    ZIP64_FIELD = 1
};

struct zip {
    hct_mapped map;
    zip_member *member;
    size_t n;
};

static uint64_t little(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

#define BAD(...) hct_fail(err, HCT_EFORMAT, __VA_ARGS__)

/* Where the directory lies. */
typedef struct directory {
    uint64_t at, bytes, count;
} directory;

/* The end record is the last thing in the file but for a comment, which must end where the file does. */
static const unsigned char *find_end(const hct_mapped *m) {
    for (size_t back = END_BYTES; back <= m->size && back <= END_BYTES + COMMENT_MAX; back++) {
        const unsigned char *p = m->bytes + m->size - back;
        if (little(p, 4) == END && little(p + 20, 2) == back - END_BYTES) return p;
    }
    return NULL;
}

static hct_status find_directory(const char *path, const hct_mapped *m, directory *ret, hct_err *err) {
    const unsigned char *p = find_end(m);
    if (!p) {
        int starts = m->size >= 4 && little(m->bytes, 4) == LOCAL;
        return BAD("%s: %s", path,
                   starts ? "its zip directory is missing; the file was cut short"
                          : "is no zip archive as torch.save writes since PyTorch 1.6; load it with "
                            "torch.load and save it again with torch.save");
    }
    size_t end = (size_t)(p - m->bytes);
    uint64_t disks = little(p + 4, 2) | little(p + 6, 2);
    *ret = (directory){.count = little(p + 10, 2), .bytes = little(p + 12, 4), .at = little(p + 16, 4)};
    const unsigned char *l = end >= LOCATOR_BYTES ? p - LOCATOR_BYTES : NULL;
    if (l && little(l, 4) == LOCATOR) {
        uint64_t at = little(l + 8, 8);
        end -= LOCATOR_BYTES;
        if (little(l + 16, 4) > 1) return BAD("%s: is one part of a zip archive of several", path);
        if (at > end || end - at < END64_BYTES || little(m->bytes + at, 4) != END64)
            return BAD("%s: its zip64 directory is damaged", path);
        p = m->bytes + at;
        disks = little(p + 16, 4) | little(p + 20, 4);
        *ret = (directory){.count = little(p + 32, 8), .bytes = little(p + 40, 8), .at = little(p + 48, 8)};
        end = (size_t)at;
    }
    if (disks) return BAD("%s: is one part of a zip archive of several", path);
    if (ret->at > end || ret->bytes > end - ret->at)
        return BAD("%s: its zip directory lies outside the file; the file is cut short or damaged", path);
    if (ret->count > ret->bytes / CENTRAL_BYTES)
        return BAD("%s: its zip directory of %llu bytes cannot hold %llu members", path, (unsigned long long)ret->bytes,
                   (unsigned long long)ret->count);
    return HCT_OK;
}

typedef struct sizes {
    uint64_t whole, packed, local; /* bytes unpacked, bytes stored, place of the local header */
} sizes;

/* 32-bit fields that are all ones stand in the zip64 field of the extra data, in this order. */
static int widen(const unsigned char *extra, size_t n, sizes *s) {
    uint64_t *const field[] = {&s->whole, &s->packed, &s->local};
    int wanted = 0;
    for (int i = 0; i < 3; i++) wanted += *field[i] == UINT32_MAX;
    while (wanted && n >= 4) {
        size_t kind = little(extra, 2), bytes = little(extra + 2, 2);
        if (bytes > n - 4) return 0;
        if (kind != ZIP64_FIELD) {
            extra += 4 + bytes;
            n -= 4 + bytes;
            continue;
        }
        const unsigned char *p = extra + 4;
        for (int i = 0; i < 3; i++) {
            if (*field[i] != UINT32_MAX) continue;
            if (bytes < 8) return 0;
            *field[i] = little(p, 8);
            p += 8;
            bytes -= 8;
        }
        return 1;
    }
    return !wanted;
}

static int printable(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7e) return 0;
    return n > 0;
}

/* One record of the directory at p, with `left` bytes; *ret_bytes is its length. */
static hct_status read_member(const char *path, const hct_mapped *m, const directory *d, const unsigned char *p,
                              size_t left, zip_member *ret, size_t *ret_bytes, hct_err *err) {
    if (left < CENTRAL_BYTES || little(p, 4) != CENTRAL) return BAD("%s: its zip directory is damaged", path);
    size_t name = little(p + 28, 2), extra = little(p + 30, 2), comment = little(p + 32, 2), flags = little(p + 8, 2),
           method = little(p + 10, 2);
    *ret_bytes = CENTRAL_BYTES + name + extra + comment;
    if (*ret_bytes > left) return BAD("%s: its zip directory is damaged", path);
    const char *text = (const char *)p + CENTRAL_BYTES;
    if (!printable(text, name)) return BAD("%s: a zip member has no printable name", path);
    int shown = name > 80 ? 80 : (int)name;
    if (flags & 1) return BAD("%s: member '%.*s' is encrypted", path, shown, text);
    if (method)
        return BAD("%s: member '%.*s' is compressed, torch.save stores it as it is; unpack the archive and pack it "
                   "again with 'zip -0'",
                   path, shown, text);
    sizes s = {.packed = little(p + 20, 4), .whole = little(p + 24, 4), .local = little(p + 42, 4)};
    if (!widen(p + CENTRAL_BYTES + name, extra, &s))
        return BAD("%s: member '%.*s': its zip64 sizes are damaged", path, shown, text);
    if (s.whole != s.packed) return BAD("%s: member '%.*s' is stored, but its two sizes differ", path, shown, text);
    if (s.local > d->at || d->at - s.local < LOCAL_BYTES || little(m->bytes + s.local, 4) != LOCAL)
        return BAD("%s: member '%.*s' is not where the zip directory says", path, shown, text);
    const unsigned char *local = m->bytes + s.local;
    size_t before = LOCAL_BYTES + (size_t)little(local + 26, 2) + (size_t)little(local + 28, 2);
    if (before > d->at - s.local || little(local + 26, 2) != name || memcmp(local + LOCAL_BYTES, text, name) != 0)
        return BAD("%s: member '%.*s' has another name where it lies", path, shown, text);
    if (s.whole > d->at - s.local - before)
        return BAD("%s: member '%.*s' goes beyond the file; it is cut short or damaged", path, shown, text);
    *ret = (zip_member){.name = text,
                        .name_bytes = name,
                        .bytes = local + before,
                        .size = (size_t)s.whole,
                        .crc = (uint32_t)little(p + 16, 4)};
    return HCT_OK;
}

static int by_name(const void *a, const void *b) {
    const zip_member *x = a, *y = b;
    size_t n = x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
    int c = memcmp(x->name, y->name, n);
    return c ? c : (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
}

static int by_place(const void *a, const void *b) {
    uintptr_t p = (uintptr_t)((const zip_member *)a)->bytes, q = (uintptr_t)((const zip_member *)b)->bytes;
    return (p > q) - (p < q);
}

static hct_status parse(const char *path, zip *z, hct_err *err) {
    directory d = {0};
    hct_status st = find_directory(path, &z->map, &d, err);
    if (st < 0) return st;
    if (!(z->member = calloc((size_t)d.count + 1, sizeof *z->member)))
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its directory", path);
    const unsigned char *p = z->map.bytes + d.at;
    size_t left = (size_t)d.bytes, used = 0;
    for (; z->n < d.count; z->n++, p += used, left -= used)
        if ((st = read_member(path, &z->map, &d, p, left, &z->member[z->n], &used, err)) < 0) return st;
    if (left) return BAD("%s: its zip directory has %zu bytes too many", path, left);
    if (z->n) qsort(z->member, z->n, sizeof *z->member, by_place);
    for (size_t i = 1; i < z->n; i++) { /* a local header, its name and extra data lie between two members */
        const zip_member *a = &z->member[i - 1], *b = &z->member[i];
        if ((size_t)(b->bytes - a->bytes) < a->size + LOCAL_BYTES + b->name_bytes)
            return BAD("%s: members '%.*s' and '%.*s' overlap", path, (int)(a->name_bytes > 80 ? 80 : a->name_bytes),
                       a->name, (int)(b->name_bytes > 80 ? 80 : b->name_bytes), b->name);
    }
    if (z->n) qsort(z->member, z->n, sizeof *z->member, by_name);
    for (size_t i = 1; i < z->n; i++)
        if (!by_name(&z->member[i - 1], &z->member[i]))
            return BAD("%s: member '%.*s' is there twice", path,
                       (int)(z->member[i].name_bytes > 80 ? 80 : z->member[i].name_bytes), z->member[i].name);
    return HCT_OK;
}

zip *zip_open(const char *path, hct_err *err) {
    zip *z = calloc(1, sizeof *z);
    if (!z) hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (z && hct_map_file(path, &z->map, err) == HCT_OK && parse(path, z, err) == HCT_OK) return z;
    zip_close(z);
    return NULL;
}

void zip_close(zip *z) {
    if (!z) return;
    hct_unmap_file(&z->map);
    free(z->member);
    free(z);
}

size_t zip_count(const zip *z) { return z->n; }
const zip_member *zip_at(const zip *z, size_t i) { return &z->member[i]; }
size_t zip_file_bytes(const zip *z) { return z->map.size; }

const zip_member *zip_find(const zip *z, const char *name, size_t name_bytes) {
    const zip_member key = {.name = name, .name_bytes = name_bytes};
    return z->n ? bsearch(&key, z->member, z->n, sizeof *z->member, by_name) : NULL;
}

int zip_intact(const zip_member *m) {
    return !m->crc || libdeflate_crc32(0, m->size ? m->bytes : (const void *)"", m->size) == m->crc;
}
