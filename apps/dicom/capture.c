/* Secondary captures. */
#include "dicom/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/pile.h"
#include "support/paths.h"
#include "support/sha256.h"

#define CAPTURE_CLASS "1.2.840.10008.5.1.4.1.1.7"

static bool is_image(const pile_file *f) {
    const dicom_header *h = &f->header;
    return f->kind == PILE_DICOM && h->has_pixels && h->study_uid && *h->study_uid && h->class_uid && *h->class_uid &&
           h->instance_uid && *h->instance_uid;
}

/* The images of the first one's series. */
static void put_sources(dicom_object *o, const pile *p, const pile_file *first) {
    const char *series = first->header.series_uid ? first->header.series_uid : "";
    object_sequence(o, 0x00082112);
    for (size_t i = 0; i < p->n; i++) {
        const dicom_header *h = &p->files[i].header;
        if (!is_image(&p->files[i]) || strcmp(h->series_uid ? h->series_uid : "", series) != 0) continue;
        object_reference(o, h->class_uid, h->instance_uid);
    }
    object_end(o);
}

static void put_picture(dicom_object *o, const capture *c) {
    object_text(o, 0x00080008, "CS", "DERIVED\\SECONDARY");
    object_text(o, 0x00080064, "CS", "WSD");
    object_text(o, 0x00082111, "ST", c->made);
    object_text(o, 0x00200020, "CS", "");
    object_text(o, 0x00200060, "CS", "");
    object_u16(o, 0x00280002, 3);
    object_text(o, 0x00280004, "CS", "RGB");
    object_u16(o, 0x00280006, 0);
    object_u16(o, 0x00280010, (unsigned)c->rows);
    object_u16(o, 0x00280011, (unsigned)c->columns);
    object_u16(o, 0x00280100, 8);
    object_u16(o, 0x00280101, 8);
    object_u16(o, 0x00280102, 7);
    object_u16(o, 0x00280103, 0);
    object_text(o, 0x00280301, "CS", "NO");
    object_bytes(o, 0x7fe00010, "OB", c->rgb, (size_t)c->rows * (size_t)c->columns * 3);
}

static hct_status write_capture(const capture *c, const pile *p, const pile_file *first, const char *folder,
                                hct_err *err) {
    char uid[OBJECT_UID], series_uid[OBJECT_UID], pixels[SHA256_HEX], name[OBJECT_UID + 4], about[65];
    const char *study = first->header.study_uid;
    hct_status s = sha256_bytes(c->rgb, (size_t)c->rows * (size_t)c->columns * 3, pixels, err);
    const char *const of_series[] = {"headct captures", study, c->weights};
    const char *const of_this[] = {"headct capture", HEADCT_VERSION, study, c->made, c->weights, pixels};
    if (s == HCT_OK) s = object_uid(of_series, 3, series_uid, err);
    if (s == HCT_OK) s = object_uid(of_this, 6, uid, err);
    if (s < 0) return s;
    snprintf(name, sizeof name, "%s.dcm", uid);
    snprintf(about, sizeof about, "Maps of %.55s", c->model);
    char *path = path_join(folder, name);
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory for a capture");
    if (path_is_file(path)) {
        free(path);
        return HCT_OK;
    }
    const object_series own = {.modality = "OT",
                               .class_uid = CAPTURE_CLASS,
                               .instance_uid = uid,
                               .series_uid = series_uid,
                               .description = about,
                               .model = c->model,
                               .model_serial = c->weights,
                               .series_number = 9902,
                               .instance_number = c->number};
    dicom_object o = {0};
    s = object_copy_study(&o, first, err);
    if (s == HCT_OK) {
        object_own_series(&o, &own);
        put_sources(&o, p, first);
        put_picture(&o, c);
        s = object_write(&o, path, err);
    }
    object_free(&o);
    free(path);
    return s;
}

hct_status capture_write(const capture *c, const char *source, const char *folder, hct_err *err) {
    pile p = {0};
    const pile_file *first = NULL;
    if (!object_is_plain(c->made) || !object_is_plain(c->model) || strlen(c->model) > 64)
        return hct_fail(err, HCT_EINVAL, "'%s': a DICOM object takes names of printable ASCII, 64 at most", c->model);
    hct_status s = pile_read(&source, 1, &p, err);
    for (size_t i = 0; s == HCT_OK && !first && i < p.n; i++)
        if (is_image(&p.files[i])) first = &p.files[i];
    if (s == HCT_OK && !first)
        s = hct_fail(err, HCT_ENOTFOUND, "%s: holds no DICOM image with UIDs to refer to", source);
    if (s == HCT_OK) s = path_make_folders(folder, err);
    if (s == HCT_OK) s = write_capture(c, &p, first, folder, err);
    pile_free(&p);
    return s;
}
