/* A model card in Markdown: sizes, input, hashes, what it was trained on and how it did, as far as the run's folder
 * and its dataset tell. */
#ifndef WEIGHTS_CARD_H
#define WEIGHTS_CARD_H

#include "models/weights.h"

typedef struct card {
    const char *path;    /* to write */
    const char *name;    /* of the file the card belongs to */
    const char *weights; /* where it comes from */
    const char *which;   /* "teacher", "student" of a DINO checkpoint; NULL: the file holds one model */
    /* folder: recipe.yaml, metrics.jsonl, metrics.csv, predictions.csv are quoted where they are */
    const char *run;
    const model_info *info;
    size_t tensors;
} card;

/* Data counts are those of the dataset that the run's recipe names, where it is at hand and its training scans are
 * those of the weights (SHA-256 of both); else of the run's predictions. */
hct_status card_write(const card *c, hct_err *err);

#endif
