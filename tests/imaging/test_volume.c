/* imaging/volume.h, resample.h, model_input.h, scan.h: geometry and arithmetic against plain definitions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "imaging/input_spec.h"
#include "imaging/resample.h"
#include "imaging/scan.h"
#include "imaging/volume.h"

static volume make(int32_t dtype, int64_t x, int64_t y, int64_t z) {
    volume v;
    ck_assert_int_eq(volume_alloc(&v, dtype, (int64_t[]){x, y, z}, NULL), HCT_OK);
    for (int64_t i = 0; i < volume_count(&v); i++)
        if (dtype == HCT_I16) v.i16[i] = (int16_t)(i * 37 % 2001 - 1000);
        else v.f32[i] = (float)(i * 37 % 2001 - 1000);
    return v;
}

static float value(const volume *v, int64_t i, int64_t j, int64_t k) {
    int64_t at = i + v->dim[0] * (j + v->dim[1] * k);
    return v->dtype == HCT_I16 ? v->i16[at] : v->f32[at];
}

/* The voxel whose centre lies at a point of the world. */
static float value_at_world(volume *v, const double w[3]) {
    double inverse[4][4];
    int64_t at[3];
    ck_assert_int_eq(affine_invert(v->affine, inverse), 0);
    for (int a = 0; a < 3; a++)
        at[a] = llrint(inverse[a][0] * w[0] + inverse[a][1] * w[1] + inverse[a][2] * w[2] + inverse[a][3]);
    return value(v, at[0], at[1], at[2]);
}

/* All 48 ways to lay axes, slightly turned: each voxel stays at its place in the world, axes end as R, A, S. */
START_TEST(turns_every_orientation_to_ras) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int o = 0; o < 6; o++)
        for (int flips = 0; flips < 8; flips++)
            for (int32_t dtype = 0; dtype < 2; dtype++) {
                volume v = make(dtype ? HCT_I16 : HCT_F32, 3, 4, 5), before = make(dtype ? HCT_I16 : HCT_F32, 3, 4, 5);
                memset(v.affine, 0, sizeof v.affine);
                v.affine[3][3] = 1;
                for (int a = 0; a < 3; a++) {
                    int w = orders[o][a];
                    v.affine[w][a] = (1.0 + a) * (flips >> a & 1 ? -1 : 1);
                    v.affine[(w + 1) % 3][a] = 0.2 * (1 + a);
                    v.affine[a][3] = 10 * a;
                }
                memcpy(before.affine, v.affine, sizeof v.affine);
                ck_assert_int_eq(volume_to_ras(&v, NULL), HCT_OK);
                for (int a = 0; a < 3; a++)
                    ck_assert_msg(v.affine[a][a] > 0, "order %d flips %d: axis %d", o, flips, a);
                for (int64_t k = 0; k < 5; k++)
                    for (int64_t j = 0; j < 4; j++)
                        for (int64_t i = 0; i < 3; i++) {
                            double w[3], at[3] = {(double)i, (double)j, (double)k};
                            for (int r = 0; r < 3; r++)
                                w[r] = before.affine[r][0] * at[0] + before.affine[r][1] * at[1] +
                                       before.affine[r][2] * at[2] + before.affine[r][3];
                            ck_assert_float_eq(value_at_world(&v, w), value(&before, i, j, k));
                        }
                volume_free(&v);
                volume_free(&before);
            }
}
END_TEST

START_TEST(rounds_half_to_even_and_saturates) {
    static const float in[] = {0.5f, 1.5f, -0.5f, -2.5f, 1e6f, -1e6f, 3.4999f, 2.5001f};
    static const int16_t want[] = {0, 2, 0, -2, 32767, -32768, 3, 3};
    volume v = make(HCT_F32, 2, 2, 2);
    memcpy(v.f32, in, sizeof in);
    ck_assert_int_eq(volume_to_i16(&v, NULL), HCT_OK);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(v.i16[i], want[i]);
    ck_assert_int_eq(volume_to_f32(&v, NULL), HCT_OK);
    for (int i = 0; i < 8; i++) ck_assert_float_eq(v.f32[i], want[i]);
    volume_free(&v);
}
END_TEST

