/* A scan on disk (NIfTI file or DICOM folder) to a prepared volume. */
#ifndef IMAGING_SCAN_H
#define IMAGING_SCAN_H

#include "imaging/volume.h"

enum { PREPARED_SIZE = 224, PREPARED_PAD_HU = -1024 };

/* What a prepared volume has gone through, in words; hashed into the provenance of everything made from it. */
const char *scan_preprocessing(int exact);

/* Where a scan came from; what a reader may want to know of it later. */
typedef struct scan_info {
    int dicom;         /* 1: a folder of DICOM files */
    int64_t dim[3];    /* as stored */
    double spacing[3]; /* mm, as stored */
} scan_info;

/* Reads without preparing: path is a .nii or .nii.gz file, or a folder of DICOM files of one series (dicom.h). */
hct_status scan_read(const char *path, volume *ret, scan_info *info, hct_err *err);

/* In place: RAS, 1 mm cubic spline, rounded to int16 HU (with exact: float32 and not rounded), padded with
 * PREPARED_PAD_HU or cropped to 224^3. Preparing a prepared volume changes nothing. */
hct_status scan_prepare(volume *v, int exact, hct_err *err);

/* 1 where path holds a whole prepared volume, as scan_prepare leaves it and nifti_write writes it: told by its last
 * bytes. */
int scan_is_prepared(const char *path, int exact);

/* scan_read, then scan_prepare. info may be NULL. Errors name the path. HCT_EDEVICE: no fault of the scan's, see
 * dicom.h. */
hct_status scan_open(const char *path, int exact, volume *ret, scan_info *info, hct_err *err);

#endif
