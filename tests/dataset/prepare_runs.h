/* What the tests of headct prepare share: runs of the program in a folder of their own. After check_main.h. */
#ifndef TESTS_DATASET_PREPARE_RUNS_H
#define TESTS_DATASET_PREPARE_RUNS_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "headct_run.h"
#include "scratch.h"

enum { OK = 0, ERROR = 1, USAGE = 2, PARTIAL = 3, STOPPED = 75 }; /* commands/command.h */

#define runs(status, ...)                                                                                              \
    do {                                                                                                               \
        int got_ = headct_run(__VA_ARGS__);                                                                            \
        ck_assert_msg(got_ == (status), "exit %d, expected %d; it said: %s", got_, status, headct_said);               \
    } while (0)
#define says(text) ck_assert_msg(strstr(headct_said, text), "does not say '%s' but: %s", text, headct_said)

/* A fresh folder below the scratch folder, as working folder of the rest of the test. */
static inline void enter(const char *name) {
    shell("rm -rf '%s' && mkdir '%s'", scratch_path(name), scratch_path(name));
    if (chdir(scratch_path(name)) < 0) exit(1);
}

static inline void phantoms(int patients) {
    runs(OK, "phantom --out ph --patients %d --scans-per-patient 2 --size tiny --seed 4 --quiet", patients);
}

#endif
