/* Walks the structure of a DICOM data set: tags, VRs, lengths, sequences and items. */
#include "dicom/elements.h"

#include <string.h>

#define ITEM 0xfffee000u
#define ITEM_END 0xfffee00du
#define SEQUENCE_END 0xfffee0ddu

/* PS3.5 table 7.1-1 and 7.1-2: VRs whose length has 32 bits, after two reserved bytes; and those of 16 bits. */
static bool one_of(const char *list, const unsigned char *vr) {
    for (; *list; list += 3)
        if (list[0] == (char)vr[0] && list[1] == (char)vr[1]) return true;
    return false;
}
static bool is_long(const unsigned char *vr) { return one_of("OB OD OF OL OV OW SQ SV UC UN UR UT UV ", vr); }
static bool is_short(const unsigned char *vr) {
    return one_of("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ", vr);
}

bool dicom_is_vr(const unsigned char *letters) { return is_long(letters) || is_short(letters); }

static bool is_letter(unsigned char c) { return c >= 'A' && c <= 'Z'; }

/* A VR that DICOM gets in future has 32 bits of length after two zeros (PS3.5 7.1.2); what is no letters at all is an
 * element written without VR, which some writers leave in private groups. */
int dicom_element_at(dicom_bytes *bytes, uint64_t at, dicom_encoding encoding, dicom_element *ret) {
    const unsigned char *p = dicom_bytes_at(bytes, at, 8);
    if (!p) return 0;
    bool big = encoding.big;
    *ret = (dicom_element){.tag = dicom_u16(p, big) << 16 | dicom_u16(p + 2, big), .encoding = encoding};
    bool item = ret->tag >> 16 == 0xfffe, lettered = is_letter(p[4]) && is_letter(p[5]);
    if (encoding.implicit || item || !lettered) {
        ret->length = dicom_u32(p + 4, big);
        ret->at = at + 8;
        return 1;
    }
    memcpy(ret->vr, p + 4, 2);
    if (is_short(p + 4) || (!is_long(p + 4) && (p[6] || p[7]))) {
        ret->length = dicom_u16(p + 6, big);
        ret->at = at + 8;
        return 1;
    }
    p = dicom_bytes_at(bytes, at, 12);
    if (!p) return 0;
    ret->length = dicom_u32(p + 8, big);
    ret->at = at + 12;
    return 1;
}

void dicom_walk_begin(dicom_walk *w, dicom_bytes *bytes, uint64_t at, dicom_encoding encoding) {
    memset(w, 0, sizeof *w);
    w->bytes = bytes;
    w->at = at;
    w->encoding = encoding;
    w->quiet = DICOM_MOST_NESTED;
}

static hct_status ends_early(const dicom_walk *w, hct_err *err) {
    return hct_fail(err, HCT_EFORMAT, "%s: ends within its header, after %llu bytes: copy the file again",
                    dicom_bytes_name(w->bytes), (unsigned long long)w->at);
}

static hct_status damaged(const dicom_walk *w, const char *what, hct_err *err) {
    return hct_fail(err, HCT_EFORMAT, "%s: its header is damaged at byte %llu: %s", dicom_bytes_name(w->bytes),
                    (unsigned long long)w->at, what);
}

/* Where what is being read must end: the innermost item or sequence with a length, else the file. */
static uint64_t limit(const dicom_walk *w) {
    uint64_t end = dicom_bytes_size(w->bytes);
    for (int d = 0; d < w->depth; d++) {
        if (w->level[d].end < end) end = w->level[d].end;
        if (w->level[d].in_item && w->level[d].item_end < end) end = w->level[d].item_end;
    }
    return end;
}

/* A sequence has the VR SQ, or none, or UN, whose content is then implicit little endian (PS3.5 6.2.2). */
static hct_status open_sequence(dicom_walk *w, const dicom_element *e, hct_err *err) {
    if (w->depth == DICOM_MOST_NESTED) return damaged(w, "sequences lie more than 32 deep", err);
    dicom_encoding inside = e->encoding;
    if (memcmp(e->vr, "UN", 2) == 0) inside = (dicom_encoding){.implicit = true};
    uint64_t end = e->length == DICOM_UNDEFINED_LENGTH ? UINT64_MAX : e->at + e->length;
    w->level[w->depth++] = (struct dicom_level){.tag = e->tag, .item = -1, .end = end, .encoding = inside};
    w->at = e->at;
    return HCT_OK;
}

void dicom_walk_enter(dicom_walk *w) {
    const dicom_element *e = &w->last;
    if (!w->pending || w->depth == DICOM_MOST_NESTED || e->length == 0) return;
    if (e->vr[0] && memcmp(e->vr, "SQ", 2) != 0 && memcmp(e->vr, "UN", 2) != 0) return;
    if (open_sequence(w, e, NULL) == HCT_OK) w->pending = false;
}

