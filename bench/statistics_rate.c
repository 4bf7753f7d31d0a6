/* Seconds of the statistics of a table: statistics_rate FILE ROWS TASKS DRAWS THREADS. FILE: float64 scores of model a,
 * of model b, then int8 labels, each [ROWS, TASKS]. Prints what bench/statistics compares. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "evaluation/statistics.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: statistics_rate FILE ROWS TASKS DRAWS THREADS\n"), 2;
    size_t rows = strtoul(argv[2], NULL, 10), tasks = strtoul(argv[3], NULL, 10), draws = strtoul(argv[4], NULL, 10),
           n = rows * tasks;
    double *a = malloc(n * sizeof *a + 1), *b = malloc(n * sizeof *b + 1);
    int8_t *y = malloc(n + 1);
    FILE *f = fopen(argv[1], "rb");
    if (!a || !b || !y || !f || fread(a, sizeof *a, n, f) != n || fread(b, sizeof *b, n, f) != n ||
        fread(y, 1, n, f) != n)
        return fprintf(stderr, "%s: cannot be read\n", argv[1]), 1;
    fclose(f);
    score_table first = {rows, tasks, a, y}, second = {rows, tasks, b, y};
    metric_intervals *each = calloc(tasks + 1, sizeof *each);
    comparison *tests = calloc(tasks + 1, sizeof *tests);
    resampler r = bootstrap_resampler(draws, 1), coins = permutation_resampler(draws, 1);
    bootstrap_options o = {.draws = &r, .level = 0.95, .threads = atoi(argv[5])};
    hct_err err = {0};
    double start = now();
    if (!each || !tests || bootstrap(&first, &o, each, &each[tasks], &err) < 0)
        return fprintf(stderr, "%s\n", err.msg), 1;
    double middle = now();
    if (paired_permutation(&first, &second, &coins, o.threads, tests, &tests[tasks], &err) < 0)
        return fprintf(stderr, "%s\n", err.msg), 1;
    printf("bootstrap %.4f permutation %.4f auc %.15g ap %.15g low %.6f high %.6f difference %.15g p %.6f\n",
           middle - start, now() - middle, each[0].auc.value, each[0].average_precision.value, each[tasks].auc.low,
           each[tasks].auc.high, tests[0].difference, tests[tasks].p);
    free(a), free(b), free(y), free(each), free(tests);
    return 0;
}
