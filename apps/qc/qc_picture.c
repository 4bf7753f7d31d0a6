/* Pictures of scans for the page: small, in the soft-tissue window. */
#include "qc/qc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "figures/picture.h"
#include "support/paths.h"

enum { HIGH = 128 };                    /* pixels of a picture */
static const double low = 0, high = 80; /* HU: width 80 about 40 */

static char *place_of(const char *dataset, const char *id, hct_err *err) {
    char *folder = path_join(dataset, "qc"), *path = NULL;
    if (folder && path_make_folders(folder, err) == HCT_OK && asprintf(&path, "%s/%s.png", folder, id) < 0) path = NULL;
    free(folder);
    return path;
}

static float voxel(const volume *v, int64_t i, int64_t j, int64_t k) {
    size_t at = (size_t)(i + v->dim[0] * (j + v->dim[1] * k));
    return v->dtype == HCT_F32 ? v->f32[at] : (float)v->i16[at];
}

hct_status qc_picture(const char *dataset, const char *id, const volume *v, hct_err *err) {
    /* every second voxel each way: as many as are drawn */
    int64_t n[3];
    for (int a = 0; a < 3; a++) n[a] = v->dim[a] > 1 ? v->dim[a] / 2 : 1;
    float *small = malloc((size_t)(n[0] * n[1] * n[2]) * sizeof *small);
    char *path = place_of(dataset, id, err);
    hct_status s = small && path ? HCT_OK : err && err->code < 0 ? err->code : hct_fail(err, HCT_ENOMEM, "no memory");
    for (int64_t i = 0; s == HCT_OK && i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++) small[(i * n[1] + j) * n[2] + k] = voxel(v, 2 * i, 2 * j, 2 * k);
    picture_tile tiles[3];
    for (int p = 0; p < 3; p++)
        tiles[p] = (picture_tile){.volume = small,
                                  .dim = {n[0], n[1], n[2]},
                                  .plane = (slice_plane[]){SLICE_AXIAL, SLICE_CORONAL, SLICE_SAGITTAL}[p],
                                  .at = -1,
                                  .low = low,
                                  .high = high};
    if (s == HCT_OK) s = picture_write(tiles, 3, HIGH, path, err);
    free(small);
    free(path);
    return s;
}

hct_status qc_slice(const char *dataset, const char *id, const float *hu, int64_t columns, int64_t rows, hct_err *err) {
    float *turned = malloc((size_t)(columns * rows) * sizeof *turned);
    char *path = place_of(dataset, id, err);
    hct_status s = turned && path ? HCT_OK : err && err->code < 0 ? err->code : hct_fail(err, HCT_ENOMEM, "no memory");
    /* columns run to the patient's left and rows to the back in an axial slice: both against RAS */
    for (int64_t j = 0; s == HCT_OK && j < rows; j++)
        for (int64_t i = 0; i < columns; i++) turned[(columns - 1 - i) * rows + (rows - 1 - j)] = hu[j * columns + i];
    picture_tile tile = {
        .volume = turned, .dim = {columns, rows, 1}, .plane = SLICE_AXIAL, .at = 0, .low = low, .high = high};
    if (s == HCT_OK) s = picture_write(&tile, 1, HIGH, path, err);
    free(turned);
    free(path);
    return s;
}
