/* A dataset with a planted sign, for tests of training. */
#include "planted.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataset/prepare.h"
#include "evaluation/ranking.h"
#include "hct/philox.h"
#include "make_nifti.h"
#include "scratch.h"
#include "support/device.h"
#include "support/paths.h"

enum { SIDE = 28, LABELS_LINE = 64 }; /* 8 mm voxels */

static int scan_now;

static double uniform(int64_t what) { return hct_u01(hct_philox4x32(11, (uint64_t)scan_now, (uint64_t)what).v[0]); }

static double head(int64_t voxel) {
    double x[3] = {(double)(voxel % SIDE), (double)(voxel / SIDE % SIDE), (double)(voxel / SIDE / SIDE)}, head_r = 0,
           ball_r = 0;
    for (int a = 0; a < 3; a++) {
        double mm = 8 * (x[a] - (SIDE - 1) / 2.0), c = 40 * (uniform(a - 10) - 0.5);
        head_r += mm * mm;
        ball_r += (mm - c) * (mm - c);
    }
    if (head_r > 80 * 80) return -1000;
    return 35 + 8 * (uniform(voxel) - 0.5) + (scan_now % 2 && ball_r < 22 * 22 ? 40 : 0);
}

dataset *planted_data(size_t n) {
    static char folder[512];
    hct_err err = {0};
    if (!*folder) {
        char scans[512];
        const char *inputs[] = {scans};
        size_t room = (n + 1) * LABELS_LINE;
        char *labels = malloc(room);
        ck_assert(labels != NULL);
        size_t used = (size_t)snprintf(labels, room, "scan,patient,ball,half\n");
        snprintf(scans, sizeof scans, "%s", scratch_path("scans"));
        well(path_make_folders(scans, &err));
        for (scan_now = 0; scan_now < (int)n; scan_now++) {
            nifti_spec s = nifti_plain();
            char name[64];
            s.dim[1] = s.dim[2] = s.dim[3] = SIDE;
            for (int a = 0; a < 3; a++) s.srow[a][a] = 8;
            s.value = head;
            snprintf(name, sizeof name, "scans/s%03d.nii", scan_now);
            nifti_file(&s, name);
            used +=
                (size_t)snprintf(labels + used, room - used, "s%03d,p%03d,%d,%s\n", scan_now, scan_now, scan_now % 2,
                                 scan_now % 4 > 1 ? ""
                                 : scan_now % 2   ? "1"
                                                  : "0");
        }
        snprintf(folder, sizeof folder, "%s", scratch_path("data"));
        prepare_options o = {.inputs = inputs,
                             .n_inputs = 1,
                             .dataset = folder,
                             .labels = scratch_file("labels.csv", labels, used),
                             .jobs = 2,
                             .shard = 1,
                             .shards = 1};
        prepare_result r;
        hct_status st = prepare_dataset(&o, &r, &err);
        ck_assert_msg(st == HCT_OK && !r.n_refused, "%s %s", err.msg, r.n_refused ? r.refused[0].reason : "");
        ck_assert_uint_eq(r.prepared, n);
        prepare_free(&r);
        free(labels);
    }
    dataset *d = dataset_open(folder, &err);
    ck_assert_msg(d != NULL, "%s", err.msg);
    return d;
}

recipe planted_recipe(void) {
    recipe r = recipe_default();
    hct_err err = {0};
    const char *const keys[] = {"method=finetune",
                                "finetune.init=random",
                                "finetune.backbone_lr=2e-3",
                                "data.windows=40:80",
                                "data.crop=160",
                                "data.image=16",
                                "model.patch=4",
                                "model.width=24",
                                "model.depth=3",
                                "model.heads=2",
                                "model.mlp=48",
                                "optim.lr=1e-2",
                                "optim.scale_lr_by_batch=false",
                                "optim.batch=12",
                                "optim.accumulate=1",
                                "optim.epochs=8",
                                "optim.warmup_fraction=0.1",
                                "optim.weight_decay=0.01",
                                "optim.clip=1",
                                "optim.clip_mode=global",
                                "train.balanced=48",
                                "train.disk_cache=true"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) well(recipe_set(&r, keys[i], &err));
    well(recipe_check(&r, &err));
    return r;
}

bench bench_open(const recipe *r, size_t n, size_t n_train, size_t n_valid, const char *const *tasks, size_t n_tasks) {
    bench b = {.d = planted_data(n), .dev = device_open("cpu", NULL)};
    hct_err err = {0};
    size_t *scan = malloc(n * sizeof *scan);
    for (size_t i = 0; i < n; i++) scan[i] = i;
    ck_assert(b.dev != NULL && b.d->n == n);
    well(trial_of(b.d, (scan_list){scan, n_train}, (scan_list){scan + n_train, n_valid},
                  (scan_list){scan + n_train + n_valid, n - n_train - n_valid}, tasks, n_tasks, &b.t, &err));
    free(scan);
    well(finetune_open(r, b.dev, b.d, &b.base, &err));
    return b;
}

void bench_close(bench *b) {
    finetune_close(&b->base);
    trial_free(&b->t);
    device_close(b->dev);
    dataset_close(b->d);
}

double trial_auc(const trial *t, size_t first, size_t n) {
    ranking rank;
    ck_assert_int_eq(ranking_make(t->said.score + first * t->said.n_tasks, t->said.label + first * t->said.n_tasks, n,
                                  &rank, NULL),
                     HCT_OK);
    double v = ranking_auc(&rank, NULL);
    ranking_free(&rank);
    return v;
}
