/* A communicator for one process that stands for a job of as many ranks as the launcher's environment says: every rank
 * has what this one has. What a kernel does with a number of ranks can be tested without starting them. */
#include "hct/comm.h"

#include <stdlib.h>
#include <string.h>

static hct_status all_gather(const hct_comm *c, const void *mine, void *all, uint64_t bytes, hct_err *err) {
    (void)err;
    for (int r = 0; r < c->ranks; r++) memcpy((char *)all + (uint64_t)r * bytes, mine, bytes);
    return HCT_OK;
}
static hct_status broadcast(const hct_comm *c, void *data, uint64_t bytes, int32_t root, hct_err *err) {
    return (void)c, (void)data, (void)bytes, (void)root, (void)err, HCT_OK;
}
static hct_status all_reduce(const hct_comm *c, void *data, uint64_t n, int32_t dtype, hct_err *err) {
    (void)data, (void)n, (void)dtype;
    return hct_plugin_fail(err, HCT_EINVAL, "%d ranks that are one add nothing up", c->ranks);
}
static hct_status barrier(const hct_comm *c, hct_err *err) { return (void)c, (void)err, HCT_OK; }
static void end(const hct_comm *c, int status) { (void)c, exit(status); }
static void leave(const hct_comm *c) { (void)c; }

static hct_comm comm = {.size = sizeof comm,
                        .name = "lone",
                        .all_gather = all_gather,
                        .broadcast = broadcast,
                        .all_reduce = all_reduce,
                        .barrier = barrier,
                        .abort = end,
                        .close = leave};

static hct_status open_comm(const hct_comm **ret, hct_err *err) {
    (void)err;
    const char *text = getenv("OMPI_COMM_WORLD_SIZE");
    comm.ranks = text ? atoi(text) : 1;
    *ret = &comm;
    return HCT_OK;
}

HCT_COMM_DEFINE("lone", "1", open_comm)
