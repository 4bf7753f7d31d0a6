/* The model that a recipe describes. */
#ifndef RUN_MODEL_H
#define RUN_MODEL_H

#include "models/weights.h"
#include "recipe/recipe.h"

/* Encoder, input and heads; hashes of recipe and preprocessing are filled in. pretext: what pre-training adds, with
 * its sizes by the recipe's keys; NULL: a classifier. HCT_ENOTFOUND: no kind of encoder of that name; HCT_EINVAL:
 * sizes that do not fit together, by key. */
hct_status model_of_recipe(const recipe *r, const pretext_kind *pretext, model_info *ret, hct_err *err);
/* The recipe's input: windows, crop and size. */
input_spec input_of_recipe(const recipe *r);
/* After model_new: computes in the recipe's precision, blocks again for their gradients where it says so; the
 * optimiser (made after that) writes the copies. */
hct_status model_precision(params *, const recipe *, hct_err *);

#endif
