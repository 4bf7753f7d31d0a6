/* The part of a recipe that a weights file decides. */
#ifndef RUN_RECIPE_ENCODER_H
#define RUN_RECIPE_ENCODER_H

#include "recipe/recipe.h"

/* Windows, crop, size and kind of the weights' encoder, and its sizes, become the recipe's, so that its text and
 * hash say what ran. HCT_EINVAL names a key that the recipe gives and the file contradicts. */
hct_status recipe_take_weights(recipe *r, const char *weights, hct_err *err);
/* The same of the weights that the recipe begins with, where it names some. */
hct_status recipe_take_encoder(recipe *r, hct_err *err);

#endif
