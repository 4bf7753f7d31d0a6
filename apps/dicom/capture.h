/* A picture made of a scan as a DICOM secondary capture (PS3.3 A.8.1) in the scan's study. */
#ifndef DICOM_CAPTURE_H
#define DICOM_CAPTURE_H

#include "dicom/object.h"

typedef struct capture {
    const unsigned char *rgb; /* [rows, columns, 3] */
    int rows, columns;
    const char *made;    /* how it was derived, printable ASCII */
    const char *model;   /* what made it, and */
    const char *weights; /* its SHA-256 */
    int number;          /* of the picture in its series */
} capture;

/* source: a folder of DICOM files, of whose first image patient and study are taken; its images are named as the
 * sources. Writes folder/UID.dcm; UIDs are made of what the capture says, and a file that is there is left as it is.
 * HCT_ENOTFOUND: source holds no DICOM image. */
hct_status capture_write(const capture *c, const char *source, const char *folder, hct_err *err);

#endif
