/* Zip archives whose members are stored without compression, as torch.save writes them, read in place: the file is
 * mapped and a member is a pointer into it. (PKWARE's APPNOTE, zip64 included.)
 *
 * Our own reader, because the libraries that Debian has (libzip, libarchive) copy members out through a stream, and
 * minizip, which tells a member's place, checks neither that members lie apart nor that a name is there once. A
 * checkpoint's storages are gigabytes and are not to be copied; its directory is small, and all of it is checked
 * before the first member is handed out: signatures, sizes in 64 bits, members inside the file, in front of the
 * directory and apart from one another, each name once, the local header's name the same. */
#ifndef PICKLE_ZIP_H
#define PICKLE_ZIP_H

#include "hct/types.h"

typedef struct zip_member {
    const char *name; /* not NUL-terminated */
    size_t name_bytes;
    const unsigned char *bytes; /* in the mapped file */
    size_t size;
    uint32_t crc; /* 0: the writer computed none */
} zip_member;

typedef struct zip zip;

/* NULL and err on any damage, on compressed or encrypted members, and where the file is no zip archive. */
zip *zip_open(const char *path, hct_err *err);
/* z may be NULL. */
void zip_close(zip *z);
/* Members in order of name (bytewise). */
size_t zip_count(const zip *z);
const zip_member *zip_at(const zip *z, size_t i);
/* NULL where absent. */
const zip_member *zip_find(const zip *z, const char *name, size_t name_bytes);
/* Whether the bytes have the checksum that the directory states. Reads all of them. */
int zip_intact(const zip_member *m);
size_t zip_file_bytes(const zip *z);

#endif
