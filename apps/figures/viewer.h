/* A viewer for slices in an HTML report: three planes of a volume that lies inside the page, with the paper's windows,
 * an overlay, a crosshair and keys; the page's only script (viewer.js), which its Content-Security-Policy allows by its
 * hash. Works from a file:// address; nothing is fetched. */
#ifndef FIGURES_VIEWER_H
#define FIGURES_VIEWER_H

#include "figures/report.h"

/* Volumes are averaged over blocks until no side is longer: 112^3 bytes of a prepared scan, 2 MB of a page. */
enum { VIEWER_SIDE = 128, VIEWER_MAP_SIDE = 64 };

typedef struct viewer {
    const char *title;
    const float *volume; /* HU, RAS, row-major [dim[0]][dim[1]][dim[2]] as figures/picture.h takes it */
    int64_t dim[3];
    double mm[3];         /* of a voxel */
    const float *overlay; /* on the same grid; nothing is shown at 0 and below; NULL: none */
    const char *overlay_name;
    int64_t at[3]; /* where the planes cut at first */
} viewer;

/* The viewer's part of a page, which needs viewer_script (figures/viewer_script.h) and report_style(). */
void viewer_html(text_buffer *html, const viewer *v);
/* The same into a report. Errors stay in the report. */
void report_viewer(report *r, const viewer *v);

/* HU as one byte: steps of 1 HU from -20 to 100, of 2.5 HU to 200, of 33 HU to 2000, of 26 HU from -1024 to -20. */
unsigned char viewer_byte(double hu);
/* What the page makes of it. */
double viewer_hu(unsigned char byte);

#endif
