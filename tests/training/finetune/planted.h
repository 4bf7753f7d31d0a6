/* Heads with a planted ball, made and prepared once, and what the tests of fine-tuning start from. */
#ifndef TESTS_TRAINING_PLANTED_H
#define TESTS_TRAINING_PLANTED_H

#include "finetune/finetune.h"

#define well(call) ck_assert_msg((call) == HCT_OK, "%s", err.msg)

/* n heads of 35 HU with noise, 8 mm voxels; every second one has a ball of 75 HU, 22 mm in radius, somewhere in it.
 * Label ball: of all scans; half: the same, of two scans in four. One n a program. */
dataset *planted_data(size_t n);
/* Fine-tuning from random weights, small enough for seconds. */
recipe planted_recipe(void);

/* The first n_train scans to train, the next n_valid to choose, the rest to test. */
typedef struct bench {
    dataset *d;
    hct_dev *dev;
    finetune_base base;
    trial t;
} bench;

bench bench_open(const recipe *r, size_t n, size_t n_train, size_t n_valid, const char *const *tasks, size_t n_tasks);
void bench_close(bench *b);
/* Of rows [first, first + n) and the first task. */
double trial_auc(const trial *t, size_t first, size_t n);

#endif
