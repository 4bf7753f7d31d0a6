/* Walking a tree of files. */
#include "dicom/pile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dicom/archive.h"
#include "support/paths.h"

enum { MOST_DEEP = 64 };

/* Files and folders that were seen: an open table of device and inode. */
typedef struct seen {
    struct place {
        uint64_t device, inode; /* inode 0: free */
    } * at;
    size_t n, size;
} seen;

typedef struct walk {
    const pile_options *o;
    pile_counts *counts;
    seen seen;
    struct later { /* links, followed when all else was seen: what they lead to keeps its own path */
        char *path, *relative;
        int depth;
    } * links;
    size_t n_links;
} walk;

/* 1: it was there already; 0: it is now; < 0: no memory. */
static int see(seen *s, const struct stat *st) {
    if (2 * (s->n + 1) > s->size) {
        seen more = {.n = s->n, .size = s->size ? 2 * s->size : 1024};
        more.at = calloc(more.size, sizeof *more.at);
        if (!more.at) return HCT_ENOMEM;
        for (size_t i = 0; i < s->size; i++) {
            if (!s->at[i].inode) continue;
            size_t k = (size_t)(s->at[i].inode * 0x9e3779b97f4a7c15u ^ s->at[i].device) & (more.size - 1);
            while (more.at[k].inode) k = (k + 1) & (more.size - 1);
            more.at[k] = s->at[i];
        }
        free(s->at);
        *s = more;
    }
    uint64_t inode = (uint64_t)st->st_ino + 1, device = (uint64_t)st->st_dev;
    size_t k = (size_t)(inode * 0x9e3779b97f4a7c15u ^ device) & (s->size - 1);
    for (; s->at[k].inode; k = (k + 1) & (s->size - 1))
        if (s->at[k].inode == inode && s->at[k].device == device) return 1;
    s->at[k] = (struct place){device, inode};
    s->n++;
    return 0;
}

/* Hands a file over and frees what was not taken out of it. */
static hct_status hand_over(walk *w, pile_file *f, hct_err *err) {
    hct_status s = HCT_OK;
    w->counts->of[f->kind]++;
    if (!f->path || !f->relative) s = hct_fail(err, HCT_ENOMEM, "no memory to walk a folder");
    if (s == HCT_OK && w->o->take) s = w->o->take(w->o->context, f, err);
    pile_file_free(f);
    return s;
}

static pile_file file_of(const char *path, const char *relative, const struct stat *st) {
    pile_file f = {.kind = PILE_OTHER, .path = strdup(path), .relative = strdup(relative)};
    if (!st) return f;
    f.size = (uint64_t)st->st_size;
    f.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    return f;
}

static hct_status unread(walk *w, pile_file *f, const char *why, hct_err *err) {
    f->kind = PILE_UNREAD;
    if (!f->why) f->why = strdup(why);
    if (f->status >= 0) f->status = HCT_EIO;
    return hand_over(w, f, err);
}

static bool is_nifti(const char *name) {
    size_t n = strlen(name);
    return (n >= 4 && strcasecmp(name + n - 4, ".nii") == 0) || (n >= 7 && strcasecmp(name + n - 7, ".nii.gz") == 0);
}

/* Names that DICOM files and nothing else have. */
static bool claims_dicom(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".dcm") == 0 || strcasecmp(dot, ".dicom") == 0 || strcasecmp(dot, ".ima") == 0);
}

/* By what its bytes are; reads the header. */
static void look_into(pile_file *f, dicom_bytes *bytes) {
    hct_err why = {0};
    hct_status s = dicom_header_read(bytes, &f->header, &why);
    if (s == HCT_OK) f->kind = f->header.is_directory ? PILE_DIRECTORY : PILE_DICOM;
    else if (s != HCT_ENOTFOUND) f->kind = PILE_UNREAD;
    else if (f->size == 0 || claims_dicom(f->path)) {
        f->kind = PILE_UNREAD;
        s = HCT_EFORMAT;
        snprintf(why.msg, sizeof why.msg, "%s: %s", f->path,
                 f->size ? "is no DICOM file, whatever its name" : "is empty");
    }
    if (f->kind == PILE_UNREAD) {
        f->status = s;
        f->why = strdup(why.msg);
    }
    if (f->kind != PILE_UNREAD && f->kind != PILE_DICOM) dicom_header_free(&f->header);
}

/* ---- members of archives ---- */

typedef struct inside {
    walk *w;
    const pile_file *archive;
    hct_status failed; /* of the caller, no fault of the archive's */
} inside;

