/* The decoders of hct_dicom_codecs.so, each over the library that is kept for it. All write whole frames only, and
 * take the first complaint of the library, a warning included, as the end: a frame that is not what was compressed
 * must not pass. */
#ifndef DICOM_CODECS_H
#define DICOM_CODECS_H

#include "hct_dicom.h"

/* GDCM's JPEG library (the IJG's with lossless processes), which is built once for samples of up to 8, 12 and 16
 * bits; jpeg.c is compiled for each. */
hct_status dicom_jpeg_8(const hct_dicom_stream *, void *out, char *why, size_t n);
hct_status dicom_jpeg_12(const hct_dicom_stream *, void *out, char *why, size_t n);
hct_status dicom_jpeg_16(const hct_dicom_stream *, void *out, char *why, size_t n);
/* OpenJPEG. */
hct_status dicom_jpeg_2000(const hct_dicom_stream *, void *out, char *why, size_t n);

#endif
