/* The paired permutation test of two models (Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses):
 * under the null hypothesis a case's two scores may be exchanged. It needs no distribution and no large n; scores of
 * both models must be on one scale, such as probabilities (delong.h compares ranks alone). */
#ifndef EVALUATION_PERMUTATION_H
#define EVALUATION_PERMUTATION_H

#include "evaluation/resample.h"

/* Two-sided: p = (1 + #{|d| >= |observed|}) / (1 + count), d = AUC(a) - AUC(b) after the exchange. */
typedef struct comparison {
    double difference, p; /* NaN where a class is missing */
    size_t at_least;      /* permutations whose difference is as large */
} comparison;

/* a and b hold the same cases, tasks and labels; scores of a case are exchanged between the models, all its tasks
 * together, so that the mean over tasks has a test of its own. threads 0: one a CPU. */
hct_status paired_permutation(const score_table *a, const score_table *b, const resampler *r, int threads,
                              comparison *ret_tasks, comparison *ret_macro, hct_err *err);

/* Whether the AUC inside a group of cases differs from that of the rest: cases change sides at random, positives and
 * negatives each among themselves, so that both sides keep their numbers of either. inside: [n], of the table's rows;
 * task: its column. difference: AUC(inside) - AUC(rest). */
hct_status group_permutation(const score_table *t, size_t task, const uint8_t *inside, size_t permutations,
                             uint64_t seed, int threads, comparison *ret, hct_err *err);

#endif
