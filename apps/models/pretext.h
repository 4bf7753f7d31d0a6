/* Pretext tasks: what pre-training adds to an encoder (MAE's decoder, DINO's head and teacher). A kind is a row of
 * the table in pretext.c. Its training step is pretrain/method.h's; here stands what a weights file must know to be
 * read. */
#ifndef MODELS_PRETEXT_H
#define MODELS_PRETEXT_H

#include "models/encoder.h"

enum { PRETEXT_OWN = 192 };

typedef struct pretext_kind pretext_kind;

typedef struct pretext {
    const pretext_kind *kind;       /* NULL: none */
    unsigned char own[PRETEXT_OWN]; /* the kind's own struct; only its file looks inside, by memcpy */
} pretext;

struct pretext_kind {
    const char *name;          /* as files and recipes say it */
    const model_field *fields; /* of its own struct */
    size_t size;               /* of that struct, at most PRETEXT_OWN */
    hct_status (*check)(const pretext *, const encoder *, hct_err *);
    /* What the task wants of its encoder where no key says it; NULL: nothing. */
    void (*adjust)(encoder *);
    /* Declares the encoder's tensors, under their plain names, and its own. */
    void (*declare)(params *, const pretext *, const encoder *);
    /* After the first values were drawn; NULL: nothing more. */
    hct_status (*begin)(params *, hct_err *);
    /* Sizes as tensors have them; what no shape tells stays as it is in *io. NULL: all are told by names that
     * params_load compares. */
    hct_status (*sizes)(const hct_st_entry *sorted, size_t n, const char *path, const encoder *, pretext *io,
                        hct_err *);
    const char *const *untold; /* fields that no shape tells; ends with NULL */
    /* The same two as an encoder_kind's. */
    int (*recognises)(const hct_st_entry *sorted, size_t n);
    hct_status (*presume)(const hct_st_entry *sorted, size_t n, const char *path, pretext *io, hct_err *err);
    /* Of a task that trains two encoders, a student and a teacher: the plain name of one of the student's (or else the
     * teacher's) tensors; NULL: it is none of that encoder's. NULL: there is one encoder, under plain names. */
    const char *(*plain_name)(const char *name, int student);
};

/* The table, ended by NULL. */
extern const pretext_kind *const pretext_kinds[];
/* NULL: there is none of that name. */
const pretext_kind *pretext_find(const char *name);
/* Ranges of its fields, and what must fit together. */
hct_status pretext_check(const pretext *, const encoder *, hct_err *);

#endif
