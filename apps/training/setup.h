/* From a recipe to what the runtime needs: device, model sizes, optimiser with its groups. */
#ifndef TRAINING_SETUP_H
#define TRAINING_SETUP_H

#include "hct/optim.h"
#include "models/weights.h"
#include "training/recipe.h"

/* spec as hct_device_open takes it; "auto" and "" leave the choice to $HEADCT_DEVICE, else cpu. Closes with
 * device_close, registry included. */
hct_dev *device_open(const char *spec, hct_err *err);
void device_close(hct_dev *dev);

/* The model that a recipe describes; hashes of recipe and preprocessing are filled in. */
hct_status model_of_recipe(const recipe *r, model_info *ret, hct_err *err);
/* Declares the tensors of a model (heads included) and initialises them; NULL and err on failure. */
params *model_new(hct_dev *dev, const model_info *info, uint64_t seed, hct_err *err);
/* After model_new: computes in the recipe's precision, blocks again for their gradients where it says so; the
 * optimiser (made after that) writes the copies. */
hct_status model_precision(params *, const recipe *, hct_err *);
/* A model made after info, with the tensors of f. Prints one line about matched, missing, unused and wrong-shape
 * keys, unless quiet. */
params *model_of_file(hct_dev *dev, const hct_st_file *f, const char *path, const model_info *info, int quiet,
                      hct_err *err);
/* model_of_file of a weights file; its description goes into *ret_info. */
params *model_open(hct_dev *dev, const char *path, model_info *ret_info, hct_err *err);

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
