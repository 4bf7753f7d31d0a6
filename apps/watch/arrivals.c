/* Files of a folder by series. */
#include "watch/arrivals.h"

#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "dataset/sources.h"
#include "dicom/header.h"
#include "support/paths.h"

enum { DEEPEST = 32 };

typedef struct arrived {
    char *path;
    int64_t size, ctime_ns, mtime_ns;
    arrival *of; /* NULL: neither DICOM nor NIfTI, as far as it has come */
    uint64_t seen;
} arrived;

struct arrivals {
    char *folder;
    int64_t settle_ns;
    uint64_t pass;
    void *by_path, *by_key; /* trees (search.h) of arrived and arrival */
    arrived **files;
    arrival **series;
    size_t n_files, room_files, n_series, room_series;
};

static hct_status out_of_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "out of memory for a list of files"); }

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const arrived *)a)->path, ((const arrived *)b)->path);
}
static int compare_keys(const void *a, const void *b) {
    return strcmp(((const arrival *)a)->key, ((const arrival *)b)->key);
}

arrivals *arrivals_new(const char *folder, int64_t settle, hct_err *err) {
    arrivals *a = calloc(1, sizeof *a);
    if (a) a->settle_ns = settle * 1000000000;
    if (a && (a->folder = strdup(folder))) return a;
    free(a);
    out_of_memory(err);
    return NULL;
}

static void free_file(arrived *f) {
    free(f->path);
    free(f);
}

static void free_series(arrival *s) {
    free(s->key);
    free(s->study);
    free(s->name);
    free(s);
}

static void leave_alone(void *node) { (void)node; }

void arrivals_free(arrivals *a) {
    if (!a) return;
    tdestroy(a->by_path, leave_alone);
    tdestroy(a->by_key, leave_alone);
    for (size_t i = 0; i < a->n_files; i++) free_file(a->files[i]);
    for (size_t i = 0; i < a->n_series; i++) free_series(a->series[i]);
    free(a->files);
    free(a->series);
    free(a->folder);
    free(a);
}

static bool grow(void *list, size_t n, size_t *room, size_t size) {
    void **at = list;
    if (n < *room) return true;
    size_t wanted = *room ? 2 * *room : 256;
    void *more = realloc(*at, wanted * size);
    if (!more) return false;
    *at = more;
    *room = wanted;
    return true;
}

/* The series of that name, made where it is not there; NULL: no memory. */
static arrival *series_of(arrivals *a, const char *study, const char *name) {
    arrival *s = calloc(1, sizeof *s);
    if (!s || asprintf(&s->key, "%s|%s", study, name) < 0) {
        free(s);
        return NULL;
    }
    arrival **found = tfind(s, &a->by_key, compare_keys);
    s->study = strdup(study);
    s->name = strdup(name);
    const bool whole = s->study && s->name && grow(&a->series, a->n_series, &a->room_series, sizeof *a->series);
    if (found || !whole || !tsearch(s, &a->by_key, compare_keys)) {
        free_series(s);
        return found ? *found : NULL;
    }
    return a->series[a->n_series++] = s;
}

/* Which series a file belongs to, by its header. *ret NULL: none. */
static hct_status find_series(arrivals *a, const char *path, arrival **ret, hct_err *err) {
    const size_t n = strlen(a->folder);
    const char *below = !strncmp(path, a->folder, n) ? path + n + strspn(path + n, "/") : path;
    dicom_header h = {0};
    hct_err why = {0};
    *ret = NULL;
    if (source_is_volume(path)) {
        *ret = series_of(a, "", below);
        return *ret ? HCT_OK : out_of_memory(err);
    }
    hct_status s = dicom_header_of(path, &h, &why);
    if (s == HCT_OK && h.has_pixels) {
        const char *uid = h.series_uid && *h.series_uid ? h.series_uid : NULL;
        char *folder = uid ? NULL : path_folder(below);
        if (uid || folder) *ret = series_of(a, h.study_uid ? h.study_uid : "", uid ? uid : folder);
        if (!*ret) s = out_of_memory(err);
        free(folder);
    } else if (s != HCT_ENOMEM) s = HCT_OK; /* no DICOM, or not all of it yet */
    else out_of_memory(err);
    dicom_header_free(&h);
    return s;
}

static int64_t nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static bool is_as_seen(const arrived *f, const struct stat *st) {
    return f->size == st->st_size && f->ctime_ns == nanoseconds(st->st_ctim) && f->mtime_ns == nanoseconds(st->st_mtim);
}

