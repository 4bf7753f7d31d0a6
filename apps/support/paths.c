/* Paths and folders. */
#include "support/paths.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *path_join(const char *folder, const char *name) {
    if (name[0] == '/' || folder[0] == '\0') return strdup(name);
    size_t n = strlen(folder);
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", folder, folder[n - 1] == '/' ? "" : "/", name) < 0) return NULL;
    return path;
}

const char *path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

char *path_stem(const char *path) {
    char *stem = strdup(path_base(path));
    if (!stem) return NULL;
    char *dot = strrchr(stem, '.');
    if (dot && dot != stem && strcmp(dot, ".gz") == 0) {
        *dot = '\0';
        dot = strrchr(stem, '.');
    }
    if (dot && dot != stem) *dot = '\0';
    return stem;
}

bool path_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool path_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_is_below(const char *path, const char *folder) {
    char real[PATH_MAX], top[PATH_MAX];
    if (!realpath(path, real) || !realpath(folder, top)) return false;
    size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
    return strncmp(real, top, n) == 0 && real[n] == '/';
}

hct_status path_make_folders(const char *path, hct_err *err) {
    char *copy = strdup(path);
    if (!copy) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    hct_status status = HCT_OK;
    for (char *c = copy + (*copy == '/'); status == HCT_OK; c++) {
        if (*c != '/' && *c != '\0') continue;
        char kept = *c;
        *c = '\0';
        if (*copy && mkdir(copy, 0777) < 0 && !(errno == EEXIST && path_is_folder(copy)))
            status = hct_fail(err, HCT_EIO, "%s: the folder cannot be made: %s", copy, strerror(errno));
        *c = kept;
        if (kept == '\0') break;
    }
    free(copy);
    return status;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool ends_in(const char *name, const char *ending) {
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcmp(name + n - m, ending) == 0;
}

hct_status path_list(const char *folder, const char *ending, char ***ret_names, size_t *ret_n, hct_err *err) {
    DIR *d = opendir(folder);
    if (!d)
        return hct_fail(err, errno == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: the folder cannot be read: %s", folder,
                        strerror(errno));
    char **names = NULL;
    size_t n = 0, capacity = 0;
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !ends_in(e->d_name, ending)) continue;
        if (n == capacity) {
            char **more = realloc(names, (capacity = capacity ? 2 * capacity : 64) * sizeof *names);
            ok = more != NULL;
            if (ok) names = more;
        }
        if (ok) ok = (names[n] = strdup(e->d_name)) != NULL;
        n += ok;
    }
    closedir(d);
    if (!ok) {
        while (n) free(names[--n]);
        free(names);
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory for the list of its files", folder);
    }
    if (n) qsort(names, n, sizeof *names, by_bytes);
    *ret_names = names;
    *ret_n = n;
    return HCT_OK;
}
