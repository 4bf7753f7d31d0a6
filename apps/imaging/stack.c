/* Resampling a stack of slices: each in its plane as it comes, all along their normal at the end. */
#include "imaging/stack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/parallel.h"
#include "imaging/plane_fit.h"
#include "imaging/resample.h"

/* In RAS order: planes are x and y of the two lower axes that the slices span, slice 0 is the first along the third. */
struct stack_resampler {
    int64_t slices, columns, rows;
    int even, straight;
    stack_options o;
    volume out;
    pad_box box;
    int64_t grid[3];
    double affine[4][4];   /* of the grid */
    int plane[2], through; /* RAS axes: of a plane, the lower one first, and across */
    int turned, flip[2],
        upside_down;     /* of the slices as they come: rows run along plane[0]; axes, and their order, backwards */
    double spacing[2];   /* along plane[] */
    double (*origin)[3]; /* of each slice: its first pixel in RAS order, mm */
    double *depth;       /* of each slice: mm above the first */
    double step[3],
        first[3];         /* old place = step * new + first along plane[0], plane[1] (straight) and through (even) */
    spline_span span[3];  /* of the old pixels along plane[], and of the slices: those that are kept */
    spline_tap *tap[2];   /* straight: the same for all slices */
    double *c;            /* [span[2].n][n y][n x], planes `stride` apart */
    int64_t n[2], stride; /* n: new columns and rows */
};

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/* How far slice k lies from the first along a direction. */
static double along(const slice_stack *s, int64_t k, const double direction[3]) {
    double apart[3];
    for (int i = 0; i < 3; i++) apart[i] = s->position[k][i] - s->position[0][i];
    return dot(apart, direction);
}

/* Row and column at right angles, and their normal. */
static void frame_of(const slice_stack *s, double row[3], double column[3], double normal[3]) {
    double length = sqrt(dot(s->row, s->row)), lean;
    for (int i = 0; i < 3; i++) row[i] = s->row[i] / length;
    lean = dot(s->column, row);
    for (int i = 0; i < 3; i++) column[i] = s->column[i] - lean * row[i];
    length = sqrt(dot(column, column));
    for (int i = 0; i < 3; i++) column[i] /= length;
    for (int i = 0; i < 3; i++)
        normal[i] = row[(i + 1) % 3] * column[(i + 2) % 3] - row[(i + 2) % 3] * column[(i + 1) % 3];
}

/* The affine of the stack as it was stored, turned into RAS order. */
static void into_ras(const slice_stack *s, double stored[4][4], stack_shape *ret) {
    int world[3], sign[3];
    int64_t dim[3] = {s->columns, s->rows, s->n};
    affine_ras_order(stored, world, sign);
    memset(ret->affine, 0, sizeof ret->affine);
    ret->affine[3][3] = 1;
    for (int i = 0; i < 3; i++) ret->affine[i][3] = stored[i][3];
    for (int a = 0; a < 3; a++) {
        ret->dim[world[a]] = dim[a];
        for (int i = 0; i < 3; i++) {
            ret->affine[i][world[a]] = sign[a] * stored[i][a];
            if (sign[a] < 0) ret->affine[i][3] += stored[i][a] * (double)(dim[a] - 1);
        }
    }
}