static char *joined(const char *one, const char *other) {
    size_t n = strlen(one) + strlen(other) + 3;
    char *text = malloc(n);
    if (text) snprintf(text, n, "%s!/%s", one, other);
    return text;
}

static hct_status take_member(void *context, archive_member *m, hct_err *err) {
    inside *in = context;
    pile_file f = {.kind = PILE_OTHER,
                   .path = joined(in->archive->path, m->name),
                   .relative = joined(in->archive->relative, m->name),
                   .archive = strdup(in->archive->path),
                   .member = m->number,
                   .size = m->size,
                   .mtime_ns = m->mtime_ns};
    dicom_bytes *bytes = NULL;
    if (!m->is_file && !m->is_link) { /* a folder */
        pile_file_free(&f);
        return HCT_OK;
    }
    if (m->is_link) f.kind = PILE_AGAIN;
    else if (m->is_encrypted) return in->failed = unread(in->w, &f, "is encrypted", err);
    else if (is_nifti(m->name)) f.kind = PILE_NIFTI;
    else if (in->w->o->cached && in->w->o->cached(in->w->o->context, &f, &f.header)) f.kind = PILE_DICOM;
    else if (dicom_bytes_stream(f.path ? f.path : "", m->size, archive_read_some, m, &bytes, err) < 0) {
        pile_file_free(&f);
        return in->failed = HCT_ENOMEM;
    }
    if (bytes) look_into(&f, bytes);
    dicom_bytes_close(bytes);
    return in->failed = hand_over(in->w, &f, err);
}

static hct_status walk_archive(walk *w, pile_file *f, hct_err *err) {
    inside in = {w, f, HCT_OK};
    hct_err why = {0};
    hct_status s = archive_walk(f->path, take_member, &in, &why);
    if (s == HCT_EFORMAT && in.failed == HCT_OK) { /* the archive's fault, whose members so far are in the pile */
        f->why = strdup(why.msg);
        f->status = s;
        return unread(w, f, "", err);
    }
    pile_file_free(f);
    return s < 0 ? hct_fail(err, s, "%s", why.msg) : s;
}

/* ---- files and folders ---- */

static hct_status take_file(walk *w, const char *path, const char *relative, const struct stat *st, hct_err *err) {
    pile_file f = file_of(path, relative, st);
    unsigned char head[512];
    hct_err why = {0};
    dicom_bytes *bytes;
    if (is_nifti(path)) {
        f.kind = PILE_NIFTI;
        return hand_over(w, &f, err);
    }
    if (w->o->cached && w->o->cached(w->o->context, &f, &f.header)) {
        f.kind = PILE_DICOM;
        return hand_over(w, &f, err);
    }
    hct_status s = dicom_bytes_file(path, &bytes, &why);
    if (s < 0) {
        f.status = s;
        return unread(w, &f, why.msg, err);
    }
    size_t n = f.size < sizeof head ? (size_t)f.size : sizeof head;
    const unsigned char *first = dicom_bytes_at(bytes, 0, n);
    if (!first && n) {
        dicom_bytes_close(bytes);
        char text[PATH_MAX + 40];
        snprintf(text, sizeof text, "%s: cannot be read", path);
        return unread(w, &f, text, err);
    }
    if (archive_is(path, first, n)) {
        dicom_bytes_close(bytes);
        return walk_archive(w, &f, err);
    }
    look_into(&f, bytes);
    dicom_bytes_close(bytes);
    return hand_over(w, &f, err);
}

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int not_dots(const struct dirent *e) { return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0; }

static hct_status take_path(walk *w, const char *path, const char *relative, int depth, hct_err *err);

