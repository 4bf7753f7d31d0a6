/* TAP for programs with a case per file or table row (Check has no skip). Prints "ok 3 - name" lines as they come. */
#ifndef TESTS_SUPPORT_TAP_H
#define TESTS_SUPPORT_TAP_H

/* One result; returns ok. */
int tap_ok(int ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A case that could not be run, with its reason. */
void tap_skip(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* How many results so far. */
int tap_count(void);
/* A comment line, shown beside the results. */
void tap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints the plan; the exit status for main: non-zero where a case failed or none was printed. */
int tap_done(void);

#endif
