/* One frame of 16 x 12 samples as other encoders compress it (imagecodecs 2025: libjpeg-turbo, CharLS, OpenJPEG), and
 * what it holds: stream_value. */
#ifndef TESTS_DICOM_STREAMS_H
#define TESTS_DICOM_STREAMS_H

#include <stddef.h>

enum { STREAM_COLUMNS = 16, STREAM_ROWS = 12 };
typedef struct stream_case {
    const char *name;
    const unsigned char *bytes;
    size_t n;
    int bits; /* 8, 12: (37 x + 91 y + 3 x y) mod 2^bits; 16: (3700 x + 9100 y + 311 x y) mod 2^16 */
    int off;  /* a value may be off by */
} stream_case;
extern const stream_case stream_cases[]; /* ends with an empty one */
static inline int stream_value(int bits, int x, int y) {
    return bits == 16 ? (3700 * x + 9100 * y + 311 * x * y) % 65536 : (37 * x + 91 * y + 3 * x * y) % (1 << bits);
}
const stream_case *stream_named(const char *name);

#endif
