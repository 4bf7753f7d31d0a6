/* Reading a file's record: where its data set begins and how it is written, then one pass over its elements. */
#include "dicom/header.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/values.h"

enum { MOST_FRAMES = 1 << 16 };

/* The sequences that are looked into; all others are skipped. */
#define CONTRAST_SEQUENCE 0x00180012u
#define CONTRAST_USAGE 0x00189341u
#define ANATOMY 0x00082218u
#define FRAME_ANATOMY 0x00209071u
#define SHARED 0x52009229u
#define PER_FRAME 0x52009230u
#define POSITION 0x00200032u
#define ORIENTATION 0x00200037u
#define SPACING 0x00280030u
static const uint32_t macros[] = {
    0x00189304u /* CT acquisition details */,
    0x00189314u /* CT reconstruction */,
    0x00189325u /* CT X-ray details */,
    0x00189329u /* CT image frame type */,
    CONTRAST_USAGE,
    FRAME_ANATOMY,
    0x00209111u /* frame content */,
    0x00209113u /* plane position */,
    0x00209116u /* plane orientation */,
    0x00289110u /* pixel measures */,
    0x00289145u /* pixel value transformation */
};

struct dicom_chunk {
    struct dicom_chunk *next;
    size_t used, size;
    char bytes[];
};

const char *dicom_header_keep(dicom_header *h, const char *text, size_t n) {
    struct dicom_chunk *c = h->chunks;
    if (!c || c->size - c->used <= n) {
        size_t size = n + 1 > 1000 ? n + 1 : 1000;
        c = malloc(sizeof *c + size);
        if (!c) return NULL;
        *c = (struct dicom_chunk){.next = h->chunks, .size = size};
        h->chunks = c;
    }
    char *to = c->bytes + c->used;
    memcpy(to, text, n);
    to[n] = 0;
    c->used += n + 1;
    return to;
}

