/* DICOM objects: collected here, written by the component. */
#include "dicom/object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dicom/elements.h"
#include "support/sha256.h"

static void add(dicom_object *o, int kind, uint32_t tag, const char *vr, const void *bytes, size_t n) {
    if (o->n == o->room) {
        size_t room = o->room ? 2 * o->room : 256;
        hct_dicom_part *parts = realloc(o->parts, room * sizeof *parts);
        if (parts) o->parts = parts;
        size_t *at = realloc(o->at, room * sizeof *at);
        if (at) o->at = at;
        if (!parts || !at) {
            o->failed = true;
            return;
        }
        o->room = room;
    }
    o->at[o->n] = text_length(&o->values);
    o->parts[o->n] = (hct_dicom_part){.kind = kind, .tag = tag, .n = n};
    snprintf(o->parts[o->n++].vr, 4, "%s", vr);
    if (n) text_add(&o->values, bytes, n);
}

void object_bytes(dicom_object *o, uint32_t tag, const char *vr, const void *bytes, size_t n) {
    add(o, HCT_DICOM_VALUE, tag, vr, bytes, n);
}

void object_text(dicom_object *o, uint32_t tag, const char *vr, const char *text) {
    object_bytes(o, tag, vr, text, strlen(text));
}

void object_u16(dicom_object *o, uint32_t tag, unsigned value) {
    const unsigned char bytes[2] = {(unsigned char)value, (unsigned char)(value >> 8)};
    object_bytes(o, tag, "US", bytes, sizeof bytes);
}

void object_f64(dicom_object *o, uint32_t tag, double value) {
    uint64_t bits;
    unsigned char bytes[8];
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(bits >> 8 * i);
    object_bytes(o, tag, "FD", bytes, sizeof bytes);
}

void object_append(dicom_object *o, const dicom_object *from) {
    const char *values = text_so_far(&from->values);
    o->failed = o->failed || from->failed || text_check(&from->values, "", NULL) < 0;
    for (size_t i = 0; i < from->n && !o->failed; i++)
        add(o, from->parts[i].kind, from->parts[i].tag, from->parts[i].vr, values + from->at[i], from->parts[i].n);
}

void object_sequence(dicom_object *o, uint32_t tag) { add(o, HCT_DICOM_SEQUENCE, tag, "SQ", NULL, 0); }
void object_item(dicom_object *o) { add(o, HCT_DICOM_ITEM, 0, "", NULL, 0); }
void object_end(dicom_object *o) { add(o, HCT_DICOM_END, 0, "", NULL, 0); }

void object_nothing(dicom_object *o, uint32_t tag) {
    object_sequence(o, tag);
    object_end(o);
}

void object_reference(dicom_object *o, const char *class_uid, const char *instance_uid) {
    object_item(o);
    object_text(o, 0x00081150, "UI", class_uid);
    object_text(o, 0x00081155, "UI", instance_uid);
    object_end(o);
}

/* ---- of the study ---- */

typedef struct copied {
    uint32_t tag;
    char vr[3];
    bool needed; /* where the source has none, the object says it empty */
} copied;

/* Says nothing without how it was done (PS3.3 C.7.1.1). */
enum { IDENTITY_REMOVED = 0x00120062, REMOVED_HOW = 0x00120063 };

static const copied STUDY[] = {
    {0x00080005, "CS", false},       {0x00080020, "DA", true},   {0x00080030, "TM", true}, {0x00080050, "SH", true},
    {0x00080090, "PN", true},        {0x00081030, "LO", false},  {0x00100010, "PN", true}, {0x00100020, "LO", true},
    {0x00100021, "LO", false},       {0x00100030, "DA", true},   {0x00100040, "CS", true}, {0x00101010, "AS", false},
    {IDENTITY_REMOVED, "CS", false}, {REMOVED_HOW, "LO", false}, {0x0020000d, "UI", true}, {0x00200010, "SH", true},
};
enum { COPIED = sizeof STUDY / sizeof *STUDY, LONGEST = 1 << 16 };

static hct_status copy_values(dicom_object *o, dicom_bytes *bytes, const dicom_header *h, hct_err *err) {
    dicom_walk w;
    dicom_element e;
    bool seen[COPIED] = {false};
    char removed[8] = "";
    int more;
    dicom_walk_begin(&w, bytes, h->deflated_at, h->encoding);
    while ((more = dicom_walk_next(&w, &e, err)) == 1 && e.tag <= STUDY[COPIED - 1].tag)
        for (size_t i = 0; i < COPIED; i++) {
            if (STUDY[i].tag != e.tag || seen[i] || e.length > LONGEST) continue;
            const unsigned char *value = e.length ? dicom_bytes_at(bytes, e.at, e.length) : NULL;
            size_t n = value ? e.length : 0;
            while (n && (value[n - 1] == ' ' || !value[n - 1])) n--;
            seen[i] = true;
            if (e.tag == IDENTITY_REMOVED)
                snprintf(removed, sizeof removed, "%.*s", (int)n, value ? (const char *)value : "");
            else if (n || STUDY[i].needed) object_bytes(o, e.tag, STUDY[i].vr, value, n);
            if (e.tag == REMOVED_HOW && n && *removed) object_text(o, IDENTITY_REMOVED, "CS", removed);
        }
    for (size_t i = 0; i < COPIED; i++)
        if (!seen[i] && STUDY[i].needed) object_text(o, STUDY[i].tag, STUDY[i].vr, "");
    return more < 0 ? more : HCT_OK;
}

