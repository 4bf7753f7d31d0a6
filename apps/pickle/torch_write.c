/* Writes tensors as torch.save does. */
#include "pickle/torch_write.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "support/text.h"

#define ROOT "archive/"
enum { BORDER = 64, CLASSIC = 0, ZIP64 = 45 };

static const char *storage_type(int32_t dtype) {
    static const char *const types[HCT_DTYPES] = {
        [HCT_F32] = "FloatStorage",     [HCT_F64] = "DoubleStorage", [HCT_F16] = "HalfStorage",
        [HCT_BF16] = "BFloat16Storage", [HCT_I64] = "LongStorage",   [HCT_I32] = "IntStorage",
        [HCT_I16] = "ShortStorage",     [HCT_I8] = "CharStorage",    [HCT_U8] = "ByteStorage"};
    return dtype >= 0 && dtype < HCT_DTYPES ? types[dtype] : NULL;
}

static void little(text_buffer *b, uint64_t v, int bytes) {
    char out[8];
    for (int i = 0; i < bytes; i++) out[i] = (char)(unsigned char)(v >> 8 * i);
    text_add(b, out, (size_t)bytes);
}

static void op(text_buffer *b, const char *ops) { text_add(b, ops, strlen(ops)); }

static void put_text(text_buffer *b, const char *s) {
    op(b, "X");
    little(b, strlen(s), 4);
    op(b, s);
}

/* BININT, or LONG1 of 8 bytes. */
static void put_int(text_buffer *b, int64_t v) {
    int small = v >= 0 && v <= INT32_MAX;
    op(b, small ? "J" : "\x8a\x08");
    little(b, (uint64_t)v, small ? 4 : 8);
}

static void put_global(text_buffer *b, const char *module, const char *name) {
    text_printf(b, "c%s\n%s\n", module, name);
}

static void put_tensor(text_buffer *b, const hct_st_entry *e, size_t number) {
    char key[24];
    int64_t stride[HCT_MAX_DIMS], step = 1;
    snprintf(key, sizeof key, "%zu", number);
    for (int32_t i = e->ndim; i-- > 0; step *= e->dim[i] ? e->dim[i] : 1) stride[i] = step;
    put_global(b, "torch._utils", "_rebuild_tensor_v2");
    op(b, "((");
    put_text(b, "storage");
    put_global(b, "torch", storage_type(e->dtype));
    put_text(b, key);
    put_text(b, "cpu");
    put_int(b, (int64_t)hct_st_elements(e));
    op(b, "tQ");
    put_int(b, 0);
    op(b, "(");
    for (int32_t i = 0; i < e->ndim; i++) put_int(b, e->dim[i]);
    op(b, "t(");
    for (int32_t i = 0; i < e->ndim; i++) put_int(b, stride[i]);
    op(b, "t\x89");
    put_global(b, "collections", "OrderedDict");
    op(b, ")RtR");
}

static void put_pickle(text_buffer *b, const hct_st_entry *entries, size_t n, const hct_st_pair *meta, size_t n_meta) {
    op(b, "\x80\x02}(");
    put_text(b, "state_dict");
    put_global(b, "collections", "OrderedDict");
    op(b, ")R(");
    for (size_t i = 0; i < n; i++) {
        put_text(b, entries[i].name);
        put_tensor(b, &entries[i], i);
    }
    op(b, "u");
    for (size_t i = 0; i < n_meta; i++) {
        put_text(b, meta[i].key);
        put_text(b, meta[i].value);
    }
    op(b, "u.");
}

typedef struct archive {
    hct_outfile *f;
    uint64_t at, members;
    int failed; /* memory ran out */
    text_buffer directory, header;
} archive;

/* A text that memory ran out for is told at the end: nothing of it is written. */
static void write_text(archive *a, const text_buffer *t) {
    if (text_write(t, a->f, "", NULL) == HCT_OK) a->at += text_length(t);
    else a->failed = 1;
}

static void write_bytes(archive *a, const void *bytes, size_t n) {
    if (n) hct_outfile_write(a->f, bytes, n);
    a->at += n;
}

static uint64_t narrow(uint64_t v) { return v < UINT32_MAX ? v : UINT32_MAX; }

/* A member of less than 4 GiB has 32-bit sizes; a larger one, or one that starts beyond, a zip64 field in each
 * header. The local header's extra data are filled up to the border. */
