/* Ranks and host collectives over MPI. Sums are made by hand from two exchanges, because MPI_Allreduce may add in
 * any order: each rank gets its share of everybody's numbers, adds them in rank order, and gives the sums to all. */
#include "job.h"

#include "hct/half.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 8 << 20, SPINS = 64 }; /* PIECE: bytes of one exchange */

static struct {
    hct_comm comm;
    MPI_Comm mpi;
    int *count, *at; /* [ranks], bytes */
    char *shares;    /* [PIECE + ranks * 8]: this rank's share of a piece, from every rank */
} job;

static hct_status failed(int code, const char *what, hct_err *err) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int n;
    MPI_Error_string(code, text, &n);
    return hct_plugin_fail(err, HCT_EDEVICE, "MPI: %s failed on rank %d: %s", what, job.comm.rank, text);
}

/* Waits without keeping the core from a rank that shares it. */
static int wait_for(int code, MPI_Request *r) {
    int done = 0;
    for (int spin = 0; code == MPI_SUCCESS; spin++) {
        code = MPI_Test(r, &done, MPI_STATUS_IGNORE);
        if (done) break;
        if (spin >= SPINS) sched_yield();
    }
    return code;
}

static hct_status all_gather(const hct_comm *c, const void *mine, void *all, uint64_t bytes, hct_err *err) {
    for (uint64_t from = 0; from < bytes; from += PIECE) { /* of more than one piece each: rank by rank */
        int n = (int)(bytes - from < PIECE ? bytes - from : PIECE), code = MPI_SUCCESS;
        MPI_Request r;
        if (bytes <= PIECE) {
            code = MPI_Iallgather(mine, n, MPI_BYTE, all, n, MPI_BYTE, job.mpi, &r);
            code = wait_for(code, &r);
        }
        for (int root = 0; bytes > PIECE && root < c->ranks && code == MPI_SUCCESS; root++) {
            char *to = (char *)all + (uint64_t)root * bytes + from;
            if (root == c->rank) memcpy(to, (const char *)mine + from, (size_t)n);
            code = MPI_Ibcast(to, n, MPI_BYTE, root, job.mpi, &r);
            code = wait_for(code, &r);
        }
        if (code != MPI_SUCCESS) return failed(code, "gathering", err);
    }
    return HCT_OK;
}

static hct_status broadcast(const hct_comm *c, void *data, uint64_t bytes, int32_t root, hct_err *err) {
    (void)c;
    for (uint64_t from = 0; from < bytes; from += PIECE) {
        MPI_Request r;
        int n = (int)(bytes - from < PIECE ? bytes - from : PIECE);
        int code = MPI_Ibcast((char *)data + from, n, MPI_BYTE, root, job.mpi, &r);
        if ((code = wait_for(code, &r)) != MPI_SUCCESS) return failed(code, "broadcasting", err);
    }
    return HCT_OK;
}

static hct_status barrier(const hct_comm *c, hct_err *err) {
    (void)c;
    MPI_Request r;
    int code = MPI_Ibarrier(job.mpi, &r);
    code = wait_for(code, &r);
    return code == MPI_SUCCESS ? HCT_OK : failed(code, "waiting for all ranks", err);
}

/* out[n] = the sum of rows of in[ranks][n], first row first. */
static void add(void *out, const void *in, int64_t n, int ranks, int32_t dtype) {
    for (int64_t i = 0; i < n; i++) {
        float f = 0;
        double d = 0;
        for (int r = 0; r < ranks; r++) {
            int64_t k = r * n + i;
            if (dtype == HCT_F64) d += ((const double *)in)[k];
            else
                f += dtype == HCT_F32    ? ((const float *)in)[k]
                     : dtype == HCT_BF16 ? hct_f32_from_bf16(((const uint16_t *)in)[k])
                                         : hct_f32_from_f16(((const uint16_t *)in)[k]);
        }
        if (dtype == HCT_F64) ((double *)out)[i] = d;
        else if (dtype == HCT_F32) ((float *)out)[i] = f;
        else ((uint16_t *)out)[i] = dtype == HCT_BF16 ? hct_bf16_from_f32(f) : hct_f16_from_f32(f);
    }
}

