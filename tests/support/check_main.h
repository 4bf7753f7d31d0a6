/* main of a Check program with one suite: lists its tests and runs them (TAP through the environment, see
 * tests/meson.build).
 *
 *   CHECK_MAIN("io", writes, replaces, discards)
 *
 * and where main has more to do first:
 *
 *   int main(int argc, char **argv) {
 *       ...
 *       return CHECK_RUN("abi", loads, refuses);
 *   }
 */
#ifndef TESTS_SUPPORT_CHECK_MAIN_H
#define TESTS_SUPPORT_CHECK_MAIN_H

#include <check.h>

static inline int check_run(const char *name, const TTest *const *tests, size_t n) {
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 0);
    suite_add_tcase(suite, tcase);
    for (size_t i = 0; i < n; i++) tcase_add_test(tcase, tests[i]);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

/* The program's exit status. */
#define CHECK_RUN(name, ...)                                                                                           \
    check_run(name, (const TTest *const[]){__VA_ARGS__},                                                               \
              sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(const TTest *))
#define CHECK_MAIN(name, ...)                                                                                          \
    int main(void) { return CHECK_RUN(name, __VA_ARGS__); }

#endif
