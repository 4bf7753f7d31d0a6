/* A scan from file to prepared volume. */
#include "imaging/scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "imaging/dicom.h"
#include "imaging/nifti.h"
#include "imaging/resample.h"

const char *scan_preprocessing(int exact) {
#define STEPS(type)                                                                                                    \
    "affine as MONAI 1.2.0 reads it, DICOM tilt corrected; RAS; cubic B-spline to 1 mm as MONAI 1.2.0; " type          \
    " HU; pad -1024 or crop to 224^3"
    return exact ? STEPS("float32") : STEPS("int16");
#undef STEPS
}

hct_status scan_read(const char *path, volume *ret, scan_info *info, hct_err *err) {
    scan_info local;
    struct stat st;
    if (!info) info = &local;
    memset(info, 0, sizeof *info);
    memset(ret, 0, sizeof *ret);
    if (stat(path, &st) < 0)
        return hct_fail(err, errno == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: %s", path, strerror(errno));
    info->dicom = S_ISDIR(st.st_mode);
    hct_status s = info->dicom ? dicom_read(path, ret, err) : nifti_read(path, ret, err);
    if (s < 0) return s;
    memcpy(info->dim, ret->dim, sizeof info->dim);
    volume_spacing(ret, info->spacing);
    return HCT_OK;
}

hct_status scan_prepare(volume *v, int exact, hct_err *err) {
    static const int64_t size[3] = {PREPARED_SIZE, PREPARED_SIZE, PREPARED_SIZE};
    hct_status s = volume_to_ras(v, err);
    if (s == HCT_OK) s = volume_resample_1mm_cut(v, size, exact ? HCT_F32 : HCT_I16, PREPARED_PAD_HU, err);
    return s;
}

const char *scan_preprocessing_with(const scan_options *o, char buffer[512]) {
    if (o->like_monai && !o->center_head && !o->unwrap) return scan_preprocessing(o->exact);
    snprintf(
        buffer, 512,
        "affine as MONAI 1.2.0 reads it; DICOM slices at their true positions: cubic B-spline in their planes, along "
        "the normal cubic where even, else linear; %s%sRAS; cubic B-spline to 1 mm as MONAI 1.2.0; %s HU; pad -1024 "
        "or crop to 224^3 about %s",
        o->unwrap ? "12-bit wrap mended; " : "", o->like_monai ? "" : "below -1024 HU raised to it; ",
        o->exact ? "float32" : "int16", o->center_head ? "the head" : "the middle");
    return buffer;
}

/* Where the body lies on the 1 mm grid of a volume in RAS order. */
static hct_status find_body(const volume *v, const int64_t size[3], int64_t off[3], scan_findings *ret, hct_err *err) {
    body_map map = {0};
    body_slices at = {.origin = malloc((size_t)v->dim[2] * sizeof *at.origin)};
    double grid[4][4];
    int64_t dim[3];
    hct_status s = at.origin ? resample_grid_1mm(v, dim, grid, err) : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK) s = body_map_volume(&map, v, err);
    for (int i = 0; i < 3 && s == HCT_OK; i++) {
        at.step_x[i] = v->affine[i][0];
        at.step_y[i] = v->affine[i][1];
        at.step_z[i] = v->affine[i][2];
        for (int64_t k = 0; k < v->dim[2]; k++) at.origin[k][i] = v->affine[i][3] + v->affine[i][2] * (double)k;
    }
    if (s == HCT_OK) s = body_find(&map, &at, grid, &ret->body, err);
    for (int a = 0; a < 3 && s == HCT_OK; a++)
        off[a] = size[a] >= dim[a] ? (size[a] - dim[a]) / 2 : size[a] / 2 - dim[a] / 2;
    body_map_free(&map);
    free(at.origin);
    return s;
}

hct_status scan_prepare_with(volume *v, const scan_options *o, scan_findings *ret, hct_err *err) {
    static const int64_t size[3] = {PREPARED_SIZE, PREPARED_SIZE, PREPARED_SIZE};
    int64_t off[3] = {0};
    memset(ret, 0, sizeof *ret);
    hu_stats_volume(&ret->hu, v);
    if (o->unwrap && ret->hu.least >= -200) {
        hu_unwrap(v);
        ret->unwrapped = 1;
        hu_stats_volume(&ret->hu, v);
    }
    if (!o->like_monai) hu_raise(v, PREPARED_PAD_HU);
    hct_status s = volume_to_ras(v, err);
    if (s == HCT_OK) s = find_body(v, size, off, ret, err);
    if (s == HCT_OK && o->center_head) body_shift(&ret->body, off, size, MODEL_CUBE, ret->shift);
    for (int a = 0; a < 3; a++) off[a] -= ret->shift[a];
    ret->beyond = s == HCT_OK ? body_beyond(&ret->body, off, size, MODEL_CUBE) : 0;
    if (s == HCT_OK)
        s = volume_resample_1mm_cut_at(v, size, ret->shift, o->exact ? HCT_F32 : HCT_I16, PREPARED_PAD_HU, err);
    return s;
}

int scan_is_prepared(const char *path, int exact) {
    return nifti_is_whole(path, (int64_t)PREPARED_SIZE * PREPARED_SIZE * PREPARED_SIZE, exact ? HCT_F32 : HCT_I16);
}

hct_status scan_open(const char *path, int exact, volume *ret, scan_info *info, hct_err *err) {
    hct_err why;
    hct_status s = scan_read(path, ret, info, err);
    if (s < 0) return s;
    s = scan_prepare(ret, exact, &why);
    if (s == HCT_OK) return s;
    volume_free(ret);
    return hct_fail(err, s, "%s: %.900s", path, why.msg);
}