/* Past the element reported last: by its length, or, where that is not told, item by item without reporting. */
static hct_status skip(dicom_walk *w, hct_err *err) {
    const dicom_element *e = &w->last;
    w->pending = false;
    if (e->length != DICOM_UNDEFINED_LENGTH) {
        if (!dicom_bytes_has(w->bytes, e->at, e->length)) return ends_early(w, err); /* deflated: not known before */
        w->at = e->at + e->length;
        return HCT_OK;
    }
    w->quiet = w->depth;
    return open_sequence(w, e, err);
}

/* Between two items of the innermost sequence. */
static hct_status next_item(dicom_walk *w, hct_err *err) {
    struct dicom_level *l = &w->level[w->depth - 1];
    if (w->at >= l->end) {
        w->at = l->end;
        w->depth--;
        return HCT_OK;
    }
    dicom_element e;
    if (!dicom_element_at(w->bytes, w->at, l->encoding, &e)) return ends_early(w, err);
    if (e.tag == SEQUENCE_END) {
        w->at = l->end != UINT64_MAX ? l->end : e.at;
        w->depth--;
        return HCT_OK;
    }
    if (e.tag != ITEM) {
        if (l->end == UINT64_MAX) return damaged(w, "an item of a sequence was expected", err);
        w->at = l->end; /* the rest of it is garbage, whose length is known */
        w->depth--;
        return HCT_OK;
    }
    bool undefined = e.length == DICOM_UNDEFINED_LENGTH;
    uint64_t end = limit(w);
    if (e.at > end || (!undefined && e.length > end - e.at))
        return damaged(w, "an item is longer than its sequence", err);
    l->item++;
    l->item_end = undefined ? UINT64_MAX : e.at + e.length;
    w->at = e.at;
    l->in_item = true;
    if (w->depth > w->quiet && !undefined) { /* nobody wants to look into it */
        w->at = l->item_end;
        l->in_item = false;
    }
    return HCT_OK;
}

/* The next element of the data set or of the item that is open; 0: there was none, look again; 1: *e is one. */
static int next_element(dicom_walk *w, dicom_element *e, hct_err *err) {
    struct dicom_level *l = w->depth ? &w->level[w->depth - 1] : NULL;
    if (l && w->at >= l->item_end) {
        w->at = l->item_end;
        l->in_item = false;
        return 0;
    }
    uint64_t end = limit(w);
    if (!dicom_element_at(w->bytes, w->at, l ? l->encoding : w->encoding, e)) return ends_early(w, err);
    if (e->tag == ITEM_END) {
        w->at = l && l->item_end != UINT64_MAX ? l->item_end : e->at;
        if (l) l->in_item = false;
        return 0;
    }
    if (e->tag == SEQUENCE_END || e->tag == ITEM) { /* an item's end was forgotten; or strays in the data set */
        if (l) l->in_item = false;
        else w->at = e->at;
        return 0;
    }
    e->depth = w->depth;
    bool pixels = !l && e->tag == DICOM_PIXEL_DATA;
    if (e->at > end) return ends_early(w, err);
    if (e->length != DICOM_UNDEFINED_LENGTH && e->length > end - e->at && !pixels) {
        w->at = e->at;
        return l ? damaged(w, "an element is longer than its item", err) : ends_early(w, err);
    }
    return 1;
}

/* Whether the data set has come to its end: no byte is left, or nothing but padding (the zeros of a tape's block, or
 * one of an odd length). */
static bool at_end(dicom_walk *w) {
    if (w->depth) return false;
    if (!dicom_bytes_has(w->bytes, w->at, 1)) return true;
    const unsigned char *p = dicom_bytes_at(w->bytes, w->at, 8);
    if (p) return memcmp(p, "\0\0\0\0\0\0\0\0", 8) == 0;
    p = dicom_bytes_at(w->bytes, w->at, 1);
    return p && *p == 0;
}

int dicom_walk_next(dicom_walk *w, dicom_element *ret, hct_err *err) {
    hct_status s = HCT_OK;
    if (w->pending && w->depth == 0 && w->last.tag == DICOM_PIXEL_DATA) return 0;
    if (w->pending) s = skip(w, err);
    while (s == HCT_OK) {
        if (w->depth <= w->quiet && w->quiet != DICOM_MOST_NESTED) w->quiet = DICOM_MOST_NESTED;
        if (at_end(w)) return 0;
        if (w->depth && !w->level[w->depth - 1].in_item) {
            s = next_item(w, err);
            continue;
        }
        dicom_element e;
        int found = next_element(w, &e, err);
        if (found < 0) return found;
        if (!found) continue;
        if (w->depth > w->quiet) { /* skipped: only what has no length must be walked */
            if (e.length == DICOM_UNDEFINED_LENGTH) s = open_sequence(w, &e, err);
            else w->at = e.at + e.length;
            continue;
        }
        w->last = *ret = e;
        w->pending = true;
        return 1;
    }
    return s;
}
