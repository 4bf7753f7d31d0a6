/* A described model's tensors: made, initialised, read from files. */
#ifndef MODELS_BUILD_H
#define MODELS_BUILD_H

#include "models/weights.h"

/* Declares the tensors of a model (heads included) and initialises them; NULL and err on failure. */
params *model_new(hct_dev *dev, const model_info *info, uint64_t seed, hct_err *err);
/* A model made after info, with the tensors of f. Logs one line about matched, missing, unused and wrong-shape
 * keys, unless quiet. */
params *model_of_file(hct_dev *dev, const hct_st_file *f, const char *path, const model_info *info, int quiet,
                      hct_err *err);
/* model_of_file of a weights file; its description goes into *ret_info. */
params *model_open(hct_dev *dev, const char *path, model_info *ret_info, hct_err *err);

#endif
