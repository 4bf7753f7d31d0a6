/* Weights for others: plain safetensors, or a file of torch.save, under the paper's names; and a model card. */
#ifndef WEIGHTS_EXPORT_H
#define WEIGHTS_EXPORT_H

#include "hct/types.h"

typedef struct export_options {
    const char *weights, *out;
    int torch;        /* else safetensors */
    const char *card; /* Markdown to write; NULL: none */
    const char *run;  /* whose recipe.yaml, predictions.csv and metrics.csv the card quotes; NULL: the weights' folder */
} export_options;

/* The description goes along as the metadata "headct" (safetensors), or as the text "headct" beside "state_dict" (torch). */
hct_status export_run(const export_options *o, hct_err *err);

#endif
