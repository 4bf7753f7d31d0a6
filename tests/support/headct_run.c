/* Runs the program and takes what it says. */
#include "headct_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

char headct_said[65536];

static int run(const char *command) {
    FILE *p = popen(command, "r");
    if (!p) return -1;
    size_t n = fread(headct_said, 1, sizeof headct_said - 1, p);
    headct_said[n] = 0;
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int headct_run(const char *fmt, ...) {
    char arguments[8000], command[9000];
    const char *program = getenv("HEADCT");
    if (!program) {
        fprintf(stderr, "HEADCT is not set: it must name the program under test\n");
        exit(1);
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(arguments, sizeof arguments, fmt, ap);
    va_end(ap);
    snprintf(command, sizeof command, "'%s' %s 2>&1", program, arguments);
    return run(command);
}

void shell(const char *fmt, ...) {
    char command[9000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    if (run(command) == 0) return;
    fprintf(stderr, "failed: %s\n", command);
    exit(1);
}
