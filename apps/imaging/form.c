/* Volumes for encoders that do not take the dataset's own. */
#include "imaging/form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/resample.h"
#include "support/parallel.h"
#include "support/sha256.h"

enum { HLIP_SLICES = 48, HLIP_EDGE = 256, PAD = -1024 };

static const form forms[] = {
    {"merlin", "affine as MONAI 1.2.0 reads it; RAS; linear to 1.5 x 1.5 x 3 mm as MONAI 1.2.0; pad -1024 or crop to "
               "224 x 224 x 160; int16 HU"},
    {"ct-fm", "affine as MONAI 1.2.0 reads it; LPS; box above 0 HU; linear to 2 x 2 x 5 mm as MONAI 1.2.0; pad with "
              "the least or crop to 128 x 128 x 48; "
              "float32 HU"},
    {"hlip", "LPS; 48 slices, the nearest; pad -1024 to squares; HU as stored"},
};

const form *form_find(const char *name) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(forms[i].name, name)) return &forms[i];
    return NULL;
}

hct_status form_of(const input_spec *spec, const form **ret, hct_err *err) {
    *ret = form_find(spec->form);
    return *ret || !*spec->form
               ? HCT_OK
               : hct_fail(err, HCT_EVERSION,
                          "an encoder takes volumes of the form '%s', which this headct does not make", spec->form);
}

hct_status form_preparation(const input_spec *spec, char io[65], hct_err *err) {
    const form *f;
    hct_status st = form_of(spec, &f, err);
    return st == HCT_OK && f ? sha256_bytes(f->steps, strlen(f->steps), io, err) : st;
}

const char *form_names(void) { return "merlin, ct-fm, hlip"; }

void scan_source_free(scan_source *s) {
    volume_free(&s->v);
    free(s->position);
    s->position = NULL;
}

/* ---- linear resampling ---- */

/* Where values come from: a source, and the part of it that counts. */
typedef struct sampler {
    const volume *v;
    double (*position)[3];                  /* in ascending order along the normal; NULL: by the affine */
    double inverse[4][4];                   /* of the affine */
    double along[2][3], normal[3], step[2]; /* with positions: unit vectors of columns and rows, mm between them */
    double *height;                         /* [slices]: of each position along the normal */
    int64_t low[3], high[3];                /* first and last voxel that counts */
} sampler;

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static float voxel(const volume *v, int64_t i, int64_t j, int64_t k) {
    int64_t at = i + v->dim[0] * (j + v->dim[1] * k);
    return v->dtype == HCT_I16 ? (float)v->i16[at] : v->f32[at];
}

/* The two neighbours of a coordinate, held inside, and the share of the second. */
static double neighbours(double x, int64_t low, int64_t high, int64_t ret[2]) {
    if (!(x > (double)low)) x = (double)low;
    if (x > (double)high) x = (double)high;
    ret[0] = (int64_t)floor(x);
    ret[1] = ret[0] < high ? ret[0] + 1 : ret[0];
    return x - (double)ret[0];
}

static double in_plane(const sampler *s, double x, double y, int64_t k) {
    int64_t i[2], j[2];
    double fx = neighbours(x, s->low[0], s->high[0], i), fy = neighbours(y, s->low[1], s->high[1], j);
    double top = (1 - fx) * (double)voxel(s->v, i[0], j[0], k) + fx * (double)voxel(s->v, i[1], j[0], k),
           bottom = (1 - fx) * (double)voxel(s->v, i[0], j[1], k) + fx * (double)voxel(s->v, i[1], j[1], k);
    return (1 - fy) * top + fy * bottom;
}

