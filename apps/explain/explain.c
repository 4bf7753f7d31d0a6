/* headct explain: the work. */
#include "explain/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/capture.h"
#include "evaluation/sheet.h"
#include "explain/lesions.h"
#include "explain/overlay.h"
#include "explain/scan_views.h"
#include "figures/picture.h"
#include "hct/log.h"
#include "imaging/nifti.h"
#include "models/build.h"
#include "support/device.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/stop.h"

enum { LEVEL = 6 };

typedef struct work {
    const explain_options *o;
    hct_dev *dev;
    int64_t done; /* scans */
    params *p;
    model_info info;
    char hash[MODEL_HASH];
    saliency *s;
    float *input;
    volume lesion, brain; /* masks; empty: none */
    sheet *table;
    lesions *found;
    FILE *said;
    progress line;
} work;

static int tell(void *context, int64_t done, int64_t of) {
    work *w = context;
    w->line.total = of;
    progress_show(&w->line, done, "");
    return stop_asked();
}

/* The caller's. */
static char *weights_path(const explain_options *o) {
    if (o->weights) return strdup(o->weights);
    char *path = path_join(o->run, "weights.safetensors");
    if (!path || path_is_file(path) || !o->task) return path;
    char *folder = path_join(o->run, o->task), *own = folder ? path_join(folder, "weights.safetensors") : NULL;
    free(folder);
    if (own && path_is_file(own)) {
        free(path);
        return own;
    }
    free(own);
    return path;
}

static hct_status read_mask(const char *path, volume *ret, hct_err *err) {
    if (!path) return HCT_OK;
    hct_status st = nifti_read(path, ret, err);
    return st == HCT_OK ? volume_to_f32(ret, err) : st;
}

/* MASKS/SCAN_WHAT.nii.gz, where it is there. */
static hct_status read_mask_of(const work *w, const char *scan, const char *what, volume *ret, hct_err *err) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s_%s.nii.gz", w->o->masks, scan, what) < 0)
        return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = path_is_file(path) ? read_mask(path, ret, err) : HCT_OK;
    free(path);
    return st;
}

/* The scan's own masks, where there is one for each scan. */
static hct_status change_masks(work *w, const char *scan, hct_err *err) {
    if (!w->o->masks) return HCT_OK;
    volume_free(&w->lesion);
    volume_free(&w->brain);
    hct_status st = read_mask_of(w, scan, w->o->task, &w->lesion, err);
    return st == HCT_OK ? read_mask_of(w, scan, "brain", &w->brain, err) : st;
}

/* 1 where the scan's HU are those of soft tissue and blood. */
static hct_status tissue(const volume *scan, volume *ret, hct_err *err) {
    hct_status st = volume_alloc(ret, HCT_F32, scan->dim, err);
    for (int64_t i = 0; st == HCT_OK && i < volume_count(scan); i++)
        ret->f32[i] = scan->f32[i] >= 0 && scan->f32[i] <= 100;
    return st;
}

static hct_status measure_hits(work *w, const scan_views *v, saliency_method m, const volume *overlay, double *hits,
                               double *chance, hct_err *err) {
    volume inside = {0};
    *hits = *chance = NAN;
    if (!w->lesion.data) return HCT_OK;
    hct_status st = w->brain.data ? HCT_OK : tissue(&v->own, &inside, err);
    if (st == HCT_OK)
        st = overlay_hits(overlay, w->brain.data ? &w->brain : &inside, &w->lesion, 0.01, hits, chance, err);
    volume_free(&inside);
    return st == HCT_OK ? lesions_add(w->found, m, *hits, *chance, err) : st;
}

static void put_row(work *w, const scan_views *v, saliency_method m, double probability, const volume *overlay,
                    float value, const int64_t peak[3], double hits, double chance) {
    double mm[3];
    for (int a = 0; a < 3; a++)
        mm[a] = overlay->affine[a][0] * (double)peak[0] + overlay->affine[a][1] * (double)peak[1] +
                overlay->affine[a][2] * (double)peak[2] + overlay->affine[a][3];
    sheet_text(w->table, v->id);
    sheet_text(w->table, w->o->task ? w->o->task : "");
    sheet_text(w->table, saliency_names[m]);
    sheet_number(w->table, probability, 4);
    sheet_number(w->table, value, 4);
    for (int a = 0; a < 3; a++) sheet_count(w->table, (size_t)peak[a]);
    for (int a = 0; a < 3; a++) sheet_number(w->table, mm[a], 1);
    sheet_number(w->table, hits, 4);
    sheet_number(w->table, chance, 4);
    sheet_number(w->table, hits / chance, 2);
}

