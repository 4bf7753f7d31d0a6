/* Memory, work and time of a pre-training recipe, without running it: what headct plan prints. */
#ifndef PLANNING_PLAN_H
#define PLANNING_PLAN_H

#include <stdio.h>

#include "planning/cards.h"
#include "recipe/recipe.h"

/* Times are estimated from the rate of matrix products measured now, so they are lower bounds. Steps are counted where
 * the recipe names a dataset. HCT_EINVAL: the recipe does not pre-train. */
/* card: also what a step would take on it, by a model (cards.h); NULL: not. */
hct_status plan_print(const recipe *r, const card *card, FILE *out, hct_err *err);

#endif