/* The value at a place of the world. */
static double sample(const sampler *s, const double place[3]) {
    int64_t k[2];
    if (!s->position) {
        double at[3];
        for (int a = 0; a < 3; a++) at[a] = dot(s->inverse[a], place) + s->inverse[a][3];
        double fz = neighbours(at[2], s->low[2], s->high[2], k);
        double a = in_plane(s, at[0], at[1], k[0]);
        return fz > 0 ? (1 - fz) * a + fz * in_plane(s, at[0], at[1], k[1]) : a;
    }
    double h = dot(s->normal, place), value[2];
    int64_t low = s->low[2], high = s->high[2];
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        *(s->height[middle] <= h ? &low : &high) = middle;
    }
    k[0] = low, k[1] = high;
    double gap = s->height[high] - s->height[low], f = gap > 0 ? (h - s->height[low]) / gap : 0;
    f = f < 0 ? 0 : f > 1 ? 1 : f;
    for (int n = 0; n < 2; n++) {
        double off[3];
        for (int a = 0; a < 3; a++) off[a] = place[a] - s->position[k[n]][a];
        value[n] = in_plane(s, dot(s->along[0], off) / s->step[0], dot(s->along[1], off) / s->step[1], k[n]);
    }
    return (1 - f) * value[0] + f * value[1];
}

static hct_status sampler_begin(sampler *s, scan_source *from, hct_err *err) {
    *s = (sampler){.v = &from->v, .position = from->position};
    for (int a = 0; a < 3; a++) s->high[a] = from->v.dim[a] - 1;
    if (affine_invert(from->v.affine, s->inverse) < 0) return hct_fail(err, HCT_EFORMAT, "its affine is singular");
    if (!s->position) return HCT_OK;
    for (int a = 0; a < 2; a++) {
        for (int i = 0; i < 3; i++) s->along[a][i] = from->v.affine[i][a];
        s->step[a] = sqrt(dot(s->along[a], s->along[a]));
        for (int i = 0; i < 3; i++) s->along[a][i] /= s->step[a];
    }
    for (int i = 0; i < 3; i++)
        s->normal[i] =
            s->along[0][(i + 1) % 3] * s->along[1][(i + 2) % 3] - s->along[0][(i + 2) % 3] * s->along[1][(i + 1) % 3];
    s->height = malloc((size_t)from->v.dim[2] * sizeof *s->height);
    if (!s->height) return hct_fail(err, HCT_ENOMEM, "no memory for the slices' places");
    for (int64_t k = 0; k < from->v.dim[2]; k++) s->height[k] = dot(s->normal, s->position[k]);
    return HCT_OK;
}

/* Dims and affine alone, with axes to R, A, S, or with `lps` to L, P, S; and of the part that counts. */
static void header_of(const sampler *s, int lps, volume *ret) {
    int world[3], sign[3];
    double own[4][4];
    memcpy(own, s->v->affine, sizeof own);
    affine_ras_order(own, world, sign);
    *ret = (volume){0};
    ret->affine[3][3] = 1;
    for (int i = 0; i < 3; i++) ret->affine[i][3] = own[i][3];
    for (int a = 0; a < 3; a++) {
        int to = world[a], way = lps && to < 2 ? -sign[a] : sign[a];
        ret->dim[to] = s->high[a] - s->low[a] + 1;
        for (int i = 0; i < 3; i++) {
            ret->affine[i][to] = way * own[i][a];
            ret->affine[i][3] += own[i][a] * (double)(way < 0 ? s->high[a] : s->low[a]);
        }
    }
}

static int16_t rounded(double x) { return (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : rint(x)); }

/* Voxels of lines along `axis` that lie outside of the box become the line's least value inside. */
static void pad_lines(volume *v, const pad_box *box, int axis) {
    const int64_t step[3] = {1, v->dim[0], v->dim[0] * v->dim[1]};
    int b = axis == 0 ? 1 : 0, c = axis == 2 ? 1 : 2;
    for (int64_t j = 0; j < v->dim[b]; j++)
        for (int64_t k = 0; k < v->dim[c]; k++) {
            float *line = v->f32 + j * step[b] + k * step[c], least = INFINITY;
            for (int64_t i = box->low[axis]; i < box->high[axis]; i++)
                if (line[i * step[axis]] < least) least = line[i * step[axis]];
            for (int64_t i = 0; i < v->dim[axis]; i++)
                if (i < box->low[axis] || i >= box->high[axis]) line[i * step[axis]] = least;
        }
}

/* Cuts or pads to `size`, int16 with `fill`; NULL: float32 with the least value of each line, the slowest axis first
 * (np.pad's "minimum" of an array [S, P, L]). */
