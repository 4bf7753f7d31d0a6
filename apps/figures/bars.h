/* Values of several series over the same groups, such as AUCs of models over tasks: as bars side by side, with
 * intervals and marks above them, and as a radar chart. The numbers go into a CSV beside the figure. */
#ifndef FIGURES_BARS_H
#define FIGURES_BARS_H

#include "hct/types.h"

typedef struct bars {
    const char *title, *y_label;
    const char *const *groups, *const *series;
    size_t n_groups, n_series;
    const double *value, *low, *high; /* [n_series, n_groups]; NaN: none. low, high may be NULL */
    const char *const *mark;          /* [n_series, n_groups], "*" above a bar; NULL, or NULL in it: none */
    double line;                      /* a dashed line, such as chance; NaN: none */
} bars;

/* As plot_write (plot.h): path ends in .svg or .png, PATH.csv without that ending is written, too. */
hct_status bars_write(const bars *b, const char *path, hct_err *err);
/* Three groups or more (HCT_EINVAL): a spoke each, from 0.4 in the middle (and below) to 1 at the rim. */
hct_status radar_write(const bars *b, const char *path, hct_err *err);

#endif
