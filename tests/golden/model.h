/* What the vit and mae programs share: a device, weights from a case's file or its recipe, and gradients compared by
 * name. */
#ifndef TESTS_GOLDEN_MODEL_H
#define TESTS_GOLDEN_MODEL_H

#include "golden.h"
#include "models/params.h"

/* Opens the CPU device (env HEADCT_DEVICE otherwise); exits with a failed result where that cannot be. */
hct_dev *model_device(void);
void model_device_close(hct_dev *);
/* Loads all tensors of f into p; a failed result where one is missing, unused or of another shape. */
bool model_load(const golden_case *, params *, const hct_st_file *f);
/* The golden README's weights by recipe, position tables left as they are. */
bool model_fill(const golden_case *, params *, const char *prefix);
/* One recipe value of `kind` "input" etc.: f of element i of key. */
double model_recipe_unit(const char *prefix, const char *key, int64_t i);
/* A tensor of the file on the device, widened to F32. */
hct_tensor *model_tensor(hct_dev *, const hct_st_file *, const char *name);
/* A value as float32, freed by the caller. */
float *model_read(hct_tape *, hct_id, size_t *ret_n);
/* Runs an eager or a compiled program tape; a failed result on error. */
bool model_run(const golden_case *, hct_tape *);
/* Whether element i of tensor `name` is rounding noise: the key third of a qkv bias. */
bool model_is_noise(const char *name, int64_t i, int64_t n);
/* A parameter's name as the files have it, into out; NULL where they are the same. */
typedef void (*model_rename)(const char *name, char *out, size_t n);
/* Each "grad.NAME" of f against the gradient of NAME (noise left out), with what in front of the names. */
void model_check_gradients(const golden_case *, const hct_st_file *f, hct_tape *, params *, const char *what,
                           model_rename);
/* A weight after a step, where f has it: all but noise within 2e-5, stray elements whose gradient is about eps
 * excepted (README). */
void model_check_weight(const golden_case *, const hct_st_file *f, const char *key, const param *, double lr);
/* The same of all weights. */
void model_check_weights(const golden_case *, const hct_st_file *f, const char *prefix, const params *, double lr,
                         model_rename);
/* The L2 norm of each gradient against a JSON object { name: number | {fp32, fp64} }, relative 1e-3. */
void model_check_gradient_norms(const golden_case *, const cJSON *norms, hct_tape *, params *, const char *what);

#endif
