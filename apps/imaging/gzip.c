/* Compressed files in memory: what they begin with, all of them, and back. */
#include "imaging/gzip.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { MIN_MEMBER = 18, MAX_RATIO = 1032 }; /* gzip's header and trailer; deflate cannot expand more than that */

int gzip_is(const unsigned char *bytes, size_t n) { return n >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b; }

static int all_zero(const unsigned char *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (b[i]) return 0;
    return 1;
}

static uint32_t stored_length(const unsigned char *bytes, size_t n) {
    const unsigned char *p = bytes + n - 4;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int64_t gzip_length(const char *path) {
    unsigned char first[MIN_MEMBER], last[4];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -1;
    int is = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= MIN_MEMBER &&
             pread(fd, first, sizeof first, 0) == (ssize_t)sizeof first && gzip_is(first, sizeof first) &&
             pread(fd, last, sizeof last, st.st_size - 4) == 4;
    close(fd);
    return is ? (int64_t)stored_length(last, sizeof last) : -1;
}

size_t gzip_first(const unsigned char *bytes, size_t n, unsigned char *out, size_t most) {
    enum { GZIP_ONLY = 16 + MAX_WBITS, ENOUGH = 1 << 20 };
    z_stream z = {.next_in = (unsigned char *)bytes,
                  .avail_in = n < ENOUGH ? (unsigned)n : ENOUGH,
                  .next_out = out,
                  .avail_out = (unsigned)most};
    if (inflateInit2(&z, GZIP_ONLY) != Z_OK) return 0;
    inflate(&z, Z_SYNC_FLUSH);
    size_t got = most - z.avail_out;
    inflateEnd(&z);
    return got;
}

hct_status gzip_inflate(const char *name, const unsigned char *bytes, size_t n, size_t cap, unsigned char **ret,
                        size_t *ret_n, hct_err *err) {
    if (n < MIN_MEMBER) return hct_fail(err, HCT_EFORMAT, "%s: gzip file of only %zu bytes: copy it again", name, n);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    size_t size = stored_length(bytes, n), used = 0, at = 0;
    if (size / MAX_RATIO > n || size > cap) size = n < cap / 4 ? 4 * n : cap;
    size += 64;
    unsigned char *out = malloc(size);
    hct_status status = d && out ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: no memory to inflate it", name);
    while (status == HCT_OK && at < n) {
        if (used > 0 && all_zero(bytes + at, n - at)) break;
        size_t in = 0, got = 0;
        switch (libdeflate_gzip_decompress_ex(d, bytes + at, n - at, out + used, size - used, &in, &got)) {
        case LIBDEFLATE_SUCCESS:
            at += in;
            used += got;
            break;
        case LIBDEFLATE_INSUFFICIENT_SPACE:
            if (size >= cap) {
                status =
                    hct_fail(err, HCT_EINVAL,
                             "%s: inflates to more than the %zu bytes that its header tells of: not a scan", name, cap);
                break;
            }
            size = size > cap / 2 ? cap : 2 * size;
            unsigned char *more = realloc(out, size);
            if (more) out = more;
            else status = hct_fail(err, HCT_ENOMEM, "%s: no memory to inflate it", name);
            break;
        default:
            status = hct_fail(err, HCT_EFORMAT,
                              "%s: truncated or damaged gzip data (member at byte %zu of %zu): copy the file again",
                              name, at, n);
        }
    }
    libdeflate_free_decompressor(d);
    if (status < 0) {
        free(out);
        return status;
    }
    *ret = out;
    *ret_n = used;
    return HCT_OK;
}

hct_status gzip_deflate(const void *bytes, size_t n, int level, unsigned char **ret, size_t *ret_n, hct_err *err) {
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
    size_t bound = c ? libdeflate_gzip_compress_bound(c, n) : 0;
    unsigned char *out = c ? malloc(bound) : NULL;
    size_t got = out ? libdeflate_gzip_compress(c, bytes, n, out, bound) : 0;
    libdeflate_free_compressor(c);
    if (got == 0) {
        free(out);
        return hct_fail(err, HCT_ENOMEM, "no memory to compress %zu bytes", n);
    }
    *ret = out;
    *ret_n = got;
    return HCT_OK;
}
