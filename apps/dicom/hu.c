/* Stored values to Hounsfield units: rescale, padding, air. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/pixels.h"

enum { TISSUE_HU = -900 };

bool dicom_is_wrapped(const dicom_header *h, int64_t i) {
    const dicom_frame *f = dicom_frame_at(h, i);
    return h->pixel_representation.state == DICOM_THERE && h->pixel_representation.value == 0 &&
           h->bits_stored.state == DICOM_THERE && h->bits_stored.value == 12 && f->slope.state == DICOM_THERE &&
           f->slope.value == 1 && f->intercept.state == DICOM_THERE && f->intercept.value > -100;
}

/* Pixels from low to high that hang together with the border through such pixels (by edges, not corners) become air. */
static bool clear_border(const int32_t *stored, int64_t rows, int64_t columns, double low, double high, float *hu) {
    int64_t n = rows * columns, depth = 0;
    int32_t *stack = malloc((size_t)n * sizeof *stack);
    unsigned char *seen = calloc((size_t)n, 1);
#define VISIT(at)                                                                                                      \
    do {                                                                                                               \
        if (!seen[at] && stored[at] >= low && stored[at] <= high) seen[at] = 1, stack[depth++] = (int32_t)(at);        \
    } while (0)
    if (stack && seen) {
        for (int64_t x = 0; x < columns; x++) {
            VISIT(x);
            VISIT(n - columns + x);
        }
        for (int64_t y = 0; y < rows; y++) {
            VISIT(y * columns);
            VISIT(y * columns + columns - 1);
        }
        while (depth) {
            int64_t at = stack[--depth], x = at % columns;
            hu[at] = DICOM_AIR_HU;
            if (x > 0) VISIT(at - 1);
            if (x + 1 < columns) VISIT(at + 1);
            if (at >= columns) VISIT(at - columns);
            if (at + columns < n) VISIT(at + columns);
        }
    }
#undef VISIT
    bool done = stack && seen;
    free(stack);
    free(seen);
    return done;
}

/* The range of stored values that are padding; false: none is told. */
static bool padding_of(const dicom_header *h, double *low, double *high) {
    if (h->padding.state != DICOM_THERE) return false;
    *low = *high = h->padding.value;
    if (h->padding_limit.state == DICOM_THERE) {
        *low = fmin(h->padding.value, h->padding_limit.value);
        *high = fmax(h->padding.value, h->padding_limit.value);
    }
    return true;
}

hct_status dicom_hu(const dicom_header *h, int64_t i, const int32_t *stored, const dicom_hu_options *o, float *hu,
                    const char *name, hct_err *err) {
    const dicom_frame *f = dicom_frame_at(h, i);
    int64_t rows = (int64_t)h->rows.value, columns = (int64_t)h->columns.value, n = rows * columns;
    if (f->slope.state != DICOM_THERE || f->intercept.state != DICOM_THERE)
        return hct_fail(err, HCT_EDTYPE,
                        "%s: has no rescale slope and intercept, so its values are no Hounsfield units", name);
    double slope = f->slope.value, intercept = f->intercept.value, low, high;
    bool unwrap = o && o->unwrap && dicom_is_wrapped(h, i);
    for (int64_t k = 0; k < n; k++) {
        double v = slope * stored[k] + intercept;
        if (unwrap) v -= 4096 * floor((v + 1000) / 4096);
        hu[k] = v < DICOM_AIR_HU ? DICOM_AIR_HU : (float)v;
    }
    if (!padding_of(h, &low, &high)) return HCT_OK;
    double brightest = fmax(slope * low + intercept, slope * high + intercept);
    if (brightest <= DICOM_AIR_HU) return HCT_OK; /* air already */
    if (brightest > TISSUE_HU)
        return clear_border(stored, rows, columns, low, high, hu) ? HCT_OK
                                                                  : hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    for (int64_t k = 0; k < n; k++)
        if (stored[k] >= low && stored[k] <= high) hu[k] = DICOM_AIR_HU;
    return HCT_OK;
}
