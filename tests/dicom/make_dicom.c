/* A small DICOM writer. */
#include "make_dicom.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

typedef struct element {
    uint32_t tag;
    char vr[3];
    unsigned char *bytes;
    size_t n;
    maker *const *items;
    size_t n_items;
    bool sequence, undefined, encapsulated;
    int word; /* bytes of a number, for big endian */
} element;

struct maker {
    element *elements;
    size_t n;
};

typedef struct out {
    unsigned char *bytes;
    size_t n, size;
} out;

static void *must(void *p) {
    if (p) return p;
    fputs("no memory for a test's DICOM file\n", stderr);
    exit(99);
}

static void put(out *o, const void *bytes, size_t n) {
    if (o->n + n > o->size) {
        o->size = 2 * (o->n + n);
        o->bytes = must(realloc(o->bytes, o->size));
    }
    if (n) memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}

static void put_number(out *o, uint32_t v, int bytes, bool big) {
    unsigned char b[4];
    for (int i = 0; i < bytes; i++) b[big ? bytes - 1 - i : i] = (unsigned char)(v >> (8 * i));
    put(o, b, (size_t)bytes);
}

static void put_tag(out *o, uint32_t tag, bool big) {
    put_number(o, tag >> 16, 2, big);
    put_number(o, tag & 0xffff, 2, big);
}

maker *maker_new(void) { return must(calloc(1, sizeof(maker))); }

void maker_free(maker *m) {
    for (size_t i = 0; i < m->n; i++) free(m->elements[i].bytes);
    free(m->elements);
    free(m);
}

void maker_drop(maker *m, uint32_t tag) {
    for (size_t i = 0; i < m->n; i++)
        if (m->elements[i].tag == tag) {
            free(m->elements[i].bytes);
            memmove(m->elements + i, m->elements + i + 1, (m->n - i - 1) * sizeof *m->elements);
            m->n--;
            return;
        }
}

static element *set(maker *m, uint32_t tag, const char *vr) {
    maker_drop(m, tag);
    m->elements = must(realloc(m->elements, (m->n + 1) * sizeof *m->elements));
    size_t at = m->n;
    while (at && m->elements[at - 1].tag > tag) at--;
    memmove(m->elements + at + 1, m->elements + at, (m->n - at) * sizeof *m->elements);
    m->n++;
    m->elements[at] = (element){.tag = tag, .word = 1};
    memcpy(m->elements[at].vr, vr, 2);
    return &m->elements[at];
}

void maker_bytes(maker *m, uint32_t tag, const char *vr, const void *bytes, size_t n) {
    element *e = set(m, tag, vr);
    e->bytes = must(calloc(1, n + 2));
    if (n) memcpy(e->bytes, bytes, n);
    e->n = n;
    if (n % 2) { /* values have even lengths */
        e->bytes[n] = strcmp(vr, "UI") == 0 || strcmp(vr, "OB") == 0 ? 0 : ' ';
        e->n++;
    }
}

void maker_text(maker *m, uint32_t tag, const char *vr, const char *text) {
    maker_bytes(m, tag, vr, text, strlen(text));
}

void maker_format(maker *m, uint32_t tag, const char *vr, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    maker_text(m, tag, vr, text);
}

void maker_us(maker *m, uint32_t tag, unsigned value) {
    unsigned char b[2] = {(unsigned char)value, (unsigned char)(value >> 8)};
    maker_bytes(m, tag, "US", b, 2);
    for (size_t i = 0; i < m->n; i++)
        if (m->elements[i].tag == tag) m->elements[i].word = 2;
}

void maker_sequence(maker *m, uint32_t tag, maker *const *items, size_t n, bool undefined) {
    element *e = set(m, tag, "SQ");
    e->sequence = true;
    e->undefined = undefined;
    e->items = items;
    e->n_items = n;
}

void maker_pixels(maker *m, const int32_t *values, size_t n, int bytes) {
    unsigned char *b = must(malloc(n * (size_t)bytes + 1));
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < bytes; k++)
            b[i * (size_t)bytes + (size_t)k] = (unsigned char)((uint32_t)values[i] >> (8 * k));
    maker_bytes(m, 0x7fe00010, bytes == 1 ? "OB" : "OW", b, n * (size_t)bytes);
    m->elements[m->n - 1].word = bytes;
    free(b);
}

void maker_fragments(maker *m, const uint32_t *table, size_t n_table, const void *const *bytes, const size_t *lengths,
                     size_t n) {
    out o = {0};
    put_tag(&o, 0xfffee000, false);
    put_number(&o, (uint32_t)(4 * n_table), 4, false);
    for (size_t i = 0; i < n_table; i++) put_number(&o, table[i], 4, false);
    for (size_t i = 0; i < n; i++) {
        put_tag(&o, 0xfffee000, false);
        put_number(&o, (uint32_t)(lengths[i] + lengths[i] % 2), 4, false);
        put(&o, bytes[i], lengths[i]);
        if (lengths[i] % 2) put(&o, "", 1);
    }
    put_tag(&o, 0xfffee0dd, false);
    put_number(&o, 0, 4, false);
    maker_bytes(m, 0x7fe00010, "OB", o.bytes, o.n);
    m->elements[m->n - 1].encapsulated = true;
    free(o.bytes);
}

