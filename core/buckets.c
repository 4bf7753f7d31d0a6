/* Gradients of all ranks: hct_backward hands each parameter's gradient over once nothing will be added to it; full
 * buckets are averaged at once, so that a device can exchange them under the rest of the backward. The order is that
 * of the tape, the same on every rank. */
#include "internal.h"
#include "hct/optim.h"

#include <stdlib.h>
#include <string.h>

/* first: the node of the walk that uses it first; -1: none does */
typedef struct pending {
    hct_id param;
    int64_t first;
} pending;

struct hct_buckets {
    uint64_t limit, filled; /* bytes */
    pending *wait;
    size_t n_wait;
    hct_id *open; /* parameters of the bucket that is being filled */
    uint32_t n_open;
    hct_id *sent; /* results of all exchanges */
    uint32_t n_sent;
    int ranks;
};

enum { BUCKET_LEAST = 1 << 20, BUCKET_MOST = 32 << 20, BUCKET_PARTS = 16 };

void hct_buckets_free(struct hct_buckets *b) {
    if (!b) return;
    free(b->wait);
    free(b->open);
    free(b->sent);
    free(b);
}

struct hct_buckets *hct_buckets_new(size_t n, uint64_t limit, int ranks) {
    struct hct_buckets *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->limit = limit;
    b->ranks = ranks;
    b->wait = calloc(n + 1, sizeof *b->wait);
    b->open = calloc(n + 1, sizeof *b->open);
    b->sent = calloc(n + 1, sizeof *b->sent);
    if (b->wait && b->open && b->sent) return b;
    hct_buckets_free(b);
    return NULL;
}

void hct_buckets_add(struct hct_buckets *b, hct_id param) { b->wait[b->n_wait++] = (pending){param, -1}; }

uint64_t hct_buckets_limit(uint64_t total) {
    uint64_t part = total / BUCKET_PARTS;
    return part < BUCKET_LEAST ? BUCKET_LEAST : part > BUCKET_MOST ? BUCKET_MOST : part;
}

static void send(hct_tape *t, struct hct_buckets *b) {
    if (!b->n_open) return;
    hct_id *out = b->sent + b->n_sent, *in = malloc(b->n_open * sizeof *in);
    if (!in) {
        hct_tape_fail(t, HCT_ENOMEM, "out of memory for gradient buckets");
        return;
    }
    for (uint32_t i = 0; i < b->n_open; i++) in[i] = hct_value(t, b->open[i])->grad;
    hct_emit(t, "all_reduce", in, b->n_open, &HCT_REAL("scale", 1.0 / b->ranks), 1, out, b->n_open);
    for (uint32_t i = 0; i < b->n_open; i++) hct_value(t, b->open[i])->grad = out[i];
    free(in);
    b->n_sent += b->n_open;
    b->n_open = 0;
    b->filled = 0;
}

static void put(hct_tape *t, struct hct_buckets *b, hct_id param) {
    hct_id g = hct_value(t, param)->grad;
    if (!g) return; /* the loss does not reach it */
    if (b->n_open && hct_value(t, b->open[0])->view.dtype != hct_value(t, param)->view.dtype) send(t, b);
    b->open[b->n_open++] = param;
    b->filled += hct_view_bytes(&hct_value(t, g)->view);
    if (b->filled >= b->limit) send(t, b);
}

void hct_buckets_begin(hct_tape *t, size_t from) {
    struct hct_buckets *b = t->buckets;
    int64_t *first = malloc(t->n_values * sizeof *first);
    if (!first) {
        hct_tape_fail(t, HCT_ENOMEM, "out of memory for gradient buckets");
        return;
    }
    for (size_t i = 0; i < t->n_values; i++) first[i] = -1;
    for (size_t i = t->n_nodes; i-- > from;)
        for (uint32_t k = 0; k < t->nodes[i].n_in; k++) {
            hct_id id = t->nodes[i].in[k], master = hct_value(t, id)->master;
            first[master ? master : id] = (int64_t)i;
        }
    for (size_t i = 0; i < b->n_wait; i++) b->wait[i].first = first[b->wait[i].param];
    free(first);
}

void hct_buckets_walked(hct_tape *t, size_t i) {
    struct hct_buckets *b = t->buckets;
    size_t kept = 0;
    for (size_t k = 0; k < b->n_wait; k++) {
        if (b->wait[k].first == (int64_t)i) put(t, b, b->wait[k].param);
        else b->wait[kept++] = b->wait[k];
    }
    b->n_wait = kept;
}

void hct_buckets_end(hct_tape *t) {
    struct hct_buckets *b = t->buckets;
    hct_id token;
    for (size_t k = 0; k < b->n_wait; k++) put(t, b, b->wait[k].param);
    send(t, b);
    if (b->n_sent) hct_emit(t, "all_reduce.wait", b->sent, b->n_sent, NULL, 0, &token, 1), hct_keep(t, token);
    hct_buckets_free(b);
    t->buckets = NULL;
}
