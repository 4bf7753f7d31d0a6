/* Frames of a file as stored values: plain, run-length coded, or through the component. */
#include "dicom/pixels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/component.h"
#include "dicom/rle.h"
#include "dicom/stream.h"

enum { MOST_SIDE = 1 << 15, MOST_PIXELS = 1 << 26 };

typedef struct fragment {
    uint64_t at;
    uint32_t length;
} fragment;

/* How a sample is written. */
typedef struct layout {
    int allocated, stored, shift; /* bits; the sample's lowest bit */
    bool is_signed;
} layout;

struct dicom_pixels {
    dicom_bytes *bytes;    /* where the pixels lie: the file, or what it inflates to */
    dicom_bytes *inflated; /* owned; NULL: not deflated */
    const dicom_header *h;
    layout as;
    int64_t rows, columns;
    fragment *fragments; /* of encapsulated pixels, without the offset table */
    int64_t n_fragments;
    int64_t *first; /* n_frames + 1: where each frame's fragments begin */
    unsigned char *scratch;
    size_t scratch_size;
};

static const char *syntax_name(const dicom_header *h) {
    return h->syntax ? h->syntax->name : "a guessed transfer syntax";
}
static const char *syntax_uid(const dicom_header *h) { return h->syntax ? h->syntax->uid : "none given"; }

static hct_status refuse(const char *name, const dicom_header *h, hct_status code, const char *what, hct_err *err) {
    return hct_fail(err, code, "%s: %s (%s): %s", name, syntax_name(h), syntax_uid(h), what);
}

static int whole(dicom_number n, int otherwise) {
    if (n.state != DICOM_THERE) return otherwise;
    return n.value == (double)(int)n.value && n.value >= 0 && n.value <= MOST_PIXELS ? (int)n.value : -1;
}

/* The layout of samples; HCT_EDTYPE where it is none that CT has. */
static hct_status layout_of(const char *name, const dicom_header *h, layout *ret, hct_err *err) {
    int allocated = whole(h->bits_allocated, -1), stored = whole(h->bits_stored, allocated),
        high = whole(h->high_bit, stored - 1), representation = whole(h->pixel_representation, 0);
    if (whole(h->samples, 1) != 1) return refuse(name, h, HCT_EDTYPE, "colour, or several samples a pixel", err);
    if (h->photometric && *h->photometric && strcmp(h->photometric, "MONOCHROME2") != 0 &&
        strcmp(h->photometric, "MONOCHROME1") != 0)
        return refuse(name, h, HCT_EDTYPE, "colour: its photometric interpretation is not MONOCHROME2", err);
    bool bytes = allocated == 8 || allocated == 16 || allocated == 32;
    if (!bytes || stored < 1 || stored > allocated || high < stored - 1 || high >= allocated || representation < 0 ||
        representation > 1 || (stored == 32 && !representation))
        return hct_fail(err, HCT_EDTYPE,
                        "%s: %s (%s): %d bits stored of %d, the highest %d, representation %d: none that a CT has",
                        name, syntax_name(h), syntax_uid(h), stored, allocated, high, representation);
    if (allocated == 8 && h->encoding.big) return refuse(name, h, HCT_EDTYPE, "8-bit pixels in big endian", err);
    *ret = (layout){allocated, stored, high + 1 - stored, representation == 1};
    return HCT_OK;
}

static hct_status check_size(const char *name, const dicom_header *h, int64_t *rows, int64_t *columns, hct_err *err) {
    *rows = whole(h->rows, -1);
    *columns = whole(h->columns, -1);
    if (*rows >= 1 && *columns >= 1 && *rows <= MOST_SIDE && *columns <= MOST_SIDE && *rows * *columns <= MOST_PIXELS)
        return HCT_OK;
    return refuse(name, h, HCT_EDTYPE, "its rows and columns make no image", err);
}

static hct_status check(const char *name, const dicom_header *h, layout *as, int64_t *rows, int64_t *columns,
                        hct_err *err) {
    if (h->syntax_uid && !h->syntax) {
        bool number = *h->syntax_uid && h->syntax_uid[strspn(h->syntax_uid, "0123456789.")] == 0;
        return hct_fail(err, HCT_EDTYPE, "%s: its transfer syntax (%s) is none that DICOM knows", name,
                        number ? h->syntax_uid : "no UID");
    }
    if (!h->has_pixels) return hct_fail(err, HCT_EDTYPE, "%s: has no pixel data", name);
    hct_status s = check_size(name, h, rows, columns, err);
    if (s == HCT_OK) s = layout_of(name, h, as, err);
    if (s < 0) return s;
    dicom_packing packing = h->syntax ? h->syntax->packing : DICOM_PLAIN;
    if (packing == DICOM_OTHER) return refuse(name, h, HCT_EDTYPE, "no decoder for this transfer syntax", err);
    if ((packing != DICOM_PLAIN) != (h->pixels_length == DICOM_UNDEFINED_LENGTH))
        return refuse(name, h, HCT_EFORMAT, "its pixels are not stored as its transfer syntax says", err);
    if (packing != DICOM_PLAIN && as->shift)
        return refuse(name, h, HCT_EDTYPE, "compressed, and shifted by HighBit", err);
    if (packing != DICOM_PLAIN) return HCT_OK;
    uint64_t want = (uint64_t)(*rows * *columns) * (uint64_t)(as->allocated / 8) * (uint64_t)h->n_frames;
    if (h->pixels_missing || want > h->pixels_length)
        return refuse(name, h, HCT_EFORMAT, "its pixels end early: copy the file again", err);
    return HCT_OK;
}

