/* What of a classifier is trained, and how fast: the encoder's and the heads' rates as groups of the optimiser,
 * which fall from layer to layer.
 *
 * Layers are counted as Bao et al. 2022 (BEiT) do, from 0 (what stands before the first) to L + 1 (what stands
 * behind the last, and the heads): encoder_kind.layer_of. A tensor of layer l is trained at
 *
 *   heads:    optim.lr * schedule
 *   encoder:  finetune.backbone_lr * layer_decay^(L + 1 - l) * schedule     (backbone_lr 0: optim.lr) */
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
/* The group factor of a tensor. */
double tuning_factor(const recipe *r, const char *name, const encoder *e);
/* Groups of equal factor and decay over everything that is trained. HCT_EINVAL: more groups than the optimiser has. */
hct_status tuning_open(tuning *, hct_dev *, const recipe *, const params *, const encoder *, hct_err *);
void tuning_close(tuning *);
/* The rates of one step: lr as the schedule gives it. */
hct_status tuning_set_rates(tuning *, double lr, double decay, hct_err *);

#endif
