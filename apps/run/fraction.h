/* A share of a split's patients, for scaling studies: data.fraction. */
#ifndef RUN_FRACTION_H
#define RUN_FRACTION_H

#include "dataset/dataset.h"
#include "recipe/recipe.h"

/* Keeps of scans[0..*n) those of the first ceil(fraction * patients) patients, or of the first `most` where that is not
 * 0, in the order of the scans; HCT_EINVAL where there are fewer. Patients stand in an order that depends on seed and
 * their names alone (SHA-256), so that with one seed a smaller share lies within a larger one. */
hct_status fraction_of_patients(const dataset *d, double fraction, int64_t most, int64_t seed, size_t *scans, size_t *n,
                                hct_err *err);

/* What a recipe learns from: data.fraction or data.patients of the split data.train, as dataset_split gives it, drawn
 * by data.seed, or by seed where that is -1. */
hct_status training_split(const dataset *d, const recipe *, size_t **ret, size_t *ret_n, hct_err *err);

#endif