START_TEST(pads_and_crops_about_the_centre) {
    /* size, target: voxel 0 of the result is voxel `first` of the source (negative: padding) */
    static const int64_t cases[][3] = {
        {5, 8, -1}, {5, 9, -2}, {4, 4, 0}, {9, 4, 2}, {8, 5, 2}, {9, 5, 2}, {224, 193, 16},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int32_t dtype = 0; dtype < 2; dtype++) {
            volume v = make(dtype ? HCT_I16 : HCT_F32, cases[c][0], 3, 2),
                   before = make(dtype ? HCT_I16 : HCT_F32, cases[c][0], 3, 2);
            v.affine[0][0] = 2;
            ck_assert_int_eq(volume_pad_crop(&v, (int64_t[]){cases[c][1], 5, 1}, -1024, NULL), HCT_OK);
            ck_assert_double_eq(v.affine[0][3], 2.0 * (double)cases[c][2]);
            ck_assert_double_eq(v.affine[1][3], -1);
            ck_assert_double_eq(v.affine[2][3], 1);
            for (int64_t j = 0; j < 5; j++)
                for (int64_t i = 0; i < cases[c][1]; i++) {
                    int64_t x = i + cases[c][2], y = j - 1;
                    int inside = x >= 0 && x < cases[c][0] && y >= 0 && y < 3;
                    ck_assert_float_eq(value(&v, i, j, 0), inside ? value(&before, x, y, 1) : -1024);
                }
            volume_free(&v);
            volume_free(&before);
        }
}
END_TEST

/* On a grid that is 1 mm already the spline passes through the voxels, and a prepared volume stays as it is. */
START_TEST(preparing_twice_changes_nothing) {
    volume v = make(HCT_I16, 40, 30, 20), w;
    ck_assert_int_eq(scan_prepare(&v, 0, NULL), HCT_OK);
    ck_assert_int_eq(v.dtype, HCT_I16);
    ck_assert(v.dim[0] == 224 && v.dim[1] == 224 && v.dim[2] == 224);
    ck_assert_int_eq(v.i16[0], -1024);
    volume first = make(HCT_I16, 40, 30, 20);
    for (int64_t k = 0; k < 20; k++)
        for (int64_t j = 0; j < 30; j++)
            for (int64_t i = 0; i < 40; i++)
                ck_assert_float_eq(value(&v, i + 92, j + 97, k + 102), value(&first, i, j, k));
    ck_assert_int_eq(volume_alloc(&w, HCT_I16, v.dim, NULL), HCT_OK);
    memcpy(w.data, v.data, (size_t)volume_count(&v) * 2);
    memcpy(w.affine, v.affine, sizeof v.affine);
    ck_assert_int_eq(scan_prepare(&w, 0, NULL), HCT_OK);
    ck_assert_mem_eq(w.data, v.data, (size_t)volume_count(&v) * 2);
    ck_assert_mem_eq(w.affine, v.affine, sizeof v.affine);
    volume_free(&first);
    volume_free(&v);
    volume_free(&w);
}
END_TEST

/* Resampling, rounding, padding and cropping in one go gives what the steps one by one give: straight, tilted and
 * oblique grids, finer and coarser than 1 mm, cut and padded, along axes that are filtered whole and in part. */
START_TEST(cutting_early_gives_what_cutting_late_gives) {
    static const double grids[][9] = {
        {0.4, 0, 0, 0, 0.6, 0, 0, 0, 3},
        {2, 0, 0, 0, 2.5, 0.3, 0, 0, 1.5},
        {0.5, 0, 0, 0, 0.4, 0.7, 0, 0, 2.2},
        {0.7, -0.2, 0.1, 0.2, 0.6, 0.3, -0.1, 0.2, 1.9},
        {1.6, 0.4, 0.3, -0.3, 1.7, 0.2, 0.1, -0.5, 2.1},
    };
    static const int64_t sizes[][3] = {{20, 30, 40}, {150, 18, 24}, {1, 2, 160}};
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++)
        for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++)
            for (int32_t from = 0; from < 2; from++)
                for (int32_t to = 0; to < 2; to++) {
                    volume v = make(from ? HCT_I16 : HCT_F32, 121, 98, 37), w = make(v.dtype, 121, 98, 37);
                    for (int r = 0; r < 3; r++)
                        for (int a = 0; a < 3; a++) v.affine[r][a] = w.affine[r][a] = grids[g][3 * r + a];
                    ck_assert_int_eq(volume_resample_1mm(&v, NULL), HCT_OK);
                    if (to) ck_assert_int_eq(volume_to_i16(&v, NULL), HCT_OK);
                    ck_assert_int_eq(volume_pad_crop(&v, sizes[c], -1024, NULL), HCT_OK);
                    ck_assert_int_eq(volume_resample_1mm_cut(&w, sizes[c], to ? HCT_I16 : HCT_F32, -1024, NULL),
                                     HCT_OK);
                    ck_assert_int_eq(w.dtype, v.dtype);
                    ck_assert_mem_eq(w.dim, v.dim, sizeof v.dim);
                    ck_assert_mem_eq(w.affine, v.affine, sizeof v.affine);
                    for (int64_t i = 0; i < volume_count(&v); i++)
                        if (to) ck_assert_int_eq(w.i16[i], v.i16[i]);
                        else ck_assert_float_eq_tol(w.f32[i], v.f32[i], 2e-4);
                    volume_free(&v);
                    volume_free(&w);
                }
}
END_TEST

