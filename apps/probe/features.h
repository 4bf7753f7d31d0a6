/* What a probe is trained on: one row of floats a scan; for attentive probes all its tokens. */
#ifndef PROBE_FEATURES_H
#define PROBE_FEATURES_H

#include "dataset/dataset.h"
#include "models/weights.h"
#include "probe/embedded.h"
#include "recipe/recipe.h"

typedef struct features {
    size_t n, width, tokens; /* tokens of a row; 1: one vector */
    float *row;              /* [n, tokens, width] */
    hct_dev *dev;
    model_info info; /* of the encoder; for histograms and embeddings: of the recipe */
    params *p;       /* the encoder; NULL for histograms and embeddings */
} features;

/* Of scans[0..n): class tokens of probe.weights, of a random encoder of the same sizes, or voxel histograms; or
 * rows of `given`, which have one for each of these scans. Then info.parent is the SHA-256 of their file. */
hct_status features_of(const recipe *r, hct_dev *dev, const dataset *d, const embedded *given, const size_t *scans,
                       size_t n, FILE *progress, features *ret, hct_err *err);
void features_free(features *);

#endif