hct_status dicom_pixels_check(const char *name, const dicom_header *h, hct_err *err) {
    layout as;
    int64_t rows, columns;
    return check(name, h, &as, &rows, &columns, err);
}

/* ---- encapsulated pixels: PS3.5 A.4 ---- */

static hct_status add_fragment(dicom_pixels *p, fragment f, int64_t *capacity, hct_err *err) {
    if (p->n_fragments == *capacity) {
        int64_t more = *capacity ? 2 * *capacity : 8;
        fragment *grown = realloc(p->fragments, (size_t)more * sizeof *grown);
        if (!grown) return hct_fail(err, HCT_ENOMEM, "%s: no memory", dicom_bytes_name(p->bytes));
        p->fragments = grown;
        *capacity = more;
    }
    p->fragments[p->n_fragments++] = f;
    return HCT_OK;
}

/* Lists the fragments; *table is the item of the offset table. */
static hct_status list_fragments(dicom_pixels *p, fragment *table, hct_err *err) {
    const char *name = dicom_bytes_name(p->bytes);
    int64_t capacity = 0, items = 0;
    uint64_t at = p->h->pixels_at;
    hct_status s = HCT_OK;
    while (s == HCT_OK && dicom_bytes_has(p->bytes, at, 1)) {
        const unsigned char *head = dicom_bytes_at(p->bytes, at, 8);
        if (!head) return refuse(name, p->h, HCT_EFORMAT, "its pixels end early: copy the file again", err);
        uint32_t tag = dicom_u16(head, false) << 16 | dicom_u16(head + 2, false), length = dicom_u32(head + 4, false);
        if (tag == 0xfffee0ddu) return HCT_OK;
        if (tag != 0xfffee000u) return refuse(name, p->h, HCT_EFORMAT, "a fragment of its pixels is damaged", err);
        fragment f = {at + 8, length};
        if (length == DICOM_UNDEFINED_LENGTH || !dicom_bytes_has(p->bytes, f.at, length))
            return refuse(name, p->h, HCT_EFORMAT, "its pixels end early: copy the file again", err);
        if (items++ == 0) *table = f;
        else s = add_fragment(p, f, &capacity, err);
        at = f.at + length;
    }
    return s;
}

/* Which fragments are which frame's: all, one each, or as the offset table says. */
static hct_status share_out(dicom_pixels *p, const fragment *table, hct_err *err) {
    const char *name = dicom_bytes_name(p->bytes);
    int64_t frames = p->h->n_frames, n = p->n_fragments;
    if (frames > n) return refuse(name, p->h, HCT_EFORMAT, "it has fewer fragments than frames", err);
    p->first = malloc((size_t)(frames + 1) * sizeof *p->first);
    if (!p->first) return hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    p->first[0] = 0;
    p->first[frames] = n;
    if (frames == 1) return HCT_OK;
    for (int64_t i = 1; i < frames && frames == n; i++) p->first[i] = i;
    if (frames == n) return HCT_OK;
    uint64_t base = p->fragments[0].at - 8;
    for (int64_t i = 1, k = 0; i < frames; i++) {
        bool told = (uint64_t)frames * 4 <= table->length;
        const unsigned char *entry = told ? dicom_bytes_at(p->bytes, table->at + 4 * (uint64_t)i, 4) : NULL;
        uint64_t at = entry ? base + dicom_u32(entry, false) + 8 : 0;
        while (entry && k < n && p->fragments[k].at < at) k++;
        if (!entry || k >= n || p->fragments[k].at != at || k <= p->first[i - 1])
            return refuse(name, p->h, HCT_EFORMAT, "nothing tells where its frames begin", err);
        p->first[i] = k;
    }
    return HCT_OK;
}

