#include "training/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "hct/io.h"
#include "support/paths.h"

void run_folder_clean(const char *run) {
    char *checkpoints = path_join(run, "checkpoints");
    hct_leftovers_remove(run);
    if (checkpoints) hct_leftovers_remove(checkpoints);
    free(checkpoints);
}

static hct_status check_method(const char *run, const char *file, const recipe *r, hct_err *err) {
    recipe have = recipe_default();
    if (!path_is_file(file)) return HCT_OK;
    hct_status st = recipe_load(file, &have, err);
    if (st < 0 || have.method == r->method) return st;
    return hct_fail(err, HCT_EINVAL, "%s: there is a run of another method (its recipe.yaml says which); name another folder", run);
}

hct_status run_folder_enter(const char *run, const recipe *r, int *ret_lock, hct_err *err) {
    char *lock = path_join(run, ".lock"), *file = path_join(run, "recipe.yaml");
    hct_status st = lock && file ? path_make_folders(run, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    int fd = st == HCT_OK ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (st == HCT_OK && fd < 0) st = hct_fail(err, HCT_EIO, "%s: cannot be written: %s", lock, strerror(errno));
    if (st == HCT_OK && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) /* a file system without locks locks nobody out */
        st = hct_fail(err, HCT_EINVAL, "%s: another headct is running in it; wait for it, or name another folder", run);
    if (st == HCT_OK) st = check_method(run, file, r, err);
    if (st == HCT_OK) run_folder_clean(run);
    if (st == HCT_OK) *ret_lock = fd;
    else if (fd >= 0) close(fd);
    free(lock);
    free(file);
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
        hct_outfile *f = hct_outfile_open(file, err);
        hct_outfile_write(f, text.bytes, text.length);
        st = hct_outfile_close(f, err);
        free(text.bytes);
    }
    free(folder);
    free(file);
    return st;
}
