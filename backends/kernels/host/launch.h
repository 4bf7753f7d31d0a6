/* backends/kernels/host/launch.h: what a call of an op means on a device that compiles backends/kernels: a list of
 * launches.
 *
 * A planner looks at a problem and at a few properties of the device and writes launches: which kernel of which
 * file, how many groups, which arguments. It knows no driver. OpenCL and CUDA turn the list into their own calls;
 * both run the same plans.
 *
 *   static hct_status plan_scale(hk *b, const hct_problem *p, hct_err *err) {
 *       hk_each(b, "elementwise", p->in[0].dtype, "scale", hct_numel(p->out));
 *       hk_mem(b, HK_OUT_(0)); hk_mem(b, HK_IN_(0)); hk_f32(b, factor); hk_f32(b, plus);
 *       return HCT_OK;
 *   } */
#ifndef HK_LAUNCH_H
#define HK_LAUNCH_H

#include "hct/plugin.h"

/* ---- the device, as planners see it ---- */

typedef struct hk_target {
    uint32_t group;   /* work-items of a row kernel (GROUP): 1 where one work-item has a core to itself */
    uint32_t queries; /* work-items of an attention kernel (QUERIES) */
    uint32_t own;     /* queries that one of them owns (OWN) */
    uint32_t vw;      /* floats of a vec (VW) */
    uint32_t units;   /* groups that keep the device busy */
    int fp64;         /* double arithmetic: casts from and to F64 */
    uint64_t local;   /* bytes of local memory a group may have */
    uint32_t library; /* bit d: products of dtype d go to a library (HK_PRODUCT launches) */
    int library_bias; /* which adds a bias too */
    int subgroups;    /* row kernels add up through sub-groups: dialect.h's SUBGROUPS */
    int addresses;    /* kernels take tables of addresses (hk_table) */
    int64_t warps;    /* of a row kernel, which may keep a row each in registers (dialect.h's FOR_HELD); 0: not */
} hk_target;

/* ---- one launch ---- */

typedef enum hk_place { HK_IN, HK_OUT, HK_WORK, HK_STATUS } hk_place;
/* Bytes `off` into an operand (beyond its own offset) or into the workspace; HK_STATUS: the device's word for late
 * complaints. */
typedef struct hk_ref {
    hk_place place;
    uint32_t index;
    uint64_t off;
    uint64_t bytes; /* HK_WORK: how many were asked for */
} hk_ref;
#define HK_IN_(i) ((hk_ref){HK_IN, (uint32_t)(i), 0, 0})
#define HK_OUT_(i) ((hk_ref){HK_OUT, (uint32_t)(i), 0, 0})

typedef struct hk_arg {
    int is_mem; /* a buffer and its byte offset (two arguments); else bytes */
    hk_ref ref;
    uint32_t size, at;      /* bytes: size of them in plan->bytes from `at` */
    uint32_t place, places; /* of which these plan->place are addresses, known when the call is run */
} hk_arg;
/* An address, `at` bytes into a struct of arguments. */
typedef struct hk_address {
    uint32_t at;
    hk_ref ref;
} hk_address;

typedef enum hk_kind {
    HK_ROWS,   /* `groups` groups of `items` work-items */
    HK_EACH,   /* n work-items; two more arguments follow: first, n */
    HK_PRODUCT /* a library's matrix product */
} hk_kind;

/* c = a b + beta c (+ bias [n]) for each of `batch`, row-major: a [m, k] (t_a: [k, m]), b [k, n] (t_b: [n, k]);
 * leading dimensions and strides in elements. */
typedef struct hk_product {
    hk_ref a, b, c, temp, bias;
    int t_a, t_b, has_bias, wide; /* wide: c is F32, whatever dtype a and b have */
    int64_t m, n, k, ld_a, ld_b, ld_c, batch, step_a, step_b, step_c;
    float beta;
    uint64_t temp_bytes; /* set by the backend's ask (hk.product_temp) */
} hk_product;

