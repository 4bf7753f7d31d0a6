/* Writes NIfTI-1, gzipped. */
#include "imaging/nifti.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nifti/nifti2_io.h>

#include "hct/io.h"
#include "imaging/gzip.h"

enum { HEADER_BYTES = 352 }; /* 348 and four bytes that say: no extension follows */

static hct_status fill_header(const volume *v, nifti_1_header *h, hct_err *err) {
    int64_t dims[8] = {3, v->dim[0], v->dim[1], v->dim[2]};
    for (int a = 0; a < 3; a++)
        if (v->dim[a] > INT16_MAX)
            return hct_fail(err, HCT_ESHAPE, "NIfTI-1 cannot hold %lld voxels along an axis", (long long)v->dim[a]);
    nifti_1_header *fresh = nifti_make_new_n1_header(dims, v->dtype == HCT_I16 ? DT_INT16 : DT_FLOAT32);
    if (!fresh) return hct_fail(err, HCT_ENOMEM, "no memory for a NIfTI header");
    *h = *fresh;
    free(fresh);
    double b, c, d, x, y, z, dx, dy, dz, qfac;
    nifti_dmat44 m;
    memcpy(m.m, v->affine, sizeof m.m);
    nifti_dmat44_to_quatern(m, &b, &c, &d, &x, &y, &z, &dx, &dy, &dz, &qfac);
    h->qform_code = h->sform_code = NIFTI_XFORM_SCANNER_ANAT;
    h->quatern_b = (float)b;
    h->quatern_c = (float)c;
    h->quatern_d = (float)d;
    h->qoffset_x = (float)x;
    h->qoffset_y = (float)y;
    h->qoffset_z = (float)z;
    h->pixdim[0] = (float)qfac;
    h->pixdim[1] = (float)dx;
    h->pixdim[2] = (float)dy;
    h->pixdim[3] = (float)dz;
    for (int a = 0; a < 4; a++) {
        h->srow_x[a] = (float)v->affine[0][a];
        h->srow_y[a] = (float)v->affine[1][a];
        h->srow_z[a] = (float)v->affine[2][a];
    }
    h->xyzt_units = NIFTI_UNITS_MM;
    h->vox_offset = HEADER_BYTES;
    h->scl_slope = 1;
    snprintf(h->descrip, sizeof h->descrip, "headct");
    memcpy(h->magic, "n+1", 4);
    return HCT_OK;
}

hct_status nifti_write(const char *path, const volume *v, int level, hct_err *err) {
    nifti_1_header h;
    hct_status s = fill_header(v, &h, err);
    if (s < 0) return s;
    size_t voxels = (size_t)volume_count(v) * hct_dtype_size(v->dtype), n = HEADER_BYTES + voxels;
    unsigned char *bytes = malloc(n);
    if (!bytes) return hct_fail(err, HCT_ENOMEM, "%s: no memory for %zu bytes", path, n);
    memset(bytes, 0, HEADER_BYTES);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + HEADER_BYTES, v->data, voxels);
    size_t len = strlen(path);
    if (len > 3 && strcmp(path + len - 3, ".gz") == 0) {
        unsigned char *packed = NULL;
        size_t packed_n = 0;
        s = gzip_deflate(bytes, n, level, &packed, &packed_n, err);
        free(bytes);
        if (s < 0) return s;
        bytes = packed;
        n = packed_n;
    }
    hct_outfile *f = hct_outfile_open(path, err);
    hct_outfile_write(f, bytes, n);
    free(bytes);
    return hct_outfile_close(f, err);
}

int nifti_is_whole(const char *path, int64_t voxels, hct_dtype dtype) {
    return gzip_length(path) == (int64_t)(uint32_t)(HEADER_BYTES + voxels * (int64_t)hct_dtype_size(dtype));
}
