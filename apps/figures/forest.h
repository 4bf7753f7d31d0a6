/* Forest plots: a row a group or model, its value as a dot on its interval. */
#ifndef FIGURES_FOREST_H
#define FIGURES_FOREST_H

#include "hct/types.h"

typedef struct forest_row {
    const char *label;
    double value, low, high; /* low NaN: a dot alone */
} forest_row;

typedef struct forest {
    const char *title, *x_label;
    const forest_row *rows; /* the first one on top */
    size_t n;
    double line; /* a dashed vertical line; NaN: none */
} forest;

/* As plot_write (plot.h). */
hct_status forest_write(const forest *p, const char *path, hct_err *err);

#endif
