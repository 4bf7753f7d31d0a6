/* Where in a scan a model looks, and what its answer rests on: one map a method over the model's input.
 *
 *   class      what the class token gives to each patch in the last layer, mean over heads
 *   rollout    attention rollout over all layers (attention.h)
 *   gradient   attention times its gradient for the task, positive part, mean over heads, added up over layers (Chefer
 *              et al. 2021, doi 10.1109/ICCV48922.2021.00045, for one kind of attention)
 *   input      |gradient x input|, summed over channels: of each voxel
 *   occlusion  how far the task's logit falls where a cell is black in all windows: of a patch's size; a check on the
 *              others that asks for nothing but the answer
 *   distance   how far each patch's attention reaches, in mm, mean over heads and layers (attention.h)
 *
 * class, rollout and distance need an encoder with attention whose embedding is the class token; the others a
 * classifier. */
#ifndef EXPLAIN_SALIENCY_H
#define EXPLAIN_SALIENCY_H

#include "inference/model_file.h"

typedef enum saliency_method {
    SALIENCY_CLASS,
    SALIENCY_ROLLOUT,
    SALIENCY_GRADIENT,
    SALIENCY_INPUT,
    SALIENCY_OCCLUSION,
    SALIENCY_DISTANCE,
    SALIENCY_METHODS
} saliency_method;

extern const char *const saliency_names[SALIENCY_METHODS];
/* -1: there is none of that name. */
int saliency_find(const char *name);

typedef struct saliency_map {
    int64_t dim[3]; /* along D0, D1, D2 of the model's input (imaging/input_spec.h) */
    double *value;  /* C order; freed by the caller */
} saliency_map;

typedef struct saliency saliency;

/* task: a classifier's, by name; NULL for methods that need none. HCT_EINVAL says what the model lacks for a method. */
saliency *saliency_new(hct_dev *dev, params *p, const model_info *info, const char *task, hct_err *err);
void saliency_free(saliency *s);
/* Which methods this model and task allow. */
int saliency_allows(const saliency *s, saliency_method m);
/* input: input_floats(). probability: of the task; NaN without one. tell may be NULL: cells done of all (occlusion);
 * not 0 stops it: HCT_EINTERRUPTED. */
hct_status saliency_run(saliency *s, const float *input, saliency_method m,
                        int (*tell)(void *context, int64_t done, int64_t of), void *context, saliency_map *ret,
                        double *ret_probability, hct_err *err);

/* Attention itself, of models that allow SALIENCY_CLASS (HCT_EINVAL). Of one scan: what the class token gives in the
 * last layer, [heads, cells]; how far attention reaches in mm, [layers, heads, cells]. cells: along D0, D1, D2. The
 * caller frees both. */
typedef struct saliency_heads {
    int64_t layers, heads, cells[3];
    double *of_class, *distance;
} saliency_heads;
hct_status saliency_read_heads(saliency *s, const float *input, saliency_heads *ret, hct_err *err);

#endif
