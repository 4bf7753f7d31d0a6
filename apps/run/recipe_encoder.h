/* The part of a recipe that a weights file decides. */
#ifndef RUN_RECIPE_ENCODER_H
#define RUN_RECIPE_ENCODER_H

#include "recipe/recipe.h"

/* Where a probe's or fine-tuning's recipe names weights, their windows, crop and sizes become the recipe's, so that
 * its text and hash say what ran. HCT_EINVAL names a key that the recipe gives and the file contradicts. */
hct_status recipe_take_encoder(recipe *r, hct_err *err);

#endif
