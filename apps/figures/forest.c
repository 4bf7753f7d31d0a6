/* Forest plots. */
#include "figures/forest.h"

#include <math.h>
#include <stdbool.h>

#include "figures/figure_data.h"
#include "figures/gnuplot.h"

static void write_script(FILE *f, const void *context) {
    const forest *p = context;
    gnuplot_label(f, "title", p->title);
    gnuplot_label(f, "xlabel", p->x_label);
    fprintf(f, "unset key\nset yrange [0.4:%zu.6]\nset ytics (", p->n);
    for (size_t i = 0; i < p->n; i++) {
        if (i) fputs(", ", f);
        gnuplot_quoted(f, p->rows[i].label);
        fprintf(f, " %zu", p->n - i);
    }
    fputs(")\nset grid x noy\n$d << END\n", f);
    for (size_t i = 0; i < p->n; i++) {
        const forest_row *r = &p->rows[i];
        bool bare = isnan(r->low);
        fprintf(f, "%.10g %zu %.10g %.10g\n", r->value, p->n - i, bare ? r->value : r->low, bare ? r->value : r->high);
    }
    fputs("END\n", f);
    if (!isnan(p->line))
        fprintf(f, "set arrow from %.10g, graph 0 to %.10g, graph 1 nohead dt 2 lc rgb '#999999'\n", p->line, p->line);
    fprintf(f,
            "plot $d using 1:2:3:4 with xerrorbars pt 0 lw 2 lc rgb '%s', $d using 1:2 with points pt 7 ps 0.8 lc rgb "
            "'%s'\n",
            gnuplot_colours[0], gnuplot_colours[0]);
}

static void write_rows(hct_outfile *f, const void *context) {
    const forest *p = context;
    static const char *const head[] = {"label", "value", "low", "high"};
    for (size_t c = 0; c < 4; c++) csv_put(f, c, head[c]);
    csv_end_row(f);
    for (size_t i = 0; i < p->n; i++) {
        csv_put(f, 0, p->rows[i].label);
        figure_number(f, p->rows[i].value);
        figure_number(f, p->rows[i].low);
        figure_number(f, p->rows[i].high);
        csv_end_row(f);
    }
}

hct_status forest_write(const forest *p, const char *path, hct_err *err) {
    if (p->n == 0) return hct_fail(err, HCT_EINVAL, "%s: there is nothing to plot", path);
    hct_status st = gnuplot_write(write_script, p, 720, 110 + 26 * (int)p->n, path, err);
    return st == HCT_OK ? figure_data(write_rows, p, path, err) : st;
}
