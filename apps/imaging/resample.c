/* Resamples a volume to another spacing by cubic splines. */
#include "imaging/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/plane_fit.h"
#include "support/parallel.h"

/* rotation = M Z^-1: Gram-Schmidt on the columns of M, which is what the Cholesky factor of M'M amounts to. */
static void rotation_of(const volume *v, const int order[3], double q[3][3]) {
    for (int n = 0; n < 3; n++) {
        int a = order[n];
        double col[3], norm = 0;
        for (int i = 0; i < 3; i++) col[i] = v->affine[i][a];
        for (int pass = 0; pass < 2; pass++) /* the second removes the first's rounding */
            for (int k = 0; k < n; k++) {
                int b = order[k];
                double dot = col[0] * q[0][b] + col[1] * q[1][b] + col[2] * q[2][b];
                for (int i = 0; i < 3; i++) col[i] -= dot * q[i][b];
            }
        norm = sqrt(col[0] * col[0] + col[1] * col[1] + col[2] * col[2]);
        for (int i = 0; i < 3; i++) q[i][a] = col[i] / norm;
    }
}

hct_status resample_grid_1mm(const volume *v, int64_t ret_dim[3], double ret_affine[4][4], hct_err *err) {
    static const int in_turn[3] = {0, 1, 2};
    return resample_grid_1mm_along(v, in_turn, ret_dim, ret_affine, err);
}

hct_status resample_grid_1mm_along(const volume *v, const int order[3], int64_t ret_dim[3], double ret_affine[4][4],
                                   hct_err *err) {
    static const double one[3] = {1, 1, 1};
    return resample_grid_along(v, order, one, ret_dim, ret_affine, err);
}

