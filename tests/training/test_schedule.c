/* Schedules at their ends and turning points; the golden suite has every step. */
#include <math.h>

#include "check_main.h"
#include "recipe/schedule.h"

START_TEST(learning_rate) {
    lr_schedule s = {SCHEDULE_COSINE, 1, 0.001, 10, 110};
    ck_assert_double_eq(schedule_lr(&s, 0), 0);
    ck_assert_double_eq(schedule_lr(&s, 5), 0.5);
    ck_assert_double_eq(schedule_lr(&s, 10), 1);
    ck_assert_double_eq_tol(schedule_lr(&s, 60), (1 + 0.001) / 2, 1e-15);
    ck_assert_double_eq_tol(schedule_lr(&s, 110), 0.001, 1e-15);
    for (int i = 11; i <= 110; i++) ck_assert_double_lt(schedule_lr(&s, i), schedule_lr(&s, i - 1));
    s.kind = SCHEDULE_POLY;
    ck_assert_double_eq_tol(schedule_lr(&s, 60), 0.999 / 4 + 0.001, 1e-15);
    s.kind = SCHEDULE_CONSTANT;
    ck_assert_double_eq(schedule_lr(&s, 109), 1);
    s.warmup = 0;
    ck_assert_double_eq(schedule_lr(&s, 0), 1);
    s = (lr_schedule){SCHEDULE_COSINE, 1, 0.001, 4, 4}; /* nothing but warm-up */
    ck_assert_double_eq(schedule_lr(&s, 3), 0.75);
    ck_assert_double_eq(schedule_lr(&s, 4), 1);
}
END_TEST

START_TEST(others) {
    ck_assert_double_eq(schedule_scaled_lr(0.5, 64), 0.125);
    ck_assert_double_eq_tol(schedule_cosine(0.04, 0.4, 0, 10), 0.04, 1e-15);
    ck_assert_double_eq_tol(schedule_cosine(0.04, 0.4, 5, 10), 0.22, 1e-15);
    ck_assert_double_eq_tol(schedule_cosine(0.04, 0.4, 10, 10), 0.4, 1e-15);
    ck_assert_double_eq(schedule_temperature(0.04, 0.07, 30, 0), 0.04);
    ck_assert_double_eq_tol(schedule_temperature(0.04, 0.07, 31, 15), 0.055, 1e-15);
    ck_assert_double_eq(schedule_temperature(0.04, 0.07, 30, 30), 0.07);
    ck_assert_double_eq(schedule_temperature(0.04, 0.07, 1, 0), 0.04);
    ck_assert_double_eq(schedule_temperature(0.04, 0.07, 0, 0), 0.07);
}
END_TEST

CHECK_MAIN("schedule", learning_rate, others)
