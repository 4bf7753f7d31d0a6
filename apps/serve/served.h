/* The model that a server holds: loaded once, replaced as a whole while others still use the one before.
 *
 *   served_model *m = served_open(&what, &err);
 *   served_run(m, paths, n, &answer, &err);            one caller at a time
 *   served_release(m); */
#ifndef SERVE_SERVED_H
#define SERVE_SERVED_H

#include "inference/thresholds.h"
#include "support/text.h"

typedef struct served_what {
    const char *weights, *run, *device; /* one of weights and run */
    run_precision precision;
    const char *name; /* what clients call it */
} served_what;

typedef struct served_model {
    served_what what;
    hct_dev *dev;
    thresholds chosen; /* of a run that has some */
    classifiers set;   /* of a classifier; else n = 0 and */
    params *p;         /* an encoder */
    embedder alone;
    char weights[MODEL_HASH];
    int64_t width;
    int n_tasks;
    int users; /* whoever opened it, and jobs at work; under the server's lock */
} served_model;

/* What became of one request's files. */
typedef struct served_answer {
    text_buffer results; /* JSON objects with commas between */
    text_buffer refused;
    size_t n_results, n_refused;
} served_answer;

typedef enum served_kind { SERVED_PREDICT, SERVED_EMBED } served_kind;
typedef struct served_ask {
    served_kind kind;
    bool view;            /* predictions: with the slices, for the page */
    char map[MODEL_NAME]; /* with a view: the task whose map lies over them; "" none */
} served_ask;

/* HCT_EINVAL: an encoder over studies, or what classifiers_open refuses. */
served_model *served_open(const served_what *what, hct_err *err);
void served_close(served_model *m);
/* Runs every scan that the files hold, each in a batch of its own: what `headct predict` of it alone gives, to the bit.
 * folder: is cut from reasons. Scans that cannot be read are refused in the answer; errors are the server's own. */
hct_status served_run(served_model *m, const served_ask *ask, const char *const *paths, size_t n, const char *folder,
                      served_answer *ret, hct_err *err);
void served_answer_free(served_answer *a);

#endif
