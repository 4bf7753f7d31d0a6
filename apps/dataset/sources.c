/* Inputs: names, and whether they hold prepared scans. */
#include "dataset/sources.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "dataset/index.h"
#include "support/paths.h"
#include "support/text.h"

static int ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcasecmp(text + n - m, ending) == 0;
}

bool source_is_volume(const char *name) { return ends_in(name, ".nii") || ends_in(name, ".nii.gz"); }

char *source_id(const char *relative) {
    char *id = text_plain(relative);
    if (!id) return NULL;
    size_t n = strlen(id);
    if (ends_in(id, ".nii.gz")) id[n - 7] = 0;
    else if (ends_in(id, ".nii")) id[n - 4] = 0;
    for (char *c = id; *c; c++)
        if (*c == '/') *c = '_';
    return id;
}

hct_status source_check_name(const char *path, const char *id, hct_err *err) {
    if (text_not_utf8(path) || text_not_utf8(id))
        return hct_fail(err, HCT_EINVAL, "%s: its name is no UTF-8, as tables of results must be: rename it", path);
    if (text_control(path) || text_control(id))
        return hct_fail(err, HCT_EINVAL, "%s: its name holds a control character: rename it", path);
    return HCT_OK;
}

static int is_same(const char *one, const char *other) {
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Whether folder, by whatever path, is dataset/scans, or one of dataset/forms. */
static int is_scans_of(const char *folder, const char *dataset) {
    char *scans = path_join(dataset, "scans"), *forms = path_join(dataset, "forms"), *above = path_join(folder, "..");
    int same = scans && forms && above && (is_same(folder, scans) || is_same(folder, forms) || is_same(above, forms));
    free(scans);
    free(forms);
    free(above);
    return same;
}

/* Whether folder is where a dataset keeps its prepared scans: the one being made, that of the folder it was found
 * in, or, of a link, that of the folder where it really lies. */
bool source_holds_prepared(const char *folder, const char *parent, const char *dataset) {
    char *above = path_join(folder, ".."), *higher = path_join(folder, "../..");
    int prepared = is_scans_of(folder, dataset) || (index_is_in(parent) && is_scans_of(folder, parent)) ||
                   (above && index_is_in(above) && is_scans_of(folder, above)) ||
                   (higher && index_is_in(higher) && is_scans_of(folder, higher));
    free(above);
    free(higher);
    return prepared;
}

/* The same of an input, a file or a folder. */
static int is_prepared(const char *input, int is_folder, const char *dataset) {
    char *folder = is_folder ? strdup(input) : path_folder(input), *parent = folder ? path_folder(folder) : NULL;
    int prepared = parent && source_holds_prepared(folder, parent, dataset);
    free(folder);
    free(parent);
    return prepared;
}

hct_status sources_check(const char *const *inputs, size_t n, const char *dataset, hct_err *err) {
    for (size_t i = 0; i < n; i++) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%s", inputs[i]);
        for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--) path[len - 1] = 0;
        if (stat(path, &st) < 0)
            return hct_fail(err, errno == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: %s", inputs[i], strerror(errno));
        char *real = realpath(path, NULL);
        bool made = is_prepared(path, S_ISDIR(st.st_mode), dataset) ||
                    (real && is_prepared(real, S_ISDIR(st.st_mode), dataset));
        free(real);
        if (made)
            return hct_fail(err, HCT_EINVAL, "%s: prepared already, in a dataset: name the scans that it was made from",
                            inputs[i]);
    }
    return HCT_OK;
}

hct_status sources_check_output(const char *dataset, hct_err *err) {
    char *scans = path_join(dataset, "scans"), *index = path_join(dataset, "index.sqlite"), **names = NULL;
    hct_status s = scans && index ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory");
    size_t n = 0, volumes = 0;
    if (s == HCT_OK && !path_is_file(index) && path_is_folder(scans)) s = path_list(scans, "", &names, &n, err);
    for (size_t i = 0; i < n; i++) {
        volumes += source_is_volume(names[i]);
        free(names[i]);
    }
    free(names);
    if (s == HCT_OK && volumes)
        s = hct_fail(
            err, HCT_EINVAL,
            "%s: holds %zu volumes, and no %s tells where they come from: name another --out, or move them away", scans,
            volumes, index);
    free(scans);
    free(index);
    return s;
}