/* A cubic spline repeats cubics; here a plane through a sheared, turned grid, away from the ends. */
START_TEST(resampling_keeps_a_ramp_in_place) {
    volume v = make(HCT_F32, 40, 36, 30);
    double c = cos(0.2), s = sin(0.2),
           affine[4][4] = {{0.7 * c, -0.9 * s, 0, -12}, {0.7 * s, 0.9 * c, 0.4, 3}, {0, 0, 2.2, -30}, {0, 0, 0, 1}};
    memcpy(v.affine, affine, sizeof affine);
    double slope[3] = {3, -2, 5};
    for (int64_t k = 0; k < 30; k++)
        for (int64_t j = 0; j < 36; j++)
            for (int64_t i = 0; i < 40; i++) {
                double w = 0, at[4] = {(double)i, (double)j, (double)k, 1};
                for (int r = 0; r < 3; r++)
                    for (int a = 0; a < 4; a++) w += slope[r] * affine[r][a] * at[a];
                v.f32[i + 40 * (j + 36 * k)] = (float)w;
            }
    double inverse[4][4];
    ck_assert_int_eq(affine_invert(affine, inverse), 0);
    ck_assert_int_eq(volume_resample_1mm(&v, NULL), HCT_OK);
    double mm[3], worst = 0;
    int64_t compared = 0;
    volume_spacing(&v, mm);
    for (int a = 0; a < 3; a++) ck_assert_double_eq_tol(mm[a], 1, 1e-12);
    for (int64_t k = 0; k < v.dim[2]; k++)
        for (int64_t j = 0; j < v.dim[1]; j++)
            for (int64_t i = 0; i < v.dim[0]; i++) {
                double w[3], at[4] = {(double)i, (double)j, (double)k, 1}, want = 0;
                int inside = 1;
                for (int r = 0; r < 3; r++) {
                    w[r] = 0;
                    for (int a = 0; a < 4; a++) w[r] += v.affine[r][a] * at[a];
                    want += slope[r] * w[r];
                }
                for (int a = 0; a < 3; a++) {
                    double old = inverse[a][3] + inverse[a][0] * w[0] + inverse[a][1] * w[1] + inverse[a][2] * w[2];
                    double n = a == 0 ? 40 : a == 1 ? 36 : 30;
                    inside = inside && old > 9 && old < n - 10;
                }
                if (!inside) continue;
                compared++;
                worst = fmax(worst, fabs(want - value(&v, i, j, k)));
            }
    ck_assert_int_gt(compared, 1000);
    ck_assert_double_lt(worst, 2e-3); /* the ends' effect has died out by 0.27^9; values reach 200 */
    volume_free(&v);
}
END_TEST

START_TEST(a_grid_of_1_mm_is_left_alone) {
    for (int k = 0; k < 2; k++) { /* a hundredth of a millimetre a voxel is too far, though the size stays */
        volume v = make(HCT_I16, 20, 20, 20), first = make(HCT_F32, 20, 20, 20);
        for (int a = 0; a < 3; a++) v.affine[a][a] = k ? 1.01 : 1.0005;
        ck_assert_int_eq(volume_resample_1mm(&v, NULL), HCT_OK);
        ck_assert_int_eq(v.dtype, HCT_F32);
        ck_assert_int_eq(v.dim[0], 20);
        ck_assert_double_eq(v.affine[0][0], k ? 1 : 1.0005);
        ck_assert_int_eq(memcmp(v.f32, first.f32, sizeof(float) * 8000) == 0, !k);
        volume_free(&v);
        volume_free(&first);
    }
}
END_TEST

/* 33 steps of half a millimetre and a voxel are 17.5 mm, and half to even is 18, whatever rounding left of the
 * steps. */
START_TEST(rounding_errors_choose_no_size) {
    static const double lost[] = {-1e-14, 0, 1e-14, -1e-9, 1e-9};
    for (int k = 0; k < 5; k++) {
        volume v = make(HCT_I16, 34, 36, 5);
        int64_t dim[3];
        double affine[4][4];
        v.affine[0][0] = v.affine[1][1] = 0.5 + lost[k];
        ck_assert_int_eq(resample_grid_1mm(&v, dim, affine, NULL), HCT_OK);
        ck_assert_int_eq(dim[0], k == 3 ? 17 : 18); /* 17.5 */
        ck_assert_int_eq(dim[1], k == 4 ? 19 : 18); /* 18.5 */
        volume_free(&v);
    }
}
END_TEST

