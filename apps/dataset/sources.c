/* Scans among files and folders: found, named, hashed. */
#include "dataset/sources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "hct/io.h"
#include "imaging/dicom.h"
#include "support/paths.h"
#include "support/sha256.h"

enum { MAX_DEPTH = 16 };

static int ends_in(const char *text, const char *ending) {
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcasecmp(text + n - m, ending) == 0;
}

int source_is_volume(const char *name) { return ends_in(name, ".nii") || ends_in(name, ".nii.gz"); }

char *source_id(const char *relative) {
    char *id = strdup(relative);
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

static hct_status add(source_list *l, const char *path, const char *relative, hct_err *err) {
    scan_source *more = realloc(l->items, (l->n + 1) * sizeof *more);
    if (!more) return hct_fail(err, HCT_ENOMEM, "no memory for the list of scans");
    l->items = more;
    more[l->n] = (scan_source){strdup(path), source_id(relative)};
    l->n++;
    return more[l->n - 1].path && more[l->n - 1].id ? HCT_OK
                                                    : hct_fail(err, HCT_ENOMEM, "no memory for the list of scans");
}

static int is_same(const char *one, const char *other) {
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Whether folder, by whatever path, is dataset/scans. */
static int is_scans_of(const char *folder, const char *dataset) {
    char *scans = path_join(dataset, "scans");
    int same = scans && is_same(folder, scans);
    free(scans);
    return same;
}

/* Whether folder is where a dataset keeps its prepared scans: the one being made, that of the folder it was found
 * in, or, of a link, that of the folder where it really lies. */
static int holds_prepared(const char *folder, const char *parent, const char *dataset) {
    char *above = path_join(folder, "..");
    int prepared = is_scans_of(folder, dataset) || (index_is_in(parent) && is_scans_of(folder, parent)) ||
                   (above && index_is_in(above) && is_scans_of(folder, above));
    free(above);
    return prepared;
}

/* The same of an input, a file or a folder. */
static int is_prepared(const char *input, int is_folder, const char *dataset) {
    char *folder = is_folder ? strdup(input) : path_folder(input), *parent = folder ? path_folder(folder) : NULL;
    int prepared = parent && holds_prepared(folder, parent, dataset);
    free(folder);
    free(parent);
    return prepared;
}

/* A folder being searched, and the one that it was found in. */
typedef struct place {
    const char *folder;
    const struct place *above;
} place;

/* Whether a link leads back to a folder that is being searched. */
static int is_loop(const char *path, const place *p) {
    while (p && !is_same(path, p->folder)) p = p->above;
    return p != NULL;
}

/* relative: what the ids of this folder's scans begin with, "" or "a/b". */
static hct_status walk(source_list *l, const char *folder, const char *relative, const char *dataset,
                       const place *above, int depth, hct_err *err) {
    char **names;
    size_t n;
    const place here = {folder, above};
    if (depth > MAX_DEPTH) return hct_fail(err, HCT_EINVAL, "%s: folders more than %d deep", folder, MAX_DEPTH);
    hct_status s = path_list(folder, "", &names, &n, err);
    if (s < 0) return s;
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(folder, names[i]), *below = path_join(relative, names[i]);
        if (s == HCT_OK && (!path || !below)) s = hct_fail(err, HCT_ENOMEM, "no memory for the list of scans");
        if (s == HCT_OK && path_is_folder(path) && dataset && holds_prepared(path, folder, dataset))
            text_printf(&l->left_out, "%s%s", text_length(&l->left_out) ? ", " : "", path);
        else if (s == HCT_OK && path_is_folder(path) && !is_loop(path, &here))
            s = dicom_folder(path) ? add(l, path, below, err) : walk(l, path, below, dataset, &here, depth + 1, err);
        else if (s == HCT_OK && source_is_volume(names[i])) s = add(l, path, below, err);
        free(path);
        free(below);
        free(names[i]);
    }
    free(names);
    return s;
}

static hct_status add_input(source_list *l, const char *input, const char *dataset, hct_err *err) {
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s", input);
    for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--) path[len - 1] = 0;
    if (stat(path, &st) < 0)
        return hct_fail(err, errno == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: %s", input, strerror(errno));
    char *real = realpath(path, NULL);
    int made = dataset && (is_prepared(path, S_ISDIR(st.st_mode), dataset) ||
                           (real && is_prepared(real, S_ISDIR(st.st_mode), dataset)));
    hct_status s = made ? hct_fail(err, HCT_EINVAL,
                                   "%s: prepared already, in a dataset: name the scans that it was made from", input)
                        : HCT_OK;
    /* "." and ".." */
    int is_scan = !S_ISDIR(st.st_mode) || dicom_folder(path),
        nameless = strspn(path_base(path), ".") == strlen(path_base(path));
    if (s == HCT_OK && is_scan) s = add(l, path, path_base(nameless && real ? real : path), err);
    free(real);
    if (s < 0 || is_scan) return s;
    size_t before = l->n, left_out = text_length(&l->left_out);
    s = walk(l, path, "", dataset, NULL, 0, err);
    if (s == HCT_OK && l->n == before)
        s = hct_fail(err, HCT_ENOTFOUND, "%s: no scan in this folder (no .nii, .nii.gz or folder of DICOM files)%s",
                     input, text_length(&l->left_out) > left_out ? " but prepared ones, of a dataset" : "");
    return s;
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const scan_source *)a)->id, ((const scan_source *)b)->id);
}

