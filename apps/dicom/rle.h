/* DICOM's run-length coding: PS3.5 annex G. */
#ifndef DICOM_RLE_H
#define DICOM_RLE_H

#include <stdbool.h>
#include <stddef.h>

/* Samples of `each` bytes (1, 2 or 4), n of them, little endian, from one frame of `length` bytes. false: the frame
 * does not hold exactly that. */
bool rle_decode(const unsigned char *from, size_t length, size_t n, int each, unsigned char *to);

#endif
