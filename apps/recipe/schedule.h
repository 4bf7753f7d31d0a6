/* Learning rate, weight decay, teacher momentum and temperature as functions of the step. Pure functions of doubles;
 * the formulas are those of the golden README. */
#ifndef RECIPE_SCHEDULE_H
#define RECIPE_SCHEDULE_H

#include <stdint.h>

typedef enum schedule_kind {
    SCHEDULE_COSINE,   /* from base to min along half a cosine */
    SCHEDULE_POLY,     /* (base - min) (1 - progress)^2 + min */
    SCHEDULE_CONSTANT, /* base */
} schedule_kind;

/* The learning rate of a run. progress = (step - warmup) / (total - warmup). */
typedef struct lr_schedule {
    schedule_kind kind;
    double base, min;      /* after warm-up, at the end */
    int64_t warmup, total; /* in optimiser steps */
} lr_schedule;

/* What optimiser step `step` (0 is the first) uses: base * step / warmup below warmup, so the first step of a run with
 * warm-up has 0; min is reached at step == total, after the last one. */
double schedule_lr(const lr_schedule *s, int64_t step);

/* stated * batch / 256, the linear scaling rule; batch counts all samples of one optimiser step. */
double schedule_scaled_lr(double stated, double batch);

/* Weight decay and teacher momentum: end + (start - end)/2 * (1 + cos(pi * step / total)). */
double schedule_cosine(double start, double end, int64_t step, int64_t total);

/* DINO's teacher temperature of an epoch: evenly spaced from start to end over the first `warmup` epochs, then end. */
double schedule_temperature(double start, double end, int64_t warmup, int64_t epoch);

#endif
