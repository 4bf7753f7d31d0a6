/* A folder of compiled kernels and measured choices, shared by processes. */
#include "cache.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* FNV-1a in 64 bits (Fowler, Noll, Vo), twice from two starts. */
void hk_hash(uint64_t hash[2], const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        hash[0] = (hash[0] ^ p[i]) * 0x100000001B3u;
        hash[1] = (hash[1] ^ (unsigned char)(p[i] + 0x5b)) * 0x100000001B3u;
    }
}

int hk_cache_folder(char *out, size_t n) {
    const char *own = getenv("HEADCT_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && !strcmp(own, "off")) return 0;
    int used = own && *own     ? snprintf(out, n, "%s", own)
               : xdg && *xdg   ? snprintf(out, n, "%s/headct", xdg)
               : home && *home ? snprintf(out, n, "%s/.cache/headct", home)
                               : -1;
    if (used < 0 || (size_t)used + 8 > n) return 0;
    for (char *at = out + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        (void)mkdir(out, 0777);
        *at = '/';
    }
    return mkdir(out, 0777) == 0 || errno == EEXIST;
}

enum { NAME_MOST = PATH_MAX + 32 };
static void temporary_of(const char *path, char out[NAME_MOST]) {
    snprintf(out, NAME_MOST, "%s.%ld.tmp", path, (long)getpid());
}

FILE *hk_cache_begin(const char *path) {
    char temporary[NAME_MOST];
    temporary_of(path, temporary);
    return fopen(temporary, "wb");
}

void hk_cache_finish(FILE *f, const char *path, int good) {
    char temporary[NAME_MOST];
    temporary_of(path, temporary);
    good = good && !ferror(f) && fflush(f) == 0 && fsync(fileno(f)) == 0;
    good = fclose(f) == 0 && good;
    if (!good || rename(temporary, path) != 0) unlink(temporary);
}