static void put_set(out *o, const maker *m, const maker_form *f);

static bool is_long(const char *vr) { return strstr("OB OD OF OL OV OW SQ SV UC UN UR UT UV ", vr) != NULL; }

static void put_head(out *o, const element *e, uint32_t length, const maker_form *f) {
    put_tag(o, e->tag, f->big);
    if (!f->implicit) put(o, e->vr, 2);
    if (!f->implicit && is_long(e->vr)) put_number(o, 0, 2, f->big);
    put_number(o, length, f->implicit || is_long(e->vr) ? 4 : 2, f->big);
}

static void put_sequence(out *o, const element *e, const maker_form *f) {
    out content = {0};
    for (size_t i = 0; i < e->n_items; i++) {
        out item = {0};
        put_set(&item, e->items[i], f);
        put_tag(&content, 0xfffee000, f->big);
        put_number(&content, e->undefined ? UINT32_MAX : (uint32_t)item.n, 4, f->big);
        put(&content, item.bytes, item.n);
        if (e->undefined) {
            put_tag(&content, 0xfffee00d, f->big);
            put_number(&content, 0, 4, f->big);
        }
        free(item.bytes);
    }
    put_head(o, e, e->undefined ? UINT32_MAX : (uint32_t)content.n, f);
    put(o, content.bytes, content.n);
    if (e->undefined) {
        put_tag(o, 0xfffee0dd, f->big);
        put_number(o, 0, 4, f->big);
    }
    free(content.bytes);
}

static void put_set(out *o, const maker *m, const maker_form *f) {
    for (size_t i = 0; i < m->n; i++) {
        const element *e = &m->elements[i];
        if (e->sequence) {
            put_sequence(o, e, f);
            continue;
        }
        put_head(o, e, e->encapsulated ? UINT32_MAX : (uint32_t)e->n, f);
        if (!f->big || e->word == 1) put(o, e->bytes, e->n);
        else
            for (size_t k = 0; k < e->n; k++) {
                size_t word = (size_t)e->word;
                put(o, &e->bytes[k / word * word + (word - 1 - k % word)], 1);
            }
    }
}

static void put_meta(out *o, const maker_form *f) {
    static const maker_form explicit_little = {0};
    maker *m = maker_new();
    const char *syntax = f->syntax ? f->syntax : "1.2.840.10008.1.2.1";
    maker_bytes(m, 0x00020001, "OB", "\0\1", 2);
    maker_text(m, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2");
    maker_text(m, 0x00020003, "UI", "1.2.3.4.5");
    if (!f->no_syntax) maker_text(m, 0x00020010, "UI", syntax);
    put_set(o, m, &explicit_little);
    maker_free(m);
}

static void put_deflated(out *o, const out *from) {
    z_stream z = {0};
    size_t room = from->n + 1000;
    unsigned char *packed = must(malloc(room));
    if (deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) exit(99);
    z.next_in = from->bytes;
    z.avail_in = (uInt)from->n;
    z.next_out = packed;
    z.avail_out = (uInt)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) exit(99);
    put(o, packed, room - z.avail_out);
    deflateEnd(&z);
    free(packed);
}

unsigned char *maker_encode(const maker *m, const maker_form *form, size_t *ret_n) {
    static const maker_form plain = {0};
    static const unsigned char preamble[128];
    out o = {0}, set_bytes = {0};
    if (!form) form = &plain;
    if (!form->no_preamble) {
        put(&o, preamble, sizeof preamble);
        put(&o, "DICM", 4);
    }
    if (!form->no_meta) put_meta(&o, form);
    put_set(&set_bytes, m, form);
    if (form->deflated) put_deflated(&o, &set_bytes);
    else put(&o, set_bytes.bytes, set_bytes.n);
    free(set_bytes.bytes);
    *ret_n = form->cut < o.n ? o.n - form->cut : 0;
    return must(o.bytes);
}

void maker_write(const maker *m, const maker_form *form, const char *path) {
    size_t n;
    unsigned char *bytes = maker_encode(m, form, &n);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
        perror(path);
        exit(99);
    }
    free(bytes);
}

/* ---- the head ---- */

double head_hu(double x, double y, double z) {
    double bleed = (x + 35) * (x + 35) + (y + 20) * (y + 20) + (z - 15) * (z - 15);
    double skull = x * x / 75 / 75 + y * y / 95 / 95 + z * z / 85 / 85;
    double brain = x * x / 69 / 69 + y * y / 89 / 89 + z * z / 79 / 79;
    return bleed < 225 ? 75 : brain < 1 ? 35 : skull < 1 ? 1000 : -1000;
}

static int32_t store_plain(double hu) {
    double v = hu + 1024;
    return (int32_t)(v < 0 ? 0 : v > 4095 ? 4095 : v);
}