hct_status dicom_pixels_open(dicom_bytes *bytes, const dicom_header *h, dicom_pixels **ret, hct_err *err) {
    fragment table = {0};
    dicom_pixels *p = *ret = calloc(1, sizeof *p);
    if (!p) return hct_fail(err, HCT_ENOMEM, "%s: no memory", dicom_bytes_name(bytes));
    p->bytes = bytes;
    p->h = h;
    hct_status s = check(dicom_bytes_name(bytes), h, &p->as, &p->rows, &p->columns, err);
    bool packed = s == HCT_OK && h->syntax && h->syntax->packing != DICOM_PLAIN;
    if (s == HCT_OK && h->syntax && h->syntax->deflated) {
        s = dicom_bytes_inflate(bytes, h->deflated_at, &p->inflated, err);
        if (s == HCT_OK) p->bytes = p->inflated;
    }
    if (packed) s = list_fragments(p, &table, err);
    if (packed && s == HCT_OK) s = share_out(p, &table, err);
    if (s == HCT_OK) return s;
    dicom_pixels_close(p);
    *ret = NULL;
    return s;
}

void dicom_pixels_close(dicom_pixels *p) {
    if (!p) return;
    dicom_bytes_close(p->inflated);
    free(p->fragments);
    free(p->first);
    free(p->scratch);
    free(p);
}

static unsigned char *scratch(dicom_pixels *p, size_t n) {
    if (n > p->scratch_size) {
        free(p->scratch);
        p->scratch = malloc(n);
        p->scratch_size = p->scratch ? n : 0;
    }
    return p->scratch;
}

/* ---- samples to stored values ---- */

/* The `bits` low bits of a pattern, the highest of them its sign. */
static int32_t with_sign(uint32_t pattern, int bits, bool is_signed) {
    uint32_t mask = bits == 32 ? UINT32_MAX : (1u << bits) - 1, top = 1u << (bits - 1);
    pattern &= mask;
    return is_signed && (pattern & top) ? (int32_t)((int64_t)pattern - ((int64_t)mask + 1)) : (int32_t)pattern;
}

static void from_plain(const layout *as, bool big, const unsigned char *from, int64_t n, int32_t *to) {
    if (as->allocated == 16 && !big && as->shift == 0 && as->stored == 16 && as->is_signed) {
        for (int64_t i = 0; i < n; i++) to[i] = (int16_t)(from[2 * i] | from[2 * i + 1] << 8);
        return;
    }
    if (as->allocated == 16 && !big && as->shift == 0 && !as->is_signed) {
        int32_t mask = (1 << as->stored) - 1;
        for (int64_t i = 0; i < n; i++) to[i] = (from[2 * i] | from[2 * i + 1] << 8) & mask;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t pattern = as->allocated == 8    ? from[i]
                           : as->allocated == 16 ? dicom_u16(from + 2 * i, big)
                                                 : dicom_u32(from + 4 * i, big);
        to[i] = with_sign(pattern >> as->shift, as->stored, as->is_signed);
    }
}

/* A sample of a stream of `bits` bits as the value that the header means; false where the two cannot both be right. */
static bool from_stream(const layout *as, int bits, bool stream_signed, uint32_t pattern, int32_t *ret) {
    int32_t own = with_sign(pattern, bits, stream_signed);
    if (bits == as->stored) { /* the same bits, whatever the stream says of their sign (JPEG cannot say any) */
        *ret = with_sign(pattern, bits, as->is_signed);
        return as->is_signed || own >= 0;
    }
    *ret = own;
    if (as->is_signed && !stream_signed) {
        uint32_t sign_bits = pattern >> (as->stored < bits ? as->stored - 1 : bits - 1);
        if (bits < as->stored) return !sign_bits; /* its top bit would be a sign, or a large number */
        *ret = with_sign(pattern, as->stored, true);
        return sign_bits <= 1 || sign_bits == (1u << (bits - as->stored + 1)) - 1;
    }
    int64_t most = (int64_t)1 << (as->is_signed ? as->stored - 1 : as->stored);
    return own < most && own >= (as->is_signed ? -most : 0);
}

/* ---- one frame ---- */

/* The frame's fragments one behind the other, into scratch memory with `spare` bytes in front. */
static hct_status gather(dicom_pixels *p, int64_t frame, size_t spare, unsigned char **ret, size_t *ret_n,
                         hct_err *err) {
    uint64_t total = 0;
    for (int64_t k = p->first[frame]; k < p->first[frame + 1]; k++) total += p->fragments[k].length;
    if (total > DICOM_BYTES_MOST)
        return refuse(dicom_bytes_name(p->bytes), p->h, HCT_EDTYPE, "a frame of more than 512 MiB", err);
    unsigned char *to = scratch(p, spare + (size_t)total + 1);
    if (!to) return hct_fail(err, HCT_ENOMEM, "%s: no memory", dicom_bytes_name(p->bytes));
    *ret = to + spare;
    *ret_n = (size_t)total;
    to += spare;
    for (int64_t k = p->first[frame]; k < p->first[frame + 1]; k++) {
        const unsigned char *from = dicom_bytes_at(p->bytes, p->fragments[k].at, p->fragments[k].length);
        if (!from)
            return refuse(dicom_bytes_name(p->bytes), p->h, HCT_EFORMAT, "its pixels end early: copy the file again",
                          err);
        memcpy(to, from, p->fragments[k].length);
        to += p->fragments[k].length;
    }
    return HCT_OK;
}

