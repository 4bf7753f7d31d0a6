/* Makes files of torch.save, good and broken ones. */
#include "make_torch.h"

#include <stdlib.h>
#include <string.h>

void bytes_add(bytes *b, const void *from, size_t n) {
    if (b->n + n > b->capacity) {
        b->capacity = 2 * (b->n + n);
        if (!(b->at = realloc(b->at, b->capacity))) abort();
    }
    if (n) memcpy(b->at + b->n, from, n);
    b->n += n;
}

void bytes_little(bytes *b, uint64_t v, int n) {
    for (int i = 0; i < n; i++) bytes_add(b, &(unsigned char){i < 8 ? (unsigned char)(v >> 8 * i) : 0}, 1);
}

void bytes_free(bytes *b) {
    free(b->at);
    *b = (bytes){0};
}

bytes make_zip(const member *m, size_t n, int zip64) {
    bytes z = {0}, directory = {0};
    for (size_t i = 0; i < n; i++) {
        size_t name = strlen(m[i].name), local = z.n;
        bytes_little(&z, 0x04034b50, 4);
        bytes_little(&z, 0, 10);
        bytes_little(&z, m[i].crc, 4);
        bytes_little(&z, m[i].n, 4);
        bytes_little(&z, m[i].n, 4);
        bytes_little(&z, name, 2);
        bytes_little(&z, 0, 2);
        bytes_add(&z, m[i].name, name);
        bytes_add(&z, m[i].data, m[i].n);
        bytes_little(&directory, 0x02014b50, 4);
        bytes_little(&directory, 0, 12);
        bytes_little(&directory, m[i].crc, 4);
        bytes_little(&directory, zip64 ? UINT32_MAX : m[i].n, 4);
        bytes_little(&directory, zip64 ? UINT32_MAX : m[i].n, 4);
        bytes_little(&directory, name, 2);
        bytes_little(&directory, zip64 ? 6 + 28 : 0, 2); /* another field, then the zip64 one */
        bytes_little(&directory, 0, 10);
        bytes_little(&directory, zip64 ? UINT32_MAX : local, 4);
        bytes_add(&directory, m[i].name, name);
        if (!zip64) continue;
        bytes_little(&directory, 0x4242, 2);
        bytes_little(&directory, 2, 2);
        bytes_little(&directory, 0, 2);
        bytes_little(&directory, 1, 2);
        bytes_little(&directory, 24, 2);
        bytes_little(&directory, m[i].n, 8);
        bytes_little(&directory, m[i].n, 8);
        bytes_little(&directory, local, 8);
    }
    size_t at = z.n;
    bytes_add(&z, directory.at, directory.n);
    if (zip64) {
        size_t end = z.n;
        bytes_little(&z, 0x06064b50, 4);
        bytes_little(&z, 44, 8);
        bytes_little(&z, 0, 4);
        bytes_little(&z, 0, 8);
        bytes_little(&z, n, 8);
        bytes_little(&z, n, 8);
        bytes_little(&z, directory.n, 8);
        bytes_little(&z, at, 8);
        bytes_little(&z, 0x07064b50, 4);
        bytes_little(&z, 0, 4);
        bytes_little(&z, end, 8);
        bytes_little(&z, 1, 4);
    }
    bytes_little(&z, 0x06054b50, 4);
    bytes_little(&z, 0, 4);
    bytes_little(&z, zip64 ? UINT16_MAX : n, 2);
    bytes_little(&z, zip64 ? UINT16_MAX : n, 2);
    bytes_little(&z, zip64 ? UINT32_MAX : directory.n, 4);
    bytes_little(&z, zip64 ? UINT32_MAX : at, 4);
    bytes_little(&z, 0, 2);
    bytes_free(&directory);
    return z;
}

void p_text(bytes *b, const char *text) {
    p_op(b, "X");
    bytes_little(b, strlen(text), 4);
    bytes_add(b, text, strlen(text));
}

void p_int(bytes *b, int64_t v) {
    int small = v >= INT32_MIN && v <= INT32_MAX;
    p_op(b, small ? "J" : "\x8a\x08");
    bytes_little(b, (uint64_t)v, small ? 4 : 8);
}

void p_global(bytes *b, const char *module, const char *name) {
    p_op(b, "c");
    p_op(b, module);
    p_op(b, "\n");
    p_op(b, name);
    p_op(b, "\n");
}

static void tuple(bytes *b, int n, const int64_t *v) {
    p_op(b, "(");
    for (int i = 0; i < n; i++) p_int(b, v[i]);
    p_op(b, "t");
}

void p_tensor(bytes *b, const char *storage_type, const char *key, int64_t elements, int64_t offset, int axes,
              const int64_t *size, const int64_t *stride) {
    p_global(b, "torch._utils", "_rebuild_tensor_v2");
    p_op(b, "((");
    p_text(b, "storage");
    p_global(b, "torch", storage_type);
    p_text(b, key);
    p_text(b, "cpu");
    p_int(b, elements);
    p_op(b, "tQ");
    p_int(b, offset);
    tuple(b, axes, size);
    tuple(b, axes, stride);
    p_op(b, "\x89");
    p_global(b, "collections", "OrderedDict");
    p_op(b, ")RtR");
}
