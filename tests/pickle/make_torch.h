/* Makes files of torch.save for tests: a pickle written by hand, storages, a zip around them. */
#ifndef TESTS_PICKLE_MAKE_TORCH_H
#define TESTS_PICKLE_MAKE_TORCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    unsigned char *at;
    size_t n, capacity;
} bytes;

void bytes_add(bytes *b, const void *from, size_t n);
void bytes_little(bytes *b, uint64_t v, int n);
void bytes_free(bytes *b);

/* ---- zip ---- */

typedef struct member {
    const char *name;
    const void *data;
    size_t n;
    uint32_t crc; /* 0: none stated */
} member;

/* zip64: sizes and places in 64-bit fields, as torch writes large files. */
bytes make_zip(const member *m, size_t n, int zip64);

/* ---- pickles: each adds opcodes ---- */

void p_text(bytes *b, const char *text);
void p_int(bytes *b, int64_t v); /* BININT where it fits, else LONG1 */
void p_global(bytes *b, const char *module, const char *name);
/* A tensor of a storage; sizes and strides of `axes` numbers. */
void p_tensor(bytes *b, const char *storage_type, const char *key, int64_t elements, int64_t offset, int axes,
              const int64_t *size, const int64_t *stride);
static inline void p_op(bytes *b, const char *ops) {
    for (; *ops; ops++) bytes_add(b, ops, 1);
}

#endif
