/* Weights for others: plain safetensors, or a file of torch.save, under the paper's names; a graph in ONNX; and a model
 * card. */
#ifndef WEIGHTS_EXPORT_H
#define WEIGHTS_EXPORT_H

#include "hct/types.h"

typedef enum export_which { EXPORT_ALL, EXPORT_STUDENT, EXPORT_TEACHER } export_which;

typedef enum export_format { EXPORT_SAFETENSORS, EXPORT_TORCH, EXPORT_ONNX } export_format;

typedef struct export_options {
    const char *weights, *out;
    export_format format;
    int from_volume; /* of ONNX: takes prepared volumes, not ready inputs (weights/onnx_vit.h) */
    /* of a DINO checkpoint, whose encoder alone is written: the student's or the teacher's, its moving average
     * (EXPORT_ALL: that) */
    export_which which;
    const char *card; /* Markdown to write; NULL: none */
    /* whose files the card quotes (weights/card.h); NULL: the weights' folder, of a checkpoint the run's */
    const char *run;
} export_options;

/* Optimiser state stays behind, low-rank additions are merged (models/lora.h). The description goes along as the
 * metadata "headct" (safetensors), or as the text "headct" beside "state_dict" (torch); of a DINO checkpoint it is
 * that of an encoder. HCT_EINVAL: which of a file that holds one model. */
hct_status export_run(const export_options *o, hct_err *err);

#endif
