/* A scan as a viewer in a report. */
#ifndef REPORT_VIEW_H
#define REPORT_VIEW_H

#include "figures/report.h"

/* scan: a NIfTI file or a folder of DICOM files, shown as headct prepare makes it; map: a NIfTI file on the scan's own
 * voxels or any others (headct explain), laid over it by its affine; NULL: none. The planes cut through the map's peak,
 * or the middle. Errors of the files name them, and leave the report as it was. */
hct_status view_add(report *r, const char *scan, const char *map, hct_err *err);

#endif
