/* imaging/stack.h: stacks of slices against the volume path where a volume says the same, and against a field that is
 * linear in space, which any of its interpolations must reproduce at true positions, where none does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/resample.h"
#include "imaging/scan.h"
#include "imaging/stack.h"
#include "tap.h"

enum { COLUMNS = 60, ROWS = 44, MOST = 40, SIZE = 48 };

/* row and column: directions in RAS; tilt: degrees by which slices slide along the column direction; gaps: mm,
 * repeated. */
typedef struct geometry {
    const char *name;
    double row[3], column[3], spacing[2], tilt;
    int n;
    double gaps[4];
    int n_gaps;
    int64_t shift[3];
} geometry;

static const double turned[2][3] = {{0.936293363584199, 0.275095847318244, -0.218350663146334},
                                    {-0.289629477625516, 0.956425085849232, -0.036957013524625}};

static geometry oblique(geometry g) {
    memcpy(g.row, turned[0], sizeof g.row);
    memcpy(g.column, turned[1], sizeof g.column);
    return g;
}

typedef struct made {
    slice_stack s;
    double position[MOST][3], normal[3];
    float *pixels[MOST];
} made;

static double field(const double world[3]) { return 40 + 1.25 * world[0] - 0.75 * world[1] + 2.5 * world[2]; }

/* noise: integers at random, else the linear field. */
static void make(const geometry *g, int noise, made *m) {
    memset(m, 0, sizeof *m);
    m->s = (slice_stack){.n = g->n, .columns = COLUMNS, .rows = ROWS, .position = m->position};
    memcpy(m->s.row, g->row, sizeof g->row);
    memcpy(m->s.column, g->column, sizeof g->column);
    memcpy(m->s.spacing, g->spacing, sizeof g->spacing);
    for (int i = 0; i < 3; i++)
        m->normal[i] = g->row[(i + 1) % 3] * g->column[(i + 2) % 3] - g->row[(i + 2) % 3] * g->column[(i + 1) % 3];
    double up = 0;
    unsigned seed = 1;
    for (int k = 0; k < g->n; k++) {
        m->pixels[k] = malloc(sizeof(float) * COLUMNS * ROWS);
        for (int i = 0; i < 3; i++)
            m->position[k][i] = -20 + 3 * i + up * m->normal[i] + up * tan(g->tilt * M_PI / 180) * g->column[i];
        for (int at = 0; at < COLUMNS * ROWS; at++) {
            double world[3], x = at % COLUMNS * g->spacing[0], y = at / COLUMNS * g->spacing[1];
            for (int i = 0; i < 3; i++) world[i] = m->position[k][i] + x * g->row[i] + y * g->column[i];
            seed = seed * 1103515245u + 12345u;
            m->pixels[k][at] = noise ? (float)((int)(seed >> 16 & 0x7ff) - 1024) : (float)field(world);
        }
        up += g->gaps[k % g->n_gaps];
    }
}

static void done(made *m) {
    for (int k = 0; k < m->s.n; k++) free(m->pixels[k]);
}

static int run(const geometry *g, const made *m, int32_t dtype, volume *v, pad_box *box) {
    stack_options o = {.size = {SIZE, SIZE, SIZE}, .dtype = dtype, .fill = -1024};
    stack_resampler *r;
    hct_err err = {0};
    memcpy(o.shift, g->shift, sizeof o.shift);
    hct_status s = stack_begin(&m->s, &o, &r, &err);
    for (int64_t k = m->s.n - 1; k >= 0 && s == HCT_OK; k--) s = stack_add(r, k, m->pixels[k], &err);
    if (s == HCT_OK) s = stack_end(r, v, box, &err);
    if (s < 0) tap_note("%s: %s", g->name, err.msg);
    return s == HCT_OK;
}

/* The same slices as a volume, through the path that NIfTI files take. */
static void as_volume(const geometry *g, const made *m, volume *v) {
    static const int64_t size[3] = {SIZE, SIZE, SIZE};
    hct_err err = {0};
    volume_alloc(v, HCT_I16, (const int64_t[3]){COLUMNS, ROWS, g->n}, &err);
    for (int k = 0; k < g->n; k++)
        for (int at = 0; at < COLUMNS * ROWS; at++) v->i16[at + k * COLUMNS * ROWS] = (int16_t)m->pixels[k][at];
    for (int i = 0; i < 3; i++) {
        v->affine[i][0] = g->row[i] * g->spacing[0];
        v->affine[i][1] = g->column[i] * g->spacing[1];
        v->affine[i][2] = m->normal[i] * g->gaps[0];
        v->affine[i][3] = m->position[0][i];
    }
    volume_to_ras(v, &err);
    volume_resample_1mm_cut(v, size, HCT_I16, -1024, &err);
}

static void test_equal(void) {
    const geometry table[] = {
        {"axial as DICOM has it", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}},
        {"axial, rows to the right and front", {1, 0, 0}, {0, 1, 0}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}},
        {"axial turned by 90 degrees", {0, -1, 0}, {1, 0, 0}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}},
        {"axial, slices downwards", {-1, 0, 0}, {0, 1, 0}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}},
        {"coronal", {-1, 0, 0}, {0, 0, -1}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}},
        {"sagittal", {0, -1, 0}, {0, 0, -1}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}},
        {"a millimetre already", {-1, 0, 0}, {0, -1, 0}, {1, 1}, 0, 40, {1}, 1, {0}},
        {"wider than the cut", {-1, 0, 0}, {0, -1, 0}, {1.4, 1.7}, 0, 40, {3.1}, 1, {0}},
        oblique((geometry){"oblique", {0}, {0}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0}}),
        {"two slices", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 0, 2, {2.5}, 1, {0}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        made m;
        volume have = {0}, want = {0};
        pad_box box;
        make(&table[i], 1, &m);
        int64_t differ = -1;
        double apart = 0;
        if (run(&table[i], &m, HCT_I16, &have, &box)) {
            as_volume(&table[i], &m, &want);
            differ = 0;
            for (int64_t k = 0; k < volume_count(&have); k++) differ += have.i16[k] != want.i16[k];
            for (int k = 0; k < 16; k++)
                apart = fmax(apart, fabs(have.affine[k / 4][k % 4] - want.affine[k / 4][k % 4]));
        }
        tap_ok(differ == 0 && apart < 1e-9, "%s: the NIfTI path's voxels (%lld differ) and affine (by %.1g)",
               table[i].name, (long long)differ, apart);
        volume_free(&have);
        volume_free(&want);
        done(&m);
    }
}

