/* Values of data elements: texts in UTF-8, numbers from text or from binary. */
#ifndef DICOM_VALUES_H
#define DICOM_VALUES_H

#include "dicom/header.h"

enum { DICOM_LONGEST_VALUE = 1024 }; /* of a text; what is longer (the standard allows 64 a value) is cut */

/* n bytes of a value in a character set (SpecificCharacterSet as the file has it, NULL: none; set `converted` to
 * false for values that are ASCII by their VR) as UTF-8 without control characters and without blanks at both ends,
 * cut at the end of a letter where it is longer than out. Never fails: what cannot be converted is taken as ISO
 * 8859-1. */
void dicom_text_of(const unsigned char *bytes, size_t n, const char *character_set, bool converted, char *out,
                   size_t out_size);

/* Up to `most` numbers of an element whose value lies at bytes: decimal texts (DS, IS), or binary by the element's
 * VR; where the file has no VR, by `binary`: text, or 16-bit unsigned. Returns how many, or -1 where one is no finite
 * number. */
int dicom_numbers_of(const unsigned char *bytes, const dicom_element *e, bool binary, double *ret, int most);

#endif
