/* gzip in memory, through libdeflate (zlib where only the first bytes are wanted). */
#ifndef IMAGING_GZIP_H
#define IMAGING_GZIP_H

#include "hct/types.h"

/* 1 where bytes begin with gzip's magic number. */
int gzip_is(const unsigned char *bytes, size_t n);

/* Inflates the first bytes of the first member, at most `most` of them: what a file's header is read from before
 * anything is allocated for the rest. Returns how many there are; fewer than most where the data end or are damaged. */
size_t gzip_first(const unsigned char *bytes, size_t n, unsigned char *out, size_t most);

/* Inflates every member of a gzip file, one after the other (zero bytes after the last are allowed). The length stored
 * in the file is only a first guess: the buffer grows as needed, up to `cap` bytes. *ret is the caller's to free().
 * HCT_EFORMAT for damage or a file that ends early, HCT_EINVAL above the cap
 * (what the file's header tells of, and some more). name goes into messages. */
hct_status gzip_inflate(const char *name, const unsigned char *bytes, size_t n, size_t cap, unsigned char **ret,
                        size_t *ret_n, hct_err *err);

/* Length of what a file of one member below 4 GiB inflates to, as its last four bytes tell: nothing is inflated. -1
 * where it is no gzip file. */
int64_t gzip_length(const char *path);

/* One member. level 1 (fast) to 12 (small). The result depends on bytes and level only (no time, no name). */
hct_status gzip_deflate(const void *bytes, size_t n, int level, unsigned char **ret, size_t *ret_n, hct_err *err);

#endif
