/* The frame headers of JPEG, JPEG-LS (ISO 10918-1 B.2.2, ISO 14495-1 C.2.2) and JPEG 2000 (ISO 15444-1 A.5.1, I.4). */
#include "dicom/stream.h"

#include <stdio.h>
#include <string.h>

#include "dicom/elements.h"

static hct_status fail(char *why, size_t n_why, const char *text) {
    snprintf(why, n_why, "%s", text);
    return HCT_EFORMAT;
}

/* Up to and with the end marker FF D9, behind which zeros and fill bytes may lie; 0: there is none, so it was cut. */
static size_t without_padding(const unsigned char *bytes, size_t n) {
    while (n > 2 && (bytes[n - 1] == 0 || bytes[n - 1] == 0xff)) n--;
    return n >= 2 && bytes[n - 2] == 0xff && bytes[n - 1] == 0xd9 ? n : 0;
}

static bool is_frame_header(int marker, int32_t kind) {
    if (kind == HCT_DICOM_JPEG_LS) return marker == 0xf7;
    return marker == 0xc0 || marker == 0xc1 || marker == 0xc3; /* baseline, extended, lossless: all of Huffman's */
}

static hct_status read_jpeg(hct_dicom_stream *s, char *why, size_t n_why) {
    const unsigned char *p = s->bytes;
    size_t at = 2;
    if (s->n < 4 || p[0] != 0xff || p[1] != 0xd8) return fail(why, n_why, "does not begin as a JPEG stream does");
    while (at + 4 <= s->n) {
        if (p[at] != 0xff) return fail(why, n_why, "is damaged: no marker where one must be");
        if (p[at + 1] == 0xff) { /* fill */
            at++;
            continue;
        }
        int marker = p[at + 1];
        size_t length = dicom_u16(p + at + 2, true);
        if (length < 2 || length > s->n - at - 2) return fail(why, n_why, "is damaged: a segment is too long");
        if (is_frame_header(marker, s->kind)) {
            if (length < 11) return fail(why, n_why, "is damaged: its frame header is too short");
            s->bits = p[at + 4];
            s->rows = dicom_u16(p + at + 5, true);
            s->columns = dicom_u16(p + at + 7, true);
            if (p[at + 9] != 1) return fail(why, n_why, "has several components: colour");
            return HCT_OK;
        }
        if ((marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xcc && marker != 0xc8) || marker == 0xf7)
            return fail(why, n_why, "is of a process that is not read (progressive, hierarchical or arithmetic)");
        if (marker == 0xda || marker == 0xd9) break;
        at += 2 + length;
    }
    return fail(why, n_why, "is damaged: it has no frame header");
}

/* Where the codestream of a JP2 file begins, and how long it may be. */
static bool unwrap(const unsigned char **bytes, size_t *n) {
    static const unsigned char magic[12] = {0, 0, 0, 12, 'j', 'P', ' ', ' ', 0x0d, 0x0a, 0x87, 0x0a};
    if (*n < sizeof magic || memcmp(*bytes, magic, sizeof magic) != 0) return true;
    for (size_t at = 0; *n - at >= 8;) {
        size_t length = dicom_u32(*bytes + at, true);
        if (memcmp(*bytes + at + 4, "jp2c", 4) == 0) {
            *bytes += at + 8;
            *n -= at + 8;
            return true;
        }
        if (length < 8 || length > *n - at) return false;
        at += length;
    }
    return false;
}

static hct_status read_jpeg_2000(hct_dicom_stream *s, char *why, size_t n_why) {
    const unsigned char *p = s->bytes;
    if (s->n < 49 || dicom_u32(p, true) != 0xff4fff51u)
        return fail(why, n_why, "does not begin as a JPEG 2000 codestream does");
    uint32_t x1 = dicom_u32(p + 8, true), y1 = dicom_u32(p + 12, true), x0 = dicom_u32(p + 16, true),
             y0 = dicom_u32(p + 20, true), components = dicom_u16(p + 40, true);
    if (components != 1) return fail(why, n_why, "has several components: colour");
    if (p[43] != 1 || p[44] != 1) return fail(why, n_why, "is subsampled");
    if (x1 <= x0 || y1 <= y0 || x1 > 1u << 30 || y1 > 1u << 30) return fail(why, n_why, "is damaged: it has no size");
    s->columns = x1 - x0;
    s->rows = y1 - y0;
    s->bits = (p[42] & 0x7fu) + 1;
    s->is_signed = p[42] >> 7;
    return HCT_OK;
}

hct_status dicom_stream_read(int32_t kind, const unsigned char *bytes, size_t n, hct_dicom_stream *ret, char *why,
                             size_t n_why) {
    *ret = (hct_dicom_stream){.size = sizeof *ret, .kind = kind, .bytes = bytes, .n = n};
    if (kind == HCT_DICOM_JPEG_2000) {
        if (!unwrap(&bytes, &n)) return fail(why, n_why, "is damaged: a JP2 file without a codestream");
        ret->bytes = bytes;
    }
    ret->n = without_padding(bytes, n);
    if (!ret->n) return fail(why, n_why, "was cut: it has no end marker");
    hct_status s = kind == HCT_DICOM_JPEG_2000 ? read_jpeg_2000(ret, why, n_why) : read_jpeg(ret, why, n_why);
    if (s == HCT_OK && (ret->bits < 2 || ret->bits > 16)) return fail(why, n_why, "has more than 16 bits a sample");
    return s;
}
