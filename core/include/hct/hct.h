/* hct/hct.h: what an application includes: open a device, write a model as equations, run it.
 *
 *   hct_ctx *ctx = hct_open(NULL, &err);                  loads backends and plugins
 *   hct_dev *dev = hct_device_open(ctx, "cpu", &err);
 *   hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);         or HCT_EAGER
 *   hct_id y = hct_linear(t, hct_use(t, x), hct_param(t, w), hct_param(t, b));
 *   hct_id loss = hct_mse(t, y, hct_use(t, target));
 *   hct_backward(t, loss);
 *   hct_keep(t, loss);
 *   if (hct_compile(t, &err) == HCT_OK) hct_run(t, &err); replays: allocates nothing, looks nothing up
 *
 * Errors are sticky: a call that fails keeps its message on the tape and returns 0; ops on value 0 do nothing. Check
 * once with hct_tape_error(). A value lives as long as its tape (eager) or until its last use (program). Tensors
 * live until freed. */
#ifndef HCT_HCT_H
#define HCT_HCT_H

#include "hct/backend.h"

typedef struct hct_ctx hct_ctx;       /* the registry: backends, ops, kernels */
typedef struct hct_dev hct_dev;       /* an opened device */
typedef struct hct_tensor hct_tensor; /* memory on a device that outlives tapes */

/* ---- context ---- */

typedef struct hct_options {
    const char *const *plugins; /* files to load by name; a failure is an error */
    size_t n_plugins;
} hct_options;

/* Loads, in this order: options' files, each folder of HCT_PLUGIN_PATH, the installed plugin folder or, uninstalled,
 * the build tree's (relative to libhct). A file that cannot be used is one line on stderr; so is a folder of
 * HCT_PLUGIN_PATH without a plugin, a word of HCT_VERBOSE and, at the first dispatch, an op or kernel of HCT_KERNEL
 * that nobody knows. Options may be NULL. */
HCT_API hct_ctx *hct_open(const hct_options *, hct_err *);
HCT_API void hct_close(hct_ctx *);
HCT_API hct_status hct_load_plugin(hct_ctx *, const char *file, hct_err *);
/* Calls f with each folder that is searched for plugins, in that order, until it returns other than 0, and returns
 * that: for components that are no plugins (an app's own, hct_comm_*.so). */
HCT_API int hct_each_plugin_folder(int (*f)(void *arg, const char *folder), void *arg);
/* HCT_EINVAL where somebody else could have put a shared object there: it, or a folder above it once links are
 * followed, belongs to another user than root, the caller and the owner of libhct, or may be written to by others.
 * Asked of all that is found in those folders, not of files that a caller names. */
HCT_API hct_status hct_trust_file(const char *file, hct_err *err);

/* What is registered; i < count. Used by `headct backends` and the conformance table. */
HCT_API size_t hct_op_count(const hct_ctx *);
HCT_API const hct_op *hct_op_at(const hct_ctx *, size_t i);
HCT_API const hct_op *hct_op_find(const hct_ctx *, const char *name);
HCT_API size_t hct_kernel_count(const hct_ctx *);
HCT_API const hct_kernel *hct_kernel_at(const hct_ctx *, size_t i);
HCT_API size_t hct_backend_count(const hct_ctx *);
HCT_API const hct_backend *hct_backend_at(const hct_ctx *, size_t i);
HCT_API size_t hct_plugin_count(const hct_ctx *);
/* The plugin's description; *ret_path (may be NULL) its file. */
HCT_API const hct_plugin *hct_plugin_at(const hct_ctx *, size_t i, const char **ret_path);

/* ---- devices and tensors ---- */

/* spec: "cpu", "opencl:1". NULL: env HEADCT_DEVICE, else "cpu". */
HCT_API hct_dev *hct_device_open(hct_ctx *, const char *spec, hct_err *);
HCT_API void hct_device_close(hct_dev *);
HCT_API const char *hct_device_backend(const hct_dev *);
HCT_API hct_ctx *hct_device_context(const hct_dev *);

