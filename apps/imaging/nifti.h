/* NIfTI files (.nii, .nii.gz; NIfTI-1 and NIfTI-2; either byte order) to volumes and back.
 * libnifti interprets the header, libdeflate inflates; the format: https://nifti.nimh.nih.gov/nifti-1 */
#ifndef IMAGING_NIFTI_H
#define IMAGING_NIFTI_H

#include "imaging/volume.h"

/* Reads one 3D volume. Voxels stored as int16 without scaling stay int16 (x fastest, volume.h); all other real types
 * become slope * stored + intercept in float32, computed in double (a slope of 0 means none). Affine: sform if its
 * code is > 0, else qform if its code is > 0, else pixdim about the centre with x to the left, as nibabel reads it; of
 * both the qform, where the sform's steps contradict pixdim, as MONAI 1.2.0 does. Units are not looked at: millimetres.
 * Refused, each with its own sentence: no NIfTI, a file that ends early, dimensions that make no sense, a 2D image,
 * several volumes (4D), complex or colour voxels, NaN or infinite voxels (counted), a degenerate affine,
 * more than 2^30 voxels. */
hct_status nifti_read(const char *path, volume *ret, hct_err *err);
/* The same from memory; name goes into messages. */
hct_status nifti_read_memory(const char *name, const unsigned char *bytes, size_t n, volume *ret, hct_err *err);

/* 1 where path, a .nii, is too short for the volume that its header tells, or for a header: its writing broke off. */
int nifti_ends_early(const char *path);

/* Writes int16 or float32 as NIfTI-1 with sform and qform (code 1, scanner), gzipped where path ends in .gz (level
 * 1 to 12), atomically: on failure an older file is untouched. Equal volumes give equal bytes. */
hct_status nifti_write(const char *path, const volume *v, int level, hct_err *err);
/* 1 where path, a .nii.gz that nifti_write made, still ends as one of so many voxels does; 0 where it was emptied or
 * cut since. Reads a few bytes. */
int nifti_is_whole(const char *path, int64_t voxels, hct_dtype dtype);

#endif
