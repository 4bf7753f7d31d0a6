/* hct/comm.h: the ranks of one job (processes that train one model together) and what they tell each other.
 *
 * A communicator comes from a shared object named hct_comm_*.so (plugins/mpi) that exports the data symbol
 * `hct_comm_v1`. It is opened only where the job's launcher (mpirun, srun) says that there is more than one rank.
 * One a process; kernels find it in hct_host.comm. Every function but abort is called by all ranks, in one order;
 * memory is the host's. Struct rules are plugin.h's. */
#ifndef HCT_COMM_H
#define HCT_COMM_H

#include "hct/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hct_comm {
    uint32_t size, reserved;
    const char *name;                /* "mpi" */
    int32_t rank, ranks, local_rank; /* local_rank: among those of this machine */
    int32_t reserved2;
    /* all[ranks * bytes]: each rank's bytes, in rank order */
    hct_status (*all_gather)(const hct_comm *, const void *mine, void *all, uint64_t bytes, hct_err *);
    /* data of rank `root` goes to all */
    hct_status (*broadcast)(const hct_comm *, void *data, uint64_t bytes, int32_t root, hct_err *);
    /* data[n] becomes its sum over ranks: added in rank order, in F32 (F64 for F64), rounded once; the same bits on
     * all ranks and in every run. Real dtypes. Takes no memory. */
    hct_status (*all_reduce)(const hct_comm *, void *data, uint64_t n, int32_t dtype, hct_err *);
    hct_status (*barrier)(const hct_comm *, hct_err *);
    /* Ends all ranks now with an exit status. One rank is enough. */
    void (*abort)(const hct_comm *, int status);
    /* Waits for all ranks, then leaves the job. */
    void (*close)(const hct_comm *);
};

typedef struct hct_comm_plugin { /* exported data, read before any code runs */
    uint32_t magic;
    uint16_t major, minor;
    uint32_t size, reserved;
    const char *name, *version, *built_with;
    hct_status (*open)(const hct_comm **ret, hct_err *);
} hct_comm_plugin;

#define HCT_COMM_DEFINE(name_, version_, open_)                                                                        \
    HCT_EXTERN HCT_API const hct_comm_plugin hct_comm_v1;                                                              \
    const hct_comm_plugin hct_comm_v1 = {HCT_MAGIC, HCT_MAJOR,   HCT_MINOR, sizeof(hct_comm_plugin), 0, name_,         \
                                         version_,  __VERSION__, open_};

/* ---- for applications ---- */

/* How many ranks the launcher's environment speaks of; 1 without a launcher. Opens nothing. */
HCT_API int hct_comm_wanted(void);
/* Opens the job's communicator before hct_open, once. HCT_OK with *ret NULL: one rank. */
HCT_API hct_status hct_comm_open(const hct_comm **ret, hct_err *);
/* What hct_comm_open gave; NULL: one rank. */
HCT_API const hct_comm *hct_comm_world(void);
/* Leaves the job, if in one. */
HCT_API void hct_comm_close(void);
/* HCT_OK on all ranks where `text` is the same on all; else HCT_EINVAL on all, naming `what`, the first rank that
 * differs, and both. */
HCT_API hct_status hct_comm_agree(const char *what, const char *text, hct_err *);
/* value[n] become their means over ranks. One rank: nothing. */
HCT_API hct_status hct_comm_mean(double *value, uint64_t n, hct_err *);

#ifdef __cplusplus
}
#endif
#endif