hct_status resample_grid_along(const volume *v, const int order[3], const double spacing[3], int64_t ret_dim[3],
                               double ret_affine[4][4], hct_err *err) {
    double q[3][3], corner[8][3], lo[3] = {INFINITY, INFINITY, INFINITY}, hi[3] = {-INFINITY, -INFINITY, -INFINITY};
    rotation_of(v, order, q);
    for (int c = 0; c < 8; c++) {
        double world[3];
        for (int i = 0; i < 3; i++) {
            world[i] = 0;
            for (int a = 0; a < 3; a++)
                if (c >> a & 1) world[i] += v->affine[i][a] * (double)(v->dim[a] - 1);
        }
        for (int a = 0; a < 3; a++) { /* rotation is orthogonal: its transpose is its inverse */
            corner[c][a] = q[0][a] * world[0] + q[1][a] * world[1] + q[2][a] * world[2];
            corner[c][a] /= spacing[a];
            lo[a] = fmin(lo[a], corner[c][a]);
            hi[a] = fmax(hi[a], corner[c][a]);
        }
    }
    int64_t n = 1;
    for (int a = 0; a < 3; a++) {
        /* where even 2.5 mm slices meet, rounding errors are not to choose */
        double extent = hi[a] - lo[a] + 1, half = rint(2 * extent) / 2;
        double size = rint(fabs(extent - half) < 1e-10 ? half : extent);
        if (size * (double)n > (double)((int64_t)1 << 30))
            return hct_fail(err, HCT_ESHAPE,
                            "on its new grid the scan would have more than 2^30 voxels: check its affine");
        n *= ret_dim[a] = (int64_t)size;
    }
    memset(ret_affine, 0, 16 * sizeof(double));
    ret_affine[3][3] = 1;
    for (int i = 0; i < 3; i++)
        for (int a = 0; a < 3; a++) ret_affine[i][a] = q[i][a] * spacing[a];
    int least = 0;
    while (least < 8 &&
           !(corner[least][0] - lo[0] <= 1e-8 && corner[least][1] - lo[1] <= 1e-8 && corner[least][2] - lo[2] <= 1e-8))
        least++;
    for (int i = 0; i < 3; i++) {
        double origin = v->affine[i][3];
        for (int a = 0; a < 3; a++)
            if (least < 8) origin += (least >> a & 1) ? v->affine[i][a] * (double)(v->dim[a] - 1) : 0;
            else origin += v->affine[i][a] * (double)v->dim[a] / 2 - ret_affine[i][a] * (double)ret_dim[a] / 2;
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

/* Displacements below this many voxels change no value by as much as float32 can tell. */
#define SAME_PLACE 1e-7

/* One way from old voxels to new ones. Old = m[a][0..2] new + m[a][3]; m is upper triangular, because both grids share
 * the rotation. */
typedef struct job {
    const volume *v;
    volume *out;
    pad_box box; /* of out: the voxels to compute */
    double m[3][4];
    int apart[2];        /* x, y: the old coordinate depends on this axis' new index alone, so each line is resampled as
                            soon as it is filtered; otherwise when the new slice is made */
    spline_span span[3]; /* of the old axes */
    spline_tap *tap[2];  /* x, y: where apart, one for each new index from box.low on */
    int64_t n[2];        /* x, y: coefficients kept along them */
    double *c;           /* [span z][n y][n x], planes `stride` apart */
    int64_t stride;
    double *scratch; /* a thread's: a plane, then a block; or a slice, then an old and a new row */
    size_t per_thread;
} job;

int resample_index_map(const volume *v, const int64_t dim[3], double to_world[4][4], double m[3][4]) {
    double inverse[4][4], product[4][4], own[4][4],
        identity[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    memcpy(own, v->affine, sizeof own);
    affine_invert(own, inverse);
    affine_mul(inverse, to_world, product);
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 4; b++)
            m[a][b] =
                b < a || (b > a && b < 3 && fabs(product[a][b]) * (double)dim[b] < SAME_PLACE) ? 0 : product[a][b];
    return memcmp(dim, v->dim, sizeof v->dim) == 0 && (close_to(own, to_world) || close_to(product, identity));
}

/* The old coordinate along axis a of voxel (i, j, k) of out. */
static double old_place(const job *q, int a, int64_t i, int64_t j, int64_t k) {
    const double *m = q->m[a];
    return m[0] * (double)(i - q->box.off[0]) + m[1] * (double)(j - q->box.off[1]) +
           m[2] * (double)(k - q->box.off[2]) + m[3];
}

/* Which part of the old axes the box needs: its corners are the extremes, the map being affine. */
static void find_spans(job *q) {
    const pad_box *b = &q->box;
    for (int a = 0; a < 3; a++) {
        double low = INFINITY, high = -INFINITY;
        for (int c = 0; c < 8; c++) {
            double x = old_place(q, a, c & 1 ? b->high[0] - 1 : b->low[0], c & 2 ? b->high[1] - 1 : b->low[1],
                                 c & 4 ? b->high[2] - 1 : b->low[2]);
            low = fmin(low, x);
            high = fmax(high, x);
        }
        q->span[a] = spline_span_of(q->v->dim[a], low, high);
    }
}

static void fit(job *q) {
    const spline_span *sz = &q->span[2];
    const volume *v = q->v;
    int64_t depth = v->dim[2], plane = q->n[0] * q->n[1], voxels = v->dim[0] * v->dim[1];
    size_t voxel = hct_dtype_size(v->dtype);
    plane_fit f = {{v->dim[0], v->dim[1]}, {q->span[0], q->span[1]}, {q->tap[0], q->tap[1]}, {q->n[0], q->n[1]}};
    PARALLEL_FOR
    for (int64_t m = 0; m < sz->n; m++) { /* the copies before and behind the volume are made below */
        int64_t k = sz->first + m;
        if (k < 0 || k >= depth) continue;
        double *to = q->c + m * q->stride, *scratch = q->scratch + (size_t)parallel_self() * q->per_thread;
        plane_fit_run(&f, (const char *)v->data + voxel * (size_t)(k * voxels), v->dtype, scratch, to);
        memset(to + plane, 0, (size_t)(q->stride - plane) * sizeof *to);
    }
    plane_fit_depth(q->c, plane, q->stride, sz, depth);
}

/* n voxels of the result, from element `to` on: the blend of four rows `stride` apart. */
static void put_row(const job *q, const spline_tap *t, const double *c, int64_t stride, int64_t to, int64_t n) {
    if (q->out->dtype == HCT_I16) spline_blend_i16(t, c, stride, n, q->out->i16 + to);
    else spline_blend_f32(t, c, stride, n, q->out->f32 + to);
}

/* Slice k of the result. Along z, then y, then x: each new row needs 4 old rows, each of which 4 old planes. */
static void make_slice(const job *q, int64_t k) {
    const pad_box *b = &q->box;
    int64_t nx = q->n[0], new_x = b->high[0] - b->low[0];
    double *slice = q->scratch + (size_t)parallel_self() * q->per_thread, *row = slice + nx * q->n[1] + 1,
           *sampled = row + nx + 2;
    static const spline_tap as_is = {{0, 0, 0, 0}, {1, 0, 0, 0}};
    spline_tap tz = spline_tap_at(old_place(q, 2, 0, 0, k), q->v->dim[2], &q->span[2]);
    int whole = q->apart[0] && q->apart[1];
    if (!whole) spline_blend(&tz, q->c, q->stride, nx * q->n[1], slice);
    for (int64_t j = b->low[1]; j < b->high[1]; j++) {
        int64_t to = b->low[0] + q->out->dim[0] * (j + q->out->dim[1] * k), y = j - b->low[1];
        if (whole) {
            put_row(q, &tz, q->c + y * nx, q->stride, to, new_x);
            continue;
        }
        spline_tap ty = {{y, y, y, y}, {1, 0, 0, 0}}; /* row y of the slice is the new row already */
        if (!q->apart[1]) ty = spline_tap_at(old_place(q, 1, 0, j, k), q->v->dim[1], &q->span[1]);
        if (q->apart[0]) {
            put_row(q, &ty, slice, nx, to, new_x);
            continue;
        }
        spline_blend(&ty, slice, nx, nx, row);
        spline_sample(row, &q->span[0], q->v->dim[0], old_place(q, 0, b->low[0], j, k), q->m[0][0], new_x, sampled);
        put_row(q, &as_is, sampled, 0, to, new_x);
    }
}

static hct_status resample_box(job *q, hct_err *err) {
    find_spans(q);
    q->apart[0] = q->m[0][1] == 0 && q->m[0][2] == 0;
    q->apart[1] = q->m[1][2] == 0;
    hct_status s = HCT_OK;
    for (int a = 0; a < 2; a++) {
        int64_t count = q->box.high[a] - q->box.low[a];
        q->n[a] = q->apart[a] ? count : q->span[a].n;
        if (!q->apart[a]) continue;
        q->tap[a] = malloc((size_t)count * sizeof *q->tap[a]);
        for (int64_t i = 0; q->tap[a] && i < count; i++) {
            int64_t at = q->box.low[a] + i;
            q->tap[a][i] = spline_tap_at(old_place(q, a, a ? 0 : at, a ? at : 0, 0), q->v->dim[a], &q->span[a]);
        }
        if (!q->tap[a]) s = HCT_ENOMEM;
    }
    q->stride = plane_fit_stride(q->n[0] * q->n[1]);
    int64_t longest = q->span[0].n > q->span[1].n ? q->span[0].n : q->span[1].n, wide = q->span[0].n + SPLINE_LINES;
    if (wide < q->n[0]) wide = q->n[0];
    q->per_thread = (size_t)(q->n[1] * wide + longest * SPLINE_LINES + q->out->dim[0] + 3);
    q->c = malloc((size_t)(q->stride * q->span[2].n) * sizeof *q->c);
    q->scratch = malloc((size_t)parallel_threads() * q->per_thread * sizeof *q->scratch);
    if (s < 0 || !q->c || !q->scratch)
        return hct_fail(err, HCT_ENOMEM, "no memory for the spline of a %lld x %lld x %lld volume (%lld MiB)",
                        (long long)q->v->dim[0], (long long)q->v->dim[1], (long long)q->v->dim[2],
                        (long long)(q->stride * q->span[2].n >> 17));
    fit(q);
    PARALLEL_FOR
    for (int64_t k = q->box.low[2]; k < q->box.high[2]; k++) make_slice(q, k);
    return HCT_OK;
}

/* On the grid given by dim and affine, whose map to the old one is m. */
static hct_status resample(volume *v, const int64_t dim[3], double affine[4][4], double m[3][4], const int64_t size[3],
                           const int64_t shift[3], int32_t dtype, float fill, hct_err *err) {
    volume out;
    job q = {.v = v, .out = &out};
    memcpy(q.m, m, sizeof q.m);
    hct_status s = volume_padded_at(dim, affine, dtype, size, shift, fill, &out, &q.box, err);
    if (s < 0) return s;
    int empty = 0; /* the cut misses the grid */
    for (int a = 0; a < 3; a++) empty = empty || q.box.low[a] >= q.box.high[a];
    if (!empty) s = resample_box(&q, err);
    for (int a = 0; a < 2; a++) free(q.tap[a]);
    free(q.c);
    free(q.scratch);
    volume_free(s < 0 ? &out : v);
    if (s == HCT_OK) *v = out;
    return s;
}

static const int64_t centred[3];

hct_status volume_resample_1mm(volume *v, hct_err *err) {
    int64_t dim[3];
    double affine[4][4], m[3][4];
    hct_status s = resample_grid_1mm(v, dim, affine, err);
    if (s < 0) return s;
    return resample_index_map(v, dim, affine, m) ? volume_to_f32(v, err)
                                                 : resample(v, dim, affine, m, dim, centred, HCT_F32, 0, err);
}

hct_status volume_resample_1mm_cut(volume *v, const int64_t size[3], int32_t dtype, float fill, hct_err *err) {
    return volume_resample_1mm_cut_at(v, size, centred, dtype, fill, err);
}

hct_status volume_resample_1mm_cut_at(volume *v, const int64_t size[3], const int64_t shift[3], int32_t dtype,
                                      float fill, hct_err *err) {
    int64_t dim[3];
    double affine[4][4], m[3][4];
    hct_status s = resample_grid_1mm(v, dim, affine, err);
    if (s < 0) return s;
    if (!resample_index_map(v, dim, affine, m)) return resample(v, dim, affine, m, size, shift, dtype, fill, err);
    s = dtype == HCT_I16 ? volume_to_i16(v, err) : volume_to_f32(v, err);
    return s < 0 ? s : volume_pad_crop_at(v, size, shift, fill, err);
}