typedef struct hct_memory_stats {
    uint64_t calls;       /* backend allocations so far: constant while a program is replayed */
    uint64_t bytes, peak; /* held now, and at most */
} hct_memory_stats;
HCT_API hct_memory_stats hct_device_memory(const hct_dev *);

/* Contiguous, zero-filled. */
HCT_API hct_tensor *hct_tensor_new(hct_dev *, hct_dtype, int ndim, const int64_t *dim, hct_err *);
HCT_API void hct_tensor_free(hct_tensor *);
HCT_API hct_status hct_tensor_write(hct_tensor *, const void *host, hct_err *); /* all of it, row-major */
HCT_API hct_status hct_tensor_read(const hct_tensor *, void *host, hct_err *);
/* Writing ahead, where the backend can copy beside what runs (and HCT_AHEAD=0 does not forbid it): between begin and
 * end, hct_tensor_write goes to a second place of the tensor, on a stream of its own; hct_ahead_take makes it the
 * tensor's content, behind everything that was enqueued before. */
HCT_API int hct_ahead_possible(const hct_dev *);
HCT_API hct_status hct_ahead_begin(hct_dev *, hct_err *);
HCT_API void hct_ahead_end(hct_dev *);
HCT_API hct_status hct_ahead_take(hct_dev *, hct_err *);
HCT_API void hct_ahead_release(hct_dev *); /* gives the second places back, and what was not taken */
HCT_API const hct_view *hct_tensor_view(const hct_tensor *);
HCT_API uint64_t hct_tensor_bytes(const hct_tensor *);

/* ---- tapes ---- */

typedef enum hct_mode { HCT_EAGER = 0, HCT_PROGRAM = 1 } hct_mode;

HCT_API hct_tape *hct_tape_new(hct_dev *, hct_mode);
HCT_API void hct_tape_free(hct_tape *);
/* HCT_OK, or the first error with its message. */
HCT_API hct_status hct_tape_error(const hct_tape *, hct_err *ret);
/* Puts an error on the tape (the first one stays); returns 0. For shape rules of larger blocks. */
HCT_API hct_id hct_tape_fail(hct_tape *, hct_status, const char *fmt, ...) HCT_PRINTF(3, 4);
/* A tensor as a constant, and as a parameter (gradients flow to it). The same tensor always gives the same id. */
HCT_API hct_id hct_use(hct_tape *, hct_tensor *);
HCT_API hct_id hct_param(hct_tape *, hct_tensor *);
/* `copy`, a tensor of master's shape and a shorter real dtype, where the parameter master is meant: models compute
 * with the copy, gradients are those of master (hct_grad of hct_param(master)), added up in its dtype. Who changes
 * master writes the copy too (hct_optim_copy). */
HCT_API hct_id hct_param_copy(hct_tape *, hct_tensor *master, hct_tensor *copy);
/* The value without its history: no gradient flows through. */
HCT_API hct_id hct_detach(hct_tape *, hct_id);
/* Appends one call of any op, plugins' included. */
HCT_API hct_status hct_emit(hct_tape *, const char *op, const hct_id *in, uint32_t n_in, const hct_attr *,
                            uint32_t n_attr, hct_id *out, uint32_t n_out);
/* The same for ops that change tensors (optimisers, running statistics): out[] are ids of tensors and are written. */
HCT_API hct_status hct_emit_into(hct_tape *, const char *op, const hct_id *in, uint32_t n_in, const hct_attr *,
                                 uint32_t n_attr, const hct_id *out, uint32_t n_out);
/* Appends the gradients of a scalar loss. seed: dL/dloss; 0 means 1. With a seed the loss may have any shape. It
 * walks what was appended since the last hct_backward, so micro-batches go forward, backward, forward, backward on
 * one tape: the parameters' gradients add up, and the memory is that of one micro-batch. */
