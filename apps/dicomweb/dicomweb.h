/* A study from a DICOMweb server: its CT series by QIDO-RS, their instances by WADO-RS, through libcurl, into a folder.
 *
 * Only http and https, no redirects; a token (a bearer token) goes over https, or to this machine. Answers are read
 * strictly (multipart.h) and within limits. */
#ifndef DICOMWEB_DICOMWEB_H
#define DICOMWEB_DICOMWEB_H

#include <stdbool.h>

#include "hct/types.h"

typedef struct dicomweb_options {
    const char *url;        /* of the service: https://pacs.example/dicom-web */
    const char *study;      /* UID */
    const char *token_file; /* its first line; NULL: none */
    int64_t max_mb;         /* of all instances together */
    int64_t patience;       /* seconds without a byte until it is given up */
} dicomweb_options;

/* Series that came, by UID. */
typedef struct dicomweb_series {
    char (*uid)[65];
    size_t n;
} dicomweb_series;

/* Files go to folder/N.dcm. HCT_ENOTFOUND: no such study, or no CT in it; HCT_EIO: the server cannot be reached, or
 * refuses; HCT_EFORMAT: an answer that makes no sense; HCT_EINVAL: an address or UID that is none, a limit;
 * HCT_EINTERRUPTED. Free ret->uid in any case. */
hct_status dicomweb_fetch(const dicomweb_options *o, const char *folder, dicomweb_series *ret, hct_err *err);

#endif