static hct_status plain_frame(dicom_pixels *p, int64_t frame, int32_t *stored, hct_err *err) {
    int64_t n = p->rows * p->columns, bytes = n * (p->as.allocated / 8);
    const unsigned char *from = dicom_bytes_at(p->bytes, p->h->pixels_at + (uint64_t)(frame * bytes), (size_t)bytes);
    if (!from)
        return refuse(dicom_bytes_name(p->bytes), p->h, HCT_EFORMAT, "its pixels end early: copy the file again", err);
    from_plain(&p->as, p->h->encoding.big, from, n, stored);
    return HCT_OK;
}

static hct_status rle_frame(dicom_pixels *p, int64_t frame, int32_t *stored, hct_err *err) {
    int64_t n = p->rows * p->columns;
    size_t bytes = (size_t)n * (size_t)(p->as.allocated / 8), length;
    unsigned char *from;
    hct_status s = gather(p, frame, bytes, &from, &length, err);
    if (s < 0) return s;
    if (!rle_decode(from, length, (size_t)n, p->as.allocated / 8, from - bytes))
        return refuse(dicom_bytes_name(p->bytes), p->h, HCT_EFORMAT, "its runs are damaged: copy the file again", err);
    from_plain(&p->as, false, from - bytes, n, stored);
    return HCT_OK;
}

static int32_t kind_of(dicom_packing packing) {
    return packing == DICOM_JPEG_LS     ? HCT_DICOM_JPEG_LS
           : packing == DICOM_JPEG_2000 ? HCT_DICOM_JPEG_2000
                                        : HCT_DICOM_JPEG;
}

static hct_status packed_frame(dicom_pixels *p, int64_t frame, int32_t *stored, hct_err *err) {
    const char *name = dicom_bytes_name(p->bytes);
    int64_t n = p->rows * p->columns;
    const hct_dicom_plugin *component;
    hct_dicom_stream stream;
    hct_err missing;
    unsigned char *from;
    size_t length;
    char why[200] = "";
    hct_status s = dicom_component(&component, &missing);
    if (s < 0) return refuse(name, p->h, s, missing.msg, err);
    s = gather(p, frame, (size_t)n * 2, &from, &length, err);
    if (s < 0) return s;
    s = dicom_stream_read(kind_of(p->h->syntax->packing), from, length, &stream, why, sizeof why);
    if (s == HCT_OK && (stream.columns != p->columns || stream.rows != p->rows)) {
        snprintf(why, sizeof why, "its stream holds %u x %u pixels, its header says %lld x %lld", stream.columns,
                 stream.rows, (long long)p->columns, (long long)p->rows);
        s = HCT_EFORMAT;
    }
    unsigned char *samples = from - 2 * n;
    if (s == HCT_OK) s = component->decode(&stream, samples, why, sizeof why);
    if (s < 0) return refuse(name, p->h, s, why, err);
    for (int64_t i = 0; i < n; i++) {
        uint16_t wide;
        memcpy(&wide, samples + 2 * i * (stream.bits > 8), sizeof wide);
        uint32_t pattern = stream.bits > 8 ? wide : samples[i];
        if (!from_stream(&p->as, (int)stream.bits, stream.is_signed, pattern, &stored[i])) {
            snprintf(why, sizeof why,
                     "its stream has %u bits, %ssigned, its header %d, %ssigned, and they mean different values",
                     stream.bits, stream.is_signed ? "" : "un", p->as.stored, p->as.is_signed ? "" : "un");
            return refuse(name, p->h, HCT_EDTYPE, why, err);
        }
    }
    return HCT_OK;
}

hct_status dicom_pixels_frame(dicom_pixels *p, int64_t i, int32_t *stored, hct_err *err) {
    dicom_packing packing = p->h->syntax ? p->h->syntax->packing : DICOM_PLAIN;
    if (i < 0 || i >= p->h->n_frames)
        return hct_fail(err, HCT_EINVAL, "%s: has no frame %lld", dicom_bytes_name(p->bytes), (long long)i);
    if (packing == DICOM_PLAIN) return plain_frame(p, i, stored, err);
    return packing == DICOM_RLE ? rle_frame(p, i, stored, err) : packed_frame(p, i, stored, err);
}
