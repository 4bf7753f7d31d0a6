/* The close grid of a fingerprint: means of HU, smoothed, and how far two of them differ once one is shifted onto the
 * other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/fingerprint.h"
#include "imaging/scan.h"

enum {
    NX = FINGERPRINT_CLOSE_X,
    NY = FINGERPRINT_CLOSE_Y,
    NZ = FINGERPRINT_CLOSE_Z,
    RIM = 2, /* cells about the grid that its smoothing takes in */
    MM = FINGERPRINT_FINE_MM,
    WIDE_X = NX + 2 * RIM,
    WIDE_Y = NY + 2 * RIM,
    WIDE_Z = NZ + 2 * RIM,
    WIDE = WIDE_X * WIDE_Y * WIDE_Z,
    LEAST_CELLS = 2000 /* that both must know */
};
#define UNIT 0.125f /* HU */
#define AIR (-700.0f)
#define MOST_HU 100.0f /* that one cell may count for */

/* ---- of a volume ---- */

/* Adds a voxel to the cells of one axis that it lies in: at most two. first: the cell, share: of the voxel in it. */
typedef struct split_voxel {
    int first;
    float share; /* in first; the rest lies in the next */
} split_voxel;

static split_voxel divide_voxel(double at, double low) {
    double cell = floor((at - low) / MM), end = low + (cell + 1) * MM;
    return (split_voxel){(int)cell, (float)fmin(1, end - at)};
}

/* Sums along x of one row of voxels, by cell: cell c stands at c + 1, so that the cells just outside have a place. */
typedef struct row_sums {
    float hu[WIDE_X + 3], known[WIDE_X + 3];
} row_sums;

static void sum_row(const volume *v, int64_t row, const split_voxel *x, row_sums *ret) {
    const int16_t *whole = v->dtype == HCT_I16 ? v->i16 + row * v->dim[0] : NULL;
    const float *real = whole ? NULL : v->f32 + row * v->dim[0];
    memset(ret, 0, sizeof *ret);
    for (int64_t i = 0; i < v->dim[0]; i++) {
        float hu = whole ? whole[i] : real[i], share = x[i].share;
        int c = x[i].first + 1;
        if (c < 0 || c > WIDE_X || hu <= PREPARED_PAD_HU) continue;
        ret->hu[c] += share * hu;
        ret->known[c] += share;
        ret->hu[c + 1] += (1 - share) * hu;
        ret->known[c + 1] += 1 - share;
    }
}

/* Sums of HU and of what is known, over the voxels of each cell; z from the bottom up. x: room for a row's places. */
static void sum_cells(const volume *v, const double low[3], split_voxel *x, float *sum, float *known) {
    row_sums row;
    for (int64_t i = 0; i < v->dim[0]; i++) x[i] = divide_voxel((double)i, low[0]);
    for (int64_t k = 0; k < v->dim[2]; k++) {
        split_voxel z = divide_voxel((double)k, low[2]);
        if (z.first < -1 || z.first >= WIDE_Z) continue;
        for (int64_t j = 0; j < v->dim[1]; j++) {
            split_voxel y = divide_voxel((double)j, low[1]);
            if (y.first < -1 || y.first >= WIDE_Y) continue;
            sum_row(v, j + v->dim[1] * k, x, &row);
            for (int c = 0; c < 4; c++) {
                int cy = y.first + (c & 1), cz = z.first + (c >> 1);
                float w = (c & 1 ? 1 - y.share : y.share) * (c & 2 ? 1 - z.share : z.share);
                if (w <= 0 || cy < 0 || cz < 0 || cy >= WIDE_Y || cz >= WIDE_Z) continue;
                size_t cell = (size_t)((cz * WIDE_Y + cy) * WIDE_X);
                for (int i = 0; i < WIDE_X; i++) {
                    sum[cell + (size_t)i] += w * row.hu[i + 1];
                    known[cell + (size_t)i] += w * row.known[i + 1];
                }
            }
        }
    }
}

/* A Gaussian of one cell along an axis, five cells wide; what lies beyond the grid is nothing. */
static void smooth_axis(float *v, int axis, float *line) {
    static const float g[3] = {0.40262f, 0.24420f, 0.05449f};
    const int n[3] = {WIDE_X, WIDE_Y, WIDE_Z}, step[3] = {1, WIDE_X, WIDE_X * WIDE_Y};
    for (int i = 0; i < WIDE; i++) {
        if (i / step[axis] % n[axis]) continue; /* where a line begins */
        for (int k = 0; k < n[axis]; k++) line[k] = v[i + k * step[axis]];
        for (int k = 0; k < n[axis]; k++) {
            float sum = g[0] * line[k];
            for (int d = 1; d <= RIM; d++)
                sum += g[d] * ((k >= d ? line[k - d] : 0) + (k + d < n[axis] ? line[k + d] : 0));
            v[i + k * step[axis]] = sum;
        }
    }
}

