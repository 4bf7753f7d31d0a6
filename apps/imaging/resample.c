#include "imaging/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/parallel.h"
#include "imaging/spline.h"

/* rotation = M Z^-1: Gram-Schmidt on the columns of M, which is what the Cholesky factor of M'M amounts to. */
static void rotation_of(const volume *v, double q[3][3]) {
    for (int a = 0; a < 3; a++) {
        double col[3], norm = 0;
        for (int i = 0; i < 3; i++) col[i] = v->affine[i][a];
        for (int pass = 0; pass < 2; pass++) /* the second removes the first's rounding */
            for (int b = 0; b < a; b++) {
                double dot = col[0] * q[0][b] + col[1] * q[1][b] + col[2] * q[2][b];
                for (int i = 0; i < 3; i++) col[i] -= dot * q[i][b];
            }
        norm = sqrt(col[0] * col[0] + col[1] * col[1] + col[2] * col[2]);
        for (int i = 0; i < 3; i++) q[i][a] = col[i] / norm;
    }
}

hct_status resample_grid_1mm(const volume *v, int64_t ret_dim[3], double ret_affine[4][4], hct_err *err) {
    double q[3][3], corner[8][3], lo[3] = {INFINITY, INFINITY, INFINITY}, hi[3] = {-INFINITY, -INFINITY, -INFINITY};
    rotation_of(v, q);
    for (int c = 0; c < 8; c++) {
        double world[3];
        for (int i = 0; i < 3; i++) {
            world[i] = 0;
            for (int a = 0; a < 3; a++)
                if (c >> a & 1) world[i] += v->affine[i][a] * (double)(v->dim[a] - 1);
        }
        for (int a = 0; a < 3; a++) { /* rotation is orthogonal: its transpose is its inverse */
            corner[c][a] = q[0][a] * world[0] + q[1][a] * world[1] + q[2][a] * world[2];
            lo[a] = fmin(lo[a], corner[c][a]);
            hi[a] = fmax(hi[a], corner[c][a]);
        }
    }
    int64_t n = 1;
    for (int a = 0; a < 3; a++) {
        double size = rint(hi[a] - lo[a] + 1);
        if (size * (double)n > (double)((int64_t)1 << 30))
            return hct_fail(err, HCT_ESHAPE, "at 1 mm the scan would have more than 2^30 voxels: check its affine");
        n *= ret_dim[a] = (int64_t)size;
    }
    memset(ret_affine, 0, 16 * sizeof(double));
    ret_affine[3][3] = 1;
    for (int i = 0; i < 3; i++)
        for (int a = 0; a < 3; a++) ret_affine[i][a] = q[i][a];
    int least = 0;
    while (least < 8 &&
           !(corner[least][0] - lo[0] <= 1e-8 && corner[least][1] - lo[1] <= 1e-8 && corner[least][2] - lo[2] <= 1e-8))
        least++;
    for (int i = 0; i < 3; i++) {
        double origin = v->affine[i][3];
        for (int a = 0; a < 3; a++)
            if (least < 8)
                origin += (least >> a & 1) ? v->affine[i][a] * (double)(v->dim[a] - 1) : 0;
            else
                origin += v->affine[i][a] * (double)v->dim[a] / 2 - q[i][a] * (double)ret_dim[a] / 2;
        ret_affine[i][3] = origin;
    }
    return HCT_OK;
}

/* Equal as numpy.allclose(a, b, rtol=1e-5, atol=1e-3) says. */
static int close_to(double a[4][4], double b[4][4]) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (!(fabs(a[i][j] - b[i][j]) <= 1e-3 + 1e-5 * fabs(b[i][j]))) return 0;
    return 1;
}

/* New voxel indices to old ones: m[a][b] is upper triangular, because both grids share the rotation.
 * Returns whether the grids are the same one. */