static hct_status take_file(arrivals *a, const char *path, const struct stat *st, hct_err *err) {
    const arrived key = {.path = (char *)(uintptr_t)path};
    arrived **found = tfind(&key, &a->by_path, compare_paths), *f = found ? *found : NULL;
    if (f && is_as_seen(f, st)) {
        f->seen = a->pass;
        return HCT_OK;
    }
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f || !(f->path = strdup(path)) || !grow(&a->files, a->n_files, &a->room_files, sizeof *a->files) ||
            !tsearch(f, &a->by_path, compare_paths)) {
            if (f) free_file(f);
            return out_of_memory(err);
        }
        a->files[a->n_files++] = f;
    }
    f->size = st->st_size;
    f->ctime_ns = nanoseconds(st->st_ctim);
    f->mtime_ns = nanoseconds(st->st_mtim);
    f->seen = a->pass;
    return find_series(a, path, &f->of, err);
}

static hct_status walk(arrivals *a, const char *folder, int depth, hct_err *err) {
    DIR *d = opendir(folder);
    hct_status s = HCT_OK;
    if (!d) {
        if (errno == ENOMEM) return out_of_memory(err);
        return depth ? HCT_OK : hct_fail(err, HCT_EIO, "%s: %s", folder, strerror(errno));
    }
    for (struct dirent *e; s == HCT_OK && (e = readdir(d));) {
        struct stat st = {0};
        if (e->d_name[0] == '.') continue; /* and what a receiver has not finished yet */
        char *path = path_join(folder, e->d_name);
        if (!path) s = out_of_memory(err);
        else if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && depth < DEEPEST) s = walk(a, path, depth + 1, err);
        else if (S_ISREG(st.st_mode)) s = take_file(a, path, &st, err);
        free(path);
    }
    closedir(d);
    return s;
}

/* Files that are gone go; series are counted anew. */
static void settle_up(arrivals *a) {
    for (size_t i = 0; i < a->n_series; i++) {
        a->series[i]->n_files = 0;
        a->series[i]->bytes = a->series[i]->youngest_ns = 0;
    }
    for (size_t i = 0; i < a->n_files;) {
        arrived *f = a->files[i];
        if (f->seen != a->pass) {
            tdelete(f, &a->by_path, compare_paths);
            free_file(f);
            a->files[i] = a->files[--a->n_files];
            continue;
        }
        i++;
        if (!f->of) continue;
        f->of->n_files++;
        f->of->bytes += f->size;
        if (f->ctime_ns > f->of->youngest_ns) f->of->youngest_ns = f->ctime_ns;
    }
    for (size_t i = 0; i < a->n_series; i++) {
        arrival *s = a->series[i];
        if (s->done && !s->n_done) s->n_done = s->n_files;
        if (s->done && s->n_files > s->n_done) s->late = true;
    }
}

hct_status arrivals_look(arrivals *a, hct_err *err) {
    a->pass++;
    hct_status s = walk(a, a->folder, 0, err);
    if (s == HCT_OK) settle_up(a);
    return s;
}

arrival *arrivals_next(arrivals *a) {
    struct timespec now;
    arrival *best = NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t rest = nanoseconds(now) - a->settle_ns;
    for (size_t i = 0; i < a->n_series; i++) {
        arrival *s = a->series[i];
        if (s->done || !s->n_files || s->youngest_ns > rest) continue;
        if (!best || s->youngest_ns < best->youngest_ns) best = s;
    }
    return best;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

hct_status arrivals_paths(const arrivals *a, const arrival *one, const char ***ret, size_t *ret_n, hct_err *err) {
    const char **paths = malloc((one->n_files + 1) * sizeof *paths);
    size_t n = 0;
    if (!paths) return out_of_memory(err);
    for (size_t i = 0; i < a->n_files && n < one->n_files; i++)
        if (a->files[i]->of == one) paths[n++] = a->files[i]->path;
    qsort(paths, n, sizeof *paths, by_text);
    *ret = paths;
    *ret_n = n;
    return HCT_OK;
}

bool arrivals_same(const arrivals *a, const arrival *one) {
    struct stat st;
    for (size_t i = 0; i < a->n_files; i++) {
        const arrived *f = a->files[i];
        if (f->of == one && (lstat(f->path, &st) != 0 || !is_as_seen(f, &st))) return false;
    }
    return true;
}

hct_status arrivals_done(arrivals *a, const char *study, const char *name, hct_err *err) {
    arrival *s = series_of(a, study, name);
    if (!s) return out_of_memory(err);
    s->done = true;
    s->n_done = s->n_files;
    return HCT_OK;
}

void arrivals_count(const arrivals *a, size_t *ret_waiting, size_t *ret_late) {
    *ret_waiting = *ret_late = 0;
    for (size_t i = 0; i < a->n_series; i++) {
        *ret_waiting += !a->series[i]->done && a->series[i]->n_files;
        *ret_late += a->series[i]->late;
    }
}
