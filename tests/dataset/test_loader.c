/* dataset/loader.h: in order and equal for any number of threads, bounded, clean to stop, errors that name the scan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "dataset/loader.h"
#include "dataset/prepare.h"
#include "imaging/scan.h"
#include "make_nifti.h"
#include "scratch.h"

enum { SCANS = 5, SIZE = 12, ITEM = PAPER_WINDOWS * SIZE * SIZE * SIZE };

static int which;
static double level(int64_t voxel) { return 10 * which + (double)(voxel % 7); }

/* A dataset of SCANS small different scans, made once. */
static dataset *open_data(void) {
    static int made;
    hct_err err = {0};
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch_path("data"));
    if (!made++) {
        const char *inputs[SCANS];
        for (which = 0; which < SCANS; which++) {
            nifti_spec s = nifti_plain();
            char name[32];
            for (int a = 0; a < 3; a++) s.srow[a][a] = 25;
            s.value = level;
            snprintf(name, sizeof name, "scan%d.nii", which);
            inputs[which] = nifti_file(&s, name);
        }
        prepare_options o = {
            .inputs = inputs, .n_inputs = SCANS, .dataset = folder, .jobs = 2, .shard = 1, .shards = 1};
        prepare_result r;
        ck_assert_msg(prepare_dataset(&o, &r, &err) == HCT_OK, "%s", err.msg);
        ck_assert_uint_eq(r.prepared, SCANS);
        prepare_free(&r);
    }
    dataset *d = dataset_open(folder, &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    return d;
}

static loader_options options(int threads, size_t ahead, size_t cache) {
    return (loader_options){.input = input_cube(paper_windows, PAPER_WINDOWS, 192, SIZE),
                            .threads = threads,
                            .ahead = ahead,
                            .cache_bytes = cache};
}

START_TEST(delivers_in_order_whatever_the_threads) {
    static const size_t order[] = {3, 0, 4, 4, 1, 2, 0, 3};
    enum { N = sizeof order / sizeof *order };
    dataset *d = open_data();
    static float want[SCANS][ITEM], x[ITEM];
    const input_spec spec = input_cube(paper_windows, PAPER_WINDOWS, 192, SIZE);
    for (size_t i = 0; i < SCANS; i++) ck_assert_int_eq(dataset_input(d, i, &spec, want[i], NULL), HCT_OK);
    for (size_t i = 1; i < SCANS; i++) ck_assert_mem_ne(want[i], want[i - 1], sizeof want[i]);
    for (int threads = 1; threads <= 4; threads += threads)
        for (size_t cache = 0; cache <= 3; cache += 3) { /* 3 of the 5 scans fit */
            loader_options o = options(threads, threads == 2 ? 1 : 0, cache * sizeof x);
            loader *l = loader_new(d, &o, NULL);
            ck_assert_uint_eq(loader_item_bytes(l), sizeof x);
            size_t scan;
            ck_assert_int_eq(loader_next(l, x, &scan, NULL), 0); /* nothing started */
            for (int epoch = 0; epoch < 2; epoch++) {
                ck_assert_int_eq(loader_start(l, order, N, NULL), HCT_OK);
                for (size_t i = 0; i < N; i++) {
                    ck_assert_int_eq(loader_next(l, x, &scan, NULL), 1);
                    ck_assert_uint_eq(scan, order[i]);
                    ck_assert_mem_eq(x, want[scan], sizeof x);
                }
                ck_assert_int_eq(loader_next(l, x, &scan, NULL), 0);
            }
            loader_free(l);
        }
    dataset_close(d);
}
END_TEST

