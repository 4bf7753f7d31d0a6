/* The comparisons of golden.h themselves: what is off, NaN, or of another length fails. They print TAP of their own, so
 * each runs in a child with its output thrown away. */
#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "golden.h"
#include "tap.h"

static const golden_case dummy = {.family = "family", .name = "name"};

static bool passes(const double *got, size_t n_got, const double *want, size_t n_want, golden_tol tol) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout)) _exit(2);
        _exit(!golden_check_f64(&dummy, "x", got, n_got, want, n_want, tol));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define ROW(...)                                                                                                       \
    (const double[]) { __VA_ARGS__ }

int main(void) {
    const golden_tol abs = {1e-3, 0, -1}, rel = {-1, 1e-3, -1}, l2 = {-1, -1, 1e-3}, exact = {0, 0, -1};
    tap_ok(passes(ROW(1, 2), 2, ROW(1, 2), 2, exact), "equal passes");
    tap_ok(!passes(ROW(1, 2), 2, ROW(1, 2.0000001), 2, exact), "exact means exact");
    tap_ok(passes(ROW(1, 2.0009), 2, ROW(1, 2), 2, abs) && !passes(ROW(1, 2.0011), 2, ROW(1, 2), 2, abs), "abs limit");
    tap_ok(passes(ROW(1, 200.1), 2, ROW(1, 200), 2, rel) && !passes(ROW(1.1, 200), 2, ROW(1, 200), 2, rel),
           "rel limit");
    tap_ok(passes(ROW(1, 1000.5), 2, ROW(1, 1000), 2, l2) && !passes(ROW(1, 1002), 2, ROW(1, 1000), 2, l2),
           "rel_l2 limit");
    tap_ok(!passes(ROW(1, NAN), 2, ROW(1, 2), 2, abs) && !passes(ROW(1, NAN), 2, ROW(1, 2), 2, l2), "NaN fails");
    tap_ok(!passes(ROW(1, 2), 2, ROW(1, NAN), 2, abs) && !passes(ROW(1, 2), 2, ROW(1, NAN), 2, l2), "NaN wanted fails");
    tap_ok(passes(ROW(NAN), 1, ROW(NAN), 1, exact), "NaN for NaN passes");
    tap_ok(!passes(ROW(INFINITY), 1, ROW(1), 1, l2) && !passes(ROW(INFINITY), 1, ROW(1), 1, abs), "infinity fails");
    tap_ok(!passes(ROW(1, 1), 2, ROW(0, 0), 2, l2), "anything for zero fails rel_l2");
    tap_ok(!passes(ROW(1, 2), 2, ROW(1, 2, 3), 3, abs) && !passes(NULL, 0, ROW(1), 1, abs), "another length fails");
    cJSON *json = cJSON_Parse(
        "{\"a\": {\"lo2.5\": \"nan\", \"hi\": \"-inf\", \"n\": 0.5, \"t\": \"text\"}, \"list\": [1, \"inf\"]}");
    tap_ok(golden_number(json, "a.n") == 0.5 && golden_number(json, "list.1") == INFINITY &&
               golden_number(json, "a.hi") == -INFINITY,
           "numbers and infinities of a JSON");
    tap_ok(isnan(golden_value(cJSON_GetObjectItem(golden_item(json, "a"), "lo2.5"))) &&
               isnan(golden_number(json, "a.t")) && isnan(golden_number(json, "b.n")) && isnan(golden_value(NULL)),
           "text, \"nan\" and what is not there are NaN");
    cJSON_Delete(json);
    return tap_done();
}