hct_status sources_find(const char *const *inputs, size_t n, const char *dataset, source_list *ret, hct_err *err) {
    *ret = (source_list){0};
    hct_status s = HCT_OK;
    for (size_t i = 0; i < n && s == HCT_OK; i++) s = add_input(ret, inputs[i], dataset, err);
    if (s == HCT_OK) qsort(ret->items, ret->n, sizeof *ret->items, by_id);
    for (size_t i = 1; i < ret->n && s == HCT_OK; i++) {
        const scan_source *a = &ret->items[i - 1], *b = &ret->items[i];
        if (strcmp(a->id, b->id) != 0) continue;
        if (is_same(a->path, b->path))
            s = hct_fail(err, HCT_EINVAL, "%s is given twice: name it, or the folder that it lies in, once", b->path);
        else s = hct_fail(err, HCT_EINVAL, "%s and %s would both be scan '%s': rename one", a->path, b->path, b->id);
    }
    if (s < 0) sources_free(ret);
    return s;
}

void sources_free(source_list *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->items[i].path);
        free(l->items[i].id);
    }
    free(l->items);
    text_free(&l->left_out);
    *l = (source_list){0};
}

static int64_t mtime_of(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* Walks a folder in order of name; adds sizes and times to ret, or, with hash, names and bytes to it. */
static hct_status visit(const char *path, source_state *ret, sha256 *hash, int depth, hct_err *err) {
    struct stat st;
    if (stat(path, &st) < 0) return hct_fail(err, HCT_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        ret->bytes += st.st_size;
        if (mtime_of(&st) > ret->mtime_ns) ret->mtime_ns = mtime_of(&st);
        if (!hash) return HCT_OK;
        hct_mapped m;
        hct_status s = hct_map_file(path, &m, err);
        if (s < 0) return s;
        sha256_add(hash, m.bytes, m.size);
        hct_unmap_file(&m);
        return HCT_OK;
    }
    char **names;
    size_t n;
    if (depth > MAX_DEPTH) return hct_fail(err, HCT_EINVAL, "%s: folders more than %d deep", path, MAX_DEPTH);
    hct_status s = path_list(path, "", &names, &n, err);
    if (s < 0) return s;
    for (size_t i = 0; i < n; i++) {
        char *below = path_join(path, names[i]);
        if (hash && s == HCT_OK) sha256_add(hash, names[i], strlen(names[i]) + 1);
        if (s == HCT_OK) s = below ? visit(below, ret, hash, depth + 1, err) : hct_fail(err, HCT_ENOMEM, "no memory");
        free(below);
        free(names[i]);
    }
    free(names);
    return s;
}

hct_status source_stat(const char *path, source_state *ret, hct_err *err) {
    memset(ret, 0, sizeof *ret);
    return visit(path, ret, NULL, 0, err);
}

hct_status source_hash(const char *path, source_state *ret, hct_err *err) {
    source_state again = {0};
    sha256 *hash = sha256_begin();
    hct_status s = visit(path, &again, hash, 0, err), end = sha256_end(hash, ret->sha256, s == HCT_OK ? err : NULL);
    return s < 0 ? s : end;
}
