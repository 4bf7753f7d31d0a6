/* Files of a pile and their bytes. */
#include "dicom/files.h"

#include <stdlib.h>
#include <string.h>

#include "dicom/archive.h"

const char *pile_kind_name(pile_kind kind) {
    static const char *const names[] = {"dicom", "nifti", "directory", "other", "unread", "again", "left out"};
    return names[kind];
}

void pile_file_free(pile_file *f) {
    free(f->path);
    free(f->relative);
    free(f->archive);
    free(f->why);
    dicom_header_free(&f->header);
    *f = (pile_file){0};
}

typedef struct wanted {
    const pile_file *const *files;
    size_t n, found;
    pile_member_visit *visit;
    void *context;
    unsigned char *kept; /* pile_open: the bytes of the one, not to be freed */
    size_t kept_n;
} wanted;

static hct_status look_at(void *context, archive_member *m, hct_err *err) {
    wanted *w = context;
    for (size_t i = 0; i < w->n; i++) {
        if (w->files[i]->member != m->number) continue;
        unsigned char *bytes;
        size_t n;
        hct_err why = {0};
        hct_status s = archive_read_all(m, DICOM_BYTES_MOST, &bytes, &n, &why);
        if (s < 0) return hct_fail(err, s, "%s: %s", w->files[i]->archive, why.msg);
        w->found++;
        if (!w->visit) {
            w->kept = bytes;
            w->kept_n = n;
            return 1;
        }
        dicom_bytes *opened;
        s = dicom_bytes_memory(w->files[i]->path, bytes, n, &opened, err);
        if (s == HCT_OK) s = w->visit(w->context, i, opened, err);
        if (opened) dicom_bytes_close(opened);
        free(bytes);
        return s < 0 ? s : w->found == w->n ? 1 : HCT_OK;
    }
    return HCT_OK;
}

static hct_status check_found(const wanted *w, hct_status s, hct_err *err) {
    if (s < 0 || w->found == w->n) return s;
    return hct_fail(err, HCT_EFORMAT, "%s: has changed since it was looked through", w->files[0]->archive);
}

hct_status pile_visit_members(const pile_file *const *f, size_t n, pile_member_visit *visit, void *context,
                              hct_err *err) {
    wanted w = {.files = f, .n = n, .visit = visit, .context = context};
    if (!n) return HCT_OK;
    return check_found(&w, archive_walk(f[0]->archive, look_at, &w, err), err);
}

hct_status pile_open(const pile_file *f, pile_open_file *ret, hct_err *err) {
    *ret = (pile_open_file){0};
    if (!f->archive) return dicom_bytes_file(f->path, &ret->bytes, err);
    wanted w = {.files = &f, .n = 1};
    hct_status s = check_found(&w, archive_walk(f->archive, look_at, &w, err), err);
    ret->owned = w.kept;
    if (s == HCT_OK) s = dicom_bytes_memory(f->path, w.kept, w.kept_n, &ret->bytes, err);
    if (s < 0) pile_close(ret);
    return s;
}

void pile_close(pile_open_file *o) {
    dicom_bytes_close(o->bytes);
    free(o->owned);
    *o = (pile_open_file){0};
}
