/* What of a classifier is trained, and how fast: the encoder's and the heads' rates as groups of the optimiser,
 * decayed from layer to layer.
 *
 * Layer 0 is everything before the blocks, layer i + 1 is block i, layer depth + 1 the last norm and the heads. A
 * tensor of layer l is trained at
 *
 *   lr_heads:    optim.lr * schedule                                         heads
 *   lr_encoder:  finetune.backbone_lr * layer_decay^(depth + 1 - l) * schedule     all else (backbone_lr 0: optim.lr)
 *
 * (Bao et al. 2022, BEiT, count layers so). */
#ifndef FINETUNE_TUNING_H
#define FINETUNE_TUNING_H

#include "hct/optim.h"
#include "models/params.h"
#include "models/weights.h"
#include "recipe/recipe.h"

typedef struct tuning {
    hct_optim *optim;
    int groups;
    double factor[HCT_OPTIM_GROUPS]; /* times the schedule's rate, optim.lr's */
    int decays[HCT_OPTIM_GROUPS];
} tuning;

/* Marks what finetune.backbone leaves alone as not trained. Running statistics never are. */
void tuning_freeze(const recipe *r, params *p);
/* Layer of a tensor by its name. */
int64_t tuning_layer(const char *name, int64_t depth);
/* The group factor of a tensor. */
double tuning_factor(const recipe *r, const char *name, int64_t depth);
/* Groups of equal factor and decay over everything that is trained. HCT_EINVAL: more groups than the optimiser has. */
hct_status tuning_open(tuning *, hct_dev *, const recipe *, const params *, int64_t depth, hct_err *);
void tuning_close(tuning *);
/* The rates of one step: lr as the schedule gives it. */
hct_status tuning_set_rates(tuning *, double lr, double decay, hct_err *);

#endif