/* The picture into the scan's study; a NIfTI file has none. */
static hct_status capture_picture(work *w, const char *scan, saliency_method m, const char *picture, hct_err *err) {
    char made[300];
    int rows, columns;
    if (!path_is_folder(scan)) return HCT_OK;
    unsigned char *rgb = picture_rgb(picture, &rows, &columns, err);
    if (!rgb) return err ? err->code : HCT_EFORMAT;
    snprintf(made, sizeof made, "%s%s%s, what a model looks at; not a medical device", saliency_names[m],
             w->o->task ? " for " : "", w->o->task ? w->o->task : "");
    const capture c = {rgb,     rows,      columns, made, path_base(w->o->weights ? w->o->weights : w->o->run),
                       w->hash, (int)m + 1};
    hct_status st = capture_write(&c, scan, w->o->captures, err);
    free(rgb);
    return st;
}

/* One map of one scan: laid over its own voxels, drawn, noted. */
static hct_status explain_one(work *w, const scan_views *v, const char *scan, saliency_method m, hct_err *err) {
    saliency_map map = {{0}, NULL};
    volume own = {0}, prepared = {0};
    double probability = NAN, hits = NAN, chance = NAN;
    const input_spec *spec = &w->info.encoder.input;
    char file[400], caption[200];
    w->line = progress_begin(w->o->progress, "cell", 0, 0, "cells", 1);
    hct_status st = saliency_run(w->s, w->input, m, tell, w, &map, &probability, err);
    progress_break(&w->line);
    if (st == HCT_OK) st = overlay_make(&map, &v->prepared, spec, &v->own, &own, err);
    if (st == HCT_OK && !w->o->table_only) st = overlay_make(&map, &v->prepared, spec, &v->prepared, &prepared, err);
    if (st == HCT_OK) st = measure_hits(w, v, m, &own, &hits, &chance, err);
    for (int picture = 0; picture < 2 && st == HCT_OK && !w->o->table_only; picture++) {
        int64_t at[3];
        snprintf(file, sizeof file, "%s_%s%s%s.%s", v->id, w->o->task ? w->o->task : "", w->o->task ? "_" : "",
                 saliency_names[m], picture ? "png" : "nii.gz");
        char *path = path_join(w->o->out, file);
        if (!path) st = hct_fail(err, HCT_ENOMEM, "out of memory");
        else if (!picture) st = nifti_write(path, &own, LEVEL, err);
        else {
            overlay_peak(&prepared, at);
            snprintf(caption, sizeof caption, "%s%s%s, window %g +- %g HU", saliency_names[m],
                     w->o->task ? " for " : "", w->o->task ? w->o->task : "", spec->window[0].centre,
                     spec->window[0].width / 2);
            st = overlay_draw(&v->prepared, &prepared, at, &spec->window[0], caption, path, err);
            if (st == HCT_OK && w->o->captures) st = capture_picture(w, scan, m, path, err);
        }
        free(path);
    }
    if (st == HCT_OK) {
        int64_t peak[3];
        float value = overlay_peak(&own, peak);
        put_row(w, v, m, probability, &own, value, peak, hits, chance);
    }
    free(map.value);
    volume_free(&own);
    volume_free(&prepared);
    return st;
}

/* Another model of the same kind for each scan: a single one looks at one place by chance, and where lesions are there
 * it would seem to see them. */
static hct_status randomise(work *w, hct_err *err) {
    if (w->o->randomise < 0) return HCT_OK;
    saliency_free(w->s);
    params_free(w->p);
    w->s = NULL;
    w->p = model_new(w->dev, &w->info, (uint64_t)(w->o->randomise + w->done), err);
    if (w->p) w->s = saliency_new(w->dev, w->p, &w->info, w->o->task, err);
    return w->s ? HCT_OK : err->code;
}

