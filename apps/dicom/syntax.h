/* Transfer syntaxes: how a file's data set and its pixels are written (DICOM PS3.5 annex A, PS3.6 table A-1). */
#ifndef DICOM_SYNTAX_H
#define DICOM_SYNTAX_H

#include <stdbool.h>

typedef enum dicom_packing {
    DICOM_PLAIN,         /* pixels as they are */
    DICOM_RLE,           /* PS3.5 annex G */
    DICOM_JPEG,          /* ISO 10918-1, lossy */
    DICOM_JPEG_LOSSLESS, /* ISO 10918-1, process 14 */
    DICOM_JPEG_LS,       /* ISO 14495-1 */
    DICOM_JPEG_2000,     /* ISO 15444-1 */
    DICOM_OTHER          /* nothing that is read here: video, HTJ2K, JPIP, private ones */
} dicom_packing;

typedef struct dicom_syntax {
    const char *uid, *name;
    dicom_packing packing;
    bool implicit, big, deflated;
    bool lossy; /* always; DICOM_JPEG_LS and DICOM_JPEG_2000 of the syntaxes that may be: true */
} dicom_syntax;

/* The row of a UID; NULL: none that DICOM knows. */
const dicom_syntax *dicom_syntax_find(const char *uid);

#endif
