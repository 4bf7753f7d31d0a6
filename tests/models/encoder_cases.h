/* What make_encoders.py and the tests of encoders share: tensors by formula, and its cases. */
#ifndef ENCODER_CASES_H
#define ENCODER_CASES_H

#include <cjson/cJSON.h>

#include "models/weights.h"

/* n numbers in [0, 1) that follow from a name. */
void case_unit(const char *name, size_t n, double *ret);
/* A tensor by its name and shape. */
void case_value(const char *name, int ndim, const int64_t *dim, float *ret);
/* Every tensor of p by its name. */
void case_fill(params *p);
/* The input of a case, [B, C, D0, D1, D2]: values of -0.5 to 0.5. */
float *case_input(const int64_t dim[5]);

/* A case's file; the caller's to delete. Fails the test where it cannot be read. */
cJSON *case_read(const char *folder, const char *name);
/* The encoder that a case describes, its sizes and its input's. */
encoder case_encoder(const cJSON *c, int64_t ret_dim[5]);

#endif
