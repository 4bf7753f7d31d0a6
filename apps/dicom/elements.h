/* Data elements of a DICOM file one after the other, as DICOM PS3.5 section 7 lays them out: structure only, no
 * meaning.
 *
 * Nothing in the bytes is believed. A length is compared with what its sequence, its item and the file still hold
 * before anything is read or skipped; sequences may lie MOST_NESTED deep; each step moves forward, so that no file
 * keeps the walk busy for longer than its bytes last; nothing is allocated. (GDCM's own reader, as Debian builds it,
 * ends the whole process by an assertion on one damaged header in four; docs/architecture.md.)
 *
 *   dicom_walk w;
 *   dicom_walk_begin(&w, bytes, at, encoding);
 *   while ((more = dicom_walk_next(&w, &e, err)) == 1)
 *       if (e.tag == ...) dicom_walk_enter(&w);     the elements of its items come next, e.depth one more
 */
#ifndef DICOM_ELEMENTS_H
#define DICOM_ELEMENTS_H

#include "dicom/bytes.h"

#define DICOM_UNDEFINED_LENGTH UINT32_MAX
#define DICOM_PIXEL_DATA 0x7fe00010u
enum { DICOM_MOST_NESTED = 32 };

typedef struct dicom_encoding {
    bool implicit, big; /* implicit VR; big endian */
} dicom_encoding;

typedef struct dicom_element {
    uint32_t tag;    /* group << 16 | element */
    uint32_t length; /* of the value; DICOM_UNDEFINED_LENGTH */
    uint64_t at;     /* of the value */
    char vr[2];      /* zeros where the file does not say */
    int depth;       /* 0: of the data set itself */
    dicom_encoding encoding;
} dicom_element;

typedef struct dicom_walk {
    dicom_bytes *bytes;
    dicom_encoding encoding;
    uint64_t at;
    int depth, quiet; /* sequences that are open; where their number falls to `quiet`, elements are reported again */
    bool pending;     /* the element reported last is still to be skipped or entered */
    dicom_element last;
    struct dicom_level {
        uint32_t tag;
        int64_t item;           /* from 0; -1 before the first */
        uint64_t end, item_end; /* UINT64_MAX: ended by a delimiter */
        bool in_item;
        dicom_encoding encoding;
    } level[DICOM_MOST_NESTED];
} dicom_walk;

void dicom_walk_begin(dicom_walk *w, dicom_bytes *bytes, uint64_t at, dicom_encoding encoding);
/* 1: *ret is the next element; 0: the end; HCT_EFORMAT: the bytes end within an element, or make no sense. After the
 * pixel data of the data set itself (reported, whatever its length) comes the end. */
int dicom_walk_next(dicom_walk *w, dicom_element *ret, hct_err *err);
/* The element reported last is a sequence whose items are wanted. Does nothing for one that cannot be. */
void dicom_walk_enter(dicom_walk *w);
/* Tag of the sequence at depth d < e.depth, and the number of the item in it. */
static inline uint32_t dicom_walk_tag(const dicom_walk *w, int d) { return w->level[d].tag; }
static inline int64_t dicom_walk_item(const dicom_walk *w, int d) { return w->level[d].item; }

/* The head of the element at `at`, its value not looked at. 0: the bytes end before. */
int dicom_element_at(dicom_bytes *bytes, uint64_t at, dicom_encoding encoding, dicom_element *ret);
/* The two letters of a VR that DICOM knows. */
bool dicom_is_vr(const unsigned char *letters);

static inline uint32_t dicom_u16(const unsigned char *p, bool big) {
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}
static inline uint32_t dicom_u32(const unsigned char *p, bool big) {
    return big ? dicom_u16(p, true) << 16 | dicom_u16(p + 2, true)
               : dicom_u16(p + 2, false) << 16 | dicom_u16(p, false);
}

#endif