hct_status fingerprint_close_of(const volume *v, double x, double y, double top, fingerprint_close *ret, hct_err *err) {
    float *sum = calloc((size_t)(2 * WIDE), sizeof *sum), *known = sum ? sum + WIDE : NULL, line[WIDE_Y];
    split_voxel *places = malloc((size_t)v->dim[0] * sizeof *places + 1);
    if (!sum || !places) {
        free(sum);
        free(places);
        return hct_fail(err, HCT_ENOMEM, "no memory for a fingerprint");
    }
    const double low[3] = {x - MM * (NX / 2 + RIM), y - MM * (NY / 2 + RIM), top - MM * (NZ + RIM)};
    sum_cells(v, low, places, sum, known);
    free(places);
    for (int i = 0; i < WIDE; i++) {
        bool there = known[i] >= 0.98f * MM * MM * MM;
        sum[i] = there ? sum[i] / known[i] : 0;
        known[i] = there;
    }
    unsigned char *was = malloc(WIDE);
    for (int i = 0; was && i < WIDE; i++) was[i] = known[i] > 0;
    for (int axis = 0; axis < 3; axis++) {
        smooth_axis(sum, axis, line);
        smooth_axis(known, axis, line);
    }
    for (int k = 0; was && k < NZ; k++)
        for (int j = 0; j < NY; j++)
            for (int i = 0; i < NX; i++) {
                int at = ((WIDE_Z - 1 - RIM - k) * WIDE_Y + j + RIM) * WIDE_X + i + RIM; /* from the top down */
                float hu = known[at] > 0 ? sum[at] / known[at] / UNIT : 0;
                if (was[at] && known[at] > 0.98f)
                    ret->cell[(k * NY + j) * NX + i] = (int16_t)lrintf(fmaxf(-32000, fminf(32000, hu)));
            }
    hct_status s = was ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory for a fingerprint");
    free(was);
    free(sum);
    return s;
}

/* ---- of a pair ---- */

/* b at a place between its cells, linearly; false where one of those is not known. */
typedef struct between {
    int offset[8];
    float share[8];
    int n, low[3], high[3]; /* cells of a for which all lie in the grid */
} between;

static between between_of(const double shift[3], bool mirrored) {
    static const int size[3] = {NX, NY, NZ};
    between ret = {.n = 0};
    int first[3];
    float part[3];
    for (int k = 0; k < 3; k++) {
        first[k] = (int)floor(shift[k]);
        part[k] = (float)(shift[k] - first[k]);
        ret.low[k] = first[k] < 0 ? -first[k] : 0;
        ret.high[k] = size[k] - (first[k] + (part[k] > 0) > 0 ? first[k] + (part[k] > 0) : 0);
    }
    for (int c = 0; c < 8; c++) {
        float w = 1;
        int at[3];
        for (int k = 0; k < 3; k++) {
            at[k] = first[k] + (c >> k & 1);
            w *= c >> k & 1 ? part[k] : 1 - part[k];
        }
        if (w <= 0) continue;
        ret.offset[ret.n] = (at[2] * NY + at[1]) * NX + (mirrored ? -at[0] : at[0]);
        ret.share[ret.n++] = w;
    }
    return ret;
}

/* Differences of the cells that are no air in one of the two; returns how many. */
static size_t differences(const fingerprint_close *a, const fingerprint_close *b, bool mirrored, const double shift[3],
                          float *ret) {
    const between t = between_of(shift, mirrored);
    size_t n = 0;
    for (int z = t.low[2]; z < t.high[2]; z++)
        for (int y = t.low[1]; y < t.high[1]; y++)
            for (int x = t.low[0]; x < t.high[0]; x++) {
                int row = (z * NY + y) * NX, at = row + (mirrored ? NX - 1 - x : x), c = 0;
                int16_t mine = a->cell[row + x];
                if (mine == FINGERPRINT_CLOSE_UNKNOWN) continue;
                float other = 0;
                for (; c < t.n && b->cell[at + t.offset[c]] != FINGERPRINT_CLOSE_UNKNOWN; c++)
                    other += t.share[c] * (float)b->cell[at + t.offset[c]];
                if (c < t.n || ((float)mine * UNIT < AIR && other * UNIT < AIR)) continue;
                ret[n++] = fabsf((float)mine - other) * UNIT;
            }
    return n;
}

static double root_mean_square(const float *d, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)fminf(d[i], MOST_HU) * fminf(d[i], MOST_HU);
    return n < LEAST_CELLS ? INFINITY : sqrt(sum / (double)n);
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

void fingerprint_look(const fingerprint_close *a, const fingerprint_close *b, bool mirrored, fingerprint_apart *io) {
    static const double steps[] = {0.6, 0.3, 0.15, 0.07}; /* cells */
    enum { ROUNDS = 3 };
    static _Thread_local float d[FINGERPRINT_CLOSE];
    double at[3] = {0, 0, 0}, best = root_mean_square(d, differences(a, b, mirrored, at, d));
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
        for (int round = 0; round < ROUNDS; round++) {
            double before = best;
            for (int axis = 0; axis < 3; axis++)
                for (int way = -1; way <= 1; way += 2) {
                    double there[3] = {at[0], at[1], at[2]};
                    there[axis] += way * steps[k];
                    double now = root_mean_square(d, differences(a, b, mirrored, there, d));
                    if (now >= best) continue;
                    best = now;
                    memcpy(at, there, sizeof at);
                }
            if (best >= before) break;
        }
    size_t n = differences(a, b, mirrored, at, d);
    if (n) qsort(d, n, sizeof *d, by_size);
    io->difference = best;
    io->half = n < LEAST_CELLS ? INFINITY : d[n / 2];
}

bool fingerprint_is_same(const fingerprint_apart *d) {
    return fingerprint_may_be_same(d) && d->difference <= FINGERPRINT_DIFFERENCE && d->half <= FINGERPRINT_HALF;
}
