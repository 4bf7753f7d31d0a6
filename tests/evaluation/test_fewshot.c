/* Few-shot classifiers against numbers worked out by hand; the golden suite has the plain forms at size. */
#include <math.h>

#include "check_main.h"
#include "evaluation/fewshot.h"

/* Similarities to the query (2, 0): 1, 0.8, 0.6, 0, whatever the lengths. */
static const float rows[] = {3, 0, 8, 6, 0.3f, 0.4f, 0, 5}, query[] = {2, 0};
static const int64_t classes[] = {1, 0, 0, 1};
static const fewshot_set train = {rows, classes, 4}, test = {query, NULL, 1};

static double share(size_t k, double temperature) {
    double score[2];
    int64_t neighbour[4];
    double similarity[4];
    hct_err err;
    ck_assert_int_eq(fewshot_knn(&train, &test, 2, 2, &(fewshot_knn_options){k, temperature}, score, neighbour,
                                 similarity, &err),
                     HCT_OK);
    for (size_t i = 0; i < k; i++) ck_assert_int_eq(neighbour[i], (int64_t)i);
    const double want[] = {1, 0.8, 0.6, 0};
    for (size_t i = 0; i < k; i++) ck_assert_double_eq_tol(similarity[i], want[i], 1e-7);
    ck_assert_double_eq_tol(score[0] + score[1], 1, 1e-15);
    return score[1];
}

START_TEST(plain_votes) {
    ck_assert_double_eq_tol(share(1, 0), 1, 1e-15);
    ck_assert_double_eq_tol(share(3, 0), 1.0 / 3, 1e-15);
    ck_assert_double_eq_tol(share(4, 0), 0.5, 1e-15);
}
END_TEST

/* exp(s / T), as DINO's evaluation weights votes: with T = 0.2 the weights are in the ratio 1 : e^-1 : e^-2 : e^-5,
 * that is 1 : 0.3678794 : 0.1353353 : 0.0067379. */
START_TEST(weighted_votes) {
    ck_assert_double_eq_tol(share(2, 0.2), 0.7310586, 1e-7); /* 1 / 1.3678794 */
    ck_assert_double_eq_tol(share(3, 0.2), 0.6652410, 1e-7); /* 1 / 1.5032147 */
    ck_assert_double_eq_tol(share(4, 0.2), 1.0067379 / 1.5099526, 1e-6);
    /* DINO's temperature: 1 / (1 + e^-2.8571429) = 1 / 1.0574326 */
    ck_assert_double_eq_tol(share(2, 0.07), 0.9456867, 1e-6);
    ck_assert_double_eq_tol(share(4, 1e-4), 1, 1e-15); /* exp(1e4) would overflow */
    ck_assert_double_eq_tol(share(4, 1e9), 0.5, 1e-8); /* towards plain votes */
}
END_TEST

START_TEST(refuses) {
    double score[2];
    hct_err err;
    ck_assert_int_eq(fewshot_knn(&train, &test, 2, 2, &(fewshot_knn_options){5, 0}, score, NULL, NULL, &err),
                     HCT_EINVAL);
    ck_assert_int_eq(fewshot_knn(&train, &test, 2, 2, &(fewshot_knn_options){0, 0}, score, NULL, NULL, &err),
                     HCT_EINVAL);
    ck_assert_int_eq(fewshot_knn(&train, &test, 2, 1, &(fewshot_knn_options){1, 0}, score, NULL, NULL, &err),
                     HCT_EINVAL);
}
END_TEST

/* Means of the classes: 0: (4.15, 3.2), 1: (1.5, 2.5). */
START_TEST(nearest_mean) {
    double distance[2], centroid[4];
    hct_err err;
    ck_assert_int_eq(fewshot_distances(&train, &test, 2, 2, FEWSHOT_UN, distance, centroid, &err), HCT_OK);
    const double mean[] = {4.15, 3.2, 1.5, 2.5};
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol(centroid[i], mean[i], 1e-6);
    ck_assert_double_eq_tol(distance[0], 2.15 * 2.15 + 3.2 * 3.2, 1e-5);
    ck_assert_double_eq_tol(distance[1], 0.25 + 6.25, 1e-5);
    fewshot_log_softmax(distance, 1, 2);
    ck_assert_double_eq_tol(exp(distance[1]), 1 / (1 + exp(6.5 - 14.8625)), 1e-6);
}
END_TEST

CHECK_MAIN("fewshot_methods", plain_votes, weighted_votes, refuses, nearest_mean)
