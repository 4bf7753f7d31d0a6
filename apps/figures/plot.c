/* Curves as SVG and PNG. */
#include "figures/plot.h"

#include <math.h>
#include <stdio.h>

#include "figures/figure_data.h"
#include "figures/gnuplot.h"

enum { KEY_INSIDE = 4 }; /* more curves than that: the legend stands beside the plot */

static void write_data(FILE *f, const plot *p) {
    for (size_t s = 0; s < p->n; s++) {
        const plot_series *d = &p->series[s];
        fprintf(f, "$d%zu << END\n", s);
        for (size_t i = 0; i < d->n; i++) {
            if (isnan(d->y[i])) {
                fputc('\n', f); /* a blank line breaks the line drawn */
                continue;
            }
            fprintf(f, "%.10g %.10g", d->x[i], d->y[i]);
            if (d->low) fprintf(f, " %.10g %.10g", d->low[i], d->high[i]);
            fputc('\n', f);
        }
        fprintf(f, "END\n");
    }
}

static const char *series_style(const plot_series *s) {
    return s->stars                ? "points pt 3 ps 1.4 lw 2"
           : s->dots               ? "points pt 7 ps 0.4"
           : s->points || s->n < 3 ? "linespoints lw 2 pt 7 ps 0.5"
                                   : "lines lw 2";
}

static const char *colour_of(const plot *p, size_t s) {
    return gnuplot_colours[(p->series[s].colour ? p->series[s].colour - 1 : s) % GNUPLOT_COLOURS];
}

static void write_script(FILE *f, const void *context) {
    const plot *p = context;
    gnuplot_label(f, "title", p->title);
    gnuplot_label(f, "xlabel", p->x_label);
    gnuplot_label(f, "ylabel", p->y_label);
    fprintf(f, "set key %s\n",
            p->square == SQUARE_LEVEL          ? "bottom left"
            : p->square && p->series[0].points ? "top left"
            : p->square                        ? "bottom right"
            : p->log_x || p->rises             ? "bottom right"
            : p->n > KEY_INSIDE                ? "outside right top"
                                               : "top right");
    if (p->square) fputs("set size square\nset xrange [0:1]\nset yrange [0:1]\n", f);
    if (p->log_x) fputs("set logscale x 2\n", f);
    if (p->log_y) fputs("set logscale y\n", f);
    write_data(f, p);
    const char *comma = "plot ";
    for (size_t s = 0; s < p->n; s++) {
        const char *colour = colour_of(p, s);
        if (!p->series[s].low || !p->series[s].n) continue;
        if (p->series[s].points)
            fprintf(f, "%s$d%zu using 1:2:3:4 with yerrorbars lw 1 pt 0 lc rgb '%s' notitle", comma, s, colour);
        else
            fprintf(f, "%s$d%zu using 1:3:4 with filledcurves fc rgb '%s' fs transparent solid 0.18 noborder notitle",
                    comma, s, colour);
        comma = ", ";
    }
    if (p->square) {
        fprintf(f, "%s", comma);
        if (p->square == SQUARE_LEVEL) fprintf(f, "%.6g", p->level);
        else fputc('x', f);
        fputs(" with lines lc rgb '#999999' dt 2 notitle", f);
        comma = ", ";
    }
    for (size_t s = 0; s < p->n; s++) {
        if (p->series[s].n == 0) continue;
        fprintf(f, "%s$d%zu using 1:2 with %s lc rgb '%s' ", comma, s, series_style(&p->series[s]), colour_of(p, s));
        if (p->series[s].title) {
            fputs("title ", f);
            gnuplot_quoted(f, p->series[s].title);
        } else {
            fputs("notitle", f);
        }
        comma = ", ";
    }
    fputc('\n', f);
}

static void write_rows(hct_outfile *f, const void *context) {
    const plot *p = context;
    static const char *const head[] = {"series", "x", "y", "low", "high"};
    for (size_t c = 0; c < 5; c++) csv_put(f, c, head[c]);
    csv_end_row(f);
    for (size_t s = 0; s < p->n; s++)
        for (size_t i = 0; i < p->series[s].n; i++) {
            const plot_series *d = &p->series[s];
            csv_put(f, 0, d->title ? d->title : "");
            figure_number(f, d->x[i]);
            figure_number(f, d->y[i]);
            figure_number(f, d->low ? d->low[i] : NAN);
            figure_number(f, d->low ? d->high[i] : NAN);
            csv_end_row(f);
        }
}

hct_status plot_write(const plot *p, const char *path, hct_err *err) {
    size_t points = 0;
    for (size_t s = 0; s < p->n; s++) points += p->series[s].n;
    if (points == 0) return hct_fail(err, HCT_EINVAL, "%s: there is nothing to plot", path);
    hct_status st = gnuplot_write(write_script, p,
                                  p->width    ? p->width
                                  : p->square ? 520
                                              : 720,
                                  p->height   ? p->height
                                  : p->square ? 520
                                              : 420,
                                  path, err);
    return st == HCT_OK ? figure_data(write_rows, p, path, err) : st;
}
