/* NCCL: sums over the processes of a job, through a file in shared memory whose name is in the unique id. An exchange
 * is work of its stream like any other; when it is run it meets the same exchange of all ranks. So that nobody waits
 * for a rank whose host is busy elsewhere, as a GPU would not, a thread runs what is pending when others ask for it. */
#include "device.h"
#include "kit/nvidia/nccl.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

NV_NCCL(EMU_PROTOTYPE)

enum { RANKS = 16, PIECE = 1 << 18, PATIENCE = 60 /* seconds */ };

typedef struct shared { /* in the file */
    _Atomic int joined, met;
    _Atomic unsigned phase;
    _Atomic long wanted; /* exchanges that some rank has begun */
    struct {
        uint64_t n;
        int type;
    } said[RANKS];
    char piece[RANKS][PIECE];
} shared;

struct ncclComm {
    owner of;
    int rank, ranks;
    shared *s; /* NULL: alone */
    long done;
    bool broken, closed;
    pthread_t helper;
};
typedef struct exchange {
    ncclComm_t comm;
    void *at;
    uint64_t n;
    number type;
    bool mean;
} exchange;

static int group;
static struct {
    exchange x;
    CUstream stream;
} grouped[4096];
static int n_grouped;

EXPORT ncclResult_t ncclGetVersion(int *version) { return *version = 22809, ncclSuccess; }
EXPORT const char *ncclGetErrorString(ncclResult_t code) {
    return code == ncclRemoteError     ? "remote process exited or there was a network error"
           : code == ncclSuccess       ? "no error"
           : code == ncclInvalidUsage  ? "invalid usage"
           : code == ncclInternalError ? "internal error"
                                       : "an error";
}

EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    static int made;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/emulated-nccl-%ld-%d", (long)getpid(), made++);
    return ncclSuccess;
}

/* ---- meeting ---- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All ranks have come here; false where one has not for a long time. */
static bool meet(struct ncclComm *c) {
    shared *s = c->s;
    unsigned phase = atomic_load(&s->phase);
    if (atomic_fetch_add(&s->met, 1) + 1 == c->ranks) {
        atomic_store(&s->met, 0);
        atomic_fetch_add(&s->phase, 1);
        return true;
    }
    double until = now() + PATIENCE;
    while (atomic_load(&s->phase) == phase) {
        if (now() > until) return false;
        sched_yield();
    }
    return true;
}

static void fail(struct ncclComm *c, const char *why) {
    emu_complain("NCCL: rank %d: %s", c->rank, why);
    c->broken = true;
}

static void run_exchange(void *arg) {
    const exchange *x = arg;
    struct ncclComm *c = x->comm;
    shared *s = c->s;
    size_t size = number_bytes(x->type), most = PIECE / size;
    if (c->broken) return;
    for (uint64_t i = 0; !s && i < x->n && !x->mean; i++)
        number_set(x->at, (int64_t)i, x->type, c->ranks * number_get(x->at, (int64_t)i, x->type));
    if (!s) return;
    long mine = ++c->done, wanted = atomic_load(&s->wanted);
    while (wanted < mine && !atomic_compare_exchange_weak(&s->wanted, &wanted, mine)) {
    }
    s->said[c->rank].n = x->n;
    s->said[c->rank].type = (int)x->type;
    for (uint64_t at = 0; at < x->n; at += most) {
        uint64_t n = x->n - at < most ? x->n - at : most;
        char *own = (char *)x->at + at * size;
        memcpy(s->piece[c->rank], own, n * size);
        bool together = meet(c), alike = true;
        for (int r = 0; r < c->ranks; r++) alike = alike && s->said[r].n == x->n && s->said[r].type == (int)x->type;
        if (!together || !alike) {
            fail(c, together ? "ranks exchange different things" : "an exchange is waited for in vain");
            return;
        }
        for (uint64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int r = 0; r < c->ranks; r++) sum += number_get(s->piece[r], (int64_t)i, x->type);
            number_set(own, (int64_t)i, x->type, x->mean ? sum / c->ranks : sum);
        }
        if (meet(c)) continue;
        fail(c, "an exchange is waited for in vain");
        return;
    }
}

