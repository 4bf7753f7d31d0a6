/* core/internal.h: the structs behind hct.h's names. Only core/ includes it. */
#ifndef HCT_INTERNAL_H
#define HCT_INTERNAL_H

#include "hct/comm.h"
#include "hct/hct.h"
#include "hct/nearest.h"

#include <stdatomic.h>

/* Each value of an arena and each packed copy begins at a multiple of this: cuBLASLt's fastest algorithms, and its
 * workspace, want 256. */
enum { HCT_ALIGN = 256 };

/* ---- growable array: HCT_PUSH(array, count, capacity, item) is 0 when out of memory ---- */
int hct_grow(void **array, size_t count, size_t *capacity, size_t item_size);
#define HCT_PUSH(a, n, cap, item) (hct_grow((void **)&(a), (n), &(cap), sizeof *(a)) ? ((a)[(n)++] = (item), 1) : 0)

/* ---- registry (registry.c, load.c) ---- */

typedef struct loaded_plugin {
    char *path;
    const hct_plugin *desc;
} loaded_plugin;

struct hct_ctx {
    hct_host host;
    const hct_op **ops;
    size_t n_ops, cap_ops;
    const hct_kernel **kernels; /* by falling priority, then by order of registration */
    size_t n_kernels, cap_kernels;
    const hct_backend **backends;
    size_t n_backends, cap_backends;
    loaded_plugin *plugins;
    size_t n_plugins, cap_plugins;
    int verbose_dispatch; /* HCT_VERBOSE=dispatch */
    char *force;          /* HCT_KERNEL=op=name,op=name */
    atomic_int force_checked;
};

hct_status hct_registry_init(hct_ctx *, hct_err *);
/* Registers what core/ops defines. */
hct_status hct_register_core_ops(hct_ctx *, hct_err *);
/* Loads what lies in the folders that are searched. A folder of HCT_PLUGIN_PATH without a plugin is one line on
 * stderr. */
void hct_load_default(hct_ctx *);
/* The functions of the host table that work on tapes. */
void hct_host_fill_tape(hct_host *);

/* ---- what the environment asks for (settings.c) ---- */

void hct_settings_read(hct_ctx *);
/* Says, once, what HCT_KERNEL names that is not there: at the first dispatch, when all plugins are loaded. */
void hct_settings_check(hct_dev *);
/* The name that HCT_KERNEL asks for (*ret_n bytes), or NULL. */
const char *hct_forced_kernel(const hct_ctx *, const char *op, size_t *ret_n);

/* ---- devices and tensors (device.c) ---- */

struct hct_dev {
    hct_ctx *ctx;
    const hct_backend *backend;
    hct_device *device;
    hct_stream *stream;
    hct_memory_stats memory;
    hct_stream *upload; /* ahead.c; NULL until something is written ahead */
    hct_tensor **ahead; /* with a second place; those whose `staged` is set wait to be taken */
    size_t n_ahead, cap_ahead;
    int writes_ahead;
    int ranges;        /* HCT_RANGES=1, and the backend can name what runs */
    int graph_refused; /* how often the backend refused one */
    int waits;         /* HCT_SYNC=1: each call is waited for */
};

struct hct_tensor {
    hct_dev *dev;
    hct_view view;
    uint64_t bytes;
    uint64_t version; /* grows whenever something is written here; from 1 */
    void *second;     /* where it is written ahead, or NULL */
    int staged;       /* something waits there */
};

/* Counted allocation on a device. */
hct_status hct_dev_alloc(hct_dev *, uint64_t bytes, void **ret, hct_err *);
void hct_dev_free(hct_dev *, void *mem, uint64_t bytes);

/* ---- ahead.c ---- */
hct_status hct_ahead_write(hct_tensor *, const void *host, hct_err *err);
void hct_ahead_forget(hct_tensor *); /* before it is freed */

/* ---- dispatch (dispatch.c) ---- */

/* The first kernel, by falling priority, whose plan() accepts. HCT_ENOKERNEL names op, dtype, backend and who
 * refused why. */
hct_status hct_dispatch(hct_dev *, const hct_problem *, const hct_kernel **ret, hct_plan *ret_plan, hct_err *);
/* Whether any kernel is registered for op on the device's backend (it may still refuse). */
int hct_has_kernel(const hct_dev *, const char *op);

/* ---- tapes (tape.c) ---- */

typedef struct value {
    hct_view view;      /* mem and off are set when the memory is known */
    hct_id root;        /* whose memory it lies in: itself, unless a view */
    hct_tensor *tensor; /* root only: lies in this tensor */
    hct_id grad;
    hct_id master;       /* of a copy in lower precision: the parameter that its gradients belong to; else 0 */
    int32_t first, last; /* root only: node that writes it first, node that reads it last (program) */
    uint32_t needs_grad : 1, keep : 1, owned : 1, written : 1, read : 1, wide : 1;
    /* owned: eager memory of this tape; written: a tensor that a call writes; read (program): by a live call, or
     * kept; wide: made from a 16-bit copy of a parameter, whose gradient goes through this value and stays F32 */
} value;

