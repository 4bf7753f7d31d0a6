/* A series to a prepared volume (imaging/scan.h: RAS, 1 mm, cut to size), straight from its slices: each is read,
 * turned into HU and resampled at its true position (imaging/stack.h) as soon as it was read. No file is written, and
 * of the series no more is in memory than the slices at hand. */
#ifndef DICOM_PREPARE_H
#define DICOM_PREPARE_H

#include "dicom/verdict.h"
#include "imaging/body.h"
#include "imaging/form.h"
#include "imaging/hu_check.h"
#include "imaging/stack.h"

typedef struct prepare_series_options {
    bool exact;       /* float32, not rounded; else int16 */
    bool center_head; /* cut about the head, not about the middle of the field of view */
    bool unwrap;      /* mend RSNA's 12-bit wrap (dicom_is_wrapped) */
    int jobs;         /* threads, 0: one a CPU */
    int64_t size;     /* of the cut; 0: PREPARED_SIZE */
    int64_t cube;     /* of the model's cube in its middle, for the question whether the head lies in it; 0: 192 */
} prepare_series_options;

/* What a later reader wants to know of the scan. */
typedef struct prepared_series {
    stack_shape shape; /* of the source */
    pad_box box;       /* the part of the volume that is not padding */
    hu_stats hu;       /* of all slices as stored */
    body_place body;   /* in voxels of the uncut 1 mm grid */
    double beyond;     /* mm by which the body reaches out of the model's cube; 0: not */
    int64_t shift[3];  /* voxels by which the cut was moved (center_head) */
    size_t wrapped;    /* slices whose 12-bit values may have wrapped; with unwrap they were mended */
} prepared_series;

/* s: kept by its verdict. Adds what was found (hu by f, head outside, wrapped) to v, which may then refuse. v and f
 * may be NULL. HCT_EFORMAT, HCT_EDTYPE: a slice cannot be read, its file and transfer syntax are named, and v then
 * refuses with REASON_UNREADABLE; HCT_EIO: not today; HCT_EDEVICE: a component is missing, no fault of the series'. */
hct_status prepare_series(const pile_file *files, const series *s, const series_filters *f,
                          const prepare_series_options *o, volume *ret, prepared_series *ret_info, verdict *v,
                          hct_err *err);

/* The slices of a series as they were stored, in HU, F32 [slices, rows, columns]; with the places of all of them where
 * they are unevenly spaced or slide over each other. Errors as above. */
hct_status series_source(const pile_file *files, const series *s, bool unwrap, int jobs, scan_source *ret,
                         hct_err *err);

/* The same warnings for a volume that came as a NIfTI file, before it is prepared: its voxels in HU. */
hct_status check_volume(const volume *v, const series_filters *f, verdict *ret, hct_err *err);

#endif
