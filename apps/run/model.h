/* The model that a recipe describes. */
#ifndef RUN_MODEL_H
#define RUN_MODEL_H

#include "models/weights.h"
#include "recipe/recipe.h"

/* Sizes, input and heads; hashes of recipe and preprocessing are filled in. */
hct_status model_of_recipe(const recipe *r, model_info *ret, hct_err *err);
/* After model_new: computes in the recipe's precision, blocks again for their gradients where it says so; the
 * optimiser (made after that) writes the copies. */
hct_status model_precision(params *, const recipe *, hct_err *);

#endif
