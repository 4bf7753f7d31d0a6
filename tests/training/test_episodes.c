/* training/fewshot_episodes.h: a step worked out by hand, the identity without training, what episodes are for; and
 * the draws of fewshot_draw.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "evaluation/fewshot.h"
#include "evaluation/ranking.h"
#include "hct/philox.h"
#include "fewshot/fewshot_draw.h"
#include "fewshot/fewshot_episodes.h"
#include "support/device.h"

static recipe plain(const char *optimizer, const char *lr) {
    recipe r = recipe_default();
    hct_err err = {0};
    char name[64], rate[64];
    snprintf(name, sizeof name, "optim.name=%s", optimizer);
    snprintf(rate, sizeof rate, "optim.lr=%s", lr);
    const char *const keys[] = {name,
                                rate,
                                "optim.momentum=0",
                                "optim.scale_lr_by_batch=false",
                                "optim.schedule=constant",
                                "optim.warmup_fraction=0",
                                "optim.warmup_epochs=0",
                                "optim.clip=0",
                                "optim.clip_mode=none",
                                "optim.weight_decay=0.5"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        ck_assert_msg(recipe_set(&r, keys[i], &err) == HCT_OK, "%s", err.msg);
    return r;
}

static hct_dev *cpu(void) {
    hct_dev *dev = device_open("cpu", NULL);
    ck_assert(dev != NULL);
    return dev;
}

/* Two equal rows a class, a and b, so every draw is the same episode. With u = a - b and D = |W u|^2 each query's
 * loss is log(1 + e^-D), and
 *
 *   d loss / d W = -2 / (1 + e^D) W u u^T.
 *
 * u = (0.5, 1): D = 1.25, 1 / (1 + e^1.25) = 0.2227001; by one step of gradient descent at rate 0.1 the identity
 * gains 0.0445400 u u^T. */
START_TEST(one_step_by_hand) {
    const float x[] = {0.7f, 0.4f, 0.2f, -0.6f, 0.7f, 0.4f, 0.2f, -0.6f};
    const int64_t y[] = {1, 0, 1, 0};
    const fewshot_set train = {x, y, 4};
    float map[4];
    hct_dev *dev = cpu();
    hct_err err = {0};
    recipe r = plain("sgd", "0.1");
    const double uu[] = {0.25, 0.5, 0.5, 1};
    fewshot_episodes e = {.n = 1, .shots = 5, .queries = 15}; /* lowered to 1 and 1 */
    ck_assert_msg(fewshot_map_train(dev, &r, &e, &train, 2, 0, map, &err) == HCT_OK, "%s", err.msg);
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol(map[i], (i % 3 == 0) + 0.0445400 * uu[i], 1e-6);
    /* W = I + c u u^T stays of that form: W u = (1 + 1.25 c) u */
    e.n = 3;
    ck_assert_int_eq(fewshot_map_train(dev, &r, &e, &train, 2, 0, map, &err), HCT_OK);
    double c = 0;
    for (int step = 0; step < 3; step++)
        c += 0.1 * 2 / (1 + exp(1.25 * (1 + 1.25 * c) * (1 + 1.25 * c))) * (1 + 1.25 * c);
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol(map[i], (i % 3 == 0) + c * uu[i], 1e-6);
    device_close(dev);
}
END_TEST

START_TEST(without_training) {
    const float x[] = {1, 2, 3, 4, 5, 6};
    const int64_t y[] = {1, 0, 0};
    const fewshot_set train = {x, y, 3}; /* a class of one row: none is left to ask about */
    float map[4], rows[] = {1, 2, -3, 4};
    hct_dev *dev = cpu();
    hct_err err = {0};
    recipe r = plain("adamw", "0.1");
    for (int n = 0; n < 2; n++) {
        ck_assert_int_eq(fewshot_map_train(dev, &r, &(fewshot_episodes){.n = n * 10, .shots = 5, .queries = 15}, &train,
                                           2, 0, map, &err),
                         HCT_OK);
        for (int i = 0; i < 4; i++) ck_assert(map[i] == (float)(i % 3 == 0));
    }
    const float turn[] = {0, 2, -1, 0};
    ck_assert_int_eq(fewshot_map_apply(dev, turn, 2, rows, 2, &err), HCT_OK);
    const float want[] = {4, -1, 8, 3};
    for (int i = 0; i < 4; i++) ck_assert(rows[i] == want[i]);
    device_close(dev);
}
END_TEST

enum { DIM = 12, EACH = 24, TEST = 400 };

static double normal(uint64_t i) {
    hct_philox p = hct_philox4x32(3, i, 0);
    return sqrt(-2 * log(hct_u01(p.v[0]) + 1e-12)) * cos(6.283185307179586 * hct_u01(p.v[1]));
}

/* Column 0 tells the classes apart, the others are louder and tell nothing. */
static void fill(float *x, int64_t *y, int8_t *label, size_t n, uint64_t at) {
    for (size_t i = 0; i < n; i++) {
        y[i] = (int64_t)(i % 2);
        label[i] = (int8_t)(i % 2);
        for (size_t k = 0; k < DIM; k++)
            x[i * DIM + k] =
                (float)(k ? 1.5 * normal((at + i) * DIM + k) : (i % 2 ? 0.5 : -0.5) + 0.4 * normal((at + i) * DIM));
    }
}