typedef struct hk_launch {
    hk_kind kind;
    const char *program, *kernel; /* "norm", "layer_norm" */
    int32_t dtype;                /* REAL_*; -1: the program has none */
    char option[24];              /* "HEAD=64", "SUBGROUPS=1", or empty */
    uint32_t items;
    int64_t groups[2], n;
    uint32_t first_arg, n_args;
    int64_t moved; /* bytes; -1: each operand once */
    hk_product product;
} hk_launch;

/* A plan under construction, and what it becomes. */
typedef struct hk {
    const hk_target *target;
    const hct_problem *problem;
    hk_launch *launch;
    hk_arg *arg;
    hk_address *place;
    unsigned char *bytes;
    uint32_t n_launch, n_arg, n_bytes, n_place, cap_launch, cap_arg, cap_bytes, cap_place;
    uint64_t workspace, may_alias;
    int no_memory;
    /* Bytes of temporary memory a library product wants; NULL: none. */
    uint64_t (*product_temp)(void *self, const hk_product *);
    void *self;
} hk;

void hk_free(hk *);

/* Starts a launch; arguments follow in the kernel's order. */
void hk_rows(hk *, const char *program, int32_t dtype, const char *kernel, int64_t groups);
void hk_each(hk *, const char *program, int32_t dtype, const char *kernel, int64_t n);
/* Of the launch begun last: its work-items a group, groups in the second dimension, and compile option. */
void hk_shape(hk *, uint32_t items, int64_t groups_y);
void hk_option(hk *, const char *fmt, ...) HCT_PRINTF(2, 3);
void hk_mem(hk *, hk_ref);
void hk_i64(hk *, int64_t);
void hk_i32(hk *, int32_t);
void hk_f32(hk *, double);
void hk_struct(hk *, const void *, uint32_t size);
/* The same, with n addresses in it; HK_TABLE bytes at most. */
enum { HK_TABLE = 4096 };
void hk_table(hk *, const void *, uint32_t size, const hk_address *, uint32_t n);
void hk_multiply(hk *, const hk_product *);
/* Bytes that the launch begun last reads and writes, where that is not each operand once: operands that its loops go
 * over twice count twice, whether a cache holds them or not; numbers that a whole group shares do not count. */
void hk_moves(hk *, int64_t bytes);
/* What the plan launches and moves, into plan's accounts. Asked while the problem is there. */
void hk_account(const hk *, hct_plan *);

/* to = from, both contiguous, n elements of two dtypes. */
void hk_cast(hk *, hk_ref to, int32_t to_dtype, hk_ref from, int32_t from_dtype, int64_t n);
/* to [rows, c] = gelu(x + bias [c]); x's rows are step apart. */
void hk_bias_gelu(hk *, int32_t dtype, int64_t rows, int64_t c, hk_ref to, hk_ref x, int64_t step, hk_ref bias);
/* n elements of a dtype. */
void hk_fill(hk *, hk_ref to, int32_t dtype, int64_t n, double value);

/* Workspace of this call, at a multiple of HK_ALIGN: cuBLASLt asks for that. */
enum { HK_ALIGN = 256 };
hk_ref hk_work(hk *, uint64_t bytes);
static inline hk_ref hk_at(hk_ref r, uint64_t bytes) { return r.off += bytes, r; }

/* ---- strided operands ---- */

enum { HK_OPERANDS = 4 };
typedef struct hk_walk { /* dialect.h's walk */
    int64_t ndim, dim[HCT_MAX_DIMS], stride[HK_OPERANDS][HCT_MAX_DIMS];
} hk_walk;

/* Merges axes that lie together in all k operands of equal dims. */
void hk_walk_init(hk_walk *, int k, const hct_view *const *views);
/* Whether all k operands are one contiguous run. */
int hk_walk_flat(const hk_walk *, int k);

