/* Requests that wait for the model: a bounded queue and one thread that works it off (a forward pass uses all cores by
 * itself). Whoever submits waits for its own answer.
 *
 *   jobs_start(&q, capacity, model, &err);
 *   jobs_do(&q, &ask, paths, n, folder, &answer, &hash, &err);     HCT_EINTERRUPTED: the server ends
 *   jobs_replace(&q, other_model);                                           jobs at work keep the one they have
 *   jobs_stop(&q);                                                           does what is queued, then ends */
#ifndef SERVE_JOBS_H
#define SERVE_JOBS_H

#include <pthread.h>
#include <stdbool.h>

#include "serve/served.h"

struct job;

typedef struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t more, done;
    pthread_t worker;
    struct job *first, **last;
    size_t waiting, capacity, reserved;
    bool ending;
    served_model *model;
    double seconds; /* that jobs took, in all */
    size_t n_done;
} jobs;

hct_status jobs_start(jobs *q, size_t capacity, served_model *model, hct_err *err);
/* A place for a request whose files are still on their way; false: all are taken. Give it back by jobs_leave. */
bool jobs_enter(jobs *q);
void jobs_leave(jobs *q);
/* Waits until it is done. ret_weights: the hash of the model that answered. */
hct_status jobs_do(jobs *q, const served_ask *ask, const char *const *paths, size_t n, const char *folder,
                   served_answer *ret, char ret_weights[MODEL_HASH], hct_err *err);
/* The model at hand, for what it is called and can do; give it back. */
served_model *jobs_model(jobs *q);
void jobs_model_done(jobs *q, served_model *m);
void jobs_replace(jobs *q, served_model *m);
/* Places taken, the longest queue allowed, a rough time until a place is free (seconds, 1 at least). */
void jobs_load(jobs *q, size_t *ret_taken, size_t *ret_capacity, int *ret_seconds);
/* That jobs took so far, in all. */
double jobs_seconds(jobs *q);
void jobs_stop(jobs *q);

#endif
