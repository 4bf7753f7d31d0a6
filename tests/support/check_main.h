/* main of a Check program with one suite: lists its tests and runs them (TAP through the environment, see
 * tests/meson.build).
 *
 *   CHECK_MAIN("io", writes, replaces, discards)
 */
#ifndef TESTS_SUPPORT_CHECK_MAIN_H
#define TESTS_SUPPORT_CHECK_MAIN_H

#include <check.h>

#define CHECK_MAIN(name, ...)                                                                                          \
    int main(void) {                                                                                                   \
        const TTest *tests[] = {__VA_ARGS__};                                                                          \
        Suite *suite = suite_create(name);                                                                             \
        TCase *tcase = tcase_create(name);                                                                             \
        tcase_set_timeout(tcase, 0);                                                                                   \
        suite_add_tcase(suite, tcase);                                                                                 \
        for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tcase, tests[i]);                   \
        SRunner *runner = srunner_create(suite);                                                                       \
        srunner_run_all(runner, CK_ENV);                                                                               \
        int failed = srunner_ntests_failed(runner);                                                                    \
        srunner_free(runner);                                                                                          \
        return failed != 0;                                                                                            \
    }

#endif
