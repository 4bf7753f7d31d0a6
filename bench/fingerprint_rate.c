/* fingerprint_rate PATIENTS SIZE: fingerprints of that many phantoms (tiny, small or full) and of the same scans once
 * more (tests/dataset/leak_phantoms.h): how far pairs are apart that are the same scan and that are not, the ROC over
 * the limits that decide, and the seconds that a fingerprint and a comparison take. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/fingerprint.h"
#include "imaging/scan.h"
#include "leak_phantoms.h"
#include "support/measure.h"

static double took;

static hct_status print_of(volume *v, fingerprint *ret, hct_err *err) {
    hct_status s = scan_prepare(v, 0, err);
    double began = measure_now();
    if (s == HCT_OK) s = fingerprint_of(v, ret, err);
    took += measure_now() - began;
    volume_free(v);
    return s;
}

typedef struct pair {
    fingerprint_apart d;
} pair;

/* Numbers of a pair: what finds it, and what decides. */
static double number_of(const pair *p, int which) {
    return which == 0 ? p->d.shape : which == 1 ? -p->d.detail : which == 2 ? p->d.difference : p->d.half;
}
static int which_number;
static int by_number(const void *a, const void *b) {
    double x = number_of(a, which_number), y = number_of(b, which_number);
    return x < y ? -1 : x > y;
}

/* Median and worst of each number of pairs that are the same scan; for others the best. */
static void show(const char *what, pair *d, size_t n, bool same) {
    printf("%-58s %7zu", what, n);
    for (which_number = 0; which_number < 4 && n; which_number++) {
        qsort(d, n, sizeof *d, by_number);
        double middle = number_of(&d[n / 2], which_number), end = number_of(&d[same ? n - 1 : 0], which_number);
        printf("  %6.2f %6.2f", fabs(middle), fabs(end));
    }
    printf("\n");
}

/* Pairs within both limits, of those that are looked at. */
static size_t within(const pair *d, size_t n, double difference, double half) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += fingerprint_may_be_same(&d[i].d) && d[i].d.difference <= difference && d[i].d.half <= half;
    return found;
}

static fingerprint_apart apart(const fingerprint *a, const fingerprint *b, bool mirrored) {
    fingerprint_apart d = fingerprint_distance(&a->quick, &b->quick, mirrored);
    if (fingerprint_may_be_same(&d)) fingerprint_look(&a->close, &b->close, mirrored, &d);
    return d;
}

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    size_t n = argc == 3 ? (size_t)atoi(argv[1]) : 0;
    phantom_set set = phantom_usual;
    set.plain = 1;
    set.seed = 11;
    set.size = argc == 3 && !strcmp(argv[2], "full")   ? PHANTOM_FULL
               : argc == 3 && !strcmp(argv[2], "tiny") ? PHANTOM_TINY
                                                       : PHANTOM_SMALL;
    if (n < 2) {
        fputs("usage: fingerprint_rate PATIENTS tiny|small|full\n", stderr);
        return 2;
    }
    fingerprint *all = calloc(n, sizeof *all), *again = calloc(n * PLANTS, sizeof *again);
    pair *same = calloc(n * PLANTS, sizeof *same), *copy = calloc(n * PLANTS, sizeof *copy),
         *other = calloc(n * n, sizeof *other); /* each both ways */
    hct_status s = all && again && same && copy && other ? HCT_OK : HCT_ENOMEM;
    for (size_t i = 0; i < n && s == HCT_OK; i++) {
        volume v = {0};
        s = leak_original(&set, i, &v, &err);
        if (s == HCT_OK) s = print_of(&v, &all[i], &err);
        for (int k = PLANT_RESAVED; k < PLANTS && s == HCT_OK; k++) {
            s = leak_again(&set, i, (plant_kind)k, &v, &err);
            if (s == HCT_OK) s = print_of(&v, &again[(size_t)k * n + i], &err);
        }
        if (i % 10 == 9) fprintf(stderr, "\r%zu", i + 1);
    }
    if (s < 0) {
        fprintf(stderr, "fingerprint_rate: %s\n", err.msg);
        return 1;
    }
    size_t n_same = 0, n_other = 0, looked = 0;
    printf("\n%-58s %7s  %-13s  %-13s  %-13s  %-13s\n%-58s %7s  median, %s of each\n", "", "", "shape, HU", "detail",
           "difference", "half, HU", "pairs", "number", "worst (two patients: nearest)");
    for (int k = PLANT_RESAVED; k < PLANTS; k++) {
        for (size_t i = 0; i < n; i++) copy[i].d = apart(&all[i], &again[(size_t)k * n + i], k == PLANT_MIRRORED);
        memcpy(same + n_same, copy, n * sizeof *copy);
        n_same += n;
        show(plant_words[k], copy, n, true);
    }
    fingerprint_quick *quick = malloc(n * sizeof *quick);
    for (size_t i = 0; quick && i < n; i++) quick[i] = all[i].quick;
    fingerprints *f = quick ? fingerprints_new(quick, n) : NULL;
    double began = measure_now(), close = 0;
    for (size_t i = 0; f && i < n; i++)
        for (size_t j = 0; j < i; j++)
            for (int m = 0; m < 2; m++) {
                fingerprint_apart d;
                if (!fingerprints_may_be_same(f, i, j, m, &d)) continue;
                double from = measure_now();
                fingerprint_look(&all[i].close, &all[j].close, m, &d);
                close += measure_now() - from;
                other[looked++].d = d;
            }
    double seconds = measure_now() - began - close;
    fingerprints_free(f);
    free(quick);
    n_other = n * (n - 1) / 2;
    show("two patients, of those looked at", other, looked, false);
    static const double halves[] = {0.8, 1.0, 1.3, 1.6, 2.0, 3.0};
    for (double most = 6; most <= 16; most += 2) {
        printf("\ndifference within %.0f HU: half within, found of the same, false of %zu\n", most, n_other);
        for (size_t k = 0; k < sizeof halves / sizeof *halves; k++)
            printf("%8.2f %12.3f%% %10zu\n", halves[k],
                   100.0 * (double)within(same, n_same, most, halves[k]) / (double)n_same,
                   within(other, looked, most, halves[k]));
    }
    printf("\na fingerprint %.4f s; a pair, both ways, %.0f ns; a closer look %.4f s, at %zu of %zu pairs\n",
           took / (double)(n * PLANTS), seconds / (double)n_other * 1e9, looked ? close / (double)looked : 0, looked,
           n_other);
    return 0;
}
