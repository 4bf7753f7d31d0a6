/* TAP output. */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>

static int count, failed;

static void text(const char *fmt, va_list ap) {
    char line[2048];
    vsnprintf(line, sizeof line, fmt, ap);
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '#') *c = ' ';
    fputs(line, stdout);
}

int tap_ok(int ok, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    printf("%sok %d - ", ok ? "" : "not ", ++count);
    text(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
    failed += !ok;
    return ok;
}

void tap_skip(const char *name, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    printf("ok %d - %s # SKIP ", ++count, name);
    text(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
}

void tap_note(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("# ", stdout);
    text(fmt, ap);
    putchar('\n');
    va_end(ap);
}

int tap_count(void) { return count; }

int tap_done(void) {
    printf("1..%d\n", count);
    return failed || count == 0;
}