START_TEST(refuses_a_grid_that_is_too_large) {
    volume v = make(HCT_F32, 2, 2, 2);
    for (int a = 0; a < 3; a++) v.affine[a][a] = 1500;
    hct_err err = {0};
    ck_assert_int_eq(volume_resample_1mm(&v, &err), HCT_ESHAPE);
    ck_assert_int_eq(v.dim[0], 2);
    volume_free(&v);
}
END_TEST

/* windowed_area against its definition, for boxes and sizes that divide, do not, and enlarge. */
START_TEST(area_resize_is_the_mean_of_the_box) {
    static const int64_t cases[][6] = {
        {12, 12, 12, 6, 6, 6},
        {13, 11, 9, 5, 4, 3},
        {4, 5, 6, 9, 7, 6},
        {7, 8, 9, 7, 1, 2},
    };
    static const hu_window windows[2] = {{40, 80}, {600, 2800}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int32_t dtype = 0; dtype < 2; dtype++) {
            const int64_t *extent = cases[c], *m = cases[c] + 3, start[3] = {1, 2, 0};
            volume v = make(dtype ? HCT_I16 : HCT_F32, extent[0] + 1, extent[1] + 3, extent[2]);
            float *out = malloc((size_t)(2 * m[0] * m[1] * m[2]) * sizeof *out);
            ck_assert_int_eq(windowed_area(&v, start, extent, windows, 2, m, out, NULL), HCT_OK);
            int64_t at = 0;
            for (int w = 0; w < 2; w++)
                for (int64_t x = 0; x < m[0]; x++)
                    for (int64_t y = 0; y < m[1]; y++)
                        for (int64_t z = 0; z < m[2]; z++, at++) {
                            double sum = 0, n = 0;
                            for (int64_t i = x * extent[0] / m[0];
                                 (double)i < (double)(x + 1) * (double)extent[0] / (double)m[0]; i++)
                                for (int64_t j = y * extent[1] / m[1];
                                     (double)j < (double)(y + 1) * (double)extent[1] / (double)m[1]; j++)
                                    for (int64_t k = z * extent[2] / m[2];
                                         (double)k < (double)(z + 1) * (double)extent[2] / (double)m[2]; k++, n++) {
                                        double hu = value(&v, i + start[0], j + start[1], k + start[2]);
                                        double t = (hu - (windows[w].centre - windows[w].width / 2)) / windows[w].width;
                                        sum += t < 0 ? 0 : t > 1 ? 1 : t;
                                    }
                            ck_assert_double_eq_tol(out[at], sum / n, 1e-5);
                        }
            free(out);
            volume_free(&v);
        }
}
END_TEST

START_TEST(refuses_a_box_outside_the_volume) {
    volume v = make(HCT_I16, 10, 10, 10);
    float out[3 * 8];
    hct_err err = {0};
    input_spec s = input_cube(paper_windows, PAPER_WINDOWS, 12, 2);
    ck_assert_int_eq(input_make(&s, &v, out, &err), HCT_ESHAPE);
    s = input_cube(paper_windows, PAPER_WINDOWS, 10, 0);
    ck_assert_int_eq(input_make(&s, &v, out, &err), HCT_ESHAPE);
    s = input_cube(paper_windows, PAPER_WINDOWS, 10, 2);
    ck_assert_int_eq(input_make(&s, &v, out, &err), HCT_OK);
    volume_free(&v);
}
END_TEST

START_TEST(padding_is_zero_in_the_papers_windows) {
    for (int c = 0; c < PAPER_WINDOWS; c++)
        ck_assert_float_eq(
            hu_window_value(PREPARED_PAD_HU, hu_window_low(paper_windows[c]), (float)(1 / paper_windows[c].width)), 0);
}
END_TEST

CHECK_MAIN("volume", turns_every_orientation_to_ras, rounds_half_to_even_and_saturates, pads_and_crops_about_the_centre,
           preparing_twice_changes_nothing, cutting_early_gives_what_cutting_late_gives,
           resampling_keeps_a_ramp_in_place, a_grid_of_1_mm_is_left_alone, rounding_errors_choose_no_size,
           refuses_a_grid_that_is_too_large, area_resize_is_the_mean_of_the_box, refuses_a_box_outside_the_volume,
           padding_is_zero_in_the_papers_windows)