static void *help(void *arg) {
    struct ncclComm *c = arg;
    while (!c->closed) {
        usleep(2000);
        if (atomic_load(&c->s->wanted) <= c->done || !emu_try_enter()) continue;
        if (!c->closed && atomic_load(&c->s->wanted) > c->done) emu_run_all();
        emu_leave(NULL);
    }
    return NULL;
}

EXPORT ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank) {
    owner of;
    if (emu_current(&of) != CUDA_SUCCESS) return ncclUnhandledCudaError;
    bool alone = !strcmp(emu_word("EMU_NCCL", ""), "alone");
    if (!alone && !emu_number("EMU_NCCL", 1)) return ncclInternalError;
    if (ranks < 1 || (ranks > RANKS && !alone) || strncmp(id.internal, "/emulated-nccl-", 15) != 0)
        return ncclInvalidArgument;
    if (alone) {
        *comm = calloc(1, sizeof **comm);
        (*comm)->of = of;
        (*comm)->rank = rank;
        (*comm)->ranks = ranks;
        return ncclSuccess;
    }
    int file = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, sizeof(shared)) < 0) return ncclInternalError;
    struct ncclComm *c = calloc(1, sizeof *c);
    c->of = of;
    c->rank = rank;
    c->ranks = ranks;
    c->s = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    atomic_fetch_add(&c->s->joined, 1);
    for (double until = now() + PATIENCE; atomic_load(&c->s->joined) < ranks;) {
        if (now() > until) {
            emu_complain("NCCL: rank %d waits in vain for others to join", rank);
            return ncclInternalError;
        }
        usleep(1000);
    }
    shm_unlink(id.internal); /* everybody has it */
    pthread_create(&c->helper, NULL, help, c);
    *comm = c;
    emu_note("rank %d of %d", rank, ranks);
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
    comm->broken = comm->closed = true;
    emu_note("abort");
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state) {
    static long asked;
    long lost = emu_number("EMU_LOST", 0);
    *state = comm->broken || (lost && ++asked > lost) ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

/* ---- exchanges ---- */

static void enqueue(const exchange *x, CUstream s) {
    emu_note("exchange %llu%s on %d", (unsigned long long)x->n, x->mean ? " mean" : "", s->number);
    emu_put(s, emu_computing(emu_work(run_exchange, NULL, x, sizeof *x, s->of.device)));
}

EXPORT ncclResult_t ncclGroupStart(void) { return group++, ncclSuccess; }
EXPORT ncclResult_t ncclGroupEnd(void) {
    EMU_CALL;
    if (--group) return ncclSuccess;
    for (int i = 0; i < n_grouped; i++) enqueue(&grouped[i].x, grouped[i].stream);
    n_grouped = 0;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t type, ncclRedOp_t op,
                                  ncclComm_t comm, cudaStream_t stream) {
    EMU_CALL;
    int code;
    number t = type == ncclFloat32    ? NUMBER_F32
               : type == ncclFloat64  ? NUMBER_F64
               : type == ncclBfloat16 ? NUMBER_BF16
                                      : NUMBER_F16;
    if (emu_valid(&comm->of, "NCCL's communicator") != CUDA_SUCCESS ||
        emu_valid(&stream->of, "a stream") != CUDA_SUCCESS)
        return ncclUnhandledCudaError;
    if (emu_fails("exchange", ncclInternalError, &code)) return (ncclResult_t)code;
    if (from != to || !emu_inside((CUdeviceptr)(uintptr_t)to, n * number_bytes(t)) ||
        (op != ncclSum && op != ncclAvg)) {
        emu_complain("an exchange of %zu elements leaves its memory", n);
        return ncclInvalidArgument;
    }
    const exchange x = {comm, to, n, t, op == ncclAvg};
    if (!group) enqueue(&x, stream);
    else if (n_grouped == (int)(sizeof grouped / sizeof *grouped)) return ncclInternalError;
    else grouped[n_grouped].x = x, grouped[n_grouped++].stream = stream;
    return ncclSuccess;
}
