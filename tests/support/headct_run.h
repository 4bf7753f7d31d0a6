/* Runs the program under test (environment variable HEADCT) as a user would, through a shell. */
#ifndef TESTS_SUPPORT_HEADCT_RUN_H
#define TESTS_SUPPORT_HEADCT_RUN_H

/* Standard output and error of the last run. */
extern char headct_said[65536];
/* "$HEADCT " + the formatted arguments; returns the exit status, -1 where it died of a signal. */
int headct_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Runs a shell command that must succeed. */
void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
