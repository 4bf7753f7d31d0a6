/* Watches over ranks: one that waits for a rank that is gone ends with a message. */
#include "job.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BEATS = 4, SECONDS = 20 }; /* beats within the time allowed */

static struct {
    MPI_Comm comm;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int rank, ranks, stop, running;
    double patience; /* s */
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Sleeps for `seconds`, or less where it is to stop; whether it is. */
static int rest(double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    double at = (double)until.tv_sec + 1e-9 * (double)until.tv_nsec + seconds;
    until.tv_sec = (time_t)at;
    until.tv_nsec = (long)((at - (double)until.tv_sec) * 1e9);
    pthread_mutex_lock(&w.lock);
    if (!w.stop) pthread_cond_timedwait(&w.wake, &w.lock, &until);
    int stop = w.stop;
    pthread_mutex_unlock(&w.lock);
    return stop;
}

static void *watch(void *arg) {
    static const char life = 1; /* MPI may read it after the call */
    (void)arg;
    int next = (w.rank + 1) % w.ranks, previous = (w.rank + w.ranks - 1) % w.ranks;
    double heard = now(), slept = heard;
    while (!rest(w.patience / BEATS)) {
        char beat;
        int there = 1;
        MPI_Request r;
        /* it was this process that slept: the neighbour gets its time again */
        if (now() - slept > w.patience / 2) heard = now();
        slept = now();
        /* one byte: it leaves at once, whether or not anyone takes it */
        MPI_Isend(&life, 1, MPI_CHAR, next, 0, w.comm, &r);
        MPI_Request_free(&r);
        while (MPI_Iprobe(previous, 0, w.comm, &there, MPI_STATUS_IGNORE) == MPI_SUCCESS && there) {
            MPI_Recv(&beat, 1, MPI_CHAR, previous, 0, w.comm, MPI_STATUS_IGNORE);
            heard = now();
        }
        if (now() - heard < w.patience) continue;
        fprintf(
            stderr,
            "headct: rank %d of %d has given no sign of life for %.0f s; the job ends. Look at that rank's machine\n",
            previous, w.ranks, now() - heard);
        fflush(stderr);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return NULL;
}

int watch_start(int rank, int ranks) {
    const char *text = getenv("HEADCT_RANK_TIMEOUT");
    double asked = text ? strtod(text, NULL) : 0;
    w.rank = rank;
    w.ranks = ranks;
    w.patience = asked > 0 ? asked : SECONDS;
    if (MPI_Comm_dup(MPI_COMM_WORLD, &w.comm) != MPI_SUCCESS) return 0;
    return w.running = pthread_create(&w.thread, NULL, watch, NULL) == 0;
}

void watch_stop(void) {
    if (!w.running) return;
    pthread_mutex_lock(&w.lock);
    w.stop = 1;
    pthread_cond_signal(&w.wake);
    pthread_mutex_unlock(&w.lock);
    pthread_join(w.thread, NULL);
    w.running = 0;
}
