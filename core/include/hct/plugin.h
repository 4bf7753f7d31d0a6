/* hct/plugin.h: what a kernel author implements. The binary interface, major 1.
 *
 * A plugin is one shared object named hct_kernel_*.so (or hct_backend_*.so, see backend.h) that exports the data
 * symbol `hct_plugin_v1`. The host reads magic, version and size from it before it runs any code, then calls init()
 * with a table of functions. A plugin links nothing of ours. It is never unloaded.
 *
 *   HCT_PLUGIN_DEFINE("my_gelu", "1.0", init)
 *
 * Three things can be added: an op (what is computed: shape rule and gradient), a kernel (one way to compute one op on
 * one backend), a backend (memory, order and time). docs/writing-a-plugin.md walks through plugins/example.
 *
 * Stability: within major 1, fields are only appended to a struct and `size` (set with sizeof) says how many are there;
 * HCT_HAS tests for a later one. An absent or NULL function pointer is legal where a comment says "optional". */
#ifndef HCT_PLUGIN_H
#define HCT_PLUGIN_H

#include "hct/types.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HCT_MAGIC 0x31544348u /* "HCT1" */
#define HCT_MAJOR 1           /* another major is refused before anything is called */
/* 1: hct_host.comm; 2: hct_backend.range_push, range_pop, stream_after; 3: packed copies; 4: unused outputs;
 * 5: hct_backend.library; 6: what a plan launches */
#define HCT_MINOR 6
#define HCT_HAS(p, f) ((p)->size >= (size_t)((const char *)&(p)->f - (const char *)(p)) + sizeof(p)->f && (p)->f)

typedef struct hct_host hct_host;
typedef struct hct_tape hct_tape;
typedef struct hct_device hct_device; /* a backend's own */
typedef struct hct_stream hct_stream; /* a backend's own */
typedef struct hct_backend hct_backend;
typedef struct hct_comm hct_comm; /* comm.h */
typedef int32_t hct_id;           /* a value on a tape; 0 is the inert value that failed ops return */

/* ---- attributes: the constants of one call, by name ---- */

enum { HCT_ATTR_INT = 0, HCT_ATTR_REAL = 1, HCT_ATTR_INTS = 2 };

typedef struct hct_attr {
    const char *name; /* the host keeps its own copy */
    int32_t kind, n;  /* n: how many of ints[] are set */
    double real;
    int64_t ints[HCT_MAX_DIMS]; /* an HCT_ATTR_INT is ints[0] */
} hct_attr;

#define HCT_INT(name_, i_) ((hct_attr){.name = (name_), .kind = HCT_ATTR_INT, .n = 1, .ints = {(i_)}})
#define HCT_REAL(name_, f_) ((hct_attr){.name = (name_), .kind = HCT_ATTR_REAL, .real = (f_)})

/* ---- one call ---- */

enum {
    HCT_DETERMINISTIC = 1, /* problem: asked for. plan: promised */
    HCT_CAPTURE_SAFE = 2   /* plan: run() may be captured in a graph */
};

typedef struct hct_problem { /* all of one call except the addresses */
    uint32_t size, flags;
    const char *op;
    const hct_view *in, *out; /* mem is NULL at plan time; dims, strides and dtypes are final */
    const hct_attr *attr;
    uint32_t n_in, n_out, n_attr, reserved;
    /* since 1.3: bit i: in[i] (i < 64) is a tensor that keeps its values over many runs, so a packed copy pays */
    uint64_t steady;
    uint64_t unused; /* since 1.4: bit o: nothing reads out[o] (o < 64) */
} hct_problem;

typedef struct hct_plan { /* what a kernel promises for that problem */
    uint32_t size, flags;
    void *state;        /* its algorithm, its descriptors */
    uint64_t workspace; /* bytes wanted at run time; the host provides them, a kernel never allocates in run() */
    uint64_t may_alias; /* bit o*8+i: out[o] may lie exactly on in[i] (o, i < 8) */
    uint64_t packed;    /* since 1.3: bytes wanted for a packed copy of in[packs], which must be steady; 0: none */
    uint32_t packs, reserved;
    uint64_t leaves; /* since 1.4: bit o: run() does not touch out[o], which is unused: it gets no memory */
    /* Since 1.6, for accounts: how many kernels run() launches, and how many of them are a library's; bytes that they
     * read and write in memory, as their loops go over operands (a library's: each operand once), and how many of
     * those the library's do. launches 0: not told, which counts as one kernel that moves each operand once. */
    uint32_t launches, library;
    uint64_t moved, moved_library;
} hct_plan;

typedef struct hct_kernel { /* one way to compute one op on one backend */
    uint32_t size, flags;
    const char *name, *op, *backend; /* "ref:softmax:f32", "softmax", "cpu" */
    uint64_t dtypes;                 /* bit d: may work where in[0] (else out[0]) has dtype d; 0: any. A quick filter */
    int32_t priority, reserved;      /* 0 reference, 100 library, 200 tuned, 1000 a user's own */
    /* Can I? and prepare, in one: HCT_OK fills *ret; HCT_NOTIMPL (err->msg says why) passes on to the next kernel.
     * Strides are arbitrary (0 where broadcast): refuse what you cannot walk. */
    hct_status (*plan)(hct_device *, const hct_problem *, hct_plan *ret, hct_err *);
    /* Enqueues the work; no allocation, no waiting. in, out, ws as planned, with addresses. ws[1]: the packed copy,
     * where the plan asked for one. */
    hct_status (*run)(const hct_plan *, hct_stream *, const hct_view *in, const hct_view *out, const hct_view *ws,
                      hct_err *);
    void (*release)(hct_plan *); /* optional: frees state */
    /* Since 1.3, optional: enqueues the packing of in[packs] into packed. The host calls it before run() where the
     * values have changed. */
    hct_status (*pack)(const hct_plan *, hct_stream *, const hct_view *in, const hct_view *packed, hct_err *);
} hct_kernel;

