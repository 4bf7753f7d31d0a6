/* DICOM files for tests: data sets element by element, written in any transfer syntax that stores pixels as they are,
 * and whole series of a made-up head, each slice of which a test may change before it is written. */
#ifndef TESTS_DICOM_MAKE_DICOM_H
#define TESTS_DICOM_MAKE_DICOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A data set: elements in ascending order of tag. */
typedef struct maker maker;

maker *maker_new(void);
void maker_free(maker *m);
/* Each sets or replaces an element. vr: two letters. Text values of several are parted by a backslash. */
void maker_text(maker *m, uint32_t tag, const char *vr, const char *text);
void maker_format(maker *m, uint32_t tag, const char *vr, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void maker_us(maker *m, uint32_t tag, unsigned value); /* VR US */
void maker_bytes(maker *m, uint32_t tag, const char *vr, const void *bytes, size_t n);
/* n items, which are borrowed until the maker is written; undefined: lengths are left open and delimiters written. */
void maker_sequence(maker *m, uint32_t tag, maker *const *items, size_t n, bool undefined);
/* Pixel data of n values of `bytes` (1, 2, 4) each, the low bytes of them. */
void maker_pixels(maker *m, const int32_t *values, size_t n, int bytes);
/* Pixel data encapsulated: an offset table (NULL: an empty one) and fragments. */
void maker_fragments(maker *m, const uint32_t *table, size_t n_table, const void *const *bytes, const size_t *lengths,
                     size_t n);
void maker_drop(maker *m, uint32_t tag);

typedef struct maker_form {
    const char *syntax; /* transfer syntax UID in group 2; NULL: explicit little endian */
    bool no_preamble, no_meta, no_syntax;
    bool implicit, big, deflated; /* how the data set is really written */
    size_t cut;                   /* bytes left out at the end */
} maker_form;
/* The file's bytes; the caller's to free. */
unsigned char *maker_encode(const maker *m, const maker_form *form, size_t *ret_n);
/* Writes it; ends the process where it cannot. */
void maker_write(const maker *m, const maker_form *form, const char *path);

/* HU of a made-up head at LPS millimetres: skull of 1000 from the ellipsoid of 75, 95, 85 mm inwards, brain of 35
 * within 69, 89, 79, a bleed of 75 of 15 mm about (-35, -20, 15), air of -1000. */
double head_hu(double x, double y, double z);

/* A series of slices of that head: 35 of 5 mm, 128 x 150 pixels of 1.5 mm, axial, as ../shared/cases makes them. */
typedef struct head_series {
    const char *folder, *name; /* name: a format of the number, "IM%04d.dcm" */
    int n;                     /* 0: 35 */
    double first, step;        /* mm along the normal: -85, 5 */
    const double *at;          /* or each slice's, n of them */
    int columns, rows;         /* 0: 128, 150 */
    double spacing;            /* 0: 1.5 */
    double orientation[6];     /* all 0: axial */
    double tilt;               /* degrees by which slices slide along the column direction */
    int series, start;         /* number of the series (0: 2) and of its first image (0: 1) */
    maker_form form;
    double (*hu)(double x, double y, double z);   /* NULL: head_hu */
    int32_t (*store)(double hu);                  /* HU to stored values; NULL: HU + 1024, from 0 to 4095 */
    void (*edit)(maker *m, int k, void *context); /* before slice k is written */
    void *context;
} head_series;
/* Makes the folder where it is missing. */
void head_series_write(const head_series *s);

#endif
