/* The pixels of a DICOM file: stored values, and Hounsfield units.
 *
 * A stored value is told by BitsStored, HighBit and PixelRepresentation alone: of the bits outside nothing is assumed
 * (PS3.5 8.1.1), so that 12-bit signed pixels without sign extension, and pixels with overlays in their high bits,
 * come out right. What is compressed goes through the component (component.h), whose answer is believed only where
 * the stream's own header and the file's agree; where they do not, and it matters for the values that are there, the
 * frame is refused. */
#ifndef DICOM_PIXELS_H
#define DICOM_PIXELS_H

#include "dicom/header.h"

typedef struct dicom_pixels dicom_pixels;

/* bytes: the file that h was read from; both are borrowed until the end. HCT_EDTYPE: pixels that are not read here
 * (colour, no pixels at all, a transfer syntax without a decoder), HCT_EFORMAT: damaged or cut, HCT_EDEVICE: a
 * component is missing. Messages name file and transfer syntax. */
hct_status dicom_pixels_open(dicom_bytes *bytes, const dicom_header *h, dicom_pixels **ret, hct_err *err);
/* p may be NULL. */
void dicom_pixels_close(dicom_pixels *p);
/* Stored values of frame i (from 0), row by row: rows x columns of them. */
hct_status dicom_pixels_frame(dicom_pixels *p, int64_t i, int32_t *stored, hct_err *err);

/* Whether a frame of h could be decoded here, as far as its header tells: what dicom_pixels_open would say, without a
 * file that is open (name goes into messages). */
hct_status dicom_pixels_check(const char *name, const dicom_header *h, hct_err *err);

enum { DICOM_AIR_HU = -1024 };
typedef struct dicom_hu_options {
    bool unwrap; /* --fix-rsna-wrap: see dicom_is_wrapped */
} dicom_hu_options;
/* slope * stored + intercept of frame i, in float. What lies below DICOM_AIR_HU is raised to it: nothing in a CT is
 * thinner than air, so it is padding. Pixels of PixelPaddingValue (to PixelPaddingRangeLimit) become DICOM_AIR_HU as
 * well; where that would be tissue (above -900 HU) only those that hang together with the image's border through such
 * pixels, for some writers give water's value as padding. HCT_EDTYPE: no rescale. */
hct_status dicom_hu(const dicom_header *h, int64_t i, const int32_t *stored, const dicom_hu_options *o, float *hu,
                    const char *name, hct_err *err);
/* Whether a frame is one of RSNA's 2019 files whose 12-bit values wrapped: unsigned, an intercept above -100, and so
 * no way to tell air. Then HU = (value + 1000) mod 4096 - 1000. */
bool dicom_is_wrapped(const dicom_header *h, int64_t i);

#endif
