/* Line plots with bands, drawn by gnuplot (a child process, no shell) as SVG or PNG. */
#ifndef FIGURES_PLOT_H
#define FIGURES_PLOT_H

#include <stdbool.h>

#include "hct/types.h"

typedef struct plot_series {
    const char *title;        /* in the legend; NULL: none */
    const double *x, *y;      /* n points; NaN in y makes a gap */
    const double *low, *high; /* a band round y; NULL: none */
    size_t n;
    bool points;   /* marked points on the line, the band as error bars */
    bool dots;     /* points alone: a scatter plot */
    bool stars;    /* stars alone */
    size_t colour; /* 0: that of its place among the series; n: that of series n - 1 */
} plot_series;

typedef enum plot_square {
    SQUARE_NOT,
    SQUARE_DIAGONAL, /* both axes 0 to 1 and a dashed diagonal: a ROC plot, a reliability diagram */
    SQUARE_LEVEL     /* both axes 0 to 1 and a dashed line at `level`: precision and recall, at the prevalence */
} plot_square;

typedef struct plot {
    const char *title, *x_label, *y_label; /* NULL: none */
    const plot_series *series;
    size_t n;
    plot_square square;
    double level;
    bool log_x, log_y; /* log_x: base 2 */
    bool rises;        /* the legend stands at the bottom */
    int width, height; /* pixels; 0: 720 x 420 (520 x 520 where square) */
} plot;

/* path ends in .svg or .png; the file is whole or not there. The numbers go into a CSV beside
 * it: series, x, y, low, high. HCT_ENOTFOUND where gnuplot is not installed, HCT_EIO with
 * gnuplot's own words where it fails. */
hct_status plot_write(const plot *p, const char *path, hct_err *err);

#endif
