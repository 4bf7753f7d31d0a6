/* The largest connected body of a scan. */
#include "imaging/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

hct_status body_map_begin(body_map *m, int64_t columns, int64_t rows, int64_t slices, double spacing, hct_err *err) {
    double factor = rint(BODY_CELL_MM / spacing);
    *m = (body_map){.columns = columns, .rows = rows, .slices = slices, .factor = factor < 1 ? 1 : (int64_t)factor};
    if (m->factor > columns || m->factor > rows) m->factor = 1;
    m->cells[0] = columns / m->factor;
    m->cells[1] = rows / m->factor;
    m->dense = calloc((size_t)(m->cells[0] * m->cells[1] * slices), 1);
    return m->dense ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory to look for the head");
}

void body_map_free(body_map *m) {
    free(m->dense);
    *m = (body_map){0};
}

void body_map_plane(body_map *m, int64_t k, const float *pixels) {
    int64_t f = m->factor;
    unsigned char *to = m->dense + k * m->cells[0] * m->cells[1];
    for (int64_t j = 0; j < m->cells[1]; j++)
        for (int64_t i = 0; i < m->cells[0]; i++, to++) {
            float sum = 0;
            for (int64_t y = 0; y < f; y++)
                for (int64_t x = 0; x < f; x++) sum += pixels[(j * f + y) * m->columns + i * f + x];
            *to = sum > BODY_HU * (float)(f * f);
        }
}

hct_status body_map_volume(body_map *m, const volume *v, hct_err *err) {
    double spacing[3];
    volume_spacing(v, spacing);
    int64_t plane = v->dim[0] * v->dim[1];
    hct_status s = body_map_begin(m, v->dim[0], v->dim[1], v->dim[2], spacing[0], err);
    float *copy = s == HCT_OK && v->dtype == HCT_I16 ? malloc((size_t)plane * sizeof *copy) : NULL;
    if (s == HCT_OK && v->dtype == HCT_I16 && !copy) s = hct_fail(err, HCT_ENOMEM, "no memory to look for the head");
    for (int64_t k = 0; k < v->dim[2] && s == HCT_OK; k++) {
        for (int64_t i = 0; copy && i < plane; i++) copy[i] = v->i16[k * plane + i];
        body_map_plane(m, k, copy ? copy : v->f32 + k * plane);
    }
    free(copy);
    if (s < 0) body_map_free(m);
    return s;
}

/* Marks the piece that cell `from` belongs to with `mark`; returns its cells. stack: room for all cells. */
static int64_t flood(body_map *m, int64_t from, unsigned char mark, int64_t *stack) {
    int64_t nx = m->cells[0], plane = nx * m->cells[1], n = plane * m->slices, depth = 0, found = 0;
    unsigned char was = m->dense[from];
    stack[depth++] = from;
    m->dense[from] = mark;
    while (depth) {
        int64_t at = stack[--depth], x = at % nx, y = at / nx % m->cells[1];
        const int64_t beside[6] = {x > 0 ? at - 1 : -1,           x + 1 < nx ? at + 1 : -1,
                                   y > 0 ? at - nx : -1,          y + 1 < m->cells[1] ? at + nx : -1,
                                   at >= plane ? at - plane : -1, at + plane < n ? at + plane : -1};
        found++;
        for (int i = 0; i < 6; i++)
            if (beside[i] >= 0 && m->dense[beside[i]] == was) {
                m->dense[beside[i]] = mark;
                stack[depth++] = beside[i];
            }
    }
    return found;
}

/* Leaves the largest piece alone: 1 where it is, 0 elsewhere. Returns whether there is one. */
static int keep_largest(body_map *m, int64_t *stack) {
    enum { DENSE = 1, COUNTED = 2, LARGEST = 3 };
    int64_t n = m->cells[0] * m->cells[1] * m->slices, most = 0, largest = -1;
    for (int64_t i = 0; i < n; i++) {
        if (m->dense[i] != DENSE) continue;
        int64_t found = flood(m, i, COUNTED, stack);
        if (found > most) most = found, largest = i;
    }
    if (largest >= 0) flood(m, largest, LARGEST, stack);
    for (int64_t i = 0; i < n; i++) m->dense[i] = m->dense[i] == LARGEST;
    return largest >= 0;
}

