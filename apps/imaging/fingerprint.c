/* Scans known again by the shape of the head and what is in it. */
#include "imaging/fingerprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/scan.h"

enum { DEEP_MM = 120, LEAST_TISSUE = 300, LEAST_FINE = 300 }; /* cells that both must know */
#define SOFT_LOW (-20.0f)
#define SOFT_HIGH 120.0f
#define SOFT_STEP ((SOFT_HIGH - SOFT_LOW) / 254.0f)
#define MARGIN 60.0f
#define MOST_DETAIL (6.0f / SOFT_STEP) /* so that ventricles, which all have, do not outweigh folds */
#define DETAIL_TO 13.0                 /* of shape: no details are asked for beyond that */
#define LIKENESS 0.15
#define BEFORE_SHIFT 18.75 /* HU that two may be apart before the place of one is mended */
#define LOW (-200.0f)
#define HIGH 300.0f
#define STEP ((HIGH - LOW) / 254.0f)
#define TISSUE_HU (-100.0f)

static float hu_at(const volume *v, int64_t i) { return v->dtype == HCT_I16 ? v->i16[i] : v->f32[i]; }

/* Where the head lies: voxels. */
typedef struct place {
    double x, y, z;
    bool found;
} place;

/* The largest piece of what is denser than BODY_HU. */
static hct_status find_body(const volume *v, body_map *m, hct_err *err) {
    double grid[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    body_place ignored;
    hct_status s = body_map_volume(m, v, err);
    double(*origin)[3] = s == HCT_OK ? calloc((size_t)v->dim[2] + 1, sizeof *origin) : NULL;
    if (s == HCT_OK && !origin) s = hct_fail(err, HCT_ENOMEM, "no memory to look for the head");
    for (int64_t k = 0; s == HCT_OK && k < v->dim[2]; k++) origin[k][2] = (double)k;
    const body_slices at = {.origin = origin, .step_x = {1, 0, 0}, .step_y = {0, 1, 0}, .step_z = {0, 0, 1}};
    if (s == HCT_OK) s = body_find(m, &at, grid, &ignored, err);
    free(origin);
    return s;
}

static hct_status find_place(const volume *v, place *ret, hct_err *err) {
    body_map m = {0};
    *ret = (place){.found = false};
    hct_status s = find_body(v, &m, err);
    int64_t cells = m.cells[0] * m.cells[1], side = m.factor;
    double before = 0, cell_mm2 = (double)(side * side);
    for (int64_t k = v->dim[2] - 1; s == HCT_OK && k >= 0 && !ret->found; k--) {
        double section = 0;
        for (int64_t i = 0; i < cells; i++) section += m.dense[k * cells + i] ? cell_mm2 : 0;
        if (section >= FINGERPRINT_SECTION) {
            ret->found = true;
            ret->z = (double)k + (section > before ? (section - FINGERPRINT_SECTION) / (section - before) : 0);
        }
        before = section;
    }
    double sum[3] = {0};
    for (int64_t k = (int64_t)fmax(0, ret->z - DEEP_MM); ret->found && k <= (int64_t)ret->z; k++)
        for (int64_t i = 0; i < cells; i++) {
            if (!m.dense[k * cells + i]) continue;
            sum[0] += ((double)(i % m.cells[0]) + 0.5) * (double)side;
            sum[1] += ((double)(i / m.cells[0]) + 0.5) * (double)side;
            sum[2]++;
        }
    if (sum[2] > 0) {
        ret->x = sum[0] / sum[2];
        ret->y = sum[1] / sum[2];
    }
    body_map_free(&m);
    return s;
}

/* Shares of voxels in a row of cells along an axis, that begin at `at`: cell c takes voxels first[c] on. */
enum { MOST = 40, WIDE = FINGERPRINT_CELL_MM + 1 };
typedef struct row_of_cells {
    int n, wide; /* voxels that a cell may touch */
    int64_t first[MOST];
    float share[MOST][WIDE];
} row_of_cells;

static row_of_cells divide(double middle, int n, int mm) {
    row_of_cells r = {.n = n, .wide = mm + 1};
    for (int c = 0; c < n; c++) {
        double low = middle + (c - 0.5 * n) * mm, high = low + mm;
        r.first[c] = (int64_t)floor(low);
        for (int i = 0; i < r.wide; i++) {
            double from = fmax(low, (double)(r.first[c] + i)), to = fmin(high, (double)(r.first[c] + i + 1));
            r.share[c][i] = to > from ? (float)(to - from) : 0;
        }
    }
    return r;
}

/* Sums over cells along x of one row of voxels: of HU in sum, of what is known in known, of soft
 * tissue in soft, and of its HU in soft_sum. What noise makes of soft tissue is soft tissue: hence the margin. */
static void sum_row(const volume *v, int64_t row, const row_of_cells *x, float *sum, float *known, float *soft,
                    float *soft_sum) {
    for (int a = 0; a < x->n; a++) {
        float total = 0, weight = 0, of_soft = 0, soft_total = 0;
        for (int64_t k = 0; k < x->wide; k++) {
            int64_t i = x->first[a] + k;
            if (i < 0 || i >= v->dim[0] || x->share[a][k] <= 0) continue;
            float hu = hu_at(v, row * v->dim[0] + i);
            if (hu <= PREPARED_PAD_HU) continue;
            weight += x->share[a][k];
            if (hu >= SOFT_LOW - MARGIN && hu <= SOFT_HIGH + MARGIN) {
                of_soft += x->share[a][k];
                soft_total += x->share[a][k] * hu;
            }
            total += x->share[a][k] * fminf(fmaxf(hu, LOW), HIGH);
        }
        sum[a] = total;
        known[a] = weight;
        soft[a] = of_soft;
        soft_sum[a] = soft_total;
    }
}

enum { WIDEST_PLANE = FINGERPRINT_FINE_X * FINGERPRINT_FINE_Y };

/* Sums of one layer of cells. */
typedef struct layer {
    float sum[WIDEST_PLANE], known[WIDEST_PLANE], soft[WIDEST_PLANE], soft_sum[WIDEST_PLANE];
} layer;

static void sum_layer(const volume *v, const row_of_cells *x, const row_of_cells *y, const row_of_cells *z, int c,
                      layer *ret) {
    float sum[MOST], known[MOST], soft[MOST], soft_sum[MOST];
    memset(ret, 0, sizeof *ret);
    for (int64_t dk = 0; dk < z->wide; dk++) {
        int64_t k = z->first[c] + dk;
        if (k < 0 || k >= v->dim[2] || z->share[c][dk] <= 0) continue;
        for (int b = 0; b < y->n; b++)
            for (int64_t dj = 0; dj < y->wide; dj++) {
                int64_t j = y->first[b] + dj;
                float w = z->share[c][dk] * y->share[b][dj];
                if (j < 0 || j >= v->dim[1] || w <= 0) continue;
                sum_row(v, k * v->dim[1] + j, x, sum, known, soft, soft_sum);
                for (int a = 0; a < x->n; a++) {
                    ret->sum[b * x->n + a] += w * sum[a];
                    ret->known[b * x->n + a] += w * known[a];
                    ret->soft[b * x->n + a] += w * soft[a];
                    ret->soft_sum[b * x->n + a] += w * soft_sum[a];
                }
            }
    }
}

hct_status fingerprint_of(const volume *v, fingerprint *ret, hct_err *err) {
    place p;
    memset(&ret->quick, FINGERPRINT_UNKNOWN, sizeof ret->quick);
    for (size_t i = 0; i < FINGERPRINT_CLOSE; i++) ret->close.cell[i] = FINGERPRINT_CLOSE_UNKNOWN;
    hct_status s = find_place(v, &p, err);
    if (s == HCT_OK && p.found) s = fingerprint_close_of(v, p.x, p.y, p.z + FINGERPRINT_ABOVE_MM, &ret->close, err);
    layer *l = s == HCT_OK && p.found ? malloc(sizeof *l) : NULL;
    if (s < 0 || !p.found) return s;
    if (!l) return hct_fail(err, HCT_ENOMEM, "no memory for a fingerprint");
    for (int fine = 0; fine < 2; fine++) {
        int mm = fine ? FINGERPRINT_FINE_MM : FINGERPRINT_CELL_MM, n_x = fine ? FINGERPRINT_FINE_X : FINGERPRINT_X,
            n_y = fine ? FINGERPRINT_FINE_Y : FINGERPRINT_Y, n_z = fine ? FINGERPRINT_FINE_Z : FINGERPRINT_Z;
        const row_of_cells x = divide(p.x, n_x, mm), y = divide(p.y, n_y, mm),
                           z = divide(p.z + FINGERPRINT_ABOVE_MM - 0.5 * n_z * mm, n_z, mm);
        float all = (float)(mm * mm * mm);
        for (int c = 0; c < n_z; c++) {
            size_t plane = (size_t)(n_x * n_y), at = (size_t)(n_z - 1 - c) * plane; /* from the top down */
            sum_layer(v, &x, &y, &z, c, l);
            for (size_t i = 0; i < plane; i++) {
                float hu = l->known[i] > 0 ? l->sum[i] / l->known[i] : 0,
                      soft = l->soft[i] > 0 ? l->soft_sum[i] / l->soft[i] : 0;
                if (l->known[i] < 0.98f * all) continue;
                if (!fine) ret->quick.cell[at + i] = (unsigned char)lrintf((hu - LOW) / STEP);
                else if (l->soft[i] >= 0.7f * all && soft > SOFT_LOW && soft < SOFT_HIGH)
                    ret->quick.fine[at + i] = (unsigned char)lrintf((soft - SOFT_LOW) / SOFT_STEP);
            }
        }
    }
    free(l);
    return HCT_OK;
}

static size_t turned(size_t i) { return i - i % FINGERPRINT_X + (FINGERPRINT_X - 1 - i % FINGERPRINT_X); }

static bool is_tissue(unsigned char cell) { return (float)cell * STEP + LOW > TISSUE_HU; }

/* The differences that a small shift would make, at cell i of both: half of the difference of its neighbours, in
 * cells. */
typedef struct slope {
    double along[3], difference;
} slope;

static bool slope_at(const fingerprint_quick *a, const fingerprint_quick *b, size_t i, slope *ret) {
    static const size_t step[3] = {1, FINGERPRINT_X, (size_t)FINGERPRINT_X * FINGERPRINT_Y};
    if (a->cell[i] == FINGERPRINT_UNKNOWN || b->cell[i] == FINGERPRINT_UNKNOWN) return false;
    ret->difference = (double)a->cell[i] - b->cell[i];
    for (int k = 0; k < 3; k++) {
        unsigned char v[4] = {a->cell[i - step[k]], a->cell[i + step[k]], b->cell[i - step[k]], b->cell[i + step[k]]};
        for (int n = 0; n < 4; n++)
            if (v[n] == FINGERPRINT_UNKNOWN) return false;
        ret->along[k] = 0.25 * ((double)v[1] - v[0] + v[3] - v[2]);
    }
    return true;
}

/* Least squares: the shift that explains most of the differences (Lucas, Kanade 1981), no more than a third of a cell
 * each way. m: normal equations with their right side. */
static void solve(double m[3][4], double ret[3]) {
    for (int c = 0; c < 3; c++) {
        double pivot = m[c][c] + 1e-9;
        for (int r = 0; r < 3; r++) {
            double f = m[r][c] / pivot;
            for (int k = c; r != c && k < 4; k++) m[r][k] -= f * m[c][k];
        }
    }
    for (int k = 0; k < 3; k++) ret[k] = fmax(-1.0 / 3, fmin(1.0 / 3, m[k][3] / (m[k][k] + 1e-9)));
}

#define EACH_INNER_CELL(i)                                                                                             \
    for (int z_ = 1; z_ < FINGERPRINT_Z - 1; z_++)                                                                     \
        for (int y_ = 1; y_ < FINGERPRINT_Y - 1; y_++)                                                                 \
            for (size_t i = (size_t)((z_ * FINGERPRINT_Y + y_) * FINGERPRINT_X + 1), end_ = i + FINGERPRINT_X - 2;     \
                 i < end_; i++)

/* ---- details ---- */

static size_t fine_at(int x, int y, int z) { return (size_t)((z * FINGERPRINT_FINE_Y + y) * FINGERPRINT_FINE_X + x); }

/* Each cell less the mean of those about it; NAN where that is not known. */
static void sharpen(const float *v, float *ret) {
    for (size_t i = 0; i < FINGERPRINT_FINE; i++) ret[i] = NAN;
    for (int z = 1; z < FINGERPRINT_FINE_Z - 1; z++)
        for (int y = 1; y < FINGERPRINT_FINE_Y - 1; y++)
            for (int x = 1; x < FINGERPRINT_FINE_X - 1; x++) {
                float sum = 0, here = v[fine_at(x, y, z)];
                int n = 0;
                for (int k = -1; k <= 1; k++)
                    for (int j = -1; j <= 1; j++)
                        for (int i = -1; i <= 1; i++) {
                            float f = v[fine_at(x + i, y + j, z + k)];
                            if (isnan(f)) continue;
                            sum += f;
                            n++;
                        }
                if (!isnan(here) && n >= 14)
                    ret[fine_at(x, y, z)] = fmaxf(-MOST_DETAIL, fminf(MOST_DETAIL, here - sum / (float)n));
            }
}

/* The fine cells of a fingerprint moved by a shift in cells, linearly between them. */
static void move(const unsigned char *fine, bool mirrored, const double shift[3], float *ret) {
    int first[3];
    float part[3];
    for (int k = 0; k < 3; k++) {
        first[k] = (int)floor(shift[k]);
        part[k] = (float)(shift[k] - first[k]);
    }
    for (int z = 0; z < FINGERPRINT_FINE_Z; z++)
        for (int y = 0; y < FINGERPRINT_FINE_Y; y++)
            for (int x = 0; x < FINGERPRINT_FINE_X; x++) {
                float sum = 0, weight = 0;
                for (int c = 0; c < 8; c++) {
                    int u = x + first[0] + (c & 1), v = y + first[1] + (c >> 1 & 1), w = z + first[2] + (c >> 2);
                    float share = (c & 1 ? part[0] : 1 - part[0]) * (c & 2 ? part[1] : 1 - part[1]) *
                                  (c & 4 ? part[2] : 1 - part[2]);
                    if (share <= 0 || u < 0 || v < 0 || w < 0 || u >= FINGERPRINT_FINE_X || v >= FINGERPRINT_FINE_Y ||
                        w >= FINGERPRINT_FINE_Z)
                        continue;
                    unsigned char value = fine[fine_at(mirrored ? FINGERPRINT_FINE_X - 1 - u : u, v, w)];
                    if (value == FINGERPRINT_UNKNOWN) continue;
                    sum += share * (float)value;
                    weight += share;
                }
                ret[fine_at(x, y, z)] = weight > 0.9f ? sum / weight : NAN;
            }
}

static double detail(const fingerprint_quick *a, const fingerprint_quick *b, bool mirrored, const double shift[3]) {
    static const double none[3] = {0, 0, 0};
    float moved[FINGERPRINT_FINE], x[FINGERPRINT_FINE], y[FINGERPRINT_FINE];
    double xx = 0, yy = 0, xy = 0;
    size_t n = 0;
    move(a->fine, false, none, moved);
    sharpen(moved, x);
    move(b->fine, mirrored, shift, moved);
    sharpen(moved, y);
    for (size_t i = 0; i < FINGERPRINT_FINE; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        xx += (double)x[i] * x[i];
        yy += (double)y[i] * y[i];
        xy += (double)x[i] * y[i];
        n++;
    }
    return n < LEAST_FINE ? -1 : xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

/* The same from the best place near by, where there is any likeness at all. */
static double best_detail(const fingerprint_quick *a, const fingerprint_quick *b, bool mirrored,
                          const double shift[3]) {
    enum { ROUNDS = 3 };
    double at[3] = {shift[0], shift[1], shift[2]}, best = detail(a, b, mirrored, at);
    for (int round = 0; round < ROUNDS && best > LIKENESS; round++) {
        double before = best;
        for (int k = 0; k < 3; k++)
            for (int way = -1; way <= 1; way += 2) {
                double there[3] = {at[0], at[1], at[2]};
                there[k] += 0.4 * way;
                double d = detail(a, b, mirrored, there);
                if (d <= best) continue;
                best = d;
                memcpy(at, there, sizeof at);
            }
        if (best <= before) break;
    }
    return best;
}

bool fingerprint_may_be_same(const fingerprint_apart *d) {
    return d->shape <= FINGERPRINT_SHAPE && d->detail >= FINGERPRINT_DETAIL;
}

fingerprint_apart fingerprint_distance(const fingerprint_quick *a, const fingerprint_quick *b, bool mirrored) {
    fingerprint_quick other = *b;
    for (size_t i = 0; mirrored && i < FINGERPRINT_CELLS; i++) other.cell[i] = b->cell[turned(i)];
    double m[3][4] = {{0}}, shift[3], sum = 0;
    size_t n = 0, tissue = 0;
    slope s;
    EACH_INNER_CELL(i) {
        if (!slope_at(a, &other, i, &s)) continue;
        for (int r = 0; r < 3; r++) {
            for (int c = 0; c < 3; c++) m[r][c] += s.along[r] * s.along[c];
            m[r][3] += s.along[r] * s.difference;
        }
    }
    solve(m, shift);
    EACH_INNER_CELL(i) {
        if (!slope_at(a, &other, i, &s)) continue;
        double d = s.difference - s.along[0] * shift[0] - s.along[1] * shift[1] - s.along[2] * shift[2];
        sum += d * d;
        n++;
        tissue += is_tissue(a->cell[i]) || is_tissue(other.cell[i]);
    }
    fingerprint_apart ret = {tissue < LEAST_TISSUE ? INFINITY : STEP * sqrt(sum / (double)n), -1, INFINITY, INFINITY};
    for (int k = 0; k < 3; k++) shift[k] *= -(double)FINGERPRINT_CELL_MM / FINGERPRINT_FINE_MM;
    if (ret.shape <= DETAIL_TO) ret.detail = best_detail(a, b, mirrored, shift);
    return ret;
}

/* ---- many ---- */

struct fingerprints {
    const fingerprint_quick *all;
    size_t n;
    unsigned char *plain, *mirrored; /* [n, cells], cells that differ most between scans first; not known: 255 */
    unsigned short *known;           /* [n] */
};

typedef struct spread {
    double variance;
    size_t cell;
} spread;

static int by_variance(const void *a, const void *b) {
    const spread *x = a, *y = b;
    return x->variance > y->variance ? -1 : x->variance < y->variance ? 1 : x->cell < y->cell ? -1 : x->cell > y->cell;
}

/* Cells in the order in which they tell scans apart. */
static void order_cells(const fingerprint_quick *all, size_t n, size_t *ret) {
    spread s[FINGERPRINT_CELLS];
    size_t step = n / 1000 + 1;
    for (size_t c = 0; c < FINGERPRINT_CELLS; c++) {
        double sum = 0, squares = 0, count = 0;
        for (size_t i = 0; i < n; i += step) {
            if (all[i].cell[c] == FINGERPRINT_UNKNOWN) continue;
            sum += all[i].cell[c];
            squares += (double)all[i].cell[c] * all[i].cell[c];
            count++;
        }
        s[c] = (spread){count > 0 ? squares / count - sum / count * (sum / count) : -1, c};
    }
    qsort(s, FINGERPRINT_CELLS, sizeof *s, by_variance);
    for (size_t c = 0; c < FINGERPRINT_CELLS; c++) ret[c] = s[c].cell;
}

fingerprints *fingerprints_new(const fingerprint_quick *all, size_t n) {
    fingerprints *f = calloc(1, sizeof *f);
    size_t *order = malloc(FINGERPRINT_CELLS * sizeof *order);
    if (f) {
        *f = (fingerprints){.all = all, .n = n};
        f->plain = malloc(n * FINGERPRINT_CELLS + 1);
        f->mirrored = malloc(n * FINGERPRINT_CELLS + 1);
        f->known = calloc(n + 1, sizeof *f->known);
    }
    if (!f || !order || !f->plain || !f->mirrored || !f->known) {
        free(order);
        fingerprints_free(f);
        return NULL;
    }
    order_cells(all, n, order);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < FINGERPRINT_CELLS; c++) {
            unsigned char value = all[i].cell[order[c]];
            f->plain[i * FINGERPRINT_CELLS + c] = value;
            f->mirrored[i * FINGERPRINT_CELLS + c] = all[i].cell[turned(order[c])];
            f->known[i] = (unsigned short)(f->known[i] + (value != FINGERPRINT_UNKNOWN));
        }
    free(order);
    return f;
}

void fingerprints_free(fingerprints *f) {
    if (!f) return;
    free(f->plain);
    free(f->mirrored);
    free(f->known);
    free(f);
}

/* Whether the sum of squares stays within most: most pairs are through after the first few cells. */
static bool may_be_near(const unsigned char *a, const unsigned char *b, int64_t most) {
    enum { BLOCK = 60 };
    int64_t sum = 0;
    for (size_t c = 0; c < FINGERPRINT_CELLS; c += BLOCK) {
        int32_t block = 0;
        for (size_t i = c; i < c + BLOCK; i++) {
            int32_t d = (int32_t)a[i] - (int32_t)b[i];
            int32_t both = -(int32_t)((a[i] != FINGERPRINT_UNKNOWN) & (b[i] != FINGERPRINT_UNKNOWN));
            block += d * d & both;
        }
        if ((sum += block) > most) return false;
    }
    return true;
}

bool fingerprints_may_be_same(const fingerprints *f, size_t i, size_t j, bool mirrored, fingerprint_apart *ret) {
    size_t known = f->known[i] < f->known[j] ? f->known[i] : f->known[j];
    double most = BEFORE_SHIFT * BEFORE_SHIFT / (STEP * STEP) * (double)known;
    const unsigned char *a = f->plain + i * FINGERPRINT_CELLS,
                        *b = (mirrored ? f->mirrored : f->plain) + j * FINGERPRINT_CELLS;
    if (!may_be_near(a, b, (int64_t)most)) return false;
    *ret = fingerprint_distance(&f->all[i], &f->all[j], mirrored);
    return fingerprint_may_be_same(ret);
}
