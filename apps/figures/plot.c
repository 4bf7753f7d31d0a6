/* Curves as SVG and PNG. */
#include "figures/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hct/io.h"
#include "support/text.h"

extern char **environ;

static const char *const colours[] = {"#1f5a91", "#c8553d", "#4c8a5b", "#8a5a9e", "#b8860b", "#5b6770",
                                      "#3fa7c4", "#e59aa8", "#9bc067", "#3d2c8d", "#7a4a2b", "#111111"};
/* more curves than that: the legend stands beside the plot */
enum { COLOURS = sizeof colours / sizeof *colours, KEY_INSIDE = 4 };

/* gnuplot's single-quoted text: only the quote itself is special. */
static void quoted(FILE *f, const char *text) {
    fputc('\'', f);
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '\'') fputc('\'', f);
        fputc(*c == '\n' ? ' ' : *c, f);
    }
    fputc('\'', f);
}

static void label(FILE *f, const char *what, const char *text) {
    if (!text) return;
    fprintf(f, "set %s ", what);
    quoted(f, text);
    fputc('\n', f);
}

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

static void write_script(FILE *f, const plot *p, const char *terminal) {
    int width = p->width ? p->width : p->square ? 520 : 720, height = p->height ? p->height : p->square ? 520 : 420;
    fprintf(f, "set terminal %s size %d,%d font 'DejaVu Sans,11' background '#ffffff' noenhanced\n", terminal, width,
            height);
    label(f, "title", p->title);
    label(f, "xlabel", p->x_label);
    label(f, "ylabel", p->y_label);
    fputs("set border 3 lc rgb '#666666'\nset tics nomirror\nset grid lc rgb '#e4e4e4' lt 1\n", f);
    fprintf(f, "set key %s\n",
            p->square == SQUARE_LEVEL ? "bottom left"
            : p->square               ? "bottom right"
            : p->n > KEY_INSIDE       ? "outside right top"
                                      : "top right");
    if (p->square) fputs("set size square\nset xrange [0:1]\nset yrange [0:1]\n", f);
    if (p->log_y) fputs("set logscale y\n", f);
    write_data(f, p);
    const char *comma = "plot ";
    for (size_t s = 0; s < p->n; s++)
        if (p->series[s].low && p->series[s].n) {
            fprintf(f, "%s$d%zu using 1:3:4 with filledcurves fc rgb '%s' fs transparent solid 0.18 noborder notitle",
                    comma, s, colours[s % COLOURS]);
            comma = ", ";
        }
    if (p->square) {
        fprintf(f, p->square == SQUARE_LEVEL ? "%s%.6g" : "%sx", comma, p->level);
        fputs(" with lines lc rgb '#999999' dt 2 notitle", f);
        comma = ", ";
    }
    for (size_t s = 0; s < p->n; s++) {
        if (p->series[s].n == 0) continue;
        fprintf(f, "%s$d%zu using 1:2 with %s lw 2 pt 7 ps 0.5 lc rgb '%s' ", comma, s,
                p->series[s].n < 3 ? "linespoints" : "lines", colours[s % COLOURS]);
        if (p->series[s].title) {
            fputs("title ", f);
            quoted(f, p->series[s].title);
        } else {
            fputs("notitle", f);
        }
        comma = ", ";
    }
    fputc('\n', f);
}

/* All that comes out of fd until its end. */
static hct_status read_all(int fd, const char *path, text_buffer *out, hct_err *err) {
    char part[1 << 14];
    for (ssize_t k; (k = read(fd, part, sizeof part)) != 0;) {
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return hct_fail(err, HCT_EIO, "%s: gnuplot cannot be read: %s", path, strerror(errno));
        text_add(out, part, (size_t)k);
    }
    return text_check(out, path, err);
}

/* Why gnuplot failed, from what it said. */
static hct_status gnuplot_failed(FILE *log, const char *path, hct_err *err) {
    char said[400];
    rewind(log);
    size_t n = fread(said, 1, sizeof said - 1, log);
    said[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (said[i] == '\n') said[i] = ' ';
    return hct_fail(err, HCT_EIO, "%s: gnuplot failed: %s", path, said);
}

/* Runs `gnuplot` with script as standard input; the figure it prints in *out, what it complains of in log. */
static hct_status run_gnuplot(FILE *script, FILE *log, const char *path, text_buffer *out, hct_err *err) {
    char *argv[] = {"gnuplot", NULL};
    int ends[2], status = 0;
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) < 0) return hct_fail(err, HCT_EIO, "%s: no pipe to gnuplot: %s", path, strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(script), 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, fileno(log), 2);
    int error = posix_spawnp(&child, "gnuplot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    hct_status result = error ? hct_fail(err, error == ENOENT ? HCT_ENOTFOUND : HCT_EIO,
                                         "%s: gnuplot cannot be started (%s); install it: apt-get install gnuplot-nox",
                                         path, strerror(error))
                              : read_all(ends[0], path, out, err);
    close(ends[0]);
    if (error) return result;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return result == HCT_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0) ? gnuplot_failed(log, path, err)
                                                                                : result;
}

/* The figure in *out: gnuplot gets its script in a file, and prints into a pipe, which no full disk cuts short. */
static hct_status draw(const plot *p, const char *terminal, const char *path, text_buffer *out, hct_err *err) {
    FILE *script = tmpfile(), *log = tmpfile();
    hct_status status =
        script && log ? HCT_OK : hct_fail(err, HCT_EIO, "%s: no temporary file for gnuplot: %s", path, strerror(errno));
    if (status == HCT_OK) {
        write_script(script, p, terminal);
        if (fflush(script) != 0 || ferror(script))
            status = hct_fail(err, HCT_EIO, "%s: the script for gnuplot cannot be written: %s", path, strerror(errno));
    }
    if (status == HCT_OK) {
        lseek(fileno(script), 0, SEEK_SET);
        status = run_gnuplot(script, log, path, out, err);
    }
    if (script) fclose(script);
    if (log) fclose(log);
    return status;
}

hct_status plot_write(const plot *p, const char *path, hct_err *err) {
    const char *ending = strrchr(path, '.');
    const char *terminal = ending && !strcmp(ending, ".svg")   ? "svg"
                           : ending && !strcmp(ending, ".png") ? "pngcairo"
                                                               : NULL;
    if (!terminal) return hct_fail(err, HCT_EINVAL, "%s: a plot is written as .svg or .png", path);
    size_t points = 0;
    for (size_t s = 0; s < p->n; s++) points += p->series[s].n;
    if (points == 0) return hct_fail(err, HCT_EINVAL, "%s: there is nothing to plot", path);
    text_buffer figure = {0};
    hct_status status = draw(p, terminal, path, &figure, err);
    if (status == HCT_OK) status = text_save(&figure, path, err);
    text_free(&figure);
    return status;
}
