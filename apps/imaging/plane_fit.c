/* Filtering and resampling the planes of a 3D cubic spline. */
#include "imaging/plane_fit.h"

#include <string.h>

#include "support/parallel.h"

static int64_t pitch_of(const plane_fit *f, int64_t *from) {
    *from = spline_voxel(&f->span[0], 0, f->dim[0]);
    int64_t width = spline_voxel(&f->span[0], f->span[0].n - 1, f->dim[0]) + 1 - *from;
    return (width + SPLINE_LINES - 1) / SPLINE_LINES * SPLINE_LINES;
}

size_t plane_fit_scratch(const plane_fit *f) {
    int64_t from, longest = f->span[0].n > f->span[1].n ? f->span[0].n : f->span[1].n;
    return (size_t)(f->n[1] * pitch_of(f, &from) + longest * SPLINE_LINES);
}

/* Element m of SPLINE_LINES neighbouring columns, from voxel x on (past the end the last one again). */
static void load_columns(const plane_fit *f, const void *plane, int32_t dtype, int64_t x, double *block) {
    const int16_t *i16 = plane;
    const float *f32 = plane;
    int64_t at[SPLINE_LINES], last = f->dim[0] - 1;
    for (int l = 0; l < SPLINE_LINES; l++) at[l] = x + l < last ? x + l : last;
    int whole = at[SPLINE_LINES - 1] == x + SPLINE_LINES - 1;
    for (int64_t m = 0; m < f->span[1].n; m++, block += SPLINE_LINES) {
        int64_t row = f->dim[0] * spline_voxel(&f->span[1], m, f->dim[1]);
        if (dtype == HCT_I16 && whole)
            for (int l = 0; l < SPLINE_LINES; l++) block[l] = i16[row + x + l];
        else if (dtype == HCT_F32 && whole)
            for (int l = 0; l < SPLINE_LINES; l++) block[l] = f32[row + x + l];
        else
            for (int l = 0; l < SPLINE_LINES; l++) block[l] = dtype == HCT_I16 ? i16[row + at[l]] : f32[row + at[l]];
    }
}

void plane_fit_run(const plane_fit *f, const void *plane, int32_t dtype, double *scratch, double *to) {
    const spline_span *sx = &f->span[0], *sy = &f->span[1];
    int64_t from, pitch = pitch_of(f, &from);
    double *made = scratch, *block = made + f->n[1] * pitch;
    for (int64_t x = 0; x < pitch; x += SPLINE_LINES) {
        load_columns(f, plane, dtype, from + x, block);
        spline_filter(block, sy->n, SPLINE_LINES);
        for (int64_t j = 0; j < f->n[1]; j++)
            if (f->tap[1]) spline_blend(&f->tap[1][j], block, SPLINE_LINES, SPLINE_LINES, made + j * pitch + x);
            else memcpy(made + j * pitch + x, block + j * SPLINE_LINES, SPLINE_LINES * sizeof *block);
    }
    for (int64_t j = 0; j < f->n[1]; j += SPLINE_LINES) { /* rows turned into columns and back */
        int64_t rows = f->n[1] - j < SPLINE_LINES ? f->n[1] - j : SPLINE_LINES;
        for (int64_t m = 0; m < sx->n; m++) {
            const double *row = made + j * pitch + spline_voxel(sx, m, f->dim[0]) - from;
            for (int64_t l = 0; l < SPLINE_LINES; l++) block[m * SPLINE_LINES + l] = row[(l < rows ? l : 0) * pitch];
        }
        spline_filter(block, sx->n, SPLINE_LINES);
        for (int64_t i = 0; i < f->n[0]; i++) {
            double blended[SPLINE_LINES], *column = f->tap[0] ? blended : block + i * SPLINE_LINES;
            if (f->tap[0]) spline_blend(&f->tap[0][i], block, SPLINE_LINES, SPLINE_LINES, blended);
            for (int64_t l = 0; l < rows; l++) to[(j + l) * f->n[0] + i] = column[l];
        }
    }
}

int64_t plane_fit_stride(int64_t plane) {
    /* The last block of lines may reach past a plane; and planes a multiple of 4 KiB apart would share cache sets. */
    return (plane + SPLINE_LINES - 1) / SPLINE_LINES * SPLINE_LINES + SPLINE_LINES;
}

void plane_fit_depth(double *c, int64_t plane, int64_t stride, const spline_span *span, int64_t depth) {
    PARALLEL_FOR
    for (int64_t p = 0; p < (plane + SPLINE_LINES - 1) / SPLINE_LINES; p++) {
        double *line = c + p * SPLINE_LINES;
        for (int64_t m = 0; m < span->n; m++) {
            int64_t from = spline_voxel(span, m, depth) - span->first;
            if (from != m) memcpy(line + m * stride, line + from * stride, SPLINE_LINES * sizeof *line);
        }
        spline_filter(line, span->n, stride);
    }
}
