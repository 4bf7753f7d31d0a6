/* Windows and area resize of a box of a volume, in one pass over its rows. */
#include "imaging/model_input.h"

#include <stdlib.h>
#include <string.h>

const hu_window paper_windows[PAPER_WINDOWS] = {{40, 80}, {80, 200}, {600, 2800}};

static int64_t bin_first(int64_t i, int64_t n, int64_t m) { return i * n / m; }
static int64_t bin_end(int64_t i, int64_t n, int64_t m) { return ((i + 1) * n + m - 1) / m; }

/* Sums of the n values of w in m bins. */
static void bin_row(const float *restrict w, int64_t n, float *restrict sum, int64_t m) {
    if (n % m == 0) { /* equal bins, no overlap */
        int64_t f = n / m;
        for (int64_t i = 0; i < m; i++) {
            float s = 0;
            for (int64_t t = 0; t < f; t++) s += w[i * f + t];
            sum[i] = s;
        }
        return;
    }
    for (int64_t i = 0; i < m; i++) {
        sum[i] = 0;
        for (int64_t x = bin_first(i, n, m), end = bin_end(i, n, m); x < end; x++) sum[i] += w[x];
    }
}

typedef struct job {
    const volume *v;
    const int64_t *start, *extent, *size;
    const hu_window *windows;
    int n_windows;
    float *hu, *shown, *sum; /* a row of the box: HU, one window of it, its bins */
    float *acc;              /* [n_windows, size[1], size[0]]: the current plane of bins */
} job;

/* Adds row (y, z) of the box to the bins along y that it falls in. */
static void add_row(job *b, int64_t y, int64_t z) {
    int64_t nx = b->extent[0], ny = b->extent[1], mx = b->size[0], my = b->size[1];
    int64_t from = b->start[0] + b->v->dim[0] * (b->start[1] + y + b->v->dim[1] * (b->start[2] + z));
    const float *hu = b->v->f32 + from;
    if (b->v->dtype == HCT_I16) {
        for (int64_t x = 0; x < nx; x++) b->hu[x] = b->v->i16[from + x];
        hu = b->hu;
    }
    int64_t first = y * my / ny; /* the bin that y falls in for certain; neighbours may overlap */
    while (first > 0 && bin_end(first - 1, ny, my) > y) first--;
    for (int c = 0; c < b->n_windows; c++) {
        float low = hu_window_low(b->windows[c]), per_width = (float)(1.0 / b->windows[c].width);
        for (int64_t x = 0; x < nx; x++) b->shown[x] = hu_window_value(hu[x], low, per_width);
        bin_row(b->shown, nx, b->sum, mx);
        for (int64_t j = first; j < my && bin_first(j, ny, my) <= y; j++) {
            float *acc = b->acc + mx * (j + my * c);
            for (int64_t i = 0; i < mx; i++) acc[i] += b->sum[i];
        }
    }
}

/* Means of the bins of plane k into out, transposed so that z is fastest. */
static void store_plane(const job *b, int64_t k, float *out) {
    int64_t mx = b->size[0], my = b->size[1], mz = b->size[2];
    int64_t depth = bin_end(k, b->extent[2], mz) - bin_first(k, b->extent[2], mz);
    for (int c = 0; c < b->n_windows; c++)
        for (int64_t j = 0; j < my; j++) {
            int64_t area = depth * (bin_end(j, b->extent[1], my) - bin_first(j, b->extent[1], my));
            for (int64_t i = 0; i < mx; i++) {
                int64_t n = area * (bin_end(i, b->extent[0], mx) - bin_first(i, b->extent[0], mx));
                out[k + mz * (j + my * (i + mx * c))] = b->acc[i + mx * (j + my * c)] / (float)n;
            }
        }
}

hct_status windowed_area(const volume *v, const int64_t start[3], const int64_t extent[3], const hu_window *windows,
                         int n_windows, const int64_t size[3], float *out, hct_err *err) {
    for (int a = 0; a < 3; a++)
        if (size[a] < 1 || extent[a] < 1 || start[a] < 0 || start[a] + extent[a] > v->dim[a])
            return hct_fail(err, HCT_ESHAPE,
                            "a box of %lld voxels from %lld on, to be resized to %lld, does not fit axis %d of %lld",
                            (long long)extent[a], (long long)start[a], (long long)size[a], a, (long long)v->dim[a]);
    size_t plane = (size_t)(n_windows * size[0] * size[1]);
    float *scratch = malloc((size_t)(2 * extent[0] + size[0]) * sizeof(float) + plane * sizeof(float));
    if (!scratch) return hct_fail(err, HCT_ENOMEM, "no memory to resize a scan");
    job b = {v,
             start,
             extent,
             size,
             windows,
             n_windows,
             scratch,
             scratch + extent[0],
             scratch + 2 * extent[0],
             scratch + 2 * extent[0] + size[0]};
    for (int64_t k = 0; k < size[2]; k++) {
        memset(b.acc, 0, plane * sizeof(float));
        for (int64_t z = bin_first(k, extent[2], size[2]); z < bin_end(k, extent[2], size[2]); z++)
            for (int64_t y = 0; y < extent[1]; y++) add_row(&b, y, z);
        store_plane(&b, k, out);
    }
    free(scratch);
    return HCT_OK;
}