static hct_status resample_linear(const sampler *s, int lps, const double spacing[3], const int64_t size[3],
                                  const float *fill, volume *ret, hct_err *err) {
    static const int orders[2][3] = {{0, 1, 2}, {2, 1, 0}}; /* of MONAI's array: [R, A, S], [S, P, L] */
    volume header;
    int64_t dim[3];
    double grid[4][4];
    pad_box box;
    header_of(s, lps, &header);
    hct_status st = resample_grid_along(&header, orders[lps], spacing, dim, grid, err);
    if (st == HCT_OK) st = volume_padded(dim, grid, fill ? HCT_I16 : HCT_F32, size, fill ? *fill : 0, ret, &box, err);
    if (st < 0) return st;
    PARALLEL_FOR
    for (int64_t k = box.low[2]; k < box.high[2]; k++)
        for (int64_t j = box.low[1]; j < box.high[1]; j++)
            for (int64_t i = box.low[0]; i < box.high[0]; i++) {
                const double at[3] = {(double)(i - box.off[0]), (double)(j - box.off[1]), (double)(k - box.off[2])};
                double place[3];
                for (int a = 0; a < 3; a++) place[a] = dot(grid[a], at) + grid[a][3];
                int64_t to = i + size[0] * (j + size[1] * k);
                if (fill) ret->i16[to] = rounded(sample(s, place));
                else ret->f32[to] = (float)sample(s, place);
            }
    for (int axis = 2; !fill && axis >= 0; axis--) pad_lines(ret, &box, axis);
    return HCT_OK;
}

/* ---- the forms ---- */

static hct_status make_merlin(sampler *s, volume *ret, hct_err *err) {
    static const double spacing[3] = {1.5, 1.5, 3};
    static const float air = PAD;
    static const int64_t size[3] = {224, 224, 160};
    return resample_linear(s, 0, spacing, size, &air, ret, err);
}

static hct_status make_ct_fm(sampler *s, volume *ret, hct_err *err) {
    static const double spacing[3] = {2, 2, 5};
    static const int64_t size[3] = {128, 128, 48};
    int64_t low[3] = {INT64_MAX, INT64_MAX, INT64_MAX}, high[3] = {-1, -1, -1};
    for (int64_t k = 0; k < s->v->dim[2]; k++)
        for (int64_t j = 0; j < s->v->dim[1]; j++)
            for (int64_t i = 0; i < s->v->dim[0]; i++) {
                if (!(voxel(s->v, i, j, k) > 0)) continue;
                const int64_t at[3] = {i, j, k};
                for (int a = 0; a < 3; a++)
                    low[a] = at[a] < low[a] ? at[a] : low[a], high[a] = at[a] > high[a] ? at[a] : high[a];
            }
    if (high[0] < 0) return hct_fail(err, HCT_EINVAL, "no voxel is above 0 HU: there is no body to cut out");
    memcpy(s->low, low, sizeof low);
    memcpy(s->high, high, sizeof high);
    return resample_linear(s, 1, spacing, size, NULL, ret, err);
}

/* Whether int16 holds its values as they are. */
static int is_whole(const volume *v) {
    if (v->dtype == HCT_I16) return 1;
    for (int64_t i = 0; i < volume_count(v); i++)
        if (!(v->f32[i] >= -32768 && v->f32[i] <= 32767) || rintf(v->f32[i]) != v->f32[i]) return 0;
    return 1;
}

