/* A scan as it is on disk, and prepared. */
#ifndef EXPLAIN_SCAN_VIEWS_H
#define EXPLAIN_SCAN_VIEWS_H

#include "imaging/volume.h"

typedef struct scan_views {
    volume own, prepared; /* float32; int16 */
    char *id;             /* the file's name without its ending */
} scan_views;

/* NIfTI file or DICOM folder; errors name it. Free in any case. */
hct_status scan_views_read(const char *path, scan_views *v, hct_err *err);
void scan_views_free(scan_views *v);

#endif
