/* Zip and tar files (tar also by gzip, bzip2, xz, zstd), through libarchive: their members one after the other.
 * Nothing is ever unpacked to disk, so no name in an archive can lead anywhere. */
#ifndef DICOM_ARCHIVE_H
#define DICOM_ARCHIVE_H

#include <stdbool.h>

#include "hct/types.h"

typedef struct archive_member {
    const char *name; /* as the archive has it, its bytes made UTF-8 */
    int64_t number;   /* from 0, of all entries */
    uint64_t size;    /* UINT64_MAX: not known before it was read */
    int64_t mtime_ns;
    bool is_file, is_link, is_encrypted;
    void *reader; /* archive.c's */
} archive_member;

/* Whether a file of these first bytes (n of them, 512 are enough) and that name is an archive to look into: told by
 * its bytes, but for office documents, models and the like, which are zip files too. */
bool archive_is(const char *name, const unsigned char *bytes, size_t n);

/* Calls visit for each entry in turn; < 0 from it stops the walk, 1 stops it without an error. HCT_EFORMAT: damaged,
 * from there on nothing was seen; HCT_EIO. */
typedef hct_status archive_visit(void *context, archive_member *m, hct_err *err);
hct_status archive_walk(const char *path, archive_visit *visit, void *context, hct_err *err);
/* Within visit: up to `room` of the member's next bytes; 0 at its end or where it is damaged. */
size_t archive_read_some(void *member, unsigned char *to, size_t room);
/* Within visit: all of the member, `most` bytes at most; the caller's to free. */
hct_status archive_read_all(archive_member *m, size_t most, unsigned char **ret, size_t *ret_n, hct_err *err);

#endif
