/* How far attention reaches before and after fine-tuning (the paper's Figure 4), and what each head looks at.
 *
 * For each scan OUT/attention_SCAN_PLANE.png: the attention distance of each patch, mean over heads and layers, in mm,
 * over the slice, a column a model, all in one scale; OUT/heads_SCAN_MODEL.png: what the class token gives to each
 * patch in the last layer, a tile a head, over the axial slice; and OUT/attention_distance.csv: scan, model, layer,
 * head, mean distance over patches in mm. */
#ifndef EXPLAIN_DISTANCES_H
#define EXPLAIN_DISTANCES_H

#include <stdio.h>

#include "hct/types.h"

typedef struct distances_options {
    const char *weights; /* before: the pre-trained encoder; NULL: none */
    const char *run;     /* after: RUN/weights.safetensors, or RUN/TASK/weights.safetensors of each task; NULL: none */
    const char *device, *out;
    const char **scans;
    size_t n_scans;
} distances_options;

/* said: a line a scan and model. *ret_refused: scans that could not be read, each logged with its reason. */
hct_status distances_run(const distances_options *o, FILE *said, size_t *ret_refused, hct_err *err);

#endif