/* What all slices have. */
static void fill(maker *m, const head_series *s, int number) {
    int series = s->series ? s->series : 2, columns = s->columns ? s->columns : 128, rows = s->rows ? s->rows : 150;
    double spacing = s->spacing > 0 ? s->spacing : 1.5;
    maker_text(m, 0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    maker_text(m, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2");
    maker_format(m, 0x00080018, "UI", "1.2.826.0.1.3680043.8.498.%d.%d", series, number);
    maker_text(m, 0x00080020, "DA", "20200101");
    maker_text(m, 0x00080060, "CS", "CT");
    maker_text(m, 0x00080070, "LO", "SIEMENS");
    maker_text(m, 0x0008103e, "LO", "HEAD");
    maker_text(m, 0x00100010, "PN", "None^Made up");
    maker_text(m, 0x00100020, "LO", "1");
    maker_text(m, 0x00180050, "DS", "5");
    maker_text(m, 0x00180060, "DS", "120");
    maker_text(m, 0x0020000d, "UI", "1.2.826.0.1.3680043.8.498.9");
    maker_format(m, 0x0020000e, "UI", "1.2.826.0.1.3680043.8.498.9.%d", series);
    maker_format(m, 0x00200011, "IS", "%d", series);
    maker_text(m, 0x00200012, "IS", "1");
    maker_format(m, 0x00200013, "IS", "%d", number);
    maker_text(m, 0x00200052, "UI", "1.2.826.0.1.3680043.8.498.8");
    maker_us(m, 0x00280002, 1);
    maker_text(m, 0x00280004, "CS", "MONOCHROME2");
    maker_us(m, 0x00280010, (unsigned)rows);
    maker_us(m, 0x00280011, (unsigned)columns);
    maker_format(m, 0x00280030, "DS", "%g\\%g", spacing, spacing);
    maker_us(m, 0x00280100, 16);
    maker_us(m, 0x00280101, 12);
    maker_us(m, 0x00280102, 11);
    maker_us(m, 0x00280103, 0);
    maker_text(m, 0x00281052, "DS", "-1024");
    maker_text(m, 0x00281053, "DS", "1");
}

static void write_slice(const head_series *s, int k, int32_t *pixels) {
    int columns = s->columns ? s->columns : 128, rows = s->rows ? s->rows : 150, number = (s->start ? s->start : 1) + k;
    double spacing = s->spacing > 0 ? s->spacing : 1.5,
           up = s->at ? s->at[k] : (s->step > 0 ? s->first + s->step * k : -85 + 5.0 * k);
    double axial[6] = {1, 0, 0, 0, 1, 0}, normal[3], corner[3];
    const double *o = s->orientation[0] || s->orientation[1] || s->orientation[2] ? s->orientation : axial;
    for (int i = 0; i < 3; i++) normal[i] = o[(i + 1) % 3] * o[3 + (i + 2) % 3] - o[(i + 2) % 3] * o[3 + (i + 1) % 3];
    for (int i = 0; i < 3; i++)
        corner[i] = up * normal[i] + up * tan(s->tilt * M_PI / 180) * o[3 + i] - o[i] * spacing * (columns - 1) / 2 -
                    o[3 + i] * spacing * (rows - 1) / 2;
    for (int at = 0; at < columns * rows; at++) {
        double p[3];
        for (int i = 0; i < 3; i++)
            p[i] = corner[i] + at % columns * spacing * o[i] + at / columns * spacing * o[3 + i];
        double hu = (s->hu ? s->hu : head_hu)(p[0], p[1], p[2]);
        pixels[at] = s->store ? s->store(hu) : store_plain(hu);
    }
    maker *m = maker_new();
    char path[4096], name[256];
    fill(m, s, number);
    maker_format(m, 0x00200032, "DS", "%.6f\\%.6f\\%.6f", corner[0], corner[1], corner[2]);
    maker_format(m, 0x00200037, "DS", "%.7f\\%.7f\\%.7f\\%.7f\\%.7f\\%.7f", o[0], o[1], o[2], o[3], o[4], o[5]);
    maker_pixels(m, pixels, (size_t)(columns * rows), 2);
    if (s->edit) s->edit(m, k, s->context);
    snprintf(name, sizeof name, s->name ? s->name : "IM%04d.dcm", number);
    snprintf(path, sizeof path, "%s/%s", s->folder, name);
    maker_write(m, &s->form, path);
    maker_free(m);
}

void head_series_write(const head_series *s) {
    int columns = s->columns ? s->columns : 128, rows = s->rows ? s->rows : 150;
    int32_t *pixels = must(malloc((size_t)(columns * rows) * sizeof *pixels));
    char part[4096];
    for (const char *c = s->folder + 1; (c = strchr(c, '/')); c++) { /* the folders above it */
        snprintf(part, sizeof part, "%.*s", (int)(c - s->folder), s->folder);
        mkdir(part, 0700);
    }
    mkdir(s->folder, 0700);
    for (int k = 0; k < (s->n ? s->n : 35); k++) write_slice(s, k, pixels);
    free(pixels);
}
