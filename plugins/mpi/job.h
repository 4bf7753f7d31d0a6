/* plugins/mpi/job.h: what the communicator's files share. */
#ifndef MPI_JOB_H
#define MPI_JOB_H

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include "hct/comm.h"

/* Watches the neighbour rank from a thread of its own: signs of life go around the ring of ranks on a communicator
 * of their own. A rank that gives none for HEADCT_RANK_TIMEOUT seconds (20) has died or hangs: its rank is printed
 * and the job ended. Launchers end a job whose process died; this covers those that do not (srun without
 * --kill-on-bad-exit), lost machines and stopped processes. 0: could not start. */
int watch_start(int rank, int ranks);
void watch_stop(void);

#endif
