/* The optimiser that a recipe describes, and its groups. */
#ifndef TRAINING_OPTIMIZER_H
#define TRAINING_OPTIMIZER_H

#include "hct/optim.h"
#include "models/params.h"
#include "recipe/recipe.h"

/* An optimiser of the recipe's kind, without groups yet. */
hct_optim *optimizer_new(hct_dev *dev, const recipe *r, hct_err *err);
/* Whether weight decay acts on this tensor. */
int optimizer_decays(const recipe *r, const param *p);
/* A parameter of a group, with its copy where it has one. */
hct_status optimizer_add(hct_optim *, int group, const param *, hct_err *);
/* An optimiser over all trained tensors of p. Group 0 decays, group 1 does not (empty with optim.decay all). */
hct_optim *optimizer_of_recipe(hct_dev *dev, const recipe *r, const params *p, hct_err *err);
/* The rates of a step for both groups. */
hct_status optimizer_set_rates(hct_optim *o, double lr, double decay, hct_err *err);

#endif