/* Voxels whose place lies inside the stack by a margin, their distance from the field at that place. */
static double worst(const geometry *g, const made *m, const volume *v, int64_t *ret_n) {
    double most = 0, height = 0, slide = tan(g->tilt * M_PI / 180);
    *ret_n = 0;
    for (int k = 0; k + 1 < g->n; k++) height += g->gaps[k % g->n_gaps];
    for (int64_t at = 0; at < volume_count(v); at++) {
        int64_t ijk[3] = {at % SIZE, at / SIZE % SIZE, at / SIZE / SIZE};
        double world[3], from[3], place[3] = {0};
        for (int i = 0; i < 3; i++) {
            world[i] = v->affine[i][3];
            for (int a = 0; a < 3; a++) world[i] += v->affine[i][a] * (double)ijk[a];
            from[i] = world[i] - m->position[0][i];
        }
        for (int i = 0; i < 3; i++) {
            place[0] += from[i] * g->row[i];
            place[1] += from[i] * g->column[i];
            place[2] += from[i] * m->normal[i];
        }
        /* a spline's edges are flat: 12 pixels away nothing of that is left. Slices of both neighbours must be there.
         */
        double low = fmin(0, slide * height), high = fmax(0, slide * height), edge = 12 * 0.8;
        if (place[0] < edge || place[0] > (COLUMNS - 1) * g->spacing[0] - edge || place[1] < high + edge ||
            place[1] > (ROWS - 1) * g->spacing[1] + low - edge)
            continue;
        double margin = g->n_gaps == 1 ? 12 * g->gaps[0] : 0;
        if (place[2] < margin || place[2] > height - margin) continue;
        most = fmax(most, fabs(v->f32[at] - field(world)));
        ++*ret_n;
    }
    return most;
}

static void test_true_positions(void) {
    const geometry table[] = {
        {"tilt +18.5, even", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 18.5, 30, {1}, 1, {0}},
        {"tilt -16.5, even", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, -16.5, 30, {1}, 1, {0}},
        {"uneven", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 0, 20, {2, 2, 5, 3}, 4, {0}},
        {"uneven, slices downwards", {-1, 0, 0}, {0, 1, 0}, {0.7, 0.8}, 0, 20, {2, 2, 5, 3}, 4, {0}},
        {"uneven, tilt +18.5", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 18.5, 10, {2, 2, 5, 3}, 4, {0}},
        {"uneven, tilt -22, downwards", {-1, 0, 0}, {0, 1, 0}, {0.7, 0.8}, -22, 10, {2, 2, 5, 3}, 4, {0}},
        {"uneven coronal, tilt 10", {-1, 0, 0}, {0, 0, -1}, {0.7, 0.8}, 10, 10, {2, 2, 5, 3}, 4, {0}},
        {"uneven sagittal, tilt -10", {0, -1, 0}, {0, 0, -1}, {0.7, 0.8}, -10, 10, {2, 2, 5, 3}, 4, {0}},
        oblique((geometry){"uneven oblique, tilt 15", {0}, {0}, {0.7, 0.8}, 15, 10, {2, 2, 5, 3}, 4, {0}}),
        {"uneven, cut elsewhere", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 0, 20, {2, 2, 5, 3}, 4, {5, -4, 9}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        made m;
        volume v = {0};
        pad_box box;
        int64_t n = 0;
        double off = INFINITY;
        make(&table[i], 0, &m);
        if (run(&table[i], &m, HCT_F32, &v, &box)) off = worst(&table[i], &m, &v, &n);
        /* the field's slope is 2.9 a millimetre: 0.01 is 3.5 micrometres */
        tap_ok(off < 0.01 && n > 500, "%s: true positions (%.2g at the most, of %lld voxels)", table[i].name, off,
               (long long)n);
        volume_free(&v);
        done(&m);
    }
}

/* A cut that misses the grid is all fill; two slices at one place are refused. */
static void test_edges(void) {
    geometry g = {"far off", {-1, 0, 0}, {0, -1, 0}, {0.7, 0.8}, 0, 20, {2.5}, 1, {0, 0, 400}};
    made m;
    volume v = {0};
    pad_box box;
    hct_err err = {0};
    stack_shape shape;
    make(&g, 1, &m);
    int64_t other = -1;
    if (run(&g, &m, HCT_I16, &v, &box)) {
        other = 0;
        for (int64_t k = 0; k < volume_count(&v); k++) other += v.i16[k] != -1024;
    }
    tap_ok(other == 0, "a cut beside the scan holds nothing but fill");
    volume_free(&v);
    memcpy(m.position[4], m.position[3], sizeof m.position[3]);
    tap_ok(stack_measure(&m.s, &shape, &err) == HCT_EINVAL, "two slices at one place are refused: %s", err.msg);
    done(&m);
}

int main(void) {
    test_equal();
    test_true_positions();
    test_edges();
    return tap_done();
}
