/* Compiled programs on disk, in the folder of backends/kernels/host/cache.h. A file's name is the hash of device,
 * driver, options and source; in it a header, the hash of its content, and the driver's binary. */
#include "cache.h"
#include "opencl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "hctcl01";

static int path_of(const uint64_t hash[2], char *out, size_t n) {
    char dir[PATH_MAX - 64];
    return hk_cache_folder(dir, sizeof dir) &&
           snprintf(out, n, "%s/opencl-%016llx%016llx.bin", dir, (unsigned long long)hash[0],
                    (unsigned long long)hash[1]) < (int)n;
}

typedef struct header {
    char magic[8];
    uint64_t bytes, hash[2];
} header;

unsigned char *ocl_cache_read(const hct_device *d, uint64_t hash[2], size_t *ret_n) {
    (void)d;
    char path[PATH_MAX];
    if (!path_of(hash, path, sizeof path)) return NULL;
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    header h;
    struct stat info;
    unsigned char *bytes = NULL;
    uint64_t now[2] = HK_HASH_START;
    int good = fread(&h, sizeof h, 1, f) == 1 && !memcmp(h.magic, magic, sizeof magic) &&
               fstat(fileno(f), &info) == 0 && (uint64_t)info.st_size == sizeof h + h.bytes &&
               (bytes = malloc(h.bytes + 1)) != NULL && fread(bytes, 1, h.bytes, f) == h.bytes;
    fclose(f);
    if (good) {
        hk_hash(now, bytes, h.bytes);
        good = now[0] == h.hash[0] && now[1] == h.hash[1];
    }
    if (good) {
        *ret_n = h.bytes;
        return bytes;
    }
    fprintf(stderr, "headct: %s: the stored OpenCL program is damaged; it is compiled again\n", path);
    unlink(path);
    free(bytes);
    return NULL;
}

void ocl_cache_write(const hct_device *d, uint64_t hash[2], const unsigned char *bytes, size_t n) {
    (void)d;
    char path[PATH_MAX];
    if (!path_of(hash, path, sizeof path)) return;
    header h = {.bytes = n, .hash = HK_HASH_START};
    memcpy(h.magic, magic, sizeof magic);
    hk_hash(h.hash, bytes, n);
    FILE *f = hk_cache_begin(path); /* where it cannot be written the next start compiles again */
    if (f) hk_cache_finish(f, path, fwrite(&h, sizeof h, 1, f) == 1 && fwrite(bytes, 1, n, f) == n);
}
