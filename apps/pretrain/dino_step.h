/* DINO as a method of pre-training: crops of int16 cubes, a student and its teacher. */
#ifndef PRETRAIN_DINO_STEP_H
#define PRETRAIN_DINO_STEP_H

#include "pretrain/method.h"

extern const method method_dino;

/* Its health values, in this order. Entropy: mean over the teacher's distributions, nats: log K where all prototypes
 * are alike, 0 where one takes all. Feature deviation: of the teacher's embeddings, each of length 1, over scans and
 * views, times sqrt(width): near 1 they are well spread, 0 is collapse. */
enum { DINO_ENTROPY, DINO_FEATURE_STD, DINO_HEALTH };

#endif
