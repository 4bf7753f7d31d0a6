/* multipart/related as DICOMweb servers send it (RFC 2387, DICOM PS3.18), read strictly as it comes: each part is a
 * file of application/dicom in a folder.
 *
 *   multipart m;
 *   multipart_begin(&m, content_type, folder, limits, &err);     once the answer's headers are known
 *   multipart_add(&m, bytes, n, &err);                           again and again
 *   multipart_end(&m, &err);                                     HCT_EFORMAT where the last delimiter did not come
 *
 * HCT_EFORMAT: no boundary, bytes beside parts, a part of another type, a header that is too long, a part whose length
 * is not the one that it told; HCT_EINVAL: more than a limit. Nothing is guessed. */
#ifndef DICOMWEB_MULTIPART_H
#define DICOMWEB_MULTIPART_H

#include <stdbool.h>
#include <stdio.h>

#include "hct/types.h"

enum { MULTIPART_BOUNDARY = 70, MULTIPART_HEADER = 8192 };

typedef struct multipart_limits {
    size_t parts;
    int64_t bytes; /* of all parts together */
} multipart_limits;

typedef struct multipart {
    char delimiter[MULTIPART_BOUNDARY + 5]; /* CR LF - - boundary */
    size_t n_delimiter;
    const char *folder; /* borrowed */
    multipart_limits limits;
    size_t first;        /* number of the first file */
    unsigned char *held; /* bytes that may be the begin of a delimiter, or of a header */
    size_t n_held, room;
    enum { MULTIPART_START, MULTIPART_AFTER, MULTIPART_HEAD, MULTIPART_BODY, MULTIPART_DONE } state;
    FILE *out;
    size_t parts;
    int64_t bytes, told, of_part; /* told: Content-Length of the part; -1 none */
} multipart;

/* first: files are folder/N.dcm from there on. */
hct_status multipart_begin(multipart *m, const char *content_type, const char *folder, size_t first,
                           multipart_limits limits, hct_err *err);
hct_status multipart_add(multipart *m, const void *bytes, size_t n, hct_err *err);
hct_status multipart_end(multipart *m, hct_err *err);
/* In any case. */
void multipart_free(multipart *m);

#endif
