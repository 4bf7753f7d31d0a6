/* Threads that read scans ahead of training. What loader_next returns depends on the sequence alone, never on the
 * number of threads.
 *
 *   loader *l = loader_new(d, &options, &err);
 *   loader_start(l, order, n, &err);               one epoch: scan numbers of d, in any order, repeats allowed
 *   while ((got = loader_next(l, x, &scan, &err)) > 0) ...
 *   loader_free(l);                                at any time
 */
#ifndef DATASET_LOADER_H
#define DATASET_LOADER_H

#include "dataset/dataset.h"

typedef struct loader loader;

typedef struct loader_options {
    input_spec input; /* what to deliver; n_windows 0: cubes instead */
    struct {
        int64_t region, edge; /* voxels cut out (0: 224), voxels along an edge (0: the region) */
    } cube;                   /* of HU, int16 [edge, edge, edge] with x fastest (dataset_cube) */
    int threads;              /* 0: one a CPU */
    size_t ahead;             /* scans read ahead at most, 0: 2 a thread */
    /* keep delivered inputs in memory up to this size (no eviction: every epoch reads all); 0: none */
    size_t cache_bytes;
    int disk_cache; /* through dataset_input_cached */
} loader_options;

/* Bytes of one item of such a loader: input_floats() floats, or int16 [edge^3] (edge given). */
size_t loader_options_item(const loader_options *options);
/* d must outlive the loader. NULL and err on failure. */
loader *loader_new(const dataset *d, const loader_options *options, hct_err *err);
/* Stops what runs, waits for it, frees all. l may be NULL. */
void loader_free(loader *l);
/* The same of this loader. */
size_t loader_item_bytes(const loader *l);

/* Begins a new sequence (copied); what was left of the old one is dropped. */
hct_status loader_start(loader *l, const size_t *sequence, size_t n, hct_err *err);
/* The next item into out: 1, or 0 at the end of the sequence, or < 0 with err naming the scan that could not be read;
 * the call after that goes on behind it. ret_scan may be NULL. For one calling thread. */
int loader_next(loader *l, void *out, size_t *ret_scan, hct_err *err);

#endif
