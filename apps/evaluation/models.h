/* Tables of predictions of several models over the same scans, read from any number of files of three forms:
 *
 *   predictions.csv of one model (predictions.h); the model is named after the file, or after its folder
 *   wide:  scan,label,modelA,modelB        one column a model, one task, named after its label column; asked for
 *   long:  scan,model,task,prob[,label]    told by its columns; patient and split may be there, too */
#ifndef EVALUATION_MODELS_H
#define EVALUATION_MODELS_H

#include "evaluation/predictions.h"

typedef struct model_set {
    size_t n;
    char **name;
    predictions *of;
} model_set;

typedef struct models_format {
    bool in_columns;          /* the file is a wide one */
    const char *scan, *label; /* names of its columns; NULL: "scan", "label" */
} models_format;

/* Adds the models of a file. Errors name file, line and column: what predictions.h refuses, a wide table without its
 * columns, a model of a name that is there already. */
hct_status models_add(model_set *s, const char *path, const models_format *format, const char *split, hct_err *err);
void models_free(model_set *s);

/* Keeps the scans that all models have, in the first one's order, and brings all to that order and the first one's
 * tasks and labels. HCT_ENOTFOUND: no such scan, or a task that a model lacks. ret_before: scans of the first model. */
hct_status models_align(model_set *s, size_t *ret_before, hct_err *err);

/* Turns logits into probabilities. */
void predictions_from_logits(predictions *p);
/* HCT_EINVAL, with the scan and task, where a score is no probability. */
hct_status predictions_check_probabilities(const predictions *p, const char *path, hct_err *err);

#endif
