/* A scan on disk (NIfTI file or DICOM folder) to a prepared volume. */
#ifndef IMAGING_SCAN_H
#define IMAGING_SCAN_H

#include "imaging/body.h"
#include "imaging/hu_check.h"
#include "imaging/volume.h"

enum { PREPARED_SIZE = 224, PREPARED_PAD_HU = -1024, MODEL_CUBE = 192 };

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

/* What a preparation may do otherwise than scan_prepare, which is the paper's (like_monai). */
typedef struct scan_options {
    int exact;       /* float32, not rounded */
    int like_monai;  /* padding below -1024 HU stays as it is before the spline, as the paper's code has it */
    int center_head; /* cut about the head (body.h), not about the middle of the field of view */
    int unwrap;      /* mend RSNA's 12-bit wrap (hu_unwrap) where no voxel lies below -200 HU */
} scan_options;
/* What was found on the way. */
typedef struct scan_findings {
    hu_stats hu;      /* of the voxels as they came, or mended */
    body_place body;  /* in voxels of the uncut 1 mm grid */
    double beyond;    /* mm by which the body reaches out of the cube of MODEL_CUBE in the cut's middle; 0: not */
    int64_t shift[3]; /* voxels by which the cut was moved */
    int unwrapped;
} scan_findings;
/* scan_prepare with options. */
hct_status scan_prepare_with(volume *v, const scan_options *o, scan_findings *ret, hct_err *err);
/* scan_preprocessing of such a preparation, of NIfTI files and of DICOM series (dicom/prepare.h) alike. */
const char *scan_preprocessing_with(const scan_options *o, char buffer[512]);

/* 1 where path holds a whole prepared volume, as scan_prepare leaves it and nifti_write writes it: told by its last
 * bytes. */
int scan_is_prepared(const char *path, int exact);

/* scan_read, then scan_prepare. info may be NULL. Errors name the path. HCT_EDEVICE: no fault of the scan's, see
 * dicom.h. */
hct_status scan_open(const char *path, int exact, volume *ret, scan_info *info, hct_err *err);

#endif
