/* Makes NIfTI files, good and broken ones. */
#include "make_nifti.h"

#include <stdlib.h>
#include <string.h>

#include "imaging/gzip.h"
#include "scratch.h"

nifti_spec nifti_plain(void) {
    nifti_spec s = {.version = 1, .datatype = DT_INT16, .dim = {3, 5, 6, 7, 1, 1, 1, 1}, .sform_code = 1};
    for (int a = 0; a < 3; a++) s.srow[a][a] = s.pixdim[a + 1] = 1;
    s.pixdim[0] = 1;
    return s;
}

static double plain_value(int64_t voxel) { return (double)(voxel % 100); }

/* Casts v to the type and stores it; returns its size. */
static size_t put(int datatype, double v, unsigned char *to) {
    switch (datatype) {
#define X(code, type)                                                                                                  \
    case code: {                                                                                                       \
        type stored = (type)v;                                                                                         \
        memcpy(to, &stored, sizeof stored);                                                                            \
        return sizeof stored;                                                                                          \
    }
        /* clang-format off */
        X(DT_UINT8, uint8_t)
        X(DT_INT8, int8_t)
        X(DT_INT16, int16_t)
        X(DT_UINT16, uint16_t)
        X(DT_INT32, int32_t)
        X(DT_UINT32, uint32_t)
        X(DT_INT64, int64_t)
        X(DT_UINT64, uint64_t)
        X(DT_FLOAT32, float)
        X(DT_FLOAT64, double)
        X(DT_FLOAT128, long double)
#undef X
    /* clang-format on */
    default: break;
    }
    memset(to, 0, 16);
    return 8; /* complex64, and whatever is no intensity */
}

#define FILL(h)                                                                                                        \
    do {                                                                                                               \
        (h).sizeof_hdr = sizeof(h);                                                                                    \
        for (int i = 0; i < 8; i++) (h).dim[i] = (__typeof__((h).dim[0]))s->dim[i];                                    \
        for (int i = 0; i < 4; i++) (h).pixdim[i] = (__typeof__((h).pixdim[0]))s->pixdim[i];                           \
        (h).datatype = (int16_t)s->datatype;                                                                           \
        (h).scl_slope = (__typeof__((h).scl_slope))s->slope;                                                           \
        (h).scl_inter = (__typeof__((h).scl_inter))s->inter;                                                           \
        (h).sform_code = (__typeof__((h).sform_code))s->sform_code;                                                    \
        (h).qform_code = (__typeof__((h).qform_code))s->qform_code;                                                    \
        for (int i = 0; i < 4; i++) {                                                                                  \
            (h).srow_x[i] = (__typeof__((h).srow_x[0]))s->srow[0][i];                                                  \
            (h).srow_y[i] = (__typeof__((h).srow_x[0]))s->srow[1][i];                                                  \
            (h).srow_z[i] = (__typeof__((h).srow_x[0]))s->srow[2][i];                                                  \
        }                                                                                                              \
        (h).quatern_b = (__typeof__((h).quatern_b))s->quatern[0];                                                      \
        (h).quatern_c = (__typeof__((h).quatern_b))s->quatern[1];                                                      \
        (h).quatern_d = (__typeof__((h).quatern_b))s->quatern[2];                                                      \
        (h).qoffset_x = (__typeof__((h).qoffset_x))s->qoffset[0];                                                      \
        (h).qoffset_y = (__typeof__((h).qoffset_x))s->qoffset[1];                                                      \
        (h).qoffset_z = (__typeof__((h).qoffset_x))s->qoffset[2];                                                      \
    } while (0)

unsigned char *nifti_bytes(const nifti_spec *s, size_t *ret_n) {
    unsigned char one[16];
    size_t header = s->version == 1 ? 352 : 544, offset = s->vox_offset > 0 ? (size_t)s->vox_offset : header;
    size_t voxel = put(s->datatype, 0, one), count = 1;
    for (int i = 1; i <= 7 && i <= s->dim[0]; i++) count *= s->dim[i] > 0 ? (size_t)s->dim[i] : 1;
    *ret_n = offset + voxel * count;
    unsigned char *bytes = calloc(*ret_n + 16, 1);
    if (s->version == 1) {
        nifti_1_header h = {0};
        FILL(h);
        h.bitpix = (int16_t)(8 * voxel);
        h.vox_offset = (float)offset;
        memcpy(h.magic, "n+1", 4);
        if (s->swapped) swap_nifti_header(&h, 1);
        memcpy(bytes, &h, sizeof h);
    } else {
        nifti_2_header h = {0};
        FILL(h);
        h.bitpix = (int16_t)(8 * voxel);
        h.vox_offset = (int64_t)offset;
        memcpy(h.magic, "n+2\0\r\n\032\n", 8);
        if (s->swapped) swap_nifti_header(&h, 2);
        memcpy(bytes, &h, sizeof h);
    }
    for (size_t i = 0; i < count; i++)
        put(s->datatype, s->value ? s->value((int64_t)i) : plain_value((int64_t)i), bytes + offset + voxel * i);
    if (s->swapped && voxel > 1) nifti_swap_Nbytes((int64_t)count, (int)voxel, bytes + offset);
    return bytes;
}

const char *nifti_file(const nifti_spec *s, const char *name) {
    size_t n, len = strlen(name);
    unsigned char *bytes = nifti_bytes(s, &n), *packed;
    if (len > 3 && strcmp(name + len - 3, ".gz") == 0) {
        if (gzip_deflate(bytes, n, 6, &packed, &n, NULL) < 0) abort();
        free(bytes);
        bytes = packed;
    }
    const char *path = scratch_file(name, bytes, n);
    free(bytes);
    return path;
}
