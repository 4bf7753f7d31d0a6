/* One series of each study, where no more are wanted: the thinnest, the thickest, or the softest kernel's. */
#ifndef DATASET_ONE_PER_STUDY_H
#define DATASET_ONE_PER_STUDY_H

#include "dataset/index_found.h"

typedef enum study_choice { STUDY_ALL, STUDY_THIN, STUDY_THICK, STUDY_SOFT } study_choice;
/* "thin", "thick", "soft"; false: none of them. */
bool study_choice_find(const char *word, study_choice *ret);
const char *study_choice_word(study_choice c);

typedef struct study_pick study_pick;

/* Judges all units and chooses. NULL and err on failure. */
study_pick *study_pick_new(found *f, const found_unit *units, size_t n, const series_filters *filters, study_choice how,
                           hct_err *err);
/* p may be NULL. */
void study_pick_free(study_pick *p);
/* Adds a refusal to the verdict of a kept series that was not chosen; id: its own. p may be NULL. */
hct_status study_pick_apply(const study_pick *p, const char *id, verdict *v, hct_err *err);

#endif
