/* ProtoNet's training by episodes (Snell et al. 2017, arXiv 1703.05175) on frozen features, two ways.
 *
 * What is learned is a linear map W [dim, dim] of the features, the identity at first, so that no episodes give
 * ProtoNet on the features as they are. An episode draws S supports and Q queries of each class without repeats.
 * With p_c the mean of W x over the supports of class c,
 *
 *   loss = mean over the 2 Q queries of -log softmax_c(-|W x - p_c|^2)[class of x]
 *
 * Optimiser, rate, schedule and clipping are the recipe's, one episode a step, without weight decay (which would
 * pull W from the identity to 0). */
#ifndef FEWSHOT_FEWSHOT_EPISODES_H
#define FEWSHOT_FEWSHOT_EPISODES_H

#include "evaluation/fewshot.h"
#include "hct/hct.h"
#include "recipe/recipe.h"

typedef struct fewshot_episodes {
    int64_t n;              /* 0: W stays the identity */
    int64_t shots, queries; /* S and Q; lowered, S to half of the smaller class, Q to what is left of it */
} fewshot_episodes;

/* train: classes 0 and 1. map: [dim, dim]. A function of r->seed, stream and the arguments. Classes of a single row:
 * the identity. HCT_EINVAL: the loss is not finite. */
hct_status fewshot_map_train(hct_dev *, const recipe *r, const fewshot_episodes *, const fewshot_set *train, size_t dim,
                             uint64_t stream, float *map, hct_err *);
/* x [n, dim] becomes W x, row by row. */
hct_status fewshot_map_apply(hct_dev *, const float *map, size_t dim, float *x, size_t n, hct_err *);

#endif
