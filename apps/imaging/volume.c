/* Volumes: made, oriented, cropped, padded, rounded. */
#include "imaging/volume.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

hct_status volume_alloc(volume *ret, int32_t dtype, const int64_t dim[3], hct_err *err) {
    memset(ret, 0, sizeof *ret);
    int64_t n = 1;
    for (int a = 0; a < 3; a++) {
        if (dim[a] < 1 || dim[a] > ((int64_t)1 << 40) / n)
            return hct_fail(err, HCT_EINVAL, "a volume cannot have %lld x %lld x %lld voxels", (long long)dim[0],
                            (long long)dim[1], (long long)dim[2]);
        n *= dim[a];
    }
    void *data = malloc((size_t)n * hct_dtype_size(dtype));
    if (!data) return hct_fail(err, HCT_ENOMEM, "no memory for a volume of %lld voxels", (long long)n);
    ret->data = data;
    ret->dtype = dtype;
    memcpy(ret->dim, dim, sizeof ret->dim);
    for (int i = 0; i < 4; i++) ret->affine[i][i] = 1;
    return HCT_OK;
}

void volume_free(volume *v) {
    free(v->data);
    memset(v, 0, sizeof *v);
}

/* Gives v the voxels of w (same affine), freeing its own. */
static void take_voxels(volume *v, volume *w) {
    free(v->data);
    v->data = w->data;
    v->dtype = w->dtype;
    memcpy(v->dim, w->dim, sizeof v->dim);
}

hct_status volume_to_f32(volume *v, hct_err *err) {
    if (v->dtype == HCT_F32) return HCT_OK;
    volume w;
    hct_status s = volume_alloc(&w, HCT_F32, v->dim, err);
    if (s < 0) return s;
    int64_t n = volume_count(v);
    for (int64_t i = 0; i < n; i++) w.f32[i] = v->i16[i];
    take_voxels(v, &w);
    return HCT_OK;
}

hct_status volume_to_i16(volume *v, hct_err *err) {
    if (v->dtype == HCT_I16) return HCT_OK;
    volume w;
    hct_status s = volume_alloc(&w, HCT_I16, v->dim, err);
    if (s < 0) return s;
    int64_t n = volume_count(v);
    for (int64_t i = 0; i < n; i++) {
        float x = rintf(v->f32[i]); /* the default rounding mode: half to even */
        w.i16[i] = (int16_t)(x < -32768.0f ? -32768.0f : x > 32767.0f ? 32767.0f : x);
    }
    take_voxels(v, &w);
    return HCT_OK;
}

/* Fills dst, whose axis a runs through src in steps of step[a] elements (may be negative) from element `start`. */
static void copy_strided(const volume *src, volume *dst, int64_t start, const int64_t step[3]) {
    int64_t nx = dst->dim[0], ny = dst->dim[1], nz = dst->dim[2];
    for (int64_t k = 0; k < nz; k++)
        for (int64_t j = 0; j < ny; j++) {
            int64_t from = start + j * step[1] + k * step[2], to = nx * (j + ny * k);
            if (src->dtype == HCT_I16)
                for (int64_t i = 0; i < nx; i++) dst->i16[to + i] = src->i16[from + i * step[0]];
            else
                for (int64_t i = 0; i < nx; i++) dst->f32[to + i] = src->f32[from + i * step[0]];
        }
}

/* The orthogonal factor of the polar decomposition of r's 3x3 part, by Newton's iteration Q <- (Q + Q^-T) / 2. */
static void polar_rotation(double r[4][4]) {
    double inv[4][4];
    for (int it = 0; it < 60 && affine_invert(r, inv) == 0; it++) {
        double change = 0;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                double q = 0.5 * (r[i][j] + inv[j][i]);
                change = fmax(change, fabs(q - r[i][j]));
                r[i][j] = q;
            }
        if (change < 1e-15) return;
    }
}

static void step_lengths(double affine[4][4], double ret[3]) {
    for (int a = 0; a < 3; a++)
        ret[a] = sqrt(affine[0][a] * affine[0][a] + affine[1][a] * affine[1][a] + affine[2][a] * affine[2][a]);
}

