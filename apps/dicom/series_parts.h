/* What the files series*.c share. */
#ifndef DICOM_SERIES_PARTS_H
#define DICOM_SERIES_PARTS_H

#include "dicom/series.h"

/* A frame's kind. */
series_class class_of(const dicom_header *h, const dicom_frame *f);
/* Splits the images of n files that were grouped into parts, each measured and put into l. */
hct_status split_into(series_list *l, const pile_file *files, const size_t *members, size_t n, hct_err *err);
/* Fills what is measured of s, whose files and slices are there; sorts the slices. */
hct_status series_measure(series *s, const pile_file *files, hct_err *err);

static inline const dicom_frame *frame_of(const pile_file *files, const series_slice *s) {
    return dicom_frame_at(&files[s->file].header, s->frame);
}
/* Whether a position tells of this frame alone. */
static inline bool is_placed(const pile_file *files, const series_slice *s) {
    const dicom_header *h = &files[s->file].header;
    const dicom_frame *f = frame_of(files, s);
    return f->position_state == DICOM_THERE && f->orientation_state == DICOM_THERE && h->n_described == h->n_frames;
}
static inline double dot3(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
static inline void cross3(const double a[3], const double b[3], double ret[3]) {
    for (int i = 0; i < 3; i++) ret[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
}

#endif