START_TEST(stops_and_starts_anew_in_the_middle) {
    static const size_t order[] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}, other[] = {4, 3};
    dataset *d = open_data();
    static float x[ITEM];
    for (int k = 0; k < 4; k++) {
        loader_options o = options(3, 4, 0);
        loader *l = loader_new(d, &o, NULL);
        size_t scan = 99;
        ck_assert_int_eq(loader_start(l, order, 10, NULL), HCT_OK);
        for (int i = 0; i < k; i++) ck_assert_int_eq(loader_next(l, x, &scan, NULL), 1);
        ck_assert_int_eq(loader_start(l, other, 2, NULL), HCT_OK);
        ck_assert_int_eq(loader_next(l, x, &scan, NULL), 1);
        ck_assert_uint_eq(scan, 4);
        loader_free(l); /* one left, others perhaps in work */
    }
    loader_free(NULL);
    dataset_close(d);
}
END_TEST

START_TEST(delivers_prepared_volumes) {
    dataset *d = open_data();
    loader_options o = {.threads = 2};
    loader *l = loader_new(d, &o, NULL);
    size_t order[] = {2}, bytes = (size_t)PREPARED_SIZE * PREPARED_SIZE * PREPARED_SIZE * 2;
    ck_assert_uint_eq(loader_item_bytes(l), bytes);
    int16_t *x = malloc(bytes);
    volume v;
    ck_assert_int_eq(loader_start(l, order, 1, NULL), HCT_OK);
    ck_assert_int_eq(loader_next(l, x, NULL, NULL), 1);
    ck_assert_int_eq(dataset_volume(d, 2, &v, NULL), HCT_OK);
    ck_assert_mem_eq(x, v.data, bytes);
    volume_free(&v);
    free(x);
    loader_free(l);
    dataset_close(d);
}
END_TEST

START_TEST(names_the_scan_that_fails_and_goes_on) {
    static const size_t order[] = {0, 1, 2};
    dataset *d = open_data();
    static float x[ITEM];
    char *kept = d->scans[1].file;
    d->scans[1].file = strdup("/nowhere.nii.gz");
    loader_options o = options(2, 0, 1u << 20);
    loader *l = loader_new(d, &o, NULL);
    hct_err err = {0};
    size_t scan;
    ck_assert_int_eq(loader_start(l, order, 3, NULL), HCT_OK);
    ck_assert_int_eq(loader_next(l, x, &scan, &err), 1);
    ck_assert_int_eq(loader_next(l, x, &scan, &err), HCT_ENOTFOUND);
    ck_assert_uint_eq(scan, 1);
    ck_assert_ptr_nonnull(strstr(err.msg, "scan1"));
    ck_assert_ptr_nonnull(strstr(err.msg, "/nowhere.nii.gz"));
    ck_assert_int_eq(loader_next(l, x, &scan, &err), 1);
    ck_assert_uint_eq(scan, 2);
    size_t far = SCANS;
    ck_assert_int_eq(loader_start(l, &far, 1, &err), HCT_EINVAL);
    loader_free(l);
    free(d->scans[1].file);
    d->scans[1].file = strdup(scratch_file("damaged.nii.gz", "\x1f\x8b no gzip data at all, but long enough", 40));
    volume v;
    ck_assert_int_eq(dataset_volume(d, 1, &v, &err), HCT_EFORMAT);
    ck_assert_ptr_nonnull(strstr(err.msg, "or remove it and run headct prepare again"));
    free(d->scans[1].file);
    d->scans[1].file = kept;
    dataset_close(d);
}
END_TEST

START_TEST(opens_only_datasets) {
    hct_err err = {0};
    ck_assert_ptr_null(dataset_open(scratch_folder(), &err));
    ck_assert_int_eq(err.code, HCT_ENOTFOUND);
    dataset *d = open_data();
    size_t *list, n;
    ck_assert_int_eq(dataset_split(d, "train", &list, &n, &err), HCT_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.msg, "headct split"));
    ck_assert_int_eq(dataset_split(d, "all", &list, &n, &err), HCT_OK);
    ck_assert_uint_eq(n, SCANS);
    free(list);
    dataset_close(d);
}
END_TEST

CHECK_MAIN("loader", delivers_in_order_whatever_the_threads, stops_and_starts_anew_in_the_middle,
           delivers_prepared_volumes, names_the_scan_that_fails_and_goes_on, opens_only_datasets)
