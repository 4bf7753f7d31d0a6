/* fingerprint_rate PATIENTS SIZE: fingerprints of that many phantoms (tiny, small or full) and of the same scans once
 * more (tests/dataset/leak_phantoms.h): how far pairs are apart that are the same scan and that are not, the ROC over
 * thresholds, and the seconds that a fingerprint and a comparison take. */
#include <math.h>
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

/* One of two sizes of distances. */
typedef struct pair {
    fingerprint_apart d;
} pair;

static int by_shape(const void *a, const void *b) {
    double x = ((const pair *)a)->d.shape, y = ((const pair *)b)->d.shape;
    return x < y ? -1 : x > y;
}
static int by_detail(const void *a, const void *b) {
    double x = ((const pair *)a)->d.detail, y = ((const pair *)b)->d.detail;
    return x < y ? -1 : x > y;
}

static void show(const char *what, pair *d, size_t n) {
    printf("%-52s %8zu", what, n);
    qsort(d, n, sizeof *d, by_shape);
    printf("  %6.2f %6.2f %6.2f %6.2f", d[0].d.shape, d[n / 2].d.shape, d[n - 1 - n / 100].d.shape, d[n - 1].d.shape);
    qsort(d, n, sizeof *d, by_detail);
    printf("  %6.2f %6.2f %6.2f %6.2f\n", d[0].d.detail, d[n / 2].d.detail, d[n - 1 - n / 100].d.detail,
           d[n - 1].d.detail);
}

/* Pairs within both limits. */
static size_t within(const pair *d, size_t n, double shape, double detail) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) found += d[i].d.shape <= shape && d[i].d.detail >= detail;
    return found;
}

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    size_t n = argc == 3 ? (size_t)atoi(argv[1]) : 0;
    phantom_set set = phantom_usual;
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
         *other = calloc(n * n, sizeof *other);
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
    size_t n_same = 0, n_other = 0;
    printf("\n%-52s %8s  %-27s  %s\n%-52s %8s  %27s  %27s\n", "", "", "shape, HU", "detail", "pairs", "number",
           "least median    99%   most", "least median    99%   most");
    for (int k = PLANT_RESAVED; k < PLANTS; k++) {
        for (size_t i = 0; i < n; i++)
            copy[i].d = fingerprint_distance(&all[i], &again[(size_t)k * n + i], k == PLANT_MIRRORED);
        memcpy(same + n_same, copy, n * sizeof *copy);
        n_same += n;
        show(plant_words[k], copy, n);
    }
    double began = measure_now();
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            fingerprint_apart x = fingerprint_distance(&all[i], &all[j], false),
                              y = fingerprint_distance(&all[i], &all[j], true);
            other[n_other++].d = x.shape < y.shape ? x : y;
        }
    double plain = measure_now() - began;
    show("two patients, the nearer of as they are and mirrored", other, n_other);
    fingerprints *f = fingerprints_new(all, n);
    size_t found = 0;
    began = measure_now();
    for (size_t i = 0; f && i < n; i++)
        for (size_t j = 0; j < i; j++) {
            fingerprint_apart d;
            bool mirrored;
            found += fingerprints_same(f, i, j, &d, &mirrored);
        }
    double quick = measure_now() - began;
    fingerprints_free(f);
    static const double details[] = {-1, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8};
    for (double shape = FINGERPRINT_SHAPE - 2; shape <= FINGERPRINT_SHAPE + 4; shape += 2) {
        printf("\nshape within %.0f HU: detail from, found of the same, false of the others\n", shape);
        for (size_t k = 0; k < sizeof details / sizeof *details; k++)
            printf("%8.2f %12.3f%% %10zu\n", details[k],
                   100.0 * (double)within(same, n_same, shape, details[k]) / (double)n_same,
                   within(other, n_other, shape, details[k]));
    }
    printf("\na fingerprint %.4f s; a pair %.0f ns, with early ends %.0f ns; %zu found\n", took / (double)(n * PLANTS),
           plain / (double)n_other * 1e9, quick / (double)n_other * 1e9, found);
    return 0;
}
