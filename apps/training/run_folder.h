/* A run's folder: made, and given its recipe. */
#ifndef TRAINING_RUN_FOLDER_H
#define TRAINING_RUN_FOLDER_H

#include "training/recipe.h"

/* Makes RUN (and RUN/sub, where sub is not NULL) and writes RUN/recipe.yaml. */
hct_status run_folder_open(const char *run, const char *sub, const recipe *r, hct_err *err);

#endif