static hct_status explain_scan(work *w, const char *path, size_t *refused, hct_err *err) {
    scan_views v = {.id = NULL};
    hct_err why = {0};
    const input_spec *spec = &w->info.encoder.input;
    hct_status st = scan_views_read(path, &v, &why);
    if (st == HCT_OK) st = input_make(spec, &v.prepared, w->input, &why);
    if (st < 0) {
        scan_views_free(&v);
        if (st == HCT_ENOMEM || st == HCT_EDEVICE) return hct_fail(err, st, "%s", why.msg);
        hct_log(HCT_LOG_WARNING, "%s", why.msg);
        ++*refused;
        return HCT_OK;
    }
    int any = 0;
    st = change_masks(w, v.id, err);
    if (st == HCT_OK) st = randomise(w, err);
    w->done++;
    for (int m = 0; m < SALIENCY_METHODS; m++) any |= w->o->method[m];
    for (int m = 0; m < SALIENCY_METHODS && st == HCT_OK; m++)
        if (any ? w->o->method[m] : m != SALIENCY_OCCLUSION && saliency_allows(w->s, (saliency_method)m))
            st = explain_one(w, &v, path, (saliency_method)m, err);
    scan_views_free(&v);
    return st;
}

static hct_status explain_all(work *w, size_t *refused, hct_err *err) {
    hct_status st = path_make_folders(w->o->out, err);
    w->table =
        sheet_new("explain", "Maps: the task's probability, the peak in voxels and mm, the top 1% inside the lesion",
                  "scan,task,method,probability,peak,i,j,k,x_mm,y_mm,z_mm,top_in_lesion,lesion_of_brain,ratio");
    for (size_t i = 0; i < w->o->n_scans && st == HCT_OK; i++) st = explain_scan(w, w->o->scans[i], refused, err);
    if (st == HCT_OK && w->said) sheet_print(w->table, w->said);
    if (st == HCT_OK && sheet_rows(w->table)) st = sheet_write(w->table, w->o->out, err);
    if (st == HCT_OK && !sheet_rows(w->table) && !*refused)
        st = hct_fail(err, HCT_EINVAL, "this model allows no method without --task and a classifier");
    sheet_free(w->table);
    sheet *found = lesions_sheet(w->found, w->o->task);
    if (st == HCT_OK && w->said && w->o->masks) sheet_print(found, w->said);
    if (st == HCT_OK && sheet_rows(found)) st = sheet_write(found, w->o->out, err);
    sheet_free(found);
    return st;
}

hct_status explain_run(const explain_options *o, FILE *said, size_t *ret_refused, hct_err *err) {
    work w = {.o = o, .said = said};
    char *path = weights_path(o);
    *ret_refused = 0;
    hct_status st = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_dev *dev = st == HCT_OK ? device_open(o->device, err) : NULL;
    if (st == HCT_OK && !dev) st = err->code;
    w.dev = dev;
    if (st == HCT_OK && !(w.p = model_file_open(dev, &(model_file_options){.path = path}, &w.info, w.hash, err)))
        st = err->code;
    if (st == HCT_OK && w.info.plain)
        st = hct_fail(
            err, HCT_EINVAL,
            "%s: does not say which windows and crop it was trained with; headct import writes weights that do", path);
    if (st == HCT_OK && *w.info.encoder.input.form)
        st = hct_fail(err, HCT_EINVAL, "%s: takes volumes prepared for '%s', which are not mapped back yet", path,
                      w.info.encoder.input.form);
    if (st == HCT_OK && !(w.found = lesions_new())) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK && !(w.s = saliency_new(dev, w.p, &w.info, o->task, err))) st = err->code;
    if (st == HCT_OK && !(w.input = malloc(input_floats(&w.info.encoder.input) * sizeof *w.input)))
        st = hct_fail(err, HCT_ENOMEM, "out of memory for a scan");
    if (st == HCT_OK) st = read_mask(o->lesion, &w.lesion, err);
    if (st == HCT_OK) st = read_mask(o->brain, &w.brain, err);
    if (st == HCT_OK) st = explain_all(&w, ret_refused, err);
    saliency_free(w.s);
    lesions_free(w.found);
    params_free(w.p);
    volume_free(&w.lesion);
    volume_free(&w.brain);
    free(w.input);
    device_close(dev);
    free(path);
    return st;
}