static bool is_link(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static hct_status put_off(walk *w, const char *path, const char *relative, int depth, hct_err *err) {
    struct later *more = realloc(w->links, (w->n_links + 1) * sizeof *more);
    if (more) w->links = more;
    if (more) more[w->n_links] = (struct later){strdup(path), strdup(relative), depth};
    if (more && more[w->n_links].path && more[w->n_links].relative) {
        w->n_links++;
        return HCT_OK;
    }
    if (more) {
        free(more[w->n_links].path);
        free(more[w->n_links].relative);
    }
    return hct_fail(err, HCT_ENOMEM, "no memory to walk a folder");
}

static hct_status take_folder(walk *w, const char *path, const char *relative, int depth, hct_err *err) {
    struct dirent **names = NULL;
    char text[PATH_MAX + 80];
    pile_file f;
    if (w->o->leave_out && w->o->leave_out(w->o->context, path)) {
        f = file_of(path, relative, NULL);
        f.kind = PILE_LEFT_OUT;
        return hand_over(w, &f, err);
    }
    int n = depth < MOST_DEEP ? scandir(path, &names, not_dots, by_bytes) : -1;
    if (n < 0) {
        snprintf(text, sizeof text, "%s: %s", path,
                 depth < MOST_DEEP ? strerror(errno) : "lies more than 64 folders deep");
        f = file_of(path, relative, NULL);
        return unread(w, &f, text, err);
    }
    hct_status s = HCT_OK;
    for (int i = 0; i < n; i++) {
        char *below = s == HCT_OK ? path_join(path, names[i]->d_name) : NULL;
        char *short_path = s == HCT_OK ? path_join(relative, names[i]->d_name) : NULL;
        if (s == HCT_OK && (!below || !short_path)) s = hct_fail(err, HCT_ENOMEM, "no memory to walk a folder");
        if (s == HCT_OK) s = (is_link(below) ? put_off : take_path)(w, below, short_path, depth + 1, err);
        free(below);
        free(short_path);
        free(names[i]);
    }
    free(names);
    return s;
}

static hct_status take_path(walk *w, const char *path, const char *relative, int depth, hct_err *err) {
    struct stat st;
    char text[PATH_MAX + 80];
    pile_file f;
    if (stat(path, &st) < 0) { /* a link that leads nowhere; a file that is gone by now */
        snprintf(text, sizeof text, "%s: %s", path, strerror(errno));
        f = file_of(path, relative, NULL);
        return unread(w, &f, text, err);
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) { /* pipes, devices */
        f = file_of(path, relative, &st);
        return hand_over(w, &f, err);
    }
    int again = see(&w->seen, &st);
    if (again < 0) return hct_fail(err, HCT_ENOMEM, "no memory to walk a folder");
    if (again) {
        f = file_of(path, relative, &st);
        f.kind = PILE_AGAIN;
        return hand_over(w, &f, err);
    }
    return S_ISDIR(st.st_mode) ? take_folder(w, path, relative, depth, err) : take_file(w, path, relative, &st, err);
}

/* The folder of a DICOMDIR that is an input itself; NULL: it is none. */
static char *folder_of_directory(const char *path) {
    dicom_header h = {0};
    bool directory = path_is_file(path) && dicom_header_of(path, &h, NULL) == HCT_OK && h.is_directory;
    dicom_header_free(&h);
    return directory ? path_folder(path) : NULL;
}

static hct_status take_input(walk *w, const char *input, hct_err *err) {
    struct stat st;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", input);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) path[n - 1] = 0;
    if (stat(path, &st) < 0)
        return hct_fail(err, errno == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: %s", input, strerror(errno));
    char *folder = folder_of_directory(path);
    hct_status s = take_path(w, folder ? folder : path, S_ISDIR(st.st_mode) || folder ? "" : path_base(path), 0, err);
    free(folder);
    return s;
}

hct_status pile_walk(const pile_options *o, pile_counts *ret, hct_err *err) {
    walk w = {.o = o, .counts = ret};
    hct_status s = HCT_OK;
    *ret = (pile_counts){0};
    for (size_t i = 0; i < o->n_inputs && s == HCT_OK; i++) s = take_input(&w, o->inputs[i], err);
    for (size_t i = 0; i < w.n_links && s == HCT_OK; i++) /* what they lead to may hold more links */
        s = take_path(&w, w.links[i].path, w.links[i].relative, w.links[i].depth, err);
    for (size_t i = 0; i < w.n_links; i++) {
        free(w.links[i].path);
        free(w.links[i].relative);
    }
    free(w.links);
    free(w.seen.at);
    return s;
}

/* ---- in memory ---- */

static hct_status keep(void *context, pile_file *f, hct_err *err) {
    pile *p = context;
    if ((p->n & (p->n - 1)) == 0) { /* a power of two: full */
        pile_file *more = realloc(p->files, (p->n ? 2 * p->n : 1) * sizeof *more);
        if (!more) return hct_fail(err, HCT_ENOMEM, "no memory for a list of files");
        p->files = more;
    }
    p->files[p->n++] = *f;
    *f = (pile_file){0};
    return HCT_OK;
}

hct_status pile_read(const char *const *inputs, size_t n, pile *ret, hct_err *err) {
    *ret = (pile){0};
    pile_options o = {.inputs = inputs, .n_inputs = n, .take = keep, .context = ret};
    hct_status s = pile_walk(&o, &ret->counts, err);
    if (s < 0) pile_free(ret);
    return s;
}

void pile_free(pile *p) {
    for (size_t i = 0; i < p->n; i++) pile_file_free(&p->files[i]);
    free(p->files);
    *p = (pile){0};
}