/* Voxel (i, j, k) of the source seen with axes to L, P, S. */
static hct_status make_hlip(const sampler *s, volume *ret, hct_err *err) {
    volume header;
    int world[3], sign[3], axis[3] = {0, 1, 2};
    double own[4][4];
    memcpy(own, s->v->affine, sizeof own);
    affine_ras_order(own, world, sign);
    header_of(s, 1, &header);
    for (int a = 0; a < 3; a++) axis[world[a]] = a;
    int64_t edge = header.dim[0] > header.dim[1] ? header.dim[0] : header.dim[1], n = header.dim[2];
    if (edge > 4096)
        return hct_fail(err, HCT_ESHAPE, "slices of %lld x %lld voxels are larger than 4096", (long long)header.dim[0],
                        (long long)header.dim[1]);
    const int64_t size[3] = {edge, edge, HLIP_SLICES},
                  off[2] = {(edge - header.dim[0]) / 2, (edge - header.dim[1]) / 2};
    hct_status st = volume_alloc(ret, is_whole(s->v) ? HCT_I16 : HCT_F32, size, err);
    if (st < 0) return st;
    memcpy(ret->affine, header.affine, sizeof ret->affine);
    for (int i = 0; i < 3; i++) {
        ret->affine[i][2] *= (double)n / HLIP_SLICES;
        ret->affine[i][3] -= header.affine[i][0] * (double)off[0] + header.affine[i][1] * (double)off[1];
    }
    for (int64_t k = 0; k < HLIP_SLICES; k++) {
        int64_t slice = (2 * k + 1) * n / (2 * HLIP_SLICES); /* floor((k + 1/2) n / 48) */
        for (int64_t j = 0; j < edge; j++)
            for (int64_t i = 0; i < edge; i++) {
                const int64_t seen[3] = {i - off[0], j - off[1], slice};
                int64_t at[3];
                int inside = seen[0] >= 0 && seen[0] < header.dim[0] && seen[1] >= 0 && seen[1] < header.dim[1];
                for (int w = 0; inside && w < 3; w++) {
                    int a = axis[w], way = w < 2 ? -sign[a] : sign[a];
                    at[a] = way < 0 ? s->v->dim[a] - 1 - seen[w] : seen[w];
                }
                float x = inside ? voxel(s->v, at[0], at[1], at[2]) : PAD;
                int64_t to = i + edge * (j + edge * k);
                if (ret->dtype == HCT_I16) ret->i16[to] = (int16_t)x;
                else ret->f32[to] = x;
            }
    }
    return HCT_OK;
}

hct_status form_make(const form *f, scan_source *from, volume *ret, hct_err *err) {
    sampler s;
    *ret = (volume){0};
    hct_status st = sampler_begin(&s, from, err);
    if (st == HCT_OK)
        st = f == &forms[0]   ? make_merlin(&s, ret, err)
             : f == &forms[1] ? make_ct_fm(&s, ret, err)
                              : make_hlip(&s, ret, err);
    free(s.height);
    scan_source_free(from);
    if (st < 0) volume_free(ret);
    return st;
}

/* ---- HLIP's input ---- */

/* Half-pixel linear resize: the two old rows of new row i of m from n, and the share of the second. */
static double resize_rows(int64_t i, int64_t n, int64_t m, int64_t ret[2]) {
    return neighbours(((double)i + 0.5) * (double)n / (double)m - 0.5, 0, n - 1, ret);
}

hct_status form_hlip_input(const input_spec *s, const volume *v, float *out, hct_err *err) {
    int64_t edge = v->dim[0], size = s->size[0], first = (HLIP_EDGE - size) / 2;
    if (v->dim[1] != edge || v->dim[2] != HLIP_SLICES || s->size[1] != size || s->size[2] != HLIP_SLICES ||
        size > HLIP_EDGE || strcmp(s->order, "zyx"))
        return hct_fail(err, HCT_ESHAPE,
                        "a volume of %lld x %lld x %lld voxels is none that headct prepare --for hlip made",
                        (long long)edge, (long long)v->dim[1], (long long)v->dim[2]);
    for (int c = 0; c < s->n_windows; c++) {
        float low = hu_window_low(s->window[c]), per_width = (float)(1.0 / s->window[c].width);
        for (int64_t k = 0; k < HLIP_SLICES; k++)
            for (int64_t j = 0; j < size; j++) {
                int64_t y[2];
                float fy = (float)resize_rows(first + j, edge, HLIP_EDGE, y);
                for (int64_t i = 0; i < size; i++) {
                    int64_t x[2];
                    float fx = (float)resize_rows(first + i, edge, HLIP_EDGE, x), value[2];
                    for (int n = 0; n < 2; n++) {
                        float a = hu_window_value(voxel(v, x[0], y[n], k), low, per_width),
                              b = hu_window_value(voxel(v, x[1], y[n], k), low, per_width);
                        value[n] = (1 - fx) * a + fx * b;
                    }
                    *out++ = (float)(((double)((1 - fy) * value[0] + fy * value[1]) - s->mean[c]) / s->deviation[c]);
                }
            }
    }
    return HCT_OK;
}
