/* What a compressed stream says of itself, read from its own header before any codec sees it. */
#ifndef DICOM_STREAM_H
#define DICOM_STREAM_H

#include "hct_dicom.h"

#include <stdbool.h>

/* Fills kind, columns, rows, bits, is_signed, and trims bytes and n to the codestream (without the boxes of a JP2
 * file, and without padding behind it), of a stream of that kind. HCT_EFORMAT and why (n_why bytes): no such stream,
 * damaged, of several components, of more than 16 bits, or without its end marker. */
hct_status dicom_stream_read(int32_t kind, const unsigned char *bytes, size_t n, hct_dicom_stream *ret, char *why,
                             size_t n_why);

#endif
