/* Runs in processes of their own: this program again, on a folder with its recipe. */
#include "run/child_runs.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/run_folder.h"
#include "support/paths.h"

hct_status child_run_done(const char *folder, const recipe *want, int *ret, hct_err *err) {
    char *table = path_join(folder, "predictions.csv"), *file = path_join(folder, "recipe.yaml"), a[65], b[65];
    recipe have = recipe_default();
    hct_status st = table && file ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    *ret = 0;
    if (st == HCT_OK && path_is_file(file)) {
        st = recipe_load(file, &have, err);
        if (st == HCT_OK) st = recipe_hash(&have, a, err);
        if (st == HCT_OK) st = recipe_hash(want, b, err);
        if (st == HCT_OK && strcmp(a, b) != 0) {
            text_buffer what = {0};
            recipe_difference(&have, want, &what);
            st = hct_fail(err, HCT_EINVAL, "%s: is of another recipe (%s); name another folder", file,
                          text_so_far(&what));
            text_free(&what);
        }
        *ret = st == HCT_OK && path_is_file(table);
    }
    free(table);
    free(file);
    return st;
}

static void run_child(const recipe *r, char *folder) {
    /* goes on where it was cut off, if it was */
    char *const again[] = {"headct", recipe_probes(r) ? "probe" : "finetune", "--run", folder, "--resume", "--quiet",
                           NULL};
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (freopen("/dev/null", "w", stdout)) execv("/proc/self/exe", again);
    _exit(1);
}

static hct_status wait_one(child_runs *c, hct_err *err) {
    int status;
    if (wait(&status) < 0) return hct_fail(err, HCT_EIO, "waiting for a process failed");
    c->running--;
    c->failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return HCT_OK;
}

hct_status child_runs_add(child_runs *c, const char *folder, const recipe *r, hct_err *err) {
    int done = 0;
    hct_status st = child_run_done(folder, r, &done, err);
    if (st < 0 || done) return st;
    while (st == HCT_OK && c->running >= c->jobs) st = wait_one(c, err);
    if (st == HCT_OK) st = run_folder_open(folder, NULL, r, err);
    char *name = strdup(folder);
    if (st == HCT_OK && !name) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) run_child(r, name);
        if (child < 0) st = hct_fail(err, HCT_EIO, "starting a process failed");
        else c->running++;
    }
    free(name);
    return st;
}

void child_runs_end(child_runs *c) {
    hct_err late;
    while (c->running > 0)
        if (wait_one(c, &late) < 0) break;
}