static hct_status reduce_piece(const hct_comm *c, char *data, int64_t n, int32_t dtype, hct_err *err) {
    int64_t each = (n + c->ranks - 1) / c->ranks, size = (int64_t)hct_dtype_bytes(dtype);
    for (int r = 0; r < c->ranks; r++) {
        int64_t left = n - r * each;
        job.count[r] = (int)((left < 0 ? 0 : left < each ? left : each) * size);
        job.at[r] = (int)((left < 0 ? n : r * each) * size);
    }
    int mine = job.count[c->rank], *got = job.count + c->ranks, *got_at = job.at + c->ranks;
    for (int r = 0; r < c->ranks; r++) got[r] = mine, got_at[r] = r * mine;
    MPI_Request q;
    int code = MPI_Ialltoallv(data, job.count, job.at, MPI_BYTE, job.shares, got, got_at, MPI_BYTE, job.mpi, &q);
    if ((code = wait_for(code, &q)) == MPI_SUCCESS) {
        add(data + job.at[c->rank], job.shares, mine / size, c->ranks, dtype);
        code = MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_BYTE, data, job.count, job.at, MPI_BYTE, job.mpi, &q);
        code = wait_for(code, &q);
    }
    return code == MPI_SUCCESS ? HCT_OK : failed(code, "adding up over ranks", err);
}

static hct_status all_reduce(const hct_comm *c, void *data, uint64_t n, int32_t dtype, hct_err *err) {
    if (dtype != HCT_F32 && dtype != HCT_F64 && dtype != HCT_BF16 && dtype != HCT_F16)
        return hct_plugin_fail(err, HCT_EDTYPE, "sums over ranks are of real numbers");
    uint64_t size = hct_dtype_bytes(dtype), most = PIECE / size;
    hct_status st = HCT_OK;
    for (uint64_t from = 0; st == HCT_OK && from < n; from += most)
        st = reduce_piece(c, (char *)data + from * size, (int64_t)(n - from < most ? n - from : most), dtype, err);
    return st;
}

/* Where all ranks fail at once the first one ends the job: Open MPI 4.1's mpirun may crash over several aborts. */
static void abort_job(const hct_comm *c, int status) {
    if (c->rank) usleep(300000u * (unsigned)(c->rank < 10 ? c->rank : 10));
    MPI_Abort(MPI_COMM_WORLD, status);
}

static void close_job(const hct_comm *c) {
    hct_err ignored;
    barrier(c, &ignored); /* nobody misses a sign of life of a rank that has gone */
    watch_stop();
    MPI_Finalize();
    free(job.count);
    free(job.at);
    free(job.shares);
}

static hct_status open_job(const hct_comm **ret, hct_err *err) {
    int threads = 0, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &threads);
    if (code != MPI_SUCCESS)
        return hct_plugin_fail(err, HCT_EDEVICE,
                               "MPI cannot be started (error %d); start the ranks by mpirun or srun --mpi=pmix", code);
    MPI_Comm here;
    MPI_Comm_dup(MPI_COMM_WORLD, &job.mpi);
    MPI_Comm_set_errhandler(job.mpi, MPI_ERRORS_RETURN);
    job.comm = (hct_comm){.size = sizeof job.comm,
                          .name = "mpi",
                          .all_gather = all_gather,
                          .broadcast = broadcast,
                          .all_reduce = all_reduce,
                          .barrier = barrier,
                          .abort = abort_job,
                          .close = close_job};
    MPI_Comm_rank(job.mpi, &job.comm.rank);
    MPI_Comm_size(job.mpi, &job.comm.ranks);
    MPI_Comm_split_type(job.mpi, MPI_COMM_TYPE_SHARED, job.comm.rank, MPI_INFO_NULL, &here);
    MPI_Comm_rank(here, &job.comm.local_rank);
    MPI_Comm_free(&here);
    size_t n = (size_t)job.comm.ranks;
    job.count = calloc(2 * n, sizeof *job.count);
    job.at = calloc(2 * n, sizeof *job.at);
    job.shares = malloc(PIECE + 8 * n);
    if (!job.count || !job.at || !job.shares)
        return hct_plugin_fail(err, HCT_ENOMEM, "out of memory for exchanges between ranks");
    if (n > 1 && (threads < MPI_THREAD_MULTIPLE || !watch_start(job.comm.rank, job.comm.ranks)) && job.comm.rank == 0)
        fprintf(stderr, "headct: this MPI does not allow a thread of its own to watch the ranks; a rank that hangs is "
                        "noticed by the launcher alone\n");
    *ret = &job.comm;
    return HCT_OK;
}

HCT_COMM_DEFINE("mpi", "0.1.0", open_job)
