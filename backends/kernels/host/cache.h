/* backends/kernels/host/cache.h: where backends keep what they found out about a device: HEADCT_CACHE, else $XDG_CACHE_HOME/headct, else
 * ~/.cache/headct; HEADCT_CACHE=off: nowhere. */
#ifndef HK_CACHE_H
#define HK_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define HK_HASH_START {14695981039346656037u, 1099511628211u}
/* Takes n more bytes into a hash that began as HK_HASH_START. */
void hk_hash(uint64_t hash[2], const void *bytes, size_t n);

/* Makes the folder and writes its path; 0 where there is none to be had. */
int hk_cache_folder(char *out, size_t n);

#endif
