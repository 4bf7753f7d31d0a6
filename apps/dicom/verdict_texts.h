/* The checks of a verdict that look at words: kernel, whitelist, contrast, body part. */
#ifndef DICOM_VERDICT_TEXTS_H
#define DICOM_VERDICT_TEXTS_H

#include "dicom/verdict.h"

typedef struct text_checks {
    struct {
        verdict_reason reason;
        char sentence[240];
    } of[8];
    size_t n;
} text_checks;

/* Each refuses. In the order of the reasons. */
void verdict_texts(const pile_file *files, const series *s, const series_filters *f, text_checks *ret);

#endif
