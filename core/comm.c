/* The job's ranks: whether there are any, and the communicator's plugin. */
#include "internal.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const hct_comm *world;

const hct_comm *hct_comm_world(void) { return world; }

int hct_comm_wanted(void) {
    /* Open MPI; MPICH and others by PMI; Slurm, in a step (a batch script has one of its own with one task) */
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        long n = text ? strtol(text, NULL, 10) : 0;
        if (n > 0 && n < INT_MAX) return (int)n;
    }
    return 1;
}

static int find(void *path, const char *folder) {
    snprintf(path, PATH_MAX, "%s/hct_comm_mpi.so", folder);
    return access(path, R_OK) == 0;
}

hct_status hct_comm_open(const hct_comm **ret, hct_err *err) {
    int ranks = hct_comm_wanted();
    char path[PATH_MAX];
    *ret = world;
    if (world || ranks == 1) return HCT_OK;
    if (!hct_each_plugin_folder(find, path))
        return hct_fail(err, HCT_ENOTFOUND,
                        "started as one of %d ranks, but hct_comm_mpi.so is in no plugin folder; build headct where "
                        "libopenmpi-dev is installed",
                        ranks);
    hct_status trusted = hct_trust_file(path, err);
    if (trusted < 0) return trusted;
    void *lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* global: Open MPI's own components look for its symbols */
    if (!lib)
        return hct_fail(err, HCT_ENOTFOUND, "started as one of %d ranks, but MPI cannot be loaded: %s", ranks,
                        dlerror());
    const hct_comm_plugin *desc = dlsym(lib, "hct_comm_v1");
    if (!desc || desc->magic != HCT_MAGIC || desc->major != HCT_MAJOR || desc->size < sizeof *desc)
        return hct_fail(err, HCT_EVERSION, "%s: not a communicator for interface %d; rebuild it", path, HCT_MAJOR);
    const hct_comm *comm = NULL;
    hct_status st = desc->open(&comm, err);
    if (st < 0) return st;
    if (comm->ranks != ranks) {
        hct_fail(err, HCT_EINVAL,
                 "the launcher started %d ranks, MPI sees %d; with Slurm use srun --mpi=pmix, else the mpirun of the "
                 "same MPI",
                 ranks, comm->ranks);
        comm->close(comm);
        return HCT_EINVAL;
    }
    *ret = world = comm;
    return HCT_OK;
}

void hct_comm_close(void) {
    if (world) world->close(world);
    world = NULL;
}

enum { AGREE_TEXT = 160 };

hct_status hct_comm_agree(const char *what, const char *text, hct_err *err) {
    if (!world) return HCT_OK;
    char mine[AGREE_TEXT] = "", *all = malloc((size_t)world->ranks * AGREE_TEXT);
    if (!all) return hct_fail(err, HCT_ENOMEM, "out of memory");
    snprintf(mine, sizeof mine, "%s", text);
    hct_status st = world->all_gather(world, mine, all, AGREE_TEXT, err);
    for (int r = 1; st == HCT_OK && r < world->ranks; r++)
        if (strcmp(all, all + r * AGREE_TEXT) != 0)
            st = hct_fail(err, HCT_EINVAL, "rank %d has another %s than rank 0 (%s; rank 0: %s); start all ranks alike",
                          r, what, all + r * AGREE_TEXT, all);
    free(all);
    return st;
}

hct_status hct_comm_mean(double *value, uint64_t n, hct_err *err) {
    if (!world) return HCT_OK;
    hct_status st = world->all_reduce(world, value, n, HCT_F64, err);
    for (uint64_t i = 0; i < n; i++) value[i] /= world->ranks;
    return st;
}
