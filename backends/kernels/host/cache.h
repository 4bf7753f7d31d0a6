/* backends/kernels/host/cache.h: where backends keep what they found out about a device: HEADCT_CACHE, else
 * $XDG_CACHE_HOME/headct, else ~/.cache/headct; HEADCT_CACHE=off: nowhere. */
#ifndef HK_CACHE_H
#define HK_CACHE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HK_HASH_START                                                                                                  \
    { 14695981039346656037u, 1099511628211u }
/* Takes n more bytes into a hash that began as HK_HASH_START. */
void hk_hash(uint64_t hash[2], const void *bytes, size_t n);

/* Makes the folder and writes its path; 0 where there is none to be had. */
int hk_cache_folder(char *out, size_t n);

/* A file beside `path`, to be written; hk_cache_finish puts it in path's place, whole and on disk, where all went
 * well (good), and else leaves path as it was. NULL: it cannot be written, which is no error for a cache. */
FILE *hk_cache_begin(const char *path);
void hk_cache_finish(FILE *, const char *path, int good);

#endif
