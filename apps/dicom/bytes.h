/* The bytes of a DICOM file, wherever they lie: on disk, in memory (a member of an archive), or deflated behind the
 * first part of another one. Read through a window that moves, so that a header costs a few KiB whatever the file's
 * size and a deflated file costs no more memory than what is looked at. */
#ifndef DICOM_BYTES_H
#define DICOM_BYTES_H

#include <stdbool.h>

#include "hct/types.h"

typedef struct dicom_bytes dicom_bytes;

/* HCT_ENOTFOUND, HCT_EIO: no such file, or one that cannot be read. Close with dicom_bytes_close. */
hct_status dicom_bytes_file(const char *path, dicom_bytes **ret, hct_err *err);
/* Borrows the bytes; name goes into messages. */
hct_status dicom_bytes_memory(const char *name, const void *bytes, size_t n, dicom_bytes **ret, hct_err *err);
/* What the bytes of `from` from `at` on inflate to (RFC 1951, without a header of zlib's), counted from `at` on as
 * well. Borrows `from`, which nothing else may use meanwhile. Only moves forward cheaply; going back begins anew. */
hct_status dicom_bytes_inflate(dicom_bytes *from, uint64_t at, dicom_bytes **ret, hct_err *err);
/* `size` bytes that come one behind the other: more() puts up to `room` of them to `to` and returns how many, 0 at
 * the end or where they cannot be read. Never goes back by more than the window holds. */
typedef size_t dicom_bytes_more(void *context, unsigned char *to, size_t room);
hct_status dicom_bytes_stream(const char *name, uint64_t size, dicom_bytes_more *more, void *context, dicom_bytes **ret,
                              hct_err *err);
/* b may be NULL. */
void dicom_bytes_close(dicom_bytes *b);

/* n bytes from `at` on, valid until the next call; NULL where the file ends before, or cannot be read. n: at most
 * DICOM_BYTES_MOST. */
const unsigned char *dicom_bytes_at(dicom_bytes *b, uint64_t at, size_t n);
enum { DICOM_BYTES_MOST = 1 << 29 };
/* Whether n bytes from `at` on are there: of a deflated file, as far as it was inflated or can be. */
bool dicom_bytes_has(dicom_bytes *b, uint64_t at, uint64_t n);
/* Where the bytes end; UINT64_MAX: not known (deflated). */
uint64_t dicom_bytes_size(const dicom_bytes *b);
const char *dicom_bytes_name(const dicom_bytes *b);

#endif
