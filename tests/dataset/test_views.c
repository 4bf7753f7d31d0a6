/* Views are functions of their numbers: same draw in any order, within bounds, as often as the recipe says. */
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "dataset/views.h"

static const views_config paper = {.global = 2,
                                   .local = 3,
                                   .global_edge = {112, 224},
                                   .local_edge = {64, 112},
                                   .region = 224,
                                   .shrink = 1,
                                   .flip = 0.2,
                                   .shift = 0.1,
                                   .shift_prob = 0.5,
                                   .smooth_prob = 0.2,
                                   .sigma = {0.5, 1},
                                   .gamma_prob = 0.2,
                                   .gamma = {0.2, 1}};

START_TEST(the_paper_s_views_pass) {
    hct_err err;
    ck_assert_int_eq(views_check(&paper, &err), HCT_OK);
}
END_TEST

START_TEST(draws_do_not_depend_on_order) {
    float forward[50][HCT_VIEW_FLOATS], q[HCT_VIEW_FLOATS];
    for (int i = 0; i < 50; i++) views_draw_crop(&paper, 7, 3, (uint64_t)(i / 5), i % 5, forward[i]);
    for (int i = 49; i >= 0; i--) {
        views_draw_crop(&paper, 7, 3, (uint64_t)(i / 5), i % 5, q);
        ck_assert_mem_eq(q, forward[i], sizeof q);
    }
    for (int i = 1; i < 50; i++) ck_assert(memcmp(forward[0], forward[i], sizeof q));
    views_draw_crop(&paper, 7, 4, 0, 0, q);
    ck_assert(memcmp(q, forward[0], sizeof q));
    views_draw_crop(&paper, 8, 3, 0, 0, q);
    ck_assert(memcmp(q, forward[0], sizeof q));
}
END_TEST

START_TEST(crops_keep_to_their_edges_and_volume) {
    views_config box = paper, shrunk = paper;
    box.shape = VIEWS_BOX;
    shrunk.shrink = 4;
    const views_config *each[] = {&paper, &box, &shrunk};
    for (int k = 0; k < 3; k++) {
        float least = 1e9f, most = 0;
        for (uint64_t scan = 0; scan < 2000; scan++)
            for (int view = 0; view < 5; view++) {
                float q[HCT_VIEW_FLOATS];
                views_draw_crop(each[k], 1, 0, scan, view, q);
                const int64_t *edge = view < 2 ? paper.global_edge : paper.local_edge;
                for (int a = 0; a < 3; a++) {
                    float mm = (float)each[k]->shrink * q[3 + a];
                    ck_assert(mm >= (float)edge[0] && mm <= (float)edge[1] && q[a] >= 0 &&
                              (float)each[k]->shrink * (q[a] + q[3 + a]) <= 224);
                    if (view == 0) least = mm < least ? mm : least, most = mm > most ? mm : most;
                }
                ck_assert(k == 1 || (q[3] == q[4] && q[4] == q[5]));
            }
        ck_assert_float_eq(least, 112);
        ck_assert_float_eq(most, 224);
    }
}
END_TEST

START_TEST(augmentations_come_as_often_as_asked) {
    enum { N = 20000 };
    double flips = 0, shifts = 0, smoothed = 0, gammas = 0, sum = 0;
    for (uint64_t scan = 0; scan < N; scan++) {
        float q[HCT_VIEW_FLOATS];
        views_draw_crop(&paper, 5, 9, scan, 4, q);
        flips += (double)(q[6] + q[7] + q[8]);
        shifts += q[9] != 0;
        sum += (double)q[9];
        smoothed += q[11] > 0;
        gammas += q[10] > 0;
        ck_assert(q[9] >= -0.1f && q[9] <= 0.1f && (q[10] == 0 || (q[10] >= 0.2f && q[10] <= 1)));
        for (int a = 0; a < 3; a++) ck_assert(q[11 + a] == 0 || (q[11 + a] >= 0.5f && q[11 + a] <= 1));
    }
    ck_assert_double_eq_tol(flips / N, 0.6, 0.02);
    ck_assert_double_eq_tol(shifts / N, 0.5, 0.015);
    ck_assert_double_eq_tol(sum / N, 0, 0.002);
    ck_assert_double_eq_tol(smoothed / N, 0.2, 0.012);
    ck_assert_double_eq_tol(gammas / N, 0.2, 0.012);
}
END_TEST

START_TEST(the_published_placement) {
    views_config code = paper;
    code.placement = VIEWS_PUBLISHED;
    for (uint64_t scan = 0; scan < 3000; scan++)
        for (int view = 0; view < 5; view++) {
            float q[HCT_VIEW_FLOATS];
            views_draw_crop(&code, 5, 9, scan, view, q);
            ck_assert(view == 0 || q[11] == 0);
            ck_assert(view == 1 || q[10] == 0);
            for (int a = 6; a < 10; a++) ck_assert(view < 2 || q[a] == 0);
        }
}
END_TEST

START_TEST(impossible_ones_are_refused_by_key) {
    hct_err err;
    views_config c = paper;
    c.global_edge[1] = 100;
    ck_assert(views_check(&c, &err) < 0 && strstr(err.msg, "views.global_min"));
    c = paper;
    c.region = 160;
    ck_assert(views_check(&c, &err) < 0 && strstr(err.msg, "views.global_max"));
    c = paper;
    c.shrink = 3;
    ck_assert(views_check(&c, &err) < 0 && strstr(err.msg, "views.region"));
}
END_TEST

CHECK_MAIN("views", the_paper_s_views_pass, draws_do_not_depend_on_order, crops_keep_to_their_edges_and_volume,
           augmentations_come_as_often_as_asked, the_published_placement, impossible_ones_are_refused_by_key)
