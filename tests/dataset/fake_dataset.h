/* Datasets without volumes: an index of scans, for what reads no more than that. After check_main.h and
 * prepare_runs.h. */
#ifndef TESTS_DATASET_FAKE_DATASET_H
#define TESTS_DATASET_FAKE_DATASET_H

#include <stdio.h>

#include "dataset/index.h"

typedef struct fake_scan {
    char id[40], patient[40], source[80], sha256[65];
    int8_t labels[4];
} fake_scan;

/* n scans that fill(i) tells; labels named A, B, C, D. */
static inline void fake_dataset(const char *folder, int n, void (*fill)(int i, fake_scan *ret)) {
    dataset_index ix;
    hct_err err = {0};
    int64_t ids[4];
    static const char *const names[] = {"A", "B", "C", "D"};
    ck_assert_msg(index_open(&ix, folder, 1, &err) == HCT_OK, "%s", err.msg);
    ck_assert(index_label_ids(&ix, names, 4, ids, &err) == HCT_OK);
    index_exec(&ix, "PRAGMA synchronous=OFF", &err);
    for (int i = 0; i < n; i++) {
        fake_scan f = {.labels = {0}};
        snprintf(f.sha256, sizeof f.sha256, "%064d", i);
        fill(i, &f);
        char file[80];
        snprintf(file, sizeof file, "scans/%s.nii.gz", f.id);
        index_scan s = {.id = f.id,
                        .file = file,
                        .source = *f.source ? f.source : f.id,
                        .patient = f.patient,
                        .preprocessing = f.sha256,
                        .provenance = f.sha256,
                        .labels = f.labels,
                        .label_ids = ids,
                        .n_labels = 4};
        snprintf(s.state.sha256, sizeof s.state.sha256, "%s", f.sha256);
        ck_assert_msg(index_put_scan(&ix, &s, &err) == HCT_OK, "%s", err.msg);
    }
    index_close(&ix);
}

#endif
