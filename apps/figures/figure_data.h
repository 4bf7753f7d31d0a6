/* The numbers of a figure as a CSV beside it. */
#ifndef FIGURES_FIGURE_DATA_H
#define FIGURES_FIGURE_DATA_H

#include "support/csv.h"

/* "a/b.csv" of "a/b.svg": `write` prints head and rows. */
hct_status figure_data(void (*write)(hct_outfile *f, const void *context), const void *context, const char *figure,
                       hct_err *err);
/* A cell that is not a row's first; empty where v is NaN. */
void figure_number(hct_outfile *f, double v);

#endif