static double auc_of(const fewshot_set *train, const fewshot_set *test, const int8_t *label) {
    static double d[2 * TEST], score[TEST];
    hct_err err = {0};
    ranking rank;
    ck_assert_int_eq(fewshot_distances(train, test, DIM, 2, FEWSHOT_UN, d, NULL, &err), HCT_OK);
    for (int i = 0; i < TEST; i++) score[i] = d[2 * i] - d[2 * i + 1];
    ck_assert_int_eq(ranking_make(score, label, TEST, &rank, &err), HCT_OK);
    double v = ranking_auc(&rank, NULL);
    ranking_free(&rank);
    return v;
}

START_TEST(episodes_find_what_tells_classes_apart) {
    static float x[2 * EACH * DIM], q[TEST * DIM], map[DIM * DIM], again[DIM * DIM];
    static int64_t y[2 * EACH], unused[TEST];
    static int8_t label[TEST], none[2 * EACH];
    fill(x, y, none, 2 * EACH, 0);
    fill(q, unused, label, TEST, 1000);
    const fewshot_set train = {x, y, 2 * EACH}, test = {q, NULL, TEST};
    hct_dev *dev = cpu();
    hct_err err = {0};
    recipe r = plain("adamw", "1e-2");
    const fewshot_episodes e = {.n = 200, .shots = 5, .queries = 15};
    double before = auc_of(&train, &test, label);
    ck_assert_int_eq(fewshot_map_train(dev, &r, &e, &train, DIM, 7, map, &err), HCT_OK);
    ck_assert_int_eq(fewshot_map_train(dev, &r, &e, &train, DIM, 7, again, &err), HCT_OK);
    ck_assert_mem_eq(map, again, sizeof map);
    ck_assert_int_eq(fewshot_map_train(dev, &r, &e, &train, DIM, 8, again, &err), HCT_OK);
    ck_assert_mem_ne(map, again, sizeof map); /* other draws */
    ck_assert_int_eq(fewshot_map_apply(dev, map, DIM, x, 2 * EACH, &err), HCT_OK);
    ck_assert_int_eq(fewshot_map_apply(dev, map, DIM, q, TEST, &err), HCT_OK);
    double after = auc_of(&train, &test, label);
    printf("# AUC %.3f before, %.3f after 200 episodes\n", before, after);
    ck_assert_msg(after > before + 0.05, "%g, before %g", after, before);
    device_close(dev);
}
END_TEST

enum { SCANS = 30, TRAIN = 20, VALID = 4 };

START_TEST(draws_are_nested_and_from_training_alone) {
    static size_t scan[SCANS];
    static int8_t labels[2 * SCANS];
    char *tasks[] = {"a", "b"};
    for (size_t i = 0; i < SCANS; i++)
        scan[i] = i, labels[2 * i] = (int8_t)(i % 3 == 0), labels[2 * i + 1] = i % 5 ? (int8_t)(i % 2) : -1;
    const trial t = {.scan = scan,
                     .n = SCANS,
                     .n_train = TRAIN,
                     .n_valid = VALID,
                     .n_test = SCANS - TRAIN - VALID,
                     .said = {.n = SCANS, .n_tasks = 2, .task = tasks, .label = labels}};
    fewshot_draw d;
    hct_err err = {0};
    ck_assert_int_eq(fewshot_draw_new(&d, &t, 5, &err), HCT_OK);
    size_t four[8], other[8];
    int differ = 0;
    for (size_t task = 0; task < 2; task++) {
        fewshot_draw_task(&d, task);
        ck_assert(fewshot_draw_has_classes(&d));
        for (int64_t draw = 0; draw < 4; draw++) {
            fewshot_draw_choose(&d, draw, 4, 4);
            ck_assert_uint_eq(d.n_support, 8);
            memcpy(four, d.support, sizeof four);
            for (size_t i = 0; i < 8; i++) {
                ck_assert_uint_lt(four[i], TRAIN);
                ck_assert_int_eq(labels[2 * four[i] + task], i < 4);
                for (size_t k = 0; k < i; k++) ck_assert_uint_ne(four[i], four[k]);
            }
            fewshot_draw_choose(&d, draw, 2, 2);
            ck_assert(!memcmp(d.support, four, 2 * sizeof *four) && !memcmp(d.support + 2, four + 4, 2 * sizeof *four));
            if (draw) differ += memcmp(four, other, sizeof four) != 0;
            memcpy(other, four, sizeof four);
        }
    }
    ck_assert_int_ge(differ, 5);    /* of 6 */
    ck_assert_uint_eq(d.n_test, 5); /* task b: scan 25 is not known */
    for (size_t i = 0; i < d.n_test; i++)
        ck_assert(d.test[i] >= TRAIN + VALID && d.test_label[i] == labels[2 * d.test[i] + 1]);
    fewshot_draw_free(&d);
}
END_TEST

CHECK_MAIN("episodes", one_step_by_hand, without_training, episodes_find_what_tells_classes_apart,
           draws_are_nested_and_from_training_alone)
