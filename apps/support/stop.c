/* Signals that ask to stop. */
#include "support/stop.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t asked;

static void note(int number) {
    if (asked && number == SIGINT) signal(SIGINT, SIG_DFL); /* a third Ctrl-C ends it at once */
    asked = number;
}

void stop_listen(void) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = note;
    a.sa_flags = SA_RESTART;
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};
    for (int i = 0; i < 3; i++) sigaction(signals[i], &a, NULL);
}

int stop_asked(void) { return asked; }

hct_status stop_check(size_t done, size_t total, hct_err *err) {
    return asked
               ? hct_fail(err, HCT_EINTERRUPTED, "signal %d: stopped after %zu of %zu scans; run it again for the rest",
                          (int)asked, done, total)
               : HCT_OK;
}