hct_status object_copy_study(dicom_object *o, const pile_file *source, hct_err *err) {
    pile_open_file f;
    dicom_bytes *inflated = NULL;
    const dicom_header *h = &source->header;
    hct_status s = pile_open(source, &f, err);
    if (s < 0) return s;
    if (h->syntax && h->syntax->deflated) s = dicom_bytes_inflate(f.bytes, h->deflated_at, &inflated, err);
    if (s == HCT_OK) s = copy_values(o, inflated ? inflated : f.bytes, h, err);
    dicom_bytes_close(inflated);
    pile_close(&f);
    return s;
}

void object_own_series(dicom_object *o, const object_series *s) {
    char number[16], date[16], hour[16];
    time_t now = time(NULL);
    struct tm t;
    localtime_r(&now, &t); /* as the study's own times, which say no zone */
    strftime(date, sizeof date, "%Y%m%d", &t);
    strftime(hour, sizeof hour, "%H%M%S", &t);
    object_text(o, 0x00080016, "UI", s->class_uid);
    object_text(o, 0x00080018, "UI", s->instance_uid);
    object_text(o, 0x00080021, "DA", date);
    object_text(o, 0x00080023, "DA", date);
    object_text(o, 0x00080031, "TM", hour);
    object_text(o, 0x00080033, "TM", hour);
    object_text(o, 0x00080060, "CS", s->modality);
    object_text(o, 0x00080070, "LO", "headct");
    object_text(o, 0x0008103e, "LO", s->description);
    object_text(o, 0x00081090, "LO", s->model);
    object_text(o, 0x00181000, "LO", s->model_serial);
    object_text(o, 0x00181020, "LO", HEADCT_VERSION);
    object_text(o, 0x0020000e, "UI", s->series_uid);
    snprintf(number, sizeof number, "%d", s->series_number);
    object_text(o, 0x00200011, "IS", number);
    snprintf(number, sizeof number, "%d", s->instance_number);
    object_text(o, 0x00200013, "IS", number);
}

/* ---- names ---- */

bool object_is_plain(const char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '\\') return false;
    return true;
}

static unsigned digit_of(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

hct_status object_uid(const char *const *texts, size_t n, char ret[OBJECT_UID], hct_err *err) {
    char hex[SHA256_HEX], digits[40];
    unsigned char b[16];
    sha256 *h = sha256_begin();
    for (size_t i = 0; i < n; i++) sha256_add(h, texts[i], strlen(texts[i]) + 1);
    hct_status s = sha256_end(h, hex, err);
    if (s < 0) return s;
    for (size_t i = 0; i < 16; i++) b[i] = (unsigned char)(digit_of(hex[2 * i]) << 4 | digit_of(hex[2 * i + 1]));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x80);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    size_t at = sizeof digits;
    digits[--at] = '\0';
    for (bool more = true; more;) { /* divided by ten until nothing is left */
        unsigned rest = 0;
        more = false;
        for (int i = 0; i < 16; i++) {
            unsigned v = rest << 8 | b[i];
            b[i] = (unsigned char)(v / 10);
            rest = v % 10;
            more = more || b[i];
        }
        digits[--at] = (char)('0' + rest);
    }
    snprintf(ret, OBJECT_UID, "2.25.%s", digits + at);
    return HCT_OK;
}

/* ---- the file ---- */

hct_status object_write(const dicom_object *o, const char *path, hct_err *err) {
    const hct_dicom_writer *writer;
    char why[200] = "";
    unsigned char *file = NULL;
    uint64_t n = 0;
    const char *values = text_get(&o->values, path, err);
    if (!values || o->failed) return hct_fail_untold(err, HCT_ENOMEM, "%s: out of memory", path);
    hct_err lacks = {0};
    hct_status s = dicom_writer_component(&writer, &lacks);
    if (s < 0) return hct_fail(err, s, "writing DICOM %s", lacks.msg);
    for (size_t i = 0; i < o->n; i++)
        o->parts[i].bytes = o->parts[i].n ? (const unsigned char *)values + o->at[i] : NULL;
    s = writer->write(o->parts, o->n, &file, &n, why, sizeof why);
    if (s < 0) return hct_fail(err, s, "%s: %s", path, why);
    hct_outfile *out = hct_outfile_open(path, err);
    hct_outfile_write(out, file, (size_t)n);
    s = hct_outfile_close(out, err);
    writer->release(file);
    return s;
}

void object_free(dicom_object *o) {
    text_free(&o->values);
    free(o->parts);
    free(o->at);
    *o = (dicom_object){0};
}