hct_status stack_measure(const slice_stack *s, stack_shape *ret, hct_err *err) {
    double row[3], column[3], stored[4][4] = {{0}};
    memset(ret, 0, sizeof *ret);
    if (s->n < 2) return hct_fail(err, HCT_EINVAL, "a stack of one slice is no volume");
    frame_of(s, row, column, ret->normal);
    double height = along(s, s->n - 1, ret->normal);
    ret->step = height / (double)(s->n - 1);
    ret->shear[0] = along(s, s->n - 1, row) / height;
    ret->shear[1] = along(s, s->n - 1, column) / height;
    ret->even = ret->straight = 1;
    for (int64_t k = 1; k < s->n; k++) {
        double at = along(s, k, ret->normal);
        if (!(at > along(s, k - 1, ret->normal)))
            return hct_fail(err, HCT_EINVAL, "slices %lld and %lld of a stack lie at one place", (long long)k - 1,
                            (long long)k);
        ret->even = ret->even && fabs(at - ret->step * (double)k) <= STACK_EVEN_MM;
        ret->straight =
            ret->straight && fabs(along(s, k, row)) <= STACK_EVEN_MM && fabs(along(s, k, column)) <= STACK_EVEN_MM;
    }
    stored[3][3] = 1;
    for (int i = 0; i < 3; i++) {
        stored[i][0] = row[i] * s->spacing[0];
        stored[i][1] = column[i] * s->spacing[1];
        stored[i][2] = ret->straight ? ret->normal[i] * ret->step
                                     : (s->position[s->n - 1][i] - s->position[0][i]) / (double)(s->n - 1);
        stored[i][3] = s->position[0][i];
    }
    into_ras(s, stored, ret);
    return HCT_OK;
}

/* Which RAS axes the columns, rows and slices run along, and which way. */
static void find_axes(stack_resampler *r, const slice_stack *s, const stack_shape *shape) {
    double row[3], column[3], normal[3], stored[4][4] = {{0}};
    int world[3], sign[3];
    frame_of(s, row, column, normal);
    for (int i = 0; i < 3; i++) {
        stored[i][0] = row[i];
        stored[i][1] = column[i];
        stored[i][2] = shape->straight ? normal[i] : s->position[s->n - 1][i] - s->position[0][i];
    }
    affine_ras_order(stored, world, sign);
    r->turned = world[0] > world[1];
    r->through = world[2];
    for (int p = 0; p < 2; p++) {
        int a = r->turned ? 1 - p : p; /* the stored axis that runs along plane[p] */
        r->plane[p] = world[a];
        r->flip[p] = sign[a] < 0;
        r->spacing[p] = s->spacing[a];
    }
    r->upside_down = sign[2] < 0;
}

/* Each slice's first pixel in RAS order, and its height. */
static void place_slices(stack_resampler *r, const slice_stack *s) {
    double side[2][3], normal[3];
    frame_of(s, side[0], side[1], normal);
    double height = along(s, s->n - 1, normal);
    for (int64_t z = 0; z < s->n; z++) {
        int64_t k = r->upside_down ? s->n - 1 - z : z;
        double up = along(s, k, normal);
        r->depth[z] = r->upside_down ? height - up : up;
        memcpy(r->origin[z], s->position[r->straight ? 0 : k], sizeof *r->origin);
        for (int i = 0; i < 3 && r->straight; i++) r->origin[z][i] += up * normal[i];
        for (int p = 0; p < 2; p++) {
            int a = r->turned ? 1 - p : p;
            double last = (double)((a ? s->rows : s->columns) - 1);
            for (int i = 0; i < 3 && r->flip[p]; i++) r->origin[z][i] += side[a][i] * s->spacing[a] * last;
        }
    }
}

/* Where the grid's first voxel lies in slice z, in pixels along plane[p]. */
static double first_in_slice(const stack_resampler *r, int64_t z, int p) {
    double place = 0;
    for (int i = 0; i < 3; i++) place += (r->affine[i][3] - r->origin[z][i]) * r->affine[i][r->plane[p]];
    return place / r->spacing[p];
}

/* The new grid, and where its voxels lie in the old one. */
static hct_status lay_grid(stack_resampler *r, const stack_shape *shape, hct_err *err) {
    double m[3][4];
    int order[3] = {r->plane[0], r->plane[1], r->through};
    volume v = {.dim = {shape->dim[0], shape->dim[1], shape->dim[2]}};
    memcpy(v.affine, shape->affine, sizeof v.affine);
    hct_status s = resample_grid_1mm_along(&v, order, r->grid, r->affine, err);
    if (s < 0) return s;
    int same = resample_index_map(&v, r->grid, r->affine, m) && r->even && r->straight;
    if (same) memcpy(r->affine, v.affine, sizeof r->affine); /* it is prepared already but for its size */
    for (int p = 0; p < 2; p++) {
        r->step[p] = same ? 1 : r->straight ? m[r->plane[p]][r->plane[p]] : 1 / r->spacing[p];
        r->first[p] = same ? 0 : m[r->plane[p]][3];
    }
    r->step[2] = same ? 1 : m[r->through][r->through];
    r->first[2] = same ? 0 : m[r->through][3];
    return HCT_OK;
}