static int index_map(volume *v, const int64_t dim[3], double to_world[4][4], double m[3][4]) {
    double inverse[4][4], product[4][4], identity[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    affine_invert(v->affine, inverse);
    affine_mul(inverse, to_world, product);
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 4; b++) m[a][b] = b < a ? 0 : product[a][b];
    return memcmp(dim, v->dim, sizeof v->dim) == 0 && (close_to(v->affine, to_world) || close_to(product, identity));
}

/* Slice k of the new grid. Along z, then y, then x: each new row needs 4 old rows, each of which 4 old planes.
 * scratch: an extended plane, an extended row; taps: one per new column. */
static void eval_slice(const spline *s, double m[3][4], volume *out, int64_t k, double *scratch, spline_tap *taps) {
    int64_t nx = s->dim[0], ny = s->dim[1], plane = nx * ny;
    double *p = scratch, *row = scratch + plane;
    spline_tap tz = spline_tap_at(m[2][2] * (double)k + m[2][3], s->dim[2]);
    const double *c0 = s->c + plane * tz.at[0], *c1 = s->c + plane * tz.at[1], *c2 = s->c + plane * tz.at[2],
                 *c3 = s->c + plane * tz.at[3];
    for (int64_t i = 0; i < plane; i++) p[i] = tz.w[0] * c0[i] + tz.w[1] * c1[i] + tz.w[2] * c2[i] + tz.w[3] * c3[i];
    for (int64_t j = 0; j < out->dim[1]; j++) {
        spline_tap ty = spline_tap_at(m[1][1] * (double)j + m[1][2] * (double)k + m[1][3], ny);
        const double *r0 = p + nx * ty.at[0], *r1 = p + nx * ty.at[1], *r2 = p + nx * ty.at[2], *r3 = p + nx * ty.at[3];
        for (int64_t x = 0; x < nx; x++) row[x] = ty.w[0] * r0[x] + ty.w[1] * r1[x] + ty.w[2] * r2[x] + ty.w[3] * r3[x];
        if (j == 0 || m[0][1] != 0)
            for (int64_t i = 0; i < out->dim[0]; i++)
                taps[i] = spline_tap_at(m[0][0] * (double)i + m[0][1] * (double)j + m[0][2] * (double)k + m[0][3], nx);
        float *to = out->f32 + out->dim[0] * (j + out->dim[1] * k);
        for (int64_t i = 0; i < out->dim[0]; i++) {
            const spline_tap *t = taps + i;
            to[i] = (float)(t->w[0] * row[t->at[0]] + t->w[1] * row[t->at[1]] + t->w[2] * row[t->at[2]] +
                            t->w[3] * row[t->at[3]]);
        }
    }
}

hct_status volume_resample_1mm(volume *v, hct_err *err) {
    int64_t dim[3];
    double affine[4][4], m[3][4];
    hct_status status = resample_grid_1mm(v, dim, affine, err);
    if (status < 0) return status;
    if (index_map(v, dim, affine, m)) return volume_to_f32(v, err);
    volume out = {0};
    spline s = {0};
    status = volume_alloc(&out, HCT_F32, dim, err);
    if (status == HCT_OK) status = spline_fit(v, &s, err);
    size_t threads = (size_t)parallel_threads(), per = (size_t)(s.dim[0] * (s.dim[1] + 1));
    double *scratch = status < 0 ? NULL : malloc(threads * per * sizeof *scratch);
    spline_tap *taps = status < 0 ? NULL : malloc(threads * (size_t)dim[0] * sizeof *taps);
    if (status == HCT_OK && (!scratch || !taps)) status = hct_fail(err, HCT_ENOMEM, "no memory to resample a scan");
    if (status == HCT_OK) {
        PARALLEL_FOR
        for (int64_t k = 0; k < dim[2]; k++) {
            size_t self = (size_t)parallel_self();
            eval_slice(&s, m, &out, k, scratch + self * per, taps + self * (size_t)dim[0]);
        }
    }
    free(scratch);
    free(taps);
    spline_free(&s);
    if (status < 0) {
        volume_free(&out);
        return status;
    }
    memcpy(out.affine, affine, sizeof affine);
    volume_free(v);
    *v = out;
    return HCT_OK;
}
