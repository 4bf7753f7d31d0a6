/* What predict and embed hold in memory of a large folder does not grow with its files, and nothing of it is left in
 * the folder of temporary files, whenever the program is killed. Suite slow: it writes 22,000 files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "headct_run.h"
#include "inference/cohort.h"
#include "make_dicom.h"
#include "scratch.h"

enum { SLICES = 40 };

static void write_series(const char *name, int series) {
    for (int i = 0; i < series; i++) {
        char folder[4200];
        snprintf(folder, sizeof folder, "%s/%s/%03d/%04d", scratch_folder(), name, i / 100, i);
        shell("mkdir -p '%s'", folder);
        head_series_write(
            &(head_series){.folder = folder, .name = "IM%03d", .n = SLICES, .columns = 8, .rows = 8, .series = 2 + i});
    }
}

/* MiB that a process of its own has at most while it lists a folder. */
static double peak_of(const char *name, size_t series) {
    const char *folder = scratch_path(name);
    int ends[2];
    double mib = -1;
    ck_assert(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        cohort c = {0};
        hct_err err = {0};
        struct rusage used;
        hct_status s = cohort_of_files(&folder, 1, "none", &c, &err);
        getrusage(RUSAGE_SELF, &used);
        mib = s == HCT_OK && c.n == series ? (double)used.ru_maxrss / 1024 : -2;
        if (write(ends[1], &mib, sizeof mib) < 0) _exit(1);
        _exit(0);
    }
    ck_assert(child > 0 && read(ends[0], &mib, sizeof mib) == (ssize_t)sizeof mib);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    return mib;
}

START_TEST(memory_does_not_grow_with_files) {
    write_series("few", 50);
    write_series("many", 500);
    double few = peak_of("few", 50), many = peak_of("many", 500);
    ck_assert_msg(few > 0 && many > 0 && many - few < 8, "%.1f MiB for 2,000 files, %.1f MiB for 20,000", few, many);
}
END_TEST

START_TEST(nothing_is_left_after_a_kill) {
    shell("mkdir -p '%s'", scratch_path("temporary"));
    for (int k = 1; k <= 10; k++) {
        pid_t child = fork();
        if (child == 0) {
            const char *folder = scratch_path("many");
            cohort c = {0};
            hct_err err = {0};
            setenv("TMPDIR", scratch_path("temporary"), 1);
            setenv("SQLITE_TMPDIR", scratch_path("temporary"), 1);
            cohort_of_files(&folder, 1, "none", &c, &err);
            _exit(0);
        }
        usleep((useconds_t)(100000 * k));
        ck_assert_int_eq(scratch_count(scratch_path("temporary")), 0);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        ck_assert_int_eq(scratch_count(scratch_path("temporary")), 0);
    }
}
END_TEST

int main(void) { return CHECK_RUN("cohort", memory_does_not_grow_with_files, nothing_is_left_after_a_kill); }
