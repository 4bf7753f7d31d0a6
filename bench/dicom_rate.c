/* Our side of bench/dicom.
 *   dicom_rate walk FOLDER                     headers of a tree of files: how many, and how many a second
 *   dicom_rate prepare FOLDER OUT.nii REPEATS  the first series that makes a volume, from its folder to the prepared
 *                                              volume in memory: seconds of each, the last written out; peak memory */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "dicom/pile.h"
#include "dicom/prepare.h"
#include "imaging/nifti.h"
#include "training/measure.h"

static int walk(const char *folder) {
    hct_err err = {0};
    pile_counts counts;
    pile_options o = {.inputs = &folder, .n_inputs = 1};
    double began = measure_now();
    if (pile_walk(&o, &counts, &err) < 0) {
        fprintf(stderr, "dicom_rate: %s\n", err.msg);
        return 1;
    }
    double seconds = measure_now() - began;
    printf("%llu DICOM files, %.3f s, %.0f files/s\n", (unsigned long long)counts.of[PILE_DICOM], seconds,
           (double)counts.of[PILE_DICOM] / seconds);
    return 0;
}

static hct_status first_volume(const char *folder, volume *ret, prepared_series *info, hct_err *err) {
    pile p;
    series_list l = {0};
    series_filters f;
    hct_status s = pile_read(&folder, 1, &p, err);
    if (s < 0) return s;
    s = filters_read("none", &f, err);
    if (s == HCT_OK) s = series_group(p.files, p.n, &l, err);
    int made = 0;
    for (size_t i = 0; i < l.n && s == HCT_OK && !made; i++) {
        verdict v;
        s = verdict_of(&l.items[i], p.files, &f, verdict_equal, p.files, &v, err);
        if (s == HCT_OK && !v.refusal) {
            prepare_series_options o = {0};
            s = prepare_series(p.files, &l.items[i], &f, &o, ret, info, &v, err);
            made = s == HCT_OK;
        }
        if (s == HCT_OK || made) verdict_free(&v);
    }
    if (s == HCT_OK && !made) s = hct_fail(err, HCT_ENOTFOUND, "%s: no series that makes a volume", folder);
    series_list_free(&l);
    filters_free(&f);
    pile_free(&p);
    return s;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "walk")) return walk(argv[2]);
    int repeats = argc == 5 && !strcmp(argv[1], "prepare") ? atoi(argv[4]) : 0;
    if (repeats < 1) {
        fputs("usage: dicom_rate walk FOLDER | prepare FOLDER OUT.nii REPEATS\n", stderr);
        return 2;
    }
    hct_err err = {0};
    volume v = {0};
    prepared_series info;
    struct rusage used;
    hct_status s = HCT_OK;
    printf("seconds");
    for (int i = 0; i < repeats && s == HCT_OK; i++) {
        volume_free(&v);
        double began = measure_now();
        s = first_volume(argv[2], &v, &info, &err);
        if (s == HCT_OK) printf(" %.6f", measure_now() - began);
    }
    getrusage(RUSAGE_SELF, &used);
    printf("\npeak %ld MiB\n", used.ru_maxrss >> 10);
    if (s == HCT_OK) s = nifti_write(argv[3], &v, 1, &err);
    volume_free(&v);
    if (s < 0) fprintf(stderr, "dicom_rate: %s\n", err.msg);
    return s < 0;
}
