/* Progress lines. */
#include "support/progress.h"

#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *progress_time(double seconds, char buffer[32]) {
    long s = seconds > 0 && seconds < 1e9 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600) snprintf(buffer, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(buffer, 32, "%ld:%02ld", s / 60, s % 60);
    return buffer;
}

progress progress_begin(FILE *out, const char *what, int64_t first, int64_t total, const char *unit, double per_step) {
    bool terminal = out && isatty(fileno(out));
    return (progress){.out = out,
                      .what = what,
                      .unit = unit,
                      .total = total,
                      .done = first,
                      .first = first,
                      .per_step = per_step,
                      .started = now(),
                      .shown = terminal ? 0 : now(),
                      .every = terminal ? 0.1 : 10,
                      .terminal = terminal};
}

double progress_rate(const progress *p) {
    double seconds = now() - p->started;
    return seconds > 0 ? (double)(p->done - p->first) * p->per_step / seconds : 0;
}

static void print(progress *p, const char *note, bool last) {
    char clock[32];
    double seconds = now() - p->started, rate = progress_rate(p);
    if (p->terminal) fputs("\r\033[K", p->out);
    fprintf(p->out, "%s %lld", p->what, (long long)p->done);
    if (p->total > 0) fprintf(p->out, "/%lld %3.0f%%", (long long)p->total, 100.0 * (double)p->done / (double)p->total);
    if (note && *note) fprintf(p->out, "  %s", note);
    fprintf(p->out, "  %.*f %s/s", rate < 10 ? 2 : 1, rate, p->unit);
    if (last) fprintf(p->out, "  took %s", progress_time(seconds, clock));
    else if (p->total > 0 && p->done > p->first)
        fprintf(p->out, "  ETA %s",
                progress_time(seconds / (double)(p->done - p->first) * (double)(p->total - p->done), clock));
    p->line_open = p->terminal && !last;
    if (!p->line_open) fputc('\n', p->out);
    fflush(p->out);
    p->shown = now();
}

void progress_show(progress *p, int64_t done, const char *note) {
    p->done = done;
    if (p->out && now() - p->shown >= p->every) print(p, note, false);
}

void progress_end(progress *p, const char *note) {
    if (p->out) print(p, note, true);
}

void progress_break(progress *p) {
    if (p->line_open) fputc('\n', p->out);
    p->line_open = false;
}
