/* The queue in front of the model. */
#include "serve/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "support/measure.h"

struct job {
    struct job *next;
    const served_ask *ask;
    const char *const *paths;
    size_t n;
    const char *folder;
    served_answer *answer;
    char *weights;
    hct_status status;
    hct_err *err;
    bool finished;
};

/* Under the lock. */
static void drop(jobs *q, served_model *m) {
    if (--m->users) return;
    pthread_mutex_unlock(&q->lock);
    served_close(m);
    pthread_mutex_lock(&q->lock);
}

static void *work(void *context) {
    jobs *q = context;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (!q->first && !q->ending) pthread_cond_wait(&q->more, &q->lock);
        struct job *j = q->first;
        if (!j) break;
        q->first = j->next;
        if (!q->first) q->last = &q->first;
        served_model *m = q->model;
        m->users++;
        pthread_mutex_unlock(&q->lock);
        double begun = measure_now();
        j->status = served_run(m, j->ask, j->paths, j->n, j->folder, j->answer, j->err);
        memcpy(j->weights, m->weights, MODEL_HASH);
        double took = measure_now() - begun;
        pthread_mutex_lock(&q->lock);
        q->seconds += took;
        q->n_done++;
        drop(q, m);
        j->finished = true;
        pthread_cond_broadcast(&q->done);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

hct_status jobs_start(jobs *q, size_t capacity, served_model *model, hct_err *err) {
    *q = (jobs){.capacity = capacity, .model = model};
    q->last = &q->first;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->more, NULL);
    pthread_cond_init(&q->done, NULL);
    return pthread_create(&q->worker, NULL, work, q) ? hct_fail(err, HCT_EIO, "starting a thread failed") : HCT_OK;
}

bool jobs_enter(jobs *q) {
    pthread_mutex_lock(&q->lock);
    bool free_place = q->reserved < q->capacity;
    q->reserved += free_place;
    pthread_mutex_unlock(&q->lock);
    return free_place;
}

void jobs_leave(jobs *q) {
    pthread_mutex_lock(&q->lock);
    q->reserved--;
    pthread_mutex_unlock(&q->lock);
}

hct_status jobs_do(jobs *q, const served_ask *ask, const char *const *paths, size_t n, const char *folder,
                   served_answer *ret, char ret_weights[MODEL_HASH], hct_err *err) {
    struct job j = {
        .ask = ask, .paths = paths, .n = n, .folder = folder, .answer = ret, .weights = ret_weights, .err = err};
    *ret = (served_answer){0};
    *ret_weights = '\0';
    pthread_mutex_lock(&q->lock);
    if (q->ending) {
        pthread_mutex_unlock(&q->lock);
        return hct_fail(err, HCT_EINTERRUPTED, "the server ends");
    }
    *q->last = &j;
    q->last = &j.next;
    q->waiting++;
    pthread_cond_signal(&q->more);
    while (!j.finished) pthread_cond_wait(&q->done, &q->lock);
    q->waiting--;
    pthread_mutex_unlock(&q->lock);
    return j.status;
}

served_model *jobs_model(jobs *q) {
    pthread_mutex_lock(&q->lock);
    served_model *m = q->model;
    m->users++;
    pthread_mutex_unlock(&q->lock);
    return m;
}

void jobs_model_done(jobs *q, served_model *m) {
    pthread_mutex_lock(&q->lock);
    drop(q, m);
    pthread_mutex_unlock(&q->lock);
}

void jobs_replace(jobs *q, served_model *m) {
    pthread_mutex_lock(&q->lock);
    served_model *before = q->model;
    q->model = m;
    drop(q, before);
    pthread_mutex_unlock(&q->lock);
}

void jobs_load(jobs *q, size_t *ret_taken, size_t *ret_capacity, int *ret_seconds) {
    pthread_mutex_lock(&q->lock);
    *ret_taken = q->reserved;
    *ret_capacity = q->capacity;
    double each = q->n_done ? q->seconds / (double)q->n_done : 1, wait = each * (double)(q->waiting + 1) / 2;
    *ret_seconds = wait < 1 ? 1 : wait > 600 ? 600 : (int)wait;
    pthread_mutex_unlock(&q->lock);
}

double jobs_seconds(jobs *q) {
    pthread_mutex_lock(&q->lock);
    double seconds = q->seconds;
    pthread_mutex_unlock(&q->lock);
    return seconds;
}

void jobs_stop(jobs *q) {
    pthread_mutex_lock(&q->lock);
    q->ending = true;
    pthread_cond_broadcast(&q->more);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->worker, NULL);
    pthread_mutex_lock(&q->lock);
    drop(q, q->model);
    pthread_mutex_unlock(&q->lock);
    pthread_cond_destroy(&q->more);
    pthread_cond_destroy(&q->done);
    pthread_mutex_destroy(&q->lock);
}