/* The middle of a cell in voxels of the grid. */
static void cell_place(const body_map *m, const body_slices *at, double to_grid[4][4], int64_t cell, double ret[3]) {
    int64_t nx = m->cells[0], x = cell % nx, y = cell / nx % m->cells[1], k = cell / nx / m->cells[1];
    double half = 0.5 * (double)(m->factor - 1), px = (double)(x * m->factor) + half,
           py = (double)(y * m->factor) + half;
    for (int a = 0; a < 3; a++) {
        ret[a] = to_grid[a][3];
        for (int i = 0; i < 3; i++)
            ret[a] += to_grid[a][i] * (at->origin[k][i] + px * at->step_x[i] + py * at->step_y[i]);
    }
}

hct_status body_find(body_map *m, const body_slices *at, double grid[4][4], body_place *ret, hct_err *err) {
    int64_t n = m->cells[0] * m->cells[1] * m->slices, counted = 0;
    int64_t *stack = malloc((size_t)n * sizeof *stack);
    double to_grid[4][4], place[3];
    *ret = (body_place){0};
    if (!stack) return hct_fail(err, HCT_ENOMEM, "no memory to look for the head");
    ret->found = affine_invert(grid, to_grid) == 0 && keep_largest(m, stack);
    free(stack);
    if (!ret->found) return HCT_OK;
    double half[3]; /* of a cell, along the grid's axes */
    for (int a = 0; a < 3; a++) {
        const double *g = to_grid[a];
        double x = g[0] * at->step_x[0] + g[1] * at->step_x[1] + g[2] * at->step_x[2];
        double y = g[0] * at->step_y[0] + g[1] * at->step_y[1] + g[2] * at->step_y[2];
        double z = g[0] * at->step_z[0] + g[1] * at->step_z[1] + g[2] * at->step_z[2];
        half[a] = 0.5 * ((fabs(x) + fabs(y)) * (double)m->factor + fabs(z));
        ret->low[a] = INFINITY;
        ret->high[a] = -INFINITY;
    }
    for (int64_t i = 0; i < n; i++) {
        if (!m->dense[i]) continue;
        cell_place(m, at, to_grid, i, place);
        for (int a = 0; a < 3; a++) {
            ret->low[a] = fmin(ret->low[a], place[a] - half[a]);
            ret->high[a] = fmax(ret->high[a], place[a] + half[a]);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        if (!m->dense[i]) continue;
        cell_place(m, at, to_grid, i, place);
        if (place[2] < ret->high[2] - BODY_HEAD_MM) continue;
        for (int a = 0; a < 2; a++) ret->head[a] += place[a];
        counted++;
    }
    for (int a = 0; a < 2; a++) ret->head[a] /= (double)counted;
    ret->head[2] = ret->high[2];
    return HCT_OK;
}

double body_beyond(const body_place *p, const int64_t off[3], const int64_t size[3], int64_t cube) {
    double most = 0;
    for (int a = 0; a < 3 && p->found; a++) {
        double low = (double)(size[a] / 2 - cube / 2 - off[a]), high = low + (double)(cube - 1);
        most = fmax(most, fmax(low - p->low[a], p->high[a] - high));
    }
    return most > BODY_CELL_MM ? most : 0;
}

void body_shift(const body_place *p, const int64_t off[3], const int64_t size[3], int64_t cube, int64_t ret[3]) {
    memset(ret, 0, 3 * sizeof *ret);
    for (int a = 0; a < 3 && p->found; a++) {
        double middle = (double)(size[a] / 2 - off[a]); /* of the cut, in voxels of the grid */
        double wanted = a < 2 ? p->head[a] : p->head[2] + BODY_TOP_MM - 0.5 * (double)cube;
        ret[a] = (int64_t)rint(wanted - middle);
    }
}
