/* A run's classifiers on another dataset: what they say of its scans, without those that the run learned from. */
#ifndef VALIDATION_OTHER_H
#define VALIDATION_OTHER_H

#include "validation/validation.h"

typedef struct other_cohort {
    char **id; /* [n], in order: the scans that are evaluated */
    size_t n, refused;
} other_cohort;

/* OUT/predictions.csv, which is resumed, and OUT/left_out.csv, where scans are left out; both are told of on `table`
 * (may be NULL) and stderr. HCT_EINVAL: no scan is left. Free *ret in any case. */
hct_status other_predict(const validation_options *o, const char *path, FILE *table, other_cohort *ret, hct_err *err);
/* Drops rows of earlier starts that are no scans of the cohort. */
hct_status other_keep(const other_cohort *c, predictions *p, hct_err *err);
void other_free(other_cohort *c);

#endif
