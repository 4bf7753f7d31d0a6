/* gnuplot as a child process, for the plots of this room. */
#ifndef FIGURES_GNUPLOT_H
#define FIGURES_GNUPLOT_H

#include <stdio.h>

#include "hct/types.h"

/* Colours that people with any form of colour blindness tell apart (Okabe & Ito 2008, darkened where thin lines need
 * it). */
extern const char *const gnuplot_colours[];
enum { GNUPLOT_COLOURS = 12 };

/* A figure: `write` prints the script behind `set terminal`. path ends in .svg or .png; the file is whole or not
 * there. Errors as of plot_write. */
hct_status gnuplot_write(void (*write)(FILE *f, const void *context), const void *context, int width, int height,
                         const char *path, hct_err *err);

/* gnuplot's single-quoted text. */
void gnuplot_quoted(FILE *f, const char *text);
/* "set WHAT 'TEXT'"; nothing where text is NULL. */
void gnuplot_label(FILE *f, const char *what, const char *text);

#endif
