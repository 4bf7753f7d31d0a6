/* Run-length coded frames: a header of 16 words, then a segment for each byte of a sample, the highest first. */
#include "dicom/rle.h"

#include "dicom/elements.h"

enum { HEADER = 64 };

/* PackBits: b < 128: b + 1 bytes follow as they are; b > 128: the next byte 257 - b times. To every each-th byte. */
static bool unpack(const unsigned char *from, const unsigned char *end, size_t n, int each, unsigned char *to) {
    size_t made = 0;
    while (made < n) {
        if (from == end) return false;
        unsigned b = *from++;
        if (b == 128) continue;
        size_t run = b < 128 ? b + 1 : 257 - b, bytes = b < 128 ? run : 1;
        if (run > n - made || bytes > (size_t)(end - from)) return false;
        for (size_t i = 0; i < run; i++, made++) to[made * (size_t)each] = b < 128 ? from[i] : *from;
        from += bytes;
    }
    return true;
}

bool rle_decode(const unsigned char *from, size_t length, size_t n, int each, unsigned char *to) {
    if (length < HEADER || dicom_u32(from, false) != (uint32_t)each) return false;
    for (int s = 0; s < each; s++) {
        size_t at = dicom_u32(from + 4 + 4 * s, false),
               end = s + 1 < each ? dicom_u32(from + 8 + 4 * s, false) : length;
        if (at < HEADER || at > end || end > length) return false;
        if (!unpack(from + at, from + end, n, each, to + (each - 1 - s))) return false;
    }
    return true;
}
