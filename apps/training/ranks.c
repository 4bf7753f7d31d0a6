/* What ranks of one job share. */
#include "training/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "support/sha256.h"

int ranks_count(void) {
    const hct_comm *c = hct_comm_world();
    return c ? c->ranks : 1;
}

int ranks_mine(void) {
    const hct_comm *c = hct_comm_world();
    return c ? c->rank : 0;
}

void ranks_share(const size_t *order, size_t n, int64_t batch, size_t *share) {
    size_t b = (size_t)batch, all = b * (size_t)ranks_count();
    for (size_t at = 0; at < n; at += all, share += b)
        memcpy(share, order + at + (size_t)ranks_mine() * b, b * sizeof *share);
}

hct_status ranks_same_params(const params *p, hct_err *err) {
    hct_st_entry *e = NULL;
    void *bytes = NULL;
    char one[65], *all = calloc(p->n + 1, 2 * sizeof one);
    hct_status st = all ? params_entries(p, &e, &bytes, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) { /* a hash of hashes: of the name, and of the values */
        st = sha256_bytes(e[i].name, strlen(e[i].name), one, err);
        memcpy(all + 128 * i, one, 64);
        if (st == HCT_OK) st = sha256_bytes(e[i].data, e[i].bytes, one, err);
        memcpy(all + 128 * i + 64, one, 64);
    }
    if (st == HCT_OK) st = sha256_bytes(all, strlen(all), one, err);
    if (st == HCT_OK) st = hct_comm_agree("checksum of its weights", one, err);
    free(all);
    free(e);
    free(bytes);
    return st;
}

hct_status ranks_step(double *loss, int *stop, hct_err *err) {
    const hct_comm *c = hct_comm_world();
    if (!c) return HCT_OK;
    double both[2] = {*loss, *stop};
    hct_status st = hct_comm_mean(both, 2, err);
    *loss = both[0];
    if (st == HCT_OK && both[1] > 0 && !*stop) *stop = (int)(both[1] + 0.5) ? (int)(both[1] + 0.5) : 1;
    return st;
}

void ranks_fail(const char *command, const hct_err *err) {
    const hct_comm *c = hct_comm_world();
    if (!c) {
        hct_log(HCT_LOG_ERROR, "%s: %s", command, err->msg);
        return;
    }
    hct_log(HCT_LOG_ERROR, "%s: rank %d of %d: %s", command, c->rank, c->ranks, err->msg);
    fflush(NULL);
    c->abort(c, 1);
}