static double old_place(const stack_resampler *r, int p, int64_t at, double first) {
    return r->step[p] * (double)(at - r->box.off[p < 2 ? r->plane[p] : r->through]) + first;
}

/* The height of new slice t in mm above the first old one. */
static double height_of(const stack_resampler *r, int64_t t) {
    double up = (double)(t - r->box.off[r->through]);
    for (int i = 0; i < 3; i++) up += (r->affine[i][3] - r->origin[0][i]) * r->affine[i][r->through];
    return up;
}

/* The slice at or below a height, of all but the last. */
static int64_t slice_below(const stack_resampler *r, double height) {
    int64_t low = 0, high = r->slices - 1;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (r->depth[middle] <= height) low = middle;
        else high = middle;
    }
    return low;
}

/* Between true neighbours; beyond the first and last slice theirs. */
static spline_tap linear_tap(const stack_resampler *r, int64_t t) {
    double height = height_of(r, t);
    int64_t low = slice_below(r, height), at = low - r->span[2].first;
    double share = (height - r->depth[low]) / (r->depth[low + 1] - r->depth[low]);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return (spline_tap){{at, at + 1, at, at}, {1 - share, share, 0, 0}};
}

static void find_spans(stack_resampler *r) {
    int64_t dim[2] = {r->turned ? r->rows : r->columns, r->turned ? r->columns : r->rows};
    for (int p = 0; p < 2; p++) {
        int64_t low = r->box.low[r->plane[p]], high = r->box.high[r->plane[p]] - 1;
        double least = r->first[p], most = r->first[p];
        for (int64_t z = 0; z < r->slices && !r->straight; z++) {
            double first = first_in_slice(r, z, p);
            least = z ? fmin(least, first) : first;
            most = z ? fmax(most, first) : first;
        }
        r->span[p] = spline_span_of(dim[p], old_place(r, p, low, least), old_place(r, p, high, most));
    }
    int64_t low = r->box.low[r->through], high = r->box.high[r->through] - 1;
    if (r->even)
        r->span[2] = spline_span_of(r->slices, old_place(r, 2, low, r->first[2]), old_place(r, 2, high, r->first[2]));
    else {
        r->span[2].first = slice_below(r, height_of(r, low));
        r->span[2].n = slice_below(r, height_of(r, high)) + 2 - r->span[2].first;
    }
}

static void find_taps(const stack_resampler *r, int p, double first, spline_tap *ret) {
    int64_t dim = (p == 0) == !r->turned ? r->columns : r->rows;
    for (int64_t i = 0; i < r->n[p]; i++)
        ret[i] = spline_tap_at(old_place(r, p, r->box.low[r->plane[p]] + i, first), dim, &r->span[p]);
}

static hct_status no_memory(const stack_resampler *r, hct_err *err) {
    return hct_fail(err, HCT_ENOMEM, "no memory to resample %lld slices of %lld x %lld (%lld MiB)",
                    (long long)r->slices, (long long)r->columns, (long long)r->rows,
                    (long long)(r->stride * r->span[2].n >> 17));
}

/* What is left to do once the box is known. */
static hct_status make_room(stack_resampler *r, hct_err *err) {
    for (int a = 0; a < 3; a++)
        if (r->box.low[a] >= r->box.high[a]) return HCT_OK; /* the cut misses the grid */
    find_spans(r);
    for (int p = 0; p < 2; p++) {
        r->n[p] = r->box.high[r->plane[p]] - r->box.low[r->plane[p]];
        if (!r->straight) continue;
        r->tap[p] = malloc((size_t)r->n[p] * sizeof *r->tap[p]);
        if (!r->tap[p]) return no_memory(r, err);
        find_taps(r, p, r->first[p], r->tap[p]);
    }
    r->stride = plane_fit_stride(r->n[0] * r->n[1]);
    r->c = malloc((size_t)(r->stride * r->span[2].n) * sizeof *r->c);
    return r->c ? HCT_OK : no_memory(r, err);
}