/* to = from, any strides, equal dims and element size. */
void hk_copy(hk *, hk_ref to, const hct_view *to_view, hk_ref from, const hct_view *from_view);
/* Where in[i] lies contiguously: itself, or a copy in the workspace. */
hk_ref hk_flat(hk *, uint32_t i);
/* in[i] as rows over its last axis, which lies together: itself or a copy; *ret_step is the stride from row to row. */
hk_ref hk_rows_of(hk *, uint32_t i, int64_t *ret_step);
void hk_contiguous(hct_view *); /* strides from dims */
int64_t hk_row_count(const hct_view *, int inner);

/* Parts into which sums over that many rows are cut: 8 rows each, more where that is more parts than keep the device
 * busy. */
static inline int64_t hk_row_parts(const hk *b, int64_t rows) {
    int64_t parts = (rows + 7) / 8, most = 4 * (int64_t)b->target->units;
    return parts > most ? most : parts < 1 ? 1 : parts;
}

/* Groups whose warps take rows of c by turns, and keep them in registers; 0: not on this device, or not that long. */
enum { HK_HELD = 1024 }; /* dialect.h's HELD_MOST */
static inline int64_t hk_warp_groups(const hk *b, int64_t rows, int64_t c) {
    if (!b->target->warps || c % b->target->vw || c > HK_HELD || rows < 1) return 0;
    int64_t groups = (rows + b->target->warps - 1) / b->target->warps, most = 8 * (int64_t)b->target->units;
    return groups < most ? groups : most;
}

/* Vectors that cover n columns. */
static inline int64_t hk_strips(const hk *b, int64_t n) { return (n + b->target->vw - 1) / b->target->vw; }

static inline int64_t hk_int(const hct_problem *p, const char *name) {
    return hct_attr_int(p->attr, p->n_attr, name, 0);
}
static inline double hk_real(const hct_problem *p, const char *name) {
    return hct_attr_real(p->attr, p->n_attr, name, 0);
}

/* layer_norm.bwd and add_layer_norm.bwd. */
hct_status hk_norm_backward(hk *, const hct_problem *, hct_err *);

/* ---- the planners ---- */

typedef struct hk_op {
    const char *op;
    hct_status (*plan)(hk *, const hct_problem *, hct_err *);
    uint64_t dtypes;    /* of in[0] (else out[0]) */
    uint32_t may_alias; /* as in hct_plan, where plan leaves it be */
} hk_op;

#define HK_REAL ((uint64_t)(1u << HCT_F32 | 1u << HCT_BF16 | 1u << HCT_F16))
#define HK_ANY ((uint64_t)((1u << HCT_DTYPES) - 1))

/* Families, each ended by an empty entry. */
extern const hk_op hk_elementwise[], hk_move[], hk_reduce[], hk_norm[], hk_softmax[], hk_tokens[], hk_optim[],
    hk_products[], hk_attention[], hk_dino[], hk_views[], hk_conv[], hk_pool[], hk_batch_norm3d[], hk_fused[];
/* all; those with HK_PRODUCT launches. Ended by NULL */
extern const hk_op *const hk_families[], *const hk_library_families[];
/* Extra kernels: families whose row kernels want hk_target.subgroups, and those in f16 arithmetic. A backend
 * registers them with a priority above its base kernels', and their plan refuses where the device lacks what they
 * need. */
extern const hk_op *const hk_subgroup_families[], *const hk_half_families[];
const hk_op *hk_find(const hk_op *const *families, const char *op);
/* Adds a kernel "prefix:op" for each op of the families: backend, priority, plan, run, release are like's, and
 * dtypes where it has some. A job of several ranks gets none that would do for one rank only. */
hct_status hk_add_kernels(const hct_host *, const hk_op *const *families, const hct_kernel *like, const char *prefix,
                          int several_ranks, hct_err *);

/* What a complaint in the status word means. */
const char *hk_complaint(int32_t code);

#endif
