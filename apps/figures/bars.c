/* Bars and radar charts. */
#include "figures/bars.h"

#include <math.h>
#include <stdlib.h>

#include "figures/figure_data.h"
#include "figures/gnuplot.h"

static double at(const bars *b, const double *v, size_t s, size_t g) { return v ? v[s * b->n_groups + g] : NAN; }

static void put_titles(FILE *f, const bars *b, size_t s) {
    fputs(" title ", f);
    gnuplot_quoted(f, b->series[s]);
}

static void write_bars(FILE *f, const void *context) {
    const bars *b = context;
    double width = 0.8 / (double)b->n_series;
    gnuplot_label(f, "title", b->title);
    gnuplot_label(f, "ylabel", b->y_label);
    fprintf(
        f,
        "set key outside bottom center vertical maxcols 2\nset yrange [0:1.08]\nset ytics 0.1\nset xrange [-0.6:%g]\n",
        (double)b->n_groups - 0.4);
    fputs("set xtics rotate by -35 (", f);
    for (size_t g = 0; g < b->n_groups; g++) {
        if (g) fputs(", ", f);
        gnuplot_quoted(f, b->groups[g]);
        fprintf(f, " %zu", g);
    }
    fputs(")\nset grid y nox\n", f);
    if (!isnan(b->line))
        fprintf(f, "set arrow from graph 0, first %g to graph 1, first %g nohead dt 2 lc rgb '#999999'\n", b->line,
                b->line);
    for (size_t s = 0; s < b->n_series; s++) {
        fprintf(f, "$d%zu << END\n", s);
        for (size_t g = 0; g < b->n_groups; g++) {
            double v = at(b, b->value, s, g), low = at(b, b->low, s, g), high = at(b, b->high, s, g);
            double x = (double)g + ((double)s - ((double)b->n_series - 1) / 2) * width;
            if (isnan(v)) continue;
            fprintf(f, "%.6g %.10g %.6g %.10g %.10g ", x, v, 0.92 * width, isnan(low) ? v : low,
                    isnan(high) ? v : high);
            fprintf(f, "\"%s\"\n", b->mark && b->mark[s * b->n_groups + g] ? b->mark[s * b->n_groups + g] : "");
        }
        fputs("END\n", f);
    }
    for (size_t s = 0; s < b->n_series; s++) {
        const char *colour = gnuplot_colours[s % GNUPLOT_COLOURS];
        fprintf(f, "%s$d%zu using 1:2:3 with boxes fs solid 0.75 noborder lc rgb '%s'", s ? ", " : "plot ", s, colour);
        put_titles(f, b, s);
        fprintf(f,
                ", $d%zu using 1:4:(0):($5-$4) with vectors heads size screen 0.004,90 lw 1.2 lc rgb '#333333' notitle",
                s);
        fprintf(f, ", $d%zu using 1:($5+0.02):6 with labels font ',10' notitle", s);
    }
    fputc('\n', f);
}

enum { MIDDLE = 4 }; /* tenths at a radar's centre */

static void spoke(const bars *b, size_t g, double v, double *x, double *y) {
    double r = fmax(0, (v - MIDDLE / 10.0) / (1 - MIDDLE / 10.0)),
           turn = 2 * 3.14159265358979 * (double)g / (double)b->n_groups;
    *x = r * sin(turn);
    *y = r * cos(turn);
}

static void write_radar(FILE *f, const void *context) {
    const bars *b = context;
    double x, y;
    gnuplot_label(f, "title", b->title);
    fputs("unset border\nunset tics\nunset grid\nset size ratio -1\nset xrange [-1.55:1.55]\nset yrange [-1.2:1.25]\n"
          "set key outside bottom center vertical maxcols 1\n",
          f);
    for (size_t g = 0; g < b->n_groups; g++) {
        spoke(b, g, 1, &x, &y);
        fprintf(f, "set arrow from 0,0 to %.5g,%.5g nohead lc rgb '#cccccc'\nset label ", x, y);
        gnuplot_quoted(f, b->groups[g]);
        fprintf(f, " at %.5g,%.5g %s\n", 1.09 * x, 1.09 * y, x > 0.15 ? "left" : x < -0.15 ? "right" : "center");
    }
    for (int ring = MIDDLE + 1; ring <= 10; ring++) {
        fprintf(f, "$r%d << END\n", ring);
        for (size_t g = 0; g <= b->n_groups; g++) {
            spoke(b, g % b->n_groups, ring / 10.0, &x, &y);
            fprintf(f, "%.5g %.5g\n", x, y);
        }
        fprintf(f, "END\nset label '%.1f' at 0.02,%.5g font ',8' tc rgb '#777777'\n", ring / 10.0,
                (ring - MIDDLE) / (10.0 - MIDDLE));
    }
    for (size_t s = 0; s < b->n_series; s++) {
        fprintf(f, "$d%zu << END\n", s);
        for (size_t g = 0; g <= b->n_groups; g++) {
            double v = at(b, b->value, s, g % b->n_groups);
            if (isnan(v)) {
                fputc('\n', f); /* a gap */
                continue;
            }
            spoke(b, g % b->n_groups, v, &x, &y);
            fprintf(f, "%.6g %.6g\n", x, y);
        }
        fputs("END\n", f);
    }
    for (int ring = MIDDLE + 1; ring <= 10; ring++)
        fprintf(f, "%s$r%d using 1:2 with lines lc rgb '#dddddd' notitle", ring > MIDDLE + 1 ? ", " : "plot ", ring);
    for (size_t s = 0; s < b->n_series; s++) {
        fprintf(f, ", $d%zu using 1:2 with linespoints lw 2 pt 7 ps 0.5 lc rgb '%s'", s,
                gnuplot_colours[s % GNUPLOT_COLOURS]);
        put_titles(f, b, s);
    }
    fputc('\n', f);
}

static void write_data(hct_outfile *f, const void *context) {
    const bars *b = context;
    static const char *const head[] = {"series", "group", "value", "low", "high", "mark"};
    for (size_t c = 0; c < 6; c++) csv_put(f, c, head[c]);
    csv_end_row(f);
    for (size_t s = 0; s < b->n_series; s++)
        for (size_t g = 0; g < b->n_groups; g++) {
            const double v[] = {at(b, b->value, s, g), at(b, b->low, s, g), at(b, b->high, s, g)};
            csv_put(f, 0, b->series[s]);
            csv_put(f, 1, b->groups[g]);
            for (int i = 0; i < 3; i++) figure_number(f, v[i]);
            csv_put(f, 5, b->mark && b->mark[s * b->n_groups + g] ? b->mark[s * b->n_groups + g] : "");
            csv_end_row(f);
        }
}

hct_status bars_write(const bars *b, const char *path, hct_err *err) {
    if (!b->n_groups || !b->n_series) return hct_fail(err, HCT_EINVAL, "%s: there is nothing to plot", path);
    int columns = (int)(b->n_groups * (b->n_series + 1));
    hct_status st = gnuplot_write(write_bars, b, 720 > 120 + 12 * columns ? 720 : 120 + 12 * columns,
                                  400 + 11 * (int)b->n_series, path, err);
    return st == HCT_OK ? figure_data(write_data, b, path, err) : st;
}

hct_status radar_write(const bars *b, const char *path, hct_err *err) {
    if (b->n_groups < 3 || !b->n_series) return hct_fail(err, HCT_EINVAL, "%s: a radar chart needs three groups", path);
    hct_status st = gnuplot_write(write_radar, b, 520, 470 + 18 * (int)b->n_series, path, err);
    return st == HCT_OK ? figure_data(write_data, b, path, err) : st;
}