hct_status stack_begin(const slice_stack *s, const stack_options *o, stack_resampler **ret, hct_err *err) {
    stack_shape shape;
    *ret = NULL;
    hct_status status = stack_measure(s, &shape, err);
    if (status < 0) return status;
    stack_resampler *r = calloc(1, sizeof *r);
    if (!r) return hct_fail(err, HCT_ENOMEM, "no memory to resample a scan");
    r->slices = s->n;
    r->columns = s->columns;
    r->rows = s->rows;
    r->even = shape.even;
    r->straight = shape.straight;
    r->o = *o;
    r->origin = malloc((size_t)s->n * sizeof *r->origin);
    r->depth = malloc((size_t)s->n * sizeof *r->depth);
    if (!r->origin || !r->depth) status = no_memory(r, err);
    find_axes(r, s, &shape);
    if (status == HCT_OK) place_slices(r, s);
    if (status == HCT_OK) status = lay_grid(r, &shape, err);
    if (status == HCT_OK)
        status = volume_padded_at(r->grid, r->affine, o->dtype, o->size, o->shift, o->fill, &r->out, &r->box, err);
    if (status == HCT_OK) status = make_room(r, err);
    if (status == HCT_OK) *ret = r;
    else stack_discard(r);
    return status;
}

void stack_grid(const stack_resampler *r, int64_t ret_dim[3], double ret_affine[4][4]) {
    memcpy(ret_dim, r->grid, sizeof r->grid);
    memcpy(ret_affine, r->affine, sizeof r->affine);
}

int stack_wants(const stack_resampler *r, int64_t k) {
    int64_t z = r->upside_down ? r->slices - 1 - k : k;
    return r->c && z >= r->span[2].first && z < r->span[2].first + r->span[2].n;
}

/* Pixels row by row, into RAS order. */
static void turn(const stack_resampler *r, const float *pixels, float *to) {
    int64_t nx = r->turned ? r->rows : r->columns, ny = r->turned ? r->columns : r->rows;
    int64_t step_x = r->turned ? r->columns : 1, step_y = r->turned ? 1 : r->columns, start = 0;
    if (r->flip[0]) start += (nx - 1) * step_x, step_x = -step_x;
    if (r->flip[1]) start += (ny - 1) * step_y, step_y = -step_y;
    for (int64_t y = 0; y < ny; y++)
        for (int64_t x = 0; x < nx; x++) to[x + nx * y] = pixels[start + x * step_x + y * step_y];
}

/* Where a slice that slides over the others does not reach, nothing is known, and nothing is there: its edge is not
 * drawn out over the new plane. */
static void clear_outside(const stack_resampler *r, int64_t z, int64_t nx, int64_t ny, double *plane) {
    double first_x = first_in_slice(r, z, 0), first_y = first_in_slice(r, z, 1);
    int64_t low_x = r->box.low[r->plane[0]], low_y = r->box.low[r->plane[1]];
    for (int64_t j = 0; j < r->n[1]; j++) {
        double y = old_place(r, 1, low_y + j, first_y);
        int row_outside = y < -0.5 || y > (double)ny - 0.5;
        for (int64_t i = 0; i < r->n[0]; i++) {
            double x = old_place(r, 0, low_x + i, first_x);
            if (row_outside || x < -0.5 || x > (double)nx - 0.5) plane[j * r->n[0] + i] = r->o.fill;
        }
    }
}

