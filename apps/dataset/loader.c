/* Threads that read scans into a ring of slots, in order. */
#include "dataset/loader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/parallel.h"
#include "imaging/scan.h"
#include "support/workers.h"

/* A ring of `ahead` slots: position p of the sequence lives in slot p % ahead.
 *
 *     delivered          issued                     n
 *   -----|------------------|------------------------|
 *        ready or in work      not yet begun; issued < delivered + ahead
 */
typedef struct slot {
    char *bytes;
    int ready;
    hct_err err; /* code HCT_OK where bytes hold the item */
} slot;

struct loader {
    const dataset *d;
    loader_options o;
    size_t item;
    pthread_t *threads;
    int started;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work, done;
    int stop;
    size_t *sequence, n, issued, delivered, busy;
    slot *slots;
    char **cache; /* [d->n]; an entry is never changed once set */
    size_t cached;
};

static hct_status read_item(const loader *l, size_t scan, char *out, hct_err *err) {
    const loader_options *o = &l->o;
    if (o->input.n_windows > 0)
        return (o->disk_cache ? dataset_input_cached : dataset_input)(l->d, scan, &o->input, (float *)(void *)out, err);
    return (o->disk_cache ? dataset_cube_cached : dataset_cube)(l->d, scan, o->cube.region, o->cube.edge,
                                                                (int16_t *)(void *)out, err);
}

/* Fills a slot, from the cache or from disk. Called and left with the lock held. */
static void fill(loader *l, slot *slot, size_t scan) {
    const char *kept = l->cache ? l->cache[scan] : NULL;
    int keep = l->cache && !kept && l->cached + l->item <= l->o.cache_bytes;
    if (keep) l->cached += l->item; /* taken now, so that threads together stay below the limit */
    pthread_mutex_unlock(&l->lock);
    hct_err why = {0}, named = {0};
    char *copy = NULL;
    hct_status s = HCT_OK;
    if (kept) memcpy(slot->bytes, kept, l->item);
    else s = read_item(l, scan, slot->bytes, &why);
    if (s < 0) hct_fail(&named, s, "scan '%s': %.900s", l->d->scans[scan].id, why.msg);
    if (keep && s == HCT_OK && (copy = malloc(l->item))) memcpy(copy, slot->bytes, l->item);
    pthread_mutex_lock(&l->lock);
    slot->err = named;
    if (keep && copy && !l->cache[scan]) {
        l->cache[scan] = copy;
    } else if (keep) {
        l->cached -= l->item;
        free(copy);
    }
}

static void *work(void *arg) {
    loader *l = arg;
    parallel_limit(1);
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (l->issued >= l->n || l->issued >= l->delivered + l->o.ahead) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        size_t at = l->issued++;
        slot *slot = &l->slots[at % l->o.ahead];
        l->busy++;
        fill(l, slot, l->sequence[at]);
        slot->ready = 1;
        l->busy--;
        pthread_cond_broadcast(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

size_t loader_options_item(const loader_options *o) {
    if (o->input.n_windows > 0) return input_floats(&o->input) * sizeof(float);
    return (size_t)(o->cube.edge * o->cube.edge * o->cube.edge) * sizeof(int16_t);
}

loader *loader_new(const dataset *d, const loader_options *options, hct_err *err) {
    loader *l = calloc(1, sizeof *l);
    if (!l) {
        hct_fail(err, HCT_ENOMEM, "no memory for a loader");
        return NULL;
    }
    l->d = d;
    l->o = *options;
    if (l->o.threads <= 0) l->o.threads = workers_default();
    if (l->o.ahead == 0) l->o.ahead = 2 * (size_t)l->o.threads;
    if (l->o.cube.region <= 0) l->o.cube.region = PREPARED_SIZE;
    if (l->o.cube.edge <= 0) l->o.cube.edge = l->o.cube.region;
    l->item = loader_options_item(&l->o);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    l->slots = calloc(l->o.ahead, sizeof *l->slots);
    l->threads = calloc((size_t)l->o.threads, sizeof *l->threads);
    if (l->o.cache_bytes) l->cache = calloc(d->n, sizeof *l->cache);
    int ok = l->slots && l->threads && (l->cache || !l->o.cache_bytes);
    for (size_t i = 0; ok && i < l->o.ahead; i++) ok = (l->slots[i].bytes = malloc(l->item)) != NULL;
    while (ok && l->started < l->o.threads) {
        if (pthread_create(&l->threads[l->started], NULL, work, l) != 0) break;
        l->started++;
    }
    if (ok && l->started > 0) return l;
    hct_fail(err, HCT_ENOMEM, "no memory or threads for a loader that reads %zu scans of %zu bytes ahead", l->o.ahead,
             l->item);
    loader_free(l);
    return NULL;
}

void loader_free(loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) pthread_join(l->threads[i], NULL);
    for (size_t i = 0; l->slots && i < l->o.ahead; i++) free(l->slots[i].bytes);
    for (size_t i = 0; l->cache && i < l->d->n; i++) free(l->cache[i]);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->lock);
    free(l->slots);
    free(l->cache);
    free(l->threads);
    free(l->sequence);
    free(l);
}

size_t loader_item_bytes(const loader *l) { return l->item; }

hct_status loader_start(loader *l, const size_t *sequence, size_t n, hct_err *err) {
    size_t *copy = malloc((n + 1) * sizeof *copy);
    if (!copy) return hct_fail(err, HCT_ENOMEM, "no memory for a sequence of %zu scans", n);
    if (n) memcpy(copy, sequence, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        if (copy[i] >= l->d->n) {
            free(copy);
            return hct_fail(err, HCT_EINVAL, "scan number %zu of a dataset of %zu", sequence[i], l->d->n);
        }
    pthread_mutex_lock(&l->lock);
    l->n = l->issued; /* nothing new is begun */
    while (l->busy > 0) pthread_cond_wait(&l->done, &l->lock);
    free(l->sequence);
    l->sequence = copy;
    l->n = n;
    l->issued = l->delivered = 0;
    for (size_t i = 0; i < l->o.ahead; i++) l->slots[i].ready = 0;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return HCT_OK;
}

int loader_next(loader *l, void *out, size_t *ret_scan, hct_err *err) {
    pthread_mutex_lock(&l->lock);
    if (l->delivered >= l->n) {
        pthread_mutex_unlock(&l->lock);
        return 0;
    }
    slot *slot = &l->slots[l->delivered % l->o.ahead];
    while (!slot->ready) pthread_cond_wait(&l->done, &l->lock);
    if (ret_scan) *ret_scan = l->sequence[l->delivered];
    hct_status s = slot->err.code;
    if (s < 0) hct_fail(err, s, "%s", slot->err.msg);
    else memcpy(out, slot->bytes, l->item);
    slot->ready = 0;
    l->delivered++;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return s < 0 ? s : 1;
}