HCT_API void hct_backward(hct_tape *, hct_id loss, hct_id seed);
/* What is appended between the two is a segment: hct_backward appends its calls once more before their gradients, so
 * that of the first ones only what lies outside the segment uses is kept. A program then needs less memory and does
 * more work; the results are the same, bit for bit. Segments do not nest, and hold no call that changes tensors. */
HCT_API void hct_segment_begin(hct_tape *);
HCT_API void hct_segment_end(hct_tape *);
/* dL/dx after hct_backward; 0 where x does not reach the loss. */
HCT_API hct_id hct_grad(hct_tape *, hct_id x);
HCT_API const hct_view *hct_shape(const hct_tape *, hct_id);
/* Program: the value stays readable after a run. Eager: nothing to do. */
HCT_API void hct_keep(hct_tape *, hct_id);
/* Copies a value (kept, or eager) to the host, row-major, any strides resolved. */
HCT_API hct_status hct_read(hct_tape *, hct_id, void *host, hct_err *);

/* Before compiling: kernels may keep copies of tensors in the order in which they read them. They are made before a
 * run where the tensor was written since (hct_tensor_write, an optimiser in another program); tensors that this
 * program writes are left out. Pays where the same weights meet many batches; costs their bytes once more
 * (hct_program_stats.packed). Results are the same, bit for bit. Eager: nothing to do. */
HCT_API void hct_keep_packed(hct_tape *);
/* Plans every kernel and lays all temporaries out in one arena. */
HCT_API hct_status hct_compile(hct_tape *, hct_err *);
HCT_API hct_status hct_run(hct_tape *, hct_err *);
/* Enqueues a run and does not wait: hct_read, or the next hct_run, does, and reports what failed. */
HCT_API hct_status hct_start(hct_tape *, hct_err *);
/* Plans without taking memory (headct plan). hct_compile may follow. */
HCT_API hct_status hct_plan_only(hct_tape *, hct_err *);

typedef struct hct_program_stats {
    uint32_t nodes, nodes_dead; /* calls to run; calls dropped because nothing needs them */
    uint64_t arena, workspace;  /* bytes */
    uint64_t arena_lower_bound; /* most bytes alive at once: no layout can be smaller */
    uint64_t tensors;           /* bytes of tensors the program uses */
    uint64_t packed;            /* bytes of their packed copies */
    double flops;               /* multiply-adds of matrix products and attention, times 2 */
} hct_program_stats;
HCT_API hct_program_stats hct_stats(const hct_tape *);
/* One call of a program: what it moves and computes. */
typedef struct hct_call {
    const char *op, *kernel;
    hct_dtype dtype;             /* of its first operand */
    double bytes;                /* of its operands, each counted once */
    double flops;                /* as hct_program_stats.flops */
    double moved, moved_library; /* bytes that its launches, and those of a library, read and write: hct_plan.moved */
    uint32_t launches, library;  /* kernels that it launches, and how many of them are a library's */
    int64_t m, n, k, matrices;   /* of a product: so many of [m, k] by [k, n]; else 0 */
} hct_call;
/* Gives a program's calls in the order in which they run. HCT_EINVAL: it is neither compiled nor planned. */
HCT_API hct_status hct_calls(const hct_tape *, void (*call)(void *context, const hct_call *), void *context, hct_err *);
/* Program: time, bytes of operands and work by kernel of one run, slowest first, given to `line` one kernel at a time
 * ("   12.34 ms  56.7%     12 calls      1.2 GB/s    0.003 TFLOP/s  NAME"; for `headct bench --profile`). Each call is
 * waited for, so that a small one shows what waiting takes. */
HCT_API hct_status hct_profile(hct_tape *, void (*line)(void *context, const char *text), void *context, hct_err *);

#include "hct/ops.h"

#endif
