/* A record as bytes and back, for a cache of headers. Same machine, same version: numbers are as they lie in memory. */
#include <stdlib.h>
#include <string.h>

#include "dicom/header.h"
#include "support/text.h"

enum { PACK_VERSION = 1, NO_TEXT = 0xffff };

typedef struct source {
    const unsigned char *at;
    size_t left;
    bool failed;
} source;

static void take(source *s, void *to, size_t n) {
    s->failed = s->failed || n > s->left;
    if (s->failed) {
        memset(to, 0, n);
        return;
    }
    memcpy(to, s->at, n);
    s->at += n;
    s->left -= n;
}

static void put_text(text_buffer *t, const char *text) {
    size_t length = text ? strlen(text) : 0;
    uint16_t n = text ? (uint16_t)(length < NO_TEXT ? length : NO_TEXT - 1) : NO_TEXT;
    text_add(t, (const char *)&n, sizeof n);
    if (text) text_add(t, text, n);
}

static const char *take_text(source *s, dicom_header *h) {
    uint16_t n = NO_TEXT;
    take(s, &n, sizeof n);
    if (s->failed || n == NO_TEXT) return NULL;
    if (n > s->left) {
        s->failed = true;
        return NULL;
    }
    const char *kept = dicom_header_keep(h, (const char *)s->at, n);
    s->failed = s->failed || !kept;
    s->at += n;
    s->left -= n;
    return kept;
}

/* The members that are neither text nor number nor frames, in one place for both ways. */
typedef struct rest {
    int64_t contrast_items, n_frames, n_described;
    uint64_t deflated_at, pixels_at, pixels_missing;
    uint32_t pixels_length;
    uint8_t is_directory, has_preamble, has_pixels, implicit, big;
} rest;

unsigned char *dicom_header_pack(const dicom_header *h, size_t *ret_n) {
    text_buffer t = {0};
    uint32_t version = PACK_VERSION;
    rest r;
    memset(&r, 0, sizeof r);
    r.contrast_items = h->contrast_items;
    r.n_frames = h->n_frames;
    r.n_described = h->n_described;
    r.deflated_at = h->deflated_at;
    r.pixels_at = h->pixels_at;
    r.pixels_missing = h->pixels_missing;
    r.pixels_length = h->pixels_length;
    r.is_directory = h->is_directory;
    r.has_preamble = h->has_preamble;
    r.has_pixels = h->has_pixels;
    r.implicit = h->encoding.implicit;
    r.big = h->encoding.big;
    text_add(&t, (const char *)&version, sizeof version);
    text_add(&t, (const char *)&r, sizeof r);
    put_text(&t, h->syntax_uid);
#define X(member, tag, keyword, converted) put_text(&t, h->member);
    DICOM_TEXTS(X)
#undef X
#define X(member, tag, keyword) text_add(&t, (const char *)&h->member, sizeof h->member);
    DICOM_NUMBERS(X)
#undef X
    for (int64_t i = 0; i < h->n_described; i++) {
        dicom_frame f = h->frames[i];
        f.type = f.stack = NULL;
        text_add(&t, (const char *)&f, sizeof f);
        put_text(&t, h->frames[i].type);
        put_text(&t, h->frames[i].stack);
    }
    *ret_n = text_length(&t);
    return (unsigned char *)text_take(&t, "DICOM header", NULL);
}

static void take_frames(source *s, dicom_header *h) {
    int64_t most = (int64_t)(s->left / sizeof *h->frames);
    s->failed = s->failed || h->n_described < 1 || h->n_described > most;
    if (!s->failed) h->frames = calloc((size_t)h->n_described, sizeof *h->frames);
    s->failed = s->failed || !h->frames;
    for (int64_t i = 0; !s->failed && i < h->n_described; i++) {
        dicom_frame *f = &h->frames[i];
        take(s, f, sizeof *f);
        f->type = take_text(s, h);
        f->stack = take_text(s, h);
    }
}

hct_status dicom_header_unpack(const unsigned char *bytes, size_t n, dicom_header *ret, hct_err *err) {
    source s = {bytes, n, false};
    uint32_t version = 0;
    rest r;
    *ret = (dicom_header){0};
    take(&s, &version, sizeof version);
    if (s.failed || version != PACK_VERSION)
        return hct_fail(err, HCT_EVERSION, "a kept DICOM header is of version %u, not %d: read the file again", version,
                        PACK_VERSION);
    take(&s, &r, sizeof r);
    ret->contrast_items = (int)r.contrast_items;
    ret->n_frames = r.n_frames;
    ret->n_described = r.n_described;
    ret->deflated_at = r.deflated_at;
    ret->pixels_at = r.pixels_at;
    ret->pixels_missing = r.pixels_missing;
    ret->pixels_length = r.pixels_length;
    ret->is_directory = r.is_directory;
    ret->has_preamble = r.has_preamble;
    ret->has_pixels = r.has_pixels;
    ret->encoding = (dicom_encoding){r.implicit, r.big};
    ret->syntax_uid = take_text(&s, ret);
    ret->syntax = ret->syntax_uid ? dicom_syntax_find(ret->syntax_uid) : NULL;
#define X(member, tag, keyword, converted) ret->member = take_text(&s, ret);
    DICOM_TEXTS(X)
#undef X
#define X(member, tag, keyword) take(&s, &ret->member, sizeof ret->member);
    DICOM_NUMBERS(X)
#undef X
    take_frames(&s, ret);
    if (!s.failed && s.left == 0) return HCT_OK;
    return hct_fail(err, HCT_EFORMAT, "a kept DICOM header is damaged: read the file again");
}