static void add_member(archive *a, const char *name, const void *bytes, size_t n) {
    int wide = n >= UINT32_MAX, far = a->at >= UINT32_MAX;
    size_t length = strlen(name), own = wide ? 20 : 0, before = 30 + length + own + 4;
    size_t fill = (size_t)((BORDER - (a->at + before) % BORDER) % BORDER);
    uint64_t start = a->at, crc = libdeflate_crc32(0, n ? bytes : "", n);
    text_buffer *h = &a->header;
    text_clear(h);
    little(h, 0x04034b50, 4), little(h, wide || far ? ZIP64 : CLASSIC, 2), little(h, 0, 2), little(h, 0, 2),
        little(h, 0, 4);
    little(h, crc, 4), little(h, wide ? UINT32_MAX : n, 4), little(h, wide ? UINT32_MAX : n, 4), little(h, length, 2),
        little(h, own + 4 + fill, 2);
    op(h, name);
    if (wide) little(h, 1, 2), little(h, 16, 2), little(h, n, 8), little(h, n, 8);
    little(h, 0x4246, 2), little(h, fill, 2);
    for (size_t i = 0; i < fill; i++) op(h, "Z");
    write_text(a, h);
    write_bytes(a, bytes, n);
    text_buffer *d = &a->directory;
    size_t extra = (wide ? 16u : 0u) + (far ? 8u : 0u);
    little(d, 0x02014b50, 4), little(d, wide || far ? ZIP64 : CLASSIC, 2), little(d, wide || far ? ZIP64 : CLASSIC, 2),
        little(d, 0, 2), little(d, 0, 2), little(d, 0, 4);
    little(d, crc, 4), little(d, wide ? UINT32_MAX : n, 4), little(d, wide ? UINT32_MAX : n, 4), little(d, length, 2),
        little(d, extra ? extra + 4 : 0, 2);
    little(d, 0, 2), little(d, 0, 2), little(d, 0, 2), little(d, 0, 4), little(d, narrow(start), 4);
    op(d, name);
    if (extra) little(d, 1, 2), little(d, extra, 2);
    if (wide) little(d, n, 8), little(d, n, 8);
    if (far) little(d, start, 8);
    a->members++;
}

/* Directory and its two ends; the zip64 one is always there, as torch's writer does. */
static void finish(archive *a) {
    uint64_t at = a->at, bytes = text_length(&a->directory), end = at + bytes;
    text_buffer *h = &a->header;
    write_text(a, &a->directory);
    text_clear(h);
    little(h, 0x06064b50, 4), little(h, 44, 8), little(h, ZIP64, 2), little(h, ZIP64, 2), little(h, 0, 4),
        little(h, 0, 4);
    little(h, a->members, 8), little(h, a->members, 8), little(h, bytes, 8), little(h, at, 8);
    little(h, 0x07064b50, 4), little(h, 0, 4), little(h, end, 8), little(h, 1, 4);
    uint64_t count = a->members < UINT16_MAX ? a->members : UINT16_MAX;
    little(h, 0x06054b50, 4), little(h, 0, 4), little(h, count, 2), little(h, count, 2), little(h, narrow(bytes), 4),
        little(h, narrow(at), 4), little(h, 0, 2);
    write_text(a, h);
}

hct_status torch_write(const char *path, const hct_st_entry *entries, size_t n, const hct_st_pair *meta, size_t n_meta,
                       hct_err *err) {
    for (size_t i = 0; i < n; i++)
        if (!storage_type(entries[i].dtype))
            return hct_fail(err, HCT_EDTYPE, "%s: '%s': its dtype has no storage in PyTorch", path, entries[i].name);
    text_buffer pickle = {0};
    archive a = {.f = hct_outfile_open(path, err)};
    if (!a.f) return err ? err->code : HCT_EIO;
    put_pickle(&pickle, entries, n, meta, n_meta);
    const char *whole = text_get(&pickle, path, err);
    if (whole) add_member(&a, ROOT "data.pkl", whole, text_length(&pickle));
    add_member(&a, ROOT "byteorder", "little", 6);
    for (size_t i = 0; i < n; i++) {
        char name[48];
        snprintf(name, sizeof name, ROOT "data/%zu", i);
        add_member(&a, name, entries[i].data, entries[i].bytes);
    }
    add_member(&a, ROOT "version", "3\n", 2);
    finish(&a);
    text_free(&pickle), text_free(&a.directory), text_free(&a.header);
    if (whole && !a.failed) return hct_outfile_close(a.f, err);
    hct_outfile_discard(a.f);
    return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its directory", path);
}
