/* gnuplot: its script through a file, its figure through a pipe. */
#include "figures/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hct/io.h"
#include "support/text.h"

extern char **environ;

const char *const gnuplot_colours[GNUPLOT_COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9",
                                                      "#5b6770", "#8a5a9e", "#e69f00", "#3d2c8d", "#7a4a2b", "#111111"};

/* Only the quote itself is special. */
void gnuplot_quoted(FILE *f, const char *text) {
    fputc('\'', f);
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '\'') fputc('\'', f);
        fputc(*c == '\n' ? ' ' : *c, f);
    }
    fputc('\'', f);
}

void gnuplot_label(FILE *f, const char *what, const char *text) {
    if (!text) return;
    fprintf(f, "set %s ", what);
    gnuplot_quoted(f, text);
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
static hct_status draw(void (*write)(FILE *f, const void *context), const void *context, const char *path,
                       text_buffer *out, hct_err *err) {
    FILE *script = tmpfile(), *log = tmpfile();
    hct_status status =
        script && log ? HCT_OK : hct_fail(err, HCT_EIO, "%s: no temporary file for gnuplot: %s", path, strerror(errno));
    if (status == HCT_OK) {
        write(script, context);
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

/* What a figure's script starts with. */
typedef struct framed {
    void (*write)(FILE *f, const void *context);
    const void *context;
    const char *terminal;
    int width, height;
} framed;

static void write_framed(FILE *f, const void *context) {
    const framed *w = context;
    fprintf(f, "set terminal %s size %d,%d font 'DejaVu Sans,11' background '#ffffff' noenhanced\n", w->terminal,
            w->width, w->height);
    fputs("set border 3 lc rgb '#666666'\nset tics nomirror\nset grid lc rgb '#e4e4e4' lt 1\n", f);
    w->write(f, w->context);
}

hct_status gnuplot_write(void (*write)(FILE *f, const void *context), const void *context, int width, int height,
                         const char *path, hct_err *err) {
    const char *ending = strrchr(path, '.');
    const char *terminal = ending && !strcmp(ending, ".svg")   ? "svg"
                           : ending && !strcmp(ending, ".png") ? "pngcairo"
                                                               : NULL;
    if (!terminal) return hct_fail(err, HCT_EINVAL, "%s: a plot is written as .svg or .png", path);
    const framed w = {write, context, terminal, width, height};
    text_buffer figure = {0};
    hct_status status = draw(write_framed, &w, path, &figure, err);
    if (status == HCT_OK) status = text_save(&figure, path, err);
    text_free(&figure);
    return status;
}
