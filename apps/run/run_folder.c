/* Run folders: entered by one process, kept to one recipe. */
#include "run/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "hct/io.h"
#include "support/paths.h"
#include "support/sha256.h"

void run_folder_clean(const char *run) {
    static const char *const rooms[] = {"checkpoints", "figures"};
    hct_leftovers_remove(run);
    for (int i = 0; i < 2; i++) {
        char *room = path_join(run, rooms[i]);
        if (room) hct_leftovers_remove(room);
        free(room);
    }
}

static hct_status check_recipe(const char *run, const char *file, const recipe *r, int resume, hct_err *err) {
    recipe have = recipe_default();
    if (!path_is_file(file)) return HCT_OK;
    hct_status st = recipe_load(file, &have, err);
    if (st < 0) return st;
    if (!strcmp(have.method, r->method)) {
        char was[SHA256_HEX], now[SHA256_HEX];
        if (!resume || (st = recipe_hash(&have, was, err)) < 0 || (st = recipe_hash(r, now, err)) < 0 ||
            !strcmp(was, now))
            return st;
        text_buffer keys = {0};
        recipe_difference(&have, r, &keys);
        hct_fail(err, HCT_EINVAL,
                 "%s: the run has another recipe (%.600s); resume without changing keys, %sor start a new run", file,
                 text_so_far(&keys), recipe_pretrains(r) ? "go on in a new folder with --fork, " : "");
        text_free(&keys);
        return HCT_EINVAL;
    }
    return hct_fail(err, HCT_EINVAL,
                    "%s: there is a run of another method (its recipe.yaml says which); name another folder", run);
}

hct_status run_folder_enter(const char *run, const recipe *r, int resume, int *ret_lock, hct_err *err) {
    char *lock = path_join(run, ".lock"), *file = path_join(run, "recipe.yaml");
    hct_status st = lock && file ? path_make_folders(run, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    int fd = st == HCT_OK ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (st == HCT_OK && fd < 0) st = hct_fail(err, HCT_EIO, "%s: cannot be written: %s", lock, strerror(errno));
    /* a file system without locks locks nobody out */
    if (st == HCT_OK && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        st = hct_fail(err, HCT_EINVAL, "%s: another headct is running in it; wait for it, or name another folder", run);
    if (st == HCT_OK) st = check_recipe(run, file, r, resume, err);
    if (st == HCT_OK) run_folder_clean(run);
    if (st == HCT_OK) *ret_lock = fd;
    else if (fd >= 0) close(fd);
    free(lock);
    free(file);
    return st;
}

static hct_status remove_one(const char *folder, const char *name, hct_err *err) {
    char *path = path_join(folder, name);
    hct_status st = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (path && unlink(path) < 0 && errno != ENOENT)
        st = hct_fail(err, HCT_EIO, "%s: cannot be removed: %s", path, strerror(errno));
    free(path);
    return st;
}

static hct_status remove_all(const char *folder, const char *start, const char *ending, hct_err *err) {
    char **names = NULL;
    size_t n = 0;
    hct_status st = path_is_folder(folder) ? path_list(folder, ending, &names, &n, err) : HCT_OK;
    for (size_t i = 0; i < n; i++) {
        if (st == HCT_OK && !strncmp(names[i], start, strlen(start))) st = remove_one(folder, names[i], err);
        free(names[i]);
    }
    free(names);
    return st;
}

hct_status run_folder_empty(const char *run, hct_err *err) {
    char *figures = path_join(run, "figures");
    hct_status st = figures ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = remove_all(run, "events.", "", err);
    if (st == HCT_OK) st = remove_all(figures, "", ".svg", err);
    free(figures);
    return st;
}

void run_folder_leave(int lock) {
    if (lock > 0) close(lock);
}

hct_status run_folder_open(const char *run, const char *sub, const recipe *r, hct_err *err) {
    char *folder = path_join(run, sub ? sub : ""), *file = path_join(run, "recipe.yaml");
    hct_status st = folder && file ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        text_buffer text = {0};
        recipe_text(r, &text);
        st = text_save(&text, file, err);
        text_free(&text);
    }
    free(folder);
    free(file);
    return st;
}