typedef struct node {
    const hct_op *op;
    hct_id *in, *out;
    hct_attr *attr;
    uint32_t n_in, n_out, n_attr;
    uint32_t into : 1; /* outputs are tensors' ids */
    uint32_t live : 1;
    const hct_kernel *kernel;
    hct_plan plan;
    hct_view *views;         /* program: n_in + n_out + 2 (workspace, packed copy) with addresses */
    uint64_t packed_version; /* of the tensor, when it was packed; 0: never */
} node;

struct hct_tape {
    hct_dev *dev;
    hct_mode mode;
    hct_err error;
    value *values; /* [0] is the inert value */
    size_t n_values, cap_values;
    node *nodes;
    size_t n_nodes, cap_nodes, backward_from; /* backward_from: what hct_backward has not walked yet */
    struct segment {
        size_t from, to;
    } * segments; /* in the order of the tape; to 0: open */
    size_t n_segments, cap_segments;
    int compiled, planned;
    uint64_t runs;
    int captures; /* captures: every kernel may be captured, and the backend can */
    void *graph;  /* the backend's; NULL: calls are run one by one */
    void *arena, *workspace, *packed;
    uint64_t arena_bytes, workspace_bytes, packed_bytes;
    int keep_packed;
    hct_program_stats stats;
    int64_t next_stream;         /* dropout: a number of its own for each call */
    struct hct_buckets *buckets; /* gradients that hct_backward hands over as they are finished; NULL: none */
};

value *hct_value(hct_tape *, hct_id);
uint64_t hct_view_bytes(const hct_view *);
void hct_make_contiguous(hct_view *); /* sets strides from dims */
void hct_node_release(node *);
/* Whether the gradient of what op makes of these values stays in F32 although they have 16 bits: one of them is a copy
 * of an F32 parameter, or made from one, and op only moves or scales it (backward.c). */
int hct_grad_stays_wide(hct_tape *, const char *op, const hct_id *in, uint32_t n_in);
/* What was split along an axis into exactly these n parts, in this order; 0: nothing was. */
hct_id hct_whole_of(const hct_tape *, const hct_id *part, uint32_t n, int64_t axis);
/* Runs one planned node now. */
hct_status hct_node_run(hct_tape *, node *, hct_err *);
/* Tensors that it writes get another version. */
void hct_node_wrote(hct_tape *, const node *);
void hct_problem_of(hct_tape *, const node *, hct_view *views, hct_problem *ret);
/* Takes the address of a value through its root. */
hct_view hct_resolve(hct_tape *, hct_id);

/* ---- packed copies (packed.c) ---- */

/* hct_problem.steady of a node. */
uint64_t hct_packed_steady(hct_tape *, const node *);
/* Takes up what a node's plan asks for. */
hct_status hct_packed_plan(hct_tape *, node *, uint64_t steady, hct_err *);
/* Packs what was written since it was packed. */
hct_status hct_packed_refresh(hct_tape *, hct_err *);

/* ---- gradients of all ranks (buckets.c) ---- */

/* What hct_backward tells: it is about to walk nodes [from, n_nodes); node i has been walked; it is done. */
void hct_buckets_begin(hct_tape *, size_t from);
void hct_buckets_walked(hct_tape *, size_t i);
void hct_buckets_end(hct_tape *);
void hct_buckets_free(struct hct_buckets *);
/* For n parameters, NULL: no memory. limit: bytes of a bucket. */
struct hct_buckets *hct_buckets_new(size_t n, uint64_t limit, int ranks);
void hct_buckets_add(struct hct_buckets *, hct_id param);
/* What a bucket holds where all gradients are `total` bytes. */
uint64_t hct_buckets_limit(uint64_t total);

/* ---- memory layout (layout.c) ---- */

typedef struct hct_block {
    uint64_t bytes;      /* already rounded to the alignment */
    int32_t first, last; /* alive from node first to node last, both included */
    uint64_t offset;     /* out */
} hct_block;
/* Gives each block an offset so that blocks alive together do not overlap; returns the arena's bytes (UINT64_MAX: no
 * memory). *ret_lower_bound: the most bytes alive at one node. */
uint64_t hct_layout(hct_block *, size_t n, uint64_t *ret_lower_bound);

/* ---- plugins' files (plugin_file.c) ---- */

/* Before any code of the file runs: that it is whole, and built for this interface. HCT_ENOTFOUND, HCT_EVERSION. */
hct_status plugin_check_file(const char *file, hct_err *err);
/* Magic, major and size of a description. */
hct_status plugin_check_version(const char *file, const hct_plugin *, hct_err *err);

/* ---- cost (cost.c) ---- */
double hct_node_flops(const hct_problem *);
/* m, n, k and matrices of a product. */
void hct_node_product(const hct_problem *, hct_call *);

#endif