void dicom_header_free(dicom_header *h) {
    for (struct dicom_chunk *c = h->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(h->frames);
    *h = (dicom_header){0};
}

/* ---- one element ---- */

typedef struct reader {
    dicom_header *h;
    dicom_bytes *bytes;
    dicom_walk walk;
    dicom_frame shared;
    int64_t capacity;
    bool no_memory;
} reader;

static const unsigned char *value_of(reader *r, const dicom_element *e, size_t most) {
    size_t n = e->length < most ? e->length : most;
    return dicom_bytes_at(r->bytes, e->at, n);
}

static const char *text_of(reader *r, const dicom_element *e, bool converted) {
    char text[DICOM_LONGEST_VALUE];
    size_t n = e->length < DICOM_LONGEST_VALUE ? e->length : DICOM_LONGEST_VALUE;
    if (e->length == DICOM_UNDEFINED_LENGTH) n = 0;
    const unsigned char *bytes = dicom_bytes_at(r->bytes, e->at, n);
    if (!bytes) return NULL;
    dicom_text_of(bytes, n, r->h->character_set, converted, text, sizeof text);
    const char *kept = dicom_header_keep(r->h, text, strlen(text));
    r->no_memory = r->no_memory || !kept;
    return kept;
}

/* `want` numbers; the state of what was found. */
static dicom_state numbers_of(reader *r, const dicom_element *e, bool binary, double *ret, int want) {
    if (e->length == DICOM_UNDEFINED_LENGTH || e->length >= DICOM_LONGEST_VALUE) return DICOM_BAD;
    const unsigned char *bytes = value_of(r, e, DICOM_LONGEST_VALUE);
    bool blank = true;
    for (size_t i = 0; bytes && i < e->length; i++) blank = blank && (bytes[i] == ' ' || (!binary && !bytes[i]));
    if (!bytes) return DICOM_BAD;
    if (e->length == 0 || (blank && !binary)) return DICOM_EMPTY;
    return dicom_numbers_of(bytes, e, binary, ret, want) >= want ? DICOM_THERE : DICOM_BAD;
}

static dicom_number number_of(reader *r, const dicom_element *e, bool binary) {
    dicom_number n = {0};
    double v = 0;
    n.state = numbers_of(r, e, binary, &v, 1);
    n.value = n.state == DICOM_THERE ? v : 0;
    return n;
}

/* Binary where the file does not say: the image pixel module's 16-bit numbers. */
static bool is_binary(uint32_t tag) { return tag >> 16 == 0x0028 && tag != 0x00280008 && (tag & 0xff00) < 0x1000; }

static bool take_number(reader *r, const dicom_element *e) {
    dicom_header *h = r->h;
    switch (e->tag) {
#define X(member, tag, keyword)                                                                                        \
    case tag: h->member = number_of(r, e, is_binary(tag)); return true;
        DICOM_NUMBERS(X)
#undef X
    default: return false;
    }
}

static bool take_text(reader *r, const dicom_element *e) {
    dicom_header *h = r->h;
    switch (e->tag) {
#define X(member, tag, keyword, converted)                                                                             \
    case tag: h->member = text_of(r, e, converted); return true;
        DICOM_TEXTS(X)
#undef X
    default: return false;
    }
}

/* A direction of length 1, or not. */
static bool unit(double v[3]) {
    double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    if (!(fabs(length - 1) < 0.02)) return false;
    for (int i = 0; i < 3; i++) v[i] /= length;
    return true;
}

static void take_orientation(reader *r, const dicom_element *e, dicom_frame *f) {
    double v[6] = {0};
    f->orientation_state = numbers_of(r, e, false, v, 6);
    if (f->orientation_state != DICOM_THERE) return;
    double dot = v[0] * v[3] + v[1] * v[4] + v[2] * v[5];
    if (!unit(v) || !unit(v + 3) || fabs(dot) > 0.01) f->orientation_state = DICOM_BAD;
    memcpy(f->row, v, sizeof f->row);
    memcpy(f->column, v + 3, sizeof f->column);
}

/* What may differ from frame to frame. */
static bool take_frame(reader *r, const dicom_element *e, dicom_frame *f) {
    switch (e->tag) {
    case POSITION: f->position_state = numbers_of(r, e, false, f->position, 3); return true;
    case ORIENTATION: take_orientation(r, e, f); return true;
    case SPACING:
        f->spacing_state = numbers_of(r, e, false, f->spacing, 2);
        if (f->spacing_state == DICOM_THERE && !(f->spacing[0] > 0 && f->spacing[1] > 0)) f->spacing_state = DICOM_BAD;
        return true;
    case 0x00089007u: f->type = text_of(r, e, false); return true;
    case 0x00209056u: f->stack = text_of(r, e, false); return true;
    case 0x00209128u: f->temporal = number_of(r, e, true); return true;
    case 0x00209156u: f->acquisition = number_of(r, e, true); return true;
#define X(member, tag, keyword)                                                                                        \
    case tag: f->member = number_of(r, e, false); return true;
        DICOM_FRAME_NUMBERS(X)
#undef X
    default: return false;
    }
}

/* ---- functional groups ---- */

/* The frame of item i of the per-frame groups, which begins as a copy of what all share. */
static dicom_frame *frame_of_item(reader *r, int64_t i) {
    dicom_header *h = r->h;
    while (h->n_described <= i) {
        if (h->n_described == r->capacity) {
            int64_t more = r->capacity ? 2 * r->capacity : 16;
            dicom_frame *grown = realloc(h->frames, (size_t)more * sizeof *grown);
            if (!grown) {
                r->no_memory = true;
                return NULL;
            }
            h->frames = grown;
            r->capacity = more;
        }
        h->frames[h->n_described++] = r->shared;
    }
    return &h->frames[i];
}

/* What Enhanced CT keeps in functional groups and everything else in the data set itself. */
static void take_group_text(reader *r, const dicom_element *e) {
    dicom_header *h = r->h;
    if (e->tag == 0x00181210u && !h->kernel) h->kernel = text_of(r, e, true);
    if (e->tag == 0x00180060u && h->kvp.state == DICOM_ABSENT) h->kvp = number_of(r, e, false);
    if (e->tag == 0x00281054u && !h->rescale_type) h->rescale_type = text_of(r, e, false);
    if (e->tag == 0x00080104u && !h->body_part) h->body_part = text_of(r, e, true); /* of the region's code */
    if (e->tag == 0x00189342u) {                                                    /* ContrastBolusAgentAdministered */
        const unsigned char *p = value_of(r, e, 3);
        h->contrast_items += p && e->length >= 3 && memcmp(p, "YES", 3) == 0;
    }
}

static bool is_macro(uint32_t tag) {
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (macros[i] == tag) return true;
    return false;
}

/* An element inside a sequence that was entered. */
static void take_nested(reader *r, const dicom_element *e) {
    uint32_t top = dicom_walk_tag(&r->walk, 0);
    if (top == CONTRAST_SEQUENCE) {
        r->h->contrast_items = (int)dicom_walk_item(&r->walk, 0) + 1;
        return;
    }
    if (top == ANATOMY) {
        take_group_text(r, e);
        return;
    }
    if (e->depth == 1) {
        if (is_macro(e->tag)) dicom_walk_enter(&r->walk);
        return;
    }
    dicom_frame *f = top == SHARED ? &r->shared : frame_of_item(r, dicom_walk_item(&r->walk, 0));
    if (!f) return;
    if (e->depth == 2 && e->tag == ANATOMY && dicom_walk_tag(&r->walk, 1) == FRAME_ANATOMY) dicom_walk_enter(&r->walk);
    if (e->depth == 2 && !take_frame(r, e, f)) take_group_text(r, e);
    if (e->depth == 3) take_group_text(r, e);
}

/* ---- where the data set begins ---- */

typedef struct start {
    uint64_t at;
    dicom_encoding encoding;
    bool preamble;
} start;

/* Whether elements that make sense lie at `at`: three in ascending order, short enough for the file. */
static bool plausible(dicom_bytes *b, uint64_t at, dicom_encoding encoding) {
    uint32_t before = 0;
    for (int i = 0; i < 3; i++) {
        dicom_element e;
        if (!dicom_element_at(b, at, encoding, &e)) return i > 1 && at == dicom_bytes_size(b);
        bool sized = e.length != DICOM_UNDEFINED_LENGTH && dicom_bytes_has(b, e.at, e.length);
        if (e.tag <= before || !sized || (!encoding.implicit && !e.vr[0])) return false;
        before = e.tag;
        at = e.at + e.length;
    }
    return true;
}

/* How the data set at `at` is written, told by its first element: `told` where that fits. */
static dicom_encoding encoding_at(dicom_bytes *b, uint64_t at, dicom_encoding told) {
    const unsigned char *p = dicom_bytes_at(b, at, 8);
    if (!p) return told;
    bool lettered = dicom_is_vr(p + 4);
    told.implicit = !lettered;
    if (p[0] == 0 && p[1] != 0 && p[1] <= 0x20) told.big = true; /* group 8 or 10 as big endian */
    else if (p[1] == 0) told.big = false;
    return told;
}

/* 1: *ret is where group 2 or the data set begins; 0: no DICOM file. */
static int find_start(dicom_bytes *b, start *ret) {
    const unsigned char *p = dicom_bytes_at(b, 0, 132);
    *ret = (start){0};
    if (p && memcmp(p + 128, "DICM", 4) == 0) {
        ret->preamble = true;
        ret->at = 132;
        return 1;
    }
    p = dicom_bytes_at(b, 0, 8);
    if (!p) return 0;
    uint32_t little = dicom_u16(p, false), big = dicom_u16(p, true);
    if (little != 2 && little != 8 && big != 8) return 0;
    ret->encoding.big = little != 2 && little != 8;
    ret->encoding.implicit = !dicom_is_vr(p + 4);
    return plausible(b, 0, ret->encoding);
}

/* Reads group 2, in explicit little endian whatever follows; moves s->at behind it. */
static hct_status read_meta(reader *r, start *s, hct_err *err) {
    dicom_header *h = r->h;
    dicom_element e;
    dicom_encoding encoding = {.implicit = false};
    const unsigned char *p = dicom_bytes_at(r->bytes, s->at, 8);
    if (p && dicom_u16(p, false) == 2) encoding.implicit = !dicom_is_vr(p + 4);
    while (dicom_element_at(r->bytes, s->at, encoding, &e) && e.tag >> 16 == 2) {
        if (e.length == DICOM_UNDEFINED_LENGTH || !dicom_bytes_has(r->bytes, e.at, e.length))
            return hct_fail(err, HCT_EFORMAT, "%s: ends within its header, after %llu bytes: copy the file again",
                            dicom_bytes_name(r->bytes), (unsigned long long)e.at);
        if (e.tag == 0x00020010u) h->syntax_uid = text_of(r, &e, false);
        if (e.tag == 0x00020002u) {
            const char *class_uid = text_of(r, &e, false);
            h->is_directory = class_uid && strcmp(class_uid, "1.2.840.10008.1.3.10") == 0;
            h->class_uid = class_uid;
        }
        s->at = e.at + e.length;
    }
    return HCT_OK;
}

/* ---- the pass ---- */

static void found_pixels(reader *r, const dicom_element *e) {
    dicom_header *h = r->h;
    h->has_pixels = true;
    h->pixels_at = e->at;
    h->pixels_length = e->length;
    if (e->length == DICOM_UNDEFINED_LENGTH) return;
    uint64_t size = dicom_bytes_size(r->bytes);
    if (size != UINT64_MAX) h->pixels_missing = e->length > size - e->at ? e->length - (size - e->at) : 0;
    else h->pixels_missing = !dicom_bytes_has(r->bytes, e->at, e->length);
}

static hct_status read_data_set(reader *r, hct_err *err) {
    dicom_element e;
    int more;
    while ((more = dicom_walk_next(&r->walk, &e, err)) == 1) {
        if (r->h->n_described > MOST_FRAMES)
            return hct_fail(err, HCT_EFORMAT, "%s: describes more than %d frames", dicom_bytes_name(r->bytes),
                            MOST_FRAMES);
        if (e.depth) take_nested(r, &e);
        else if (e.tag == DICOM_PIXEL_DATA) found_pixels(r, &e);
        else if (e.tag == SHARED || e.tag == PER_FRAME || e.tag == CONTRAST_SEQUENCE || e.tag == ANATOMY)
            dicom_walk_enter(&r->walk);
        else if (!take_text(r, &e) && !take_number(r, &e)) take_frame(r, &e, &r->shared);
        if (r->no_memory) return hct_fail(err, HCT_ENOMEM, "%s: no memory for its header", dicom_bytes_name(r->bytes));
    }
    return more;
}

/* Signed where pixels are: padding has their representation, whatever VR it was given. */
static void sign(dicom_number *n, bool is_signed) {
    if (n->state != DICOM_THERE) return;
    n->value = is_signed ? (int16_t)(uint16_t)(int32_t)n->value : (uint16_t)(int32_t)n->value;
}

/* frames[] is there whatever happened; there are as many as the file says. */
static hct_status settle_frames(reader *r, hct_status s, hct_err *err) {
    dicom_header *h = r->h;
    double told = h->number_of_frames.state == DICOM_THERE ? floor(h->number_of_frames.value) : 1;
    h->n_frames = told < 1 ? 1 : told > INT32_MAX ? INT32_MAX : (int64_t)told;
    bool fits = h->n_described == h->n_frames, some = h->n_described > 0;
    if (!fits) h->n_described = 0;
    if (!frame_of_item(r, fits ? h->n_frames - 1 : 0))
        return s < 0 ? s : hct_fail(err, HCT_ENOMEM, "%s: no memory for its header", dicom_bytes_name(r->bytes));
    if (!fits) h->frames[0] = r->shared;
    if (s == HCT_OK && some && !fits)
        return hct_fail(err, HCT_EFORMAT, "%s: does not describe each of its %lld frames", dicom_bytes_name(r->bytes),
                        (long long)h->n_frames);
    return s;
}

hct_status dicom_header_read(dicom_bytes *bytes, dicom_header *ret, hct_err *err) {
    *ret = (dicom_header){0};
    reader r = {.h = ret, .bytes = bytes};
    start at;
    dicom_bytes *inflated = NULL;
    hct_status s = HCT_OK;
    if (!find_start(bytes, &at)) s = hct_fail(err, HCT_ENOTFOUND, "%s: is no DICOM file", dicom_bytes_name(bytes));
    ret->has_preamble = at.preamble;
    if (s == HCT_OK) s = read_meta(&r, &at, err);
    ret->syntax = ret->syntax_uid ? dicom_syntax_find(ret->syntax_uid) : NULL;
    if (s == HCT_OK && !ret->is_directory) {
        dicom_encoding told = at.encoding;
        if (ret->syntax) told = (dicom_encoding){ret->syntax->implicit, ret->syntax->big};
        ret->deflated_at = at.at;
        if (ret->syntax && ret->syntax->deflated) s = dicom_bytes_inflate(bytes, at.at, &inflated, err);
        if (inflated) r.bytes = inflated;
        if (s == HCT_OK) ret->encoding = encoding_at(r.bytes, at.at, told);
        dicom_walk_begin(&r.walk, r.bytes, at.at, ret->encoding);
        if (s == HCT_OK) s = read_data_set(&r, err);
    }
    bool is_signed = ret->pixel_representation.state == DICOM_THERE && ret->pixel_representation.value == 1;
    sign(&ret->padding, is_signed);
    sign(&ret->padding_limit, is_signed);
    s = settle_frames(&r, s, err);
    dicom_bytes_close(inflated);
    return s;
}

hct_status dicom_header_of(const char *path, dicom_header *ret, hct_err *err) {
    dicom_bytes *bytes;
    hct_status s = dicom_bytes_file(path, &bytes, err);
    *ret = (dicom_header){0};
    if (s == HCT_OK) s = dicom_header_read(bytes, ret, err);
    dicom_bytes_close(bytes);
    return s;
}