/* ---- the meaning of an op, equal on all backends ---- */

typedef struct hct_node { /* one recorded call, as grad() and compose() see it */
    uint32_t size, n_in, n_out, n_attr;
    const char *op;
    const hct_id *in, *out;
    const hct_attr *attr;
} hct_node;

enum {
    HCT_OP_VIEW = 1 /* outputs lie in in[0]'s memory: infer() also sets strides and adds to off; no kernel runs */
};

typedef struct hct_op {
    uint32_t size, flags;
    const char *name;
    /* Checks the inputs and attributes; fills ndim, dim and dtype of each of problem->n_out outputs. */
    hct_status (*infer)(const hct_problem *, hct_view *out, hct_err *);
    /* Optional (absent: not differentiable). Asks host->grad_of(out), emits ops, host->add_grad(in, g). */
    hct_status (*grad)(const hct_host *, hct_tape *, const hct_node *, hct_err *);
    /* Optional: the op in terms of smaller ops, used where a backend has no kernel for it. Fills out[n_out]. */
    hct_status (*compose)(const hct_host *, hct_tape *, const hct_node *, hct_id *out, hct_err *);
} hct_op;

/* ---- what the host offers ---- */

struct hct_host {
    uint32_t size;
    uint16_t major, minor;
    void *self;
    /* Registration, during init() only. The structs must live as long as the process. A name that is taken, or one
     * that misses a required field, is refused. */
    hct_status (*add_backend)(const hct_host *, const hct_backend *, hct_err *);
    hct_status (*add_op)(const hct_host *, const hct_op *, hct_err *);
    hct_status (*add_kernel)(const hct_host *, const hct_kernel *, hct_err *);
    /* For grad() and compose(). emit appends a call; on failure outputs are inert and the tape keeps the error. */
    hct_status (*emit)(hct_tape *, const char *op, const hct_id *in, uint32_t n_in, const hct_attr *, uint32_t n_attr,
                       hct_id *out, uint32_t n_out);
    hct_id (*grad_of)(hct_tape *, hct_id);            /* dL/d value; 0 where it has none */
    void (*add_grad)(hct_tape *, hct_id, hct_id g);   /* adds g to dL/d value */
    int (*needs_grad)(hct_tape *, hct_id);            /* 0: do not bother */
    void (*describe)(hct_tape *, hct_id, hct_view *); /* dims, strides, dtype */
    void (*log)(const hct_host *, const char *line);
    const hct_comm *comm; /* since 1.1: the job's ranks; NULL: one */
};

/* ---- the exported symbol ---- */

typedef struct hct_plugin {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t size, reserved;
    const char *name, *version, *built_with;
    hct_status (*init)(const hct_host *, hct_err *);
} hct_plugin;

#ifdef __cplusplus
#define HCT_EXTERN extern "C"
#else
#define HCT_EXTERN extern
#endif
#define HCT_PLUGIN_DEFINE(name_, version_, init_)                                                                      \
    HCT_EXTERN HCT_API const hct_plugin hct_plugin_v1;                                                                 \
    const hct_plugin hct_plugin_v1 = {HCT_MAGIC, HCT_MAJOR,   HCT_MINOR, sizeof(hct_plugin), 0, name_,                 \
                                      version_,  __VERSION__, init_};

/* ---- small helpers, so that a plugin needs nothing of ours at link time ---- */

static inline const hct_attr *hct_attr_find(const hct_attr *a, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++) {
        const char *p = a[i].name, *q = name;
        while (*p && *p == *q) p++, q++;
        if (*p == *q) return a + i;
    }
    return NULL;
}
static inline int64_t hct_attr_int(const hct_attr *a, uint32_t n, const char *name, int64_t otherwise) {
    const hct_attr *f = hct_attr_find(a, n, name);
    return f ? f->ints[0] : otherwise;
}
static inline double hct_attr_real(const hct_attr *a, uint32_t n, const char *name, double otherwise) {
    const hct_attr *f = hct_attr_find(a, n, name);
    return f ? f->real : otherwise;
}
/* Bytes of one element (hct_dtype_size without linking); 0 for a number that is no dtype. */
static inline size_t hct_dtype_bytes(int32_t dtype) {
    switch (dtype) {
#define X(e, value, name, bytes)                                                                                       \
    case value: return bytes;
        HCT_DTYPE_MAP(X)
#undef X
    default: return 0;
    }
}
/* Writes code and a message to err (which may be NULL) and returns code. */
#define hct_plugin_fail(err, code_, ...)                                                                               \
    ((err) ? ((err)->code = (code_), (void)snprintf((err)->msg, sizeof(err)->msg, __VA_ARGS__), (code_)) : (code_))
/* Number of elements. */
static inline int64_t hct_numel(const hct_view *v) {
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++) n *= v->dim[i];
    return n;
}
/* Whether elements lie row-major without gaps. */
static inline int hct_is_contiguous(const hct_view *v) {
    int64_t expect = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->dim[i] != 1 && v->stride[i] != expect) return 0;
        expect *= v->dim[i];
    }
    return 1;
}
/* Host address of a view's first element (CPU backend). */
static inline void *hct_ptr(const hct_view *v) { return (char *)v->mem + v->off; }

#ifdef __cplusplus
}
#endif
#endif
