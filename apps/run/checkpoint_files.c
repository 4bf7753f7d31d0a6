/* Names of older checkpoints: kept, removed, listed. */
#include "run/checkpoint_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hct/log.h"
#include "support/paths.h"

#define LAST "last.safetensors"
#define ENDING ".safetensors"

/* The length of what stands before "last.safetensors" in a path. */
static int stem_of(const char *last) {
    size_t n = strlen(last), end = strlen(LAST);
    return (int)(n >= end && !strcmp(last + n - end, LAST) ? n - end : n);
}

static char *path_of_step(const char *last, int64_t step) {
    char *path = NULL;
    return asprintf(&path, "%.*sstep-%lld" ENDING, stem_of(last), last, (long long)step) < 0 ? NULL : path;
}

void checkpoint_keep(const char *last, int64_t step) {
    static int said;
    char *older = path_is_file(last) ? path_of_step(last, step) : NULL;
    if (older) {
        unlink(older);
        if (link(last, older) < 0 && !said) {
            said = 1;
            hct_log(HCT_LOG_WARNING, "%s: no second name for it: %s; there is no checkpoint before the last one", last,
                    strerror(errno));
        }
    }
    free(older);
}

/* The step in a path that path_of_step makes; -1: it is none of those. */
static int64_t step_of(const char *last, const char *path) {
    int stem = stem_of(last), end = 0;
    long long step = -1;
    if (strncmp(path, last, (size_t)stem) != 0) return -1;
    return sscanf(path + stem, "step-%lld" ENDING "%n", &step, &end) == 1 && end && !path[stem + end] ? step : -1;
}

typedef struct older {
    char *path;
    int64_t step;
} older;

static int newest_first(const void *a, const void *b) {
    int64_t x = ((const older *)a)->step, y = ((const older *)b)->step;
    return (x < y) - (x > y);
}

static hct_status list(const char *last, older **ret, size_t *ret_n, hct_err *err) {
    char *folder = path_folder(last), **names = NULL;
    size_t n = 0, kept = 0;
    older *all = NULL;
    *ret_n = 0;
    hct_status st = folder ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && path_is_folder(folder)) st = path_list(folder, ENDING, &names, &n, err);
    if (st == HCT_OK && !(all = calloc(n + 1, sizeof *all))) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char *path = st == HCT_OK ? path_join(folder, names[i]) : NULL;
        if (st == HCT_OK && !path) st = hct_fail(err, HCT_ENOMEM, "out of memory");
        int64_t step = path ? step_of(last, path) : -1;
        if (step >= 0) all[kept++] = (older){path, step};
        else free(path);
        free(names[i]);
    }
    free(names);
    free(folder);
    if (st == HCT_OK && kept) qsort(all, kept, sizeof *all, newest_first);
    if (st < 0) {
        for (size_t i = 0; i < kept; i++) free(all[i].path);
        free(all);
        return st;
    }
    *ret = all;
    *ret_n = kept;
    return HCT_OK;
}

void checkpoint_prune(const char *last, int64_t step, int64_t keep) {
    older *all = NULL;
    size_t n = 0;
    if (list(last, &all, &n, NULL) < 0) return;
    for (size_t i = 0; i < n; i++) {
        if (all[i].step >= step || keep-- <= 0) unlink(all[i].path);
        free(all[i].path);
    }
    free(all);
}

hct_status checkpoint_older(const char *last, char ***ret, size_t *ret_n, hct_err *err) {
    older *all = NULL;
    hct_status st = list(last, &all, ret_n, err);
    if (st < 0) return st;
    *ret = calloc(*ret_n + 1, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        if (*ret) (*ret)[i] = all[i].path;
        else free(all[i].path);
    }
    free(all);
    return *ret ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
}