hct_status stack_add(stack_resampler *r, int64_t k, const float *pixels, hct_err *err) {
    if (!stack_wants(r, k)) return HCT_OK;
    int64_t z = r->upside_down ? r->slices - 1 - k : k, plane = r->n[0] * r->n[1];
    int64_t nx = r->turned ? r->rows : r->columns, ny = r->turned ? r->columns : r->rows;
    plane_fit f = {{nx, ny}, {r->span[0], r->span[1]}, {r->tap[0], r->tap[1]}, {r->n[0], r->n[1]}};
    spline_tap *own = r->straight ? NULL : malloc((size_t)(r->n[0] + r->n[1]) * sizeof *own);
    float *turned = malloc((size_t)(nx * ny) * sizeof *turned);
    double *scratch = malloc(plane_fit_scratch(&f) * sizeof *scratch), *to = r->c + (z - r->span[2].first) * r->stride;
    hct_status s = turned && scratch && (own || r->straight) ? HCT_OK : no_memory(r, err);
    for (int p = 0; p < 2 && s == HCT_OK && own; p++) {
        f.tap[p] = own + (p ? r->n[0] : 0);
        find_taps(r, p, first_in_slice(r, z, p), own + (p ? r->n[0] : 0));
    }
    if (s == HCT_OK) {
        turn(r, pixels, turned);
        plane_fit_run(&f, turned, HCT_F32, scratch, to);
        if (!r->straight) clear_outside(r, z, nx, ny, to);
        memset(to + plane, 0, (size_t)(r->stride - plane) * sizeof *to);
    }
    free(own);
    free(turned);
    free(scratch);
    return s;
}

/* New slice t across the old ones: rows of the new planes into the volume, whose axes they run along as plane[] says.
 */
static void make_slice(stack_resampler *r, int64_t t, double *row) {
    static const spline_tap as_is = {{0, 0, 0, 0}, {1, 0, 0, 0}};
    int64_t step[3] = {1, r->out.dim[0], r->out.dim[0] * r->out.dim[1]};
    spline_tap tap =
        r->even ? spline_tap_at(old_place(r, 2, t, r->first[2]), r->slices, &r->span[2]) : linear_tap(r, t);
    for (int64_t j = 0; j < r->n[1]; j++) {
        const double *c = r->c + j * r->n[0];
        int64_t to = r->box.low[r->plane[0]] * step[r->plane[0]] + (r->box.low[r->plane[1]] + j) * step[r->plane[1]] +
                     t * step[r->through];
        if (r->plane[0] == 0) {
            if (r->o.dtype == HCT_I16) spline_blend_i16(&tap, c, r->stride, r->n[0], r->out.i16 + to);
            else spline_blend_f32(&tap, c, r->stride, r->n[0], r->out.f32 + to);
            continue;
        }
        spline_blend(&tap, c, r->stride, r->n[0], row);
        for (int64_t i = 0; i < r->n[0]; i++) {
            int64_t at = to + i * step[r->plane[0]];
            if (r->o.dtype == HCT_I16) spline_blend_i16(&as_is, row + i, 0, 1, r->out.i16 + at);
            else r->out.f32[at] = (float)row[i];
        }
    }
}

hct_status stack_end(stack_resampler *r, volume *ret, pad_box *ret_box, hct_err *err) {
    int64_t low = r->box.low[r->through], high = r->c ? r->box.high[r->through] : low;
    double *rows = malloc((size_t)(parallel_threads() * (r->n[0] + 1)) * sizeof *rows);
    hct_status s = rows ? HCT_OK : no_memory(r, err);
    if (s == HCT_OK && r->c && r->even) plane_fit_depth(r->c, r->n[0] * r->n[1], r->stride, &r->span[2], r->slices);
    PARALLEL_FOR
    for (int64_t t = low; t < high; t++)
        if (rows) make_slice(r, t, rows + parallel_self() * (r->n[0] + 1));
    free(rows);
    if (s == HCT_OK) {
        *ret = r->out;
        *ret_box = r->box;
        r->out = (volume){0};
    }
    stack_discard(r);
    return s;
}

void stack_discard(stack_resampler *r) {
    if (!r) return;
    volume_free(&r->out);
    free(r->origin);
    free(r->depth);
    for (int p = 0; p < 2; p++) free(r->tap[p]);
    free(r->c);
    free(r);
}
