/* Which scans an epoch sees, in which order: a function of seed and epoch alone. */
#ifndef TRAINING_SAMPLER_H
#define TRAINING_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

/* order[n] becomes a shuffle of scans[n] (Fisher-Yates over Philox). */
void sampler_shuffle(uint64_t seed, uint64_t epoch, const size_t *scans, size_t n, size_t *order);

/* A balanced epoch: `count` draws, half from positives and half from negatives (alternately), each class walked
 * through its own shuffles without repeats until it is used up. label: 1 or 0 of each scan. Returns 0 where a class
 * is empty. */
int sampler_balanced(uint64_t seed, uint64_t epoch, const size_t *scans, const int8_t *label, size_t n, size_t count,
                     size_t *order);

/* The same with replacement: each draw takes either class by chance alone, then any of its scans. */
int sampler_replaced(uint64_t seed, uint64_t epoch, const size_t *scans, const int8_t *label, size_t n, size_t count,
                     size_t *order);

/* A balanced epoch over several tasks: draws 2i and 2i + 1 are a positive and a negative of task i % n_tasks. label:
 * [n, n_tasks], 1, 0, or -1 not known. Returns n_tasks, or the number of a task that has one class only. With one
 * task: sampler_balanced of what is known. */
size_t sampler_balanced_tasks(uint64_t seed, uint64_t epoch, const size_t *scans, const int8_t *label, size_t n,
                              size_t n_tasks, size_t count, size_t *order);

#endif