void affine_ras_order(double affine[4][4], int world[3], int sign[3]) {
    double r[4][4] = {{0}}, spacing[3], best[3];
    r[3][3] = 1;
    step_lengths(affine, spacing);
    for (int i = 0; i < 3; i++)
        for (int a = 0; a < 3; a++) r[i][a] = affine[i][a] / spacing[a];
    polar_rotation(r);
    int order[3] = {0, 1, 2}, used[3] = {0};
    for (int a = 0; a < 3; a++) best[a] = fmax(fmax(fabs(r[0][a]), fabs(r[1][a])), fabs(r[2][a]));
    for (int i = 1; i < 3; i++) /* insertion sort, stable: clearest axis first */
        for (int j = i; j > 0 && best[order[j]] > best[order[j - 1]]; j--) {
            int t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    for (int n = 0; n < 3; n++) {
        int a = order[n], w = -1;
        for (int i = 0; i < 3; i++)
            if (!used[i] && (w < 0 || fabs(r[i][a]) > fabs(r[w][a]))) w = i;
        used[w] = 1;
        world[a] = w;
        sign[a] = r[w][a] < 0 ? -1 : 1;
    }
}

hct_status volume_to_ras(volume *v, hct_err *err) {
    int world[3], sign[3];
    affine_ras_order(v->affine, world, sign);
    int64_t stride[3] = {1, v->dim[0], v->dim[0] * v->dim[1]}, dim[3], step[3], start = 0;
    double from_new[4][4] = {{0}}, affine[4][4]; /* new voxel indices to old ones */
    from_new[3][3] = 1;
    int same = 1;
    for (int a = 0; a < 3; a++) {
        int w = world[a];
        dim[w] = v->dim[a];
        step[w] = sign[a] * stride[a];
        from_new[a][w] = sign[a];
        if (sign[a] < 0) {
            start += (v->dim[a] - 1) * stride[a];
            from_new[a][3] = (double)(v->dim[a] - 1);
        }
        same = same && w == a && sign[a] > 0;
    }
    if (same) return HCT_OK;
    volume w;
    hct_status s = volume_alloc(&w, v->dtype, dim, err);
    if (s < 0) return s;
    copy_strided(v, &w, start, step);
    take_voxels(v, &w);
    affine_mul(v->affine, from_new, affine);
    memcpy(v->affine, affine, sizeof affine);
    return HCT_OK;
}

hct_status volume_padded(const int64_t dim[3], double affine[4][4], int32_t dtype, const int64_t size[3], float fill,
                         volume *ret, pad_box *box, hct_err *err) {
    static const int64_t centred[3];
    return volume_padded_at(dim, affine, dtype, size, centred, fill, ret, box, err);
}

hct_status volume_padded_at(const int64_t dim[3], double affine[4][4], int32_t dtype, const int64_t size[3],
                            const int64_t shift[3], float fill, volume *ret, pad_box *box, hct_err *err) {
    hct_status s = volume_alloc(ret, dtype, size, err);
    if (s < 0) return s;
    memcpy(ret->affine, affine, sizeof ret->affine);
    int inner = 1;
    for (int a = 0; a < 3; a++) {
        int64_t off = box->off[a] = size[a] >= dim[a] ? (size[a] - dim[a]) / 2 : size[a] / 2 - dim[a] / 2;
        off = box->off[a] -= shift[a];
        box->low[a] = off > 0 ? off : 0;
        box->high[a] = off + dim[a] < size[a] ? off + dim[a] : size[a];
        if (box->low[a] >= box->high[a]) box->low[a] = box->high[a] = 0;
        inner = inner && box->low[a] == 0 && box->high[a] == size[a];
        for (int i = 0; i < 3; i++) ret->affine[i][3] -= affine[i][a] * (double)off;
    }
    int64_t n = inner ? 0 : volume_count(ret);
    if (dtype == HCT_I16)
        for (int64_t i = 0; i < n; i++) ret->i16[i] = (int16_t)fill;
    else
        for (int64_t i = 0; i < n; i++) ret->f32[i] = fill;
    return HCT_OK;
}

hct_status volume_pad_crop(volume *v, const int64_t size[3], float fill, hct_err *err) {
    static const int64_t centred[3];
    return volume_pad_crop_at(v, size, centred, fill, err);
}

hct_status volume_pad_crop_at(volume *v, const int64_t size[3], const int64_t shift[3], float fill, hct_err *err) {
    volume w;
    pad_box b;
    hct_status s = volume_padded_at(v->dim, v->affine, v->dtype, size, shift, fill, &w, &b, err);
    if (s < 0) return s;
    size_t voxel = hct_dtype_size(v->dtype);
    for (int64_t k = b.low[2]; k < b.high[2]; k++)
        for (int64_t j = b.low[1]; j < b.high[1]; j++) {
            int64_t to = b.low[0] + size[0] * (j + size[1] * k);
            int64_t from = b.low[0] - b.off[0] + v->dim[0] * (j - b.off[1] + v->dim[1] * (k - b.off[2]));
            memcpy((char *)w.data + voxel * (size_t)to, (char *)v->data + voxel * (size_t)from,
                   voxel * (size_t)(b.high[0] - b.low[0]));
        }
    volume_free(v);
    *v = w;
    return HCT_OK;
}

float *volume_row_major(const volume *v, hct_err *err) {
    float *out = malloc((size_t)volume_count(v) * sizeof *out + 1);
    if (!out) hct_fail(err, HCT_ENOMEM, "out of memory for a volume");
    for (int64_t k = 0, at = 0; out && k < v->dim[2]; k++)
        for (int64_t j = 0; j < v->dim[1]; j++)
            for (int64_t i = 0; i < v->dim[0]; i++, at++)
                out[(i * v->dim[1] + j) * v->dim[2] + k] = v->dtype == HCT_I16 ? (float)v->i16[at] : v->f32[at];
    return out;
}

void volume_spacing(const volume *v, double ret[3]) {
    double affine[4][4];
    memcpy(affine, v->affine, sizeof affine);
    step_lengths(affine, ret);
}

double affine_det(double a[4][4]) {
    double det = a[0][0] * (a[1][1] * a[2][2] - a[1][2] * a[2][1]) - a[0][1] * (a[1][0] * a[2][2] - a[1][2] * a[2][0]) +
                 a[0][2] * (a[1][0] * a[2][1] - a[1][1] * a[2][0]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            if (!isfinite(a[i][j])) return 0;
    return isfinite(det) ? det : 0;
}

int affine_invert(double a[4][4], double ret[4][4]) {
    double det = affine_det(a);
    if (det == 0) return -1;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int r0 = (j + 1) % 3, r1 = (j + 2) % 3, c0 = (i + 1) % 3,
                c1 = (i + 2) % 3; /* cyclic: signs come out right */
            ret[i][j] = (a[r0][c0] * a[r1][c1] - a[r0][c1] * a[r1][c0]) / det;
        }
    for (int i = 0; i < 3; i++) ret[i][3] = -(ret[i][0] * a[0][3] + ret[i][1] * a[1][3] + ret[i][2] * a[2][3]);
    ret[3][0] = ret[3][1] = ret[3][2] = 0;
    ret[3][3] = 1;
    return 0;
}

void affine_mul(double a[4][4], double b[4][4], double ret[4][4]) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            ret[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j] + a[i][3] * b[3][j];
}
