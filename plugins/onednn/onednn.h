/* plugins/onednn/onednn.h: a call written as oneDNN primitives.
 *
 * A plan makes everything: memory objects without addresses, primitives, and the steps that run them in order. run()
 * sets addresses and executes; it is the same function for every op. Failures are sticky: after the first, each
 * function below does nothing and returns 0 or -1, and onednn_end says why (HCT_NOTIMPL: the next kernel is asked).
 *
 * dnnl_primitive_execute keeps its arguments in a hash table on the heap: some hundred bytes a step, given back
 * before it returns. It is the one thing here that a replayed step allocates. As elsewhere, a plan serves one thread
 * at a time. */
#ifndef ONEDNN_H
#define ONEDNN_H

#include "hct/plugin.h"

#include <dnnl.h>

enum { ONEDNN_MEMORIES = 24, ONEDNN_STEPS = 12, ONEDNN_ARGUMENTS = 10 };

/* What a step may be besides a primitive: a loop over the addresses of its arguments. */
typedef struct onednn_step onednn_step;
typedef void (*onednn_loop)(void *const *at, const onednn_step *);

struct onednn_step {
    dnnl_primitive_t primitive; /* or NULL: loop */
    dnnl_exec_arg_t argument[ONEDNN_ARGUMENTS];
    onednn_loop loop;
    int n;
    int of[ONEDNN_ARGUMENTS]; /* a loop's memories, and its own numbers */
    int64_t size[3];
    double number;
};

typedef enum onednn_home { AT_INPUT, AT_OUTPUT, AT_WORKSPACE } onednn_home;

typedef struct onednn_memory {
    dnnl_memory_t memory;
    dnnl_memory_desc_t md;
    onednn_home home;
    uint64_t place; /* which input or output; workspace: bytes from its start */
    void *at;       /* the address set last */
} onednn_memory;

typedef struct onednn_call { /* a plan's state */
    dnnl_stream_t stream;
    int n_memory, n_step;
    onednn_memory memory[ONEDNN_MEMORIES];
    onednn_step step[ONEDNN_STEPS];
} onednn_call;

typedef struct onednn_build { /* a plan in the making */
    const hct_problem *problem;
    hct_plan *plan;
    hct_err *err;
    hct_status status;
    onednn_call *call;
    uint64_t workspace;
    dnnl_primitive_desc_t described; /* what the next step runs */
    int gelu;                        /* what is described next ends with GELU (by the error function) of its result */
    struct {
        int from, to;
    } later[4]; /* reorders due after the step */
    int n_later;
} onednn_build;

/* When the plugin is loaded (each time that headct is opened in a process). False: oneDNN does not start. */
int onednn_open(void);
/* False where the call is none for oneDNN: an empty or broadcast operand, or bf16 on a processor without
 * AVX512_BF16. */
int onednn_begin(onednn_build *, const hct_problem *, hct_plan *, hct_err *);
hct_status onednn_end(onednn_build *);
/* Refuses inputs with gaps. */
void onednn_want_dense(onednn_build *);
void onednn_refuse(onednn_build *, const char *why);
void onednn_check(onednn_build *, dnnl_status_t, const char *what);

/* Descriptors: of a view as it lies, with the axes given; of those dims without gaps; in whatever order oneDNN
 * likes. */
dnnl_memory_desc_t onednn_strided(onednn_build *, int32_t dtype, int n, const int64_t *dim, const int64_t *stride);
dnnl_memory_desc_t onednn_dense(onednn_build *, int32_t dtype, int n, const int64_t *dim);
dnnl_memory_desc_t onednn_any(onednn_build *, int32_t dtype, int n, const int64_t *dim);
dnnl_memory_desc_t onednn_view(onednn_build *, const hct_view *);

/* Makes desc (of any op) what the next step runs. forward: the forward op's desc, which a backward wants to see;
 * else NULL. Refuses where oneDNN has only its plain loops for it. */
void onednn_describe(onednn_build *, const void *desc, const void *forward);

/* Memories, by number. An input or output as it lies: */
int onednn_input(onednn_build *, uint32_t i, const dnnl_memory_desc_t *);
int onednn_output(onednn_build *, uint32_t o, const dnnl_memory_desc_t *);
int onednn_temporary(onednn_build *, const dnnl_memory_desc_t *);
/* What the described primitive wants as `what` (dnnl_query_src_md ...), from memory `given` (reordered now, where
 * they differ), or to be reordered to memory `given` once the primitive has run. */
int onednn_source(onednn_build *, int given, dnnl_query_t what);
int onednn_target(onednn_build *, int given, dnnl_query_t what);

/* The F32 memory of an input or output of md's dims: itself, or workspace that is converted now, or after the next
 * primitive. */
int onednn_float_input(onednn_build *, uint32_t i, const dnnl_memory_desc_t *);
int onednn_float_output(onednn_build *, uint32_t o, const dnnl_memory_desc_t *);

typedef struct onednn_argument {
    int name, memory;
} onednn_argument; /* DNNL_ARG_SRC ..., a memory's number */
/* Appends the described primitive, with its scratchpad; then the reorders that are due. */
void onednn_execute(onednn_build *, int n, const onednn_argument *);
/* Appends a copy that converts: now, or after the next primitive. */
void onednn_reorder(onednn_build *, int from, int to);
void onednn_later(onednn_build *, int from, int to);
/* Appends a loop: loop, n, of, size and number are the caller's. */
void onednn_append(onednn_build *, onednn_step);

hct_status onednn_run(const hct_plan *, hct_stream *, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *);
void onednn_release(hct_plan *);

/* clang-format off */
#define ONEDNN_KERNEL(op_, text, dtype, plan_)                                                \
    {.size = sizeof(hct_kernel), .name = "onednn:" op_ ":" text, .op = op_, .backend = "cpu", \
     .dtypes = 1u << (dtype), .priority = 100,                                                \
     .plan = plan_, .run = onednn_run, .release = onednn_release}
/* clang-format on */
/* Both dtypes of an op. */
#define ONEDNN_KERNELS(op_, plan_)                                                                                     \
    ONEDNN_KERNEL(op_, "f32", HCT_F32, plan_), ONEDNN_KERNEL(op_, "bf16", HCT_BF16, plan_)

/* Loops over F32. x, mean, rstd, var; size N, C, rest; number eps: */
void onednn_statistics(void *const *at, const onednn_step *);
/* rstd, 1/rstd^2; size n. var, 1/sqrt(var + number); size n: */
void onednn_var_of_rstd(void *const *at, const onednn_step *);
void onednn_rstd_of_var(void *const *at, const onednn_step *);

/* Tables, ended by a kernel without a name. */
extern const hct_kernel onednn_conv[], onednn_pool[], onednn_norm[], onednn_products[], onednn_softmax[],
    onednn_layer_norm[];

#endif
