/* One job over a range, shared by threads. */
#include "support/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/parallel.h"

typedef struct crew {
    workers_fn fn;
    void *context;
    int64_t n;
    int jobs;
    atomic_llong next;
    atomic_int stop;
    pthread_mutex_t lock; /* guards the two below */
    int64_t failed;       /* the lowest item that failed, n where none */
    hct_err why;
} crew;

static void *work(void *arg) {
    crew *c = arg;
    if (c->jobs > 1) parallel_limit(1);
    for (int64_t i; !atomic_load(&c->stop) && (i = atomic_fetch_add(&c->next, 1)) < c->n;) {
        hct_err why = {0};
        if (c->fn(c->context, i, &why) >= 0) continue;
        pthread_mutex_lock(&c->lock);
        if (i < c->failed) {
            c->failed = i;
            c->why = why;
        }
        pthread_mutex_unlock(&c->lock);
        atomic_store(&c->stop, 1);
    }
    return NULL;
}

int workers_default(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

hct_status workers_run(int jobs, int64_t n, workers_fn fn, void *context, hct_err *err) {
    if (jobs <= 0) jobs = workers_default();
    if (jobs > n) jobs = n > 0 ? (int)n : 1;
    crew c = {.fn = fn, .context = context, .n = n, .jobs = jobs, .failed = n};
    pthread_mutex_init(&c.lock, NULL);
    pthread_t *threads = calloc((size_t)jobs, sizeof *threads);
    int started = 0;
    if (threads && jobs > 1)
        while (started < jobs && pthread_create(&threads[started], NULL, work, &c) == 0) started++;
    if (started == 0) {
        c.jobs = 1;
        work(&c);
    }
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    free(threads);
    pthread_mutex_destroy(&c.lock);
    if (c.failed == n) return HCT_OK;
    return hct_fail(err, c.why.code, "%s", c.why.msg);
}
