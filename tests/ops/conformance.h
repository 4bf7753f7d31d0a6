/* The conformance table: what every op of the registry must compute, and how each kernel is held to it.
 *
 *   main.c        options, and the walk over ops, kernels, dtypes and cases
 *   cases_*.c     the table: shapes, attributes and kinds of input, a family of ops a file
 *   cases_file.c  more of it from a text file (--cases): what plugins bring along
 *   naive_*.c     what each op means, as plain loops over doubles, written from the op's definition, not from a kernel
 *   call.c        one case made concrete: values, shapes of outputs, the true result
 *   layout.c      how an input lies in memory: transposed, sliced, strided, broadcast
 *   kernel_run.c  one kernel on one call: guards, fresh NaN, in place, twice
 *   tape_run.c    the same call through the tape: gradients, eager against program, composites
 *   bench.c       --bench
 *
 * To add a case, add a line to a table. An op of the core without a case fails the run; an op of a plugin that no file
 * of cases names gets a case of one or two real inputs [3,7]. */
#ifndef TESTS_OPS_CONFORMANCE_H
#define TESTS_OPS_CONFORMANCE_H

#include "hct/hct.h"

#include <stdbool.h>

enum { MAX_IN = 12, MAX_OUT = 8, MAX_ATTR = 10 };

typedef enum input_kind {
    IN_NONE,     /* ends the list */
    IN_REAL,     /* the dtype under test, multiples of 1/64 within +-2: exact in every real dtype */
    IN_POSITIVE, /* the same within [1/4, 2] */
    IN_ANY,      /* the dtype under test, which may be an integer one: then whole numbers */
    IN_WIDE,     /* as IN_ANY, multiples of 1/2 within [-20, 100] */
    IN_FINE,     /* the dtype under test, 22 significant bits within +-2: rounding shows */
    IN_DISTINCT, /* the dtype under test, multiples of 1/64 within +-2; the first 257 all different: no ties */
    IN_LARGE,    /* the dtype under test, multiples of 4 within +-512: exp of them overflows F32 */
    IN_STAT,     /* F64 beside F64, else F32: what norms and softmax keep for their backward */
    IN_F32,      /* F32, positive */
    IN_COPY,     /* BF16, only written */
    IN_INDEX,    /* I32 in [0, limit) */
    IN_MASK,     /* the dtype under test, 1 in about three of four places, else 0; no gradient */
    IN_RNG,      /* I32: key and step of dropout */
    IN_RANGE, /* uniform within [low, high]; of the dtype under test or a fixed one. Differentiable where not fixed */
    IN_LIST   /* the listed values in turn, extreme ones among them; likewise */
} input_kind;

typedef struct case_input {
    input_kind kind;
    int ndim;
    int64_t dim[HCT_MAX_DIMS];
    int32_t limit;
    /* of a file's cases */
    double low, high;
    char **list; /* numbers, or names of numbers, which each dtype has its own of */
    int n_list;
    int32_t fixed; /* 1 + a dtype; 0: the one under test */
} case_input;

enum {
    GRAD = 1,         /* inputs of kinds IN_REAL, IN_POSITIVE, IN_DISTINCT and IN_ANY are differentiable */
    CONTIGUOUS = 2,   /* the op's shape rule asks for inputs without gaps */
    BIG = 4,          /* plain layout only */
    NO_BROADCAST = 8, /* equal rows would make the result meaningless */
    BENCH = 16,       /* only for --bench */
    ANY_DTYPE = 32,   /* integer dtypes too */
    ZEROS = 64,       /* a result that is mostly zero is meant */
    EXACT = 128,      /* the truth, rounded to nearest even, bit for bit: ops that only move or convert */
    ELEMENTWISE =
        256, /* each element is compared on its own: among extreme values the largest says nothing of the others */
    OPTIONAL = 512 /* a device may have no kernel for it: whoever emits the op asks first */
};

/* The name of BENCH cases of six times "vit-b"'s rows: arrays of 151 MB in F32. */
#define BEYOND_CACHE "vit-b x 6"

struct call;
typedef struct op_case {
    const char *op, *name;
    case_input in[MAX_IN];
    hct_attr attr[MAX_ATTR]; /* ended by one without a name */
    unsigned flags;
    uint32_t n_out;                /* 0: one */
    uint32_t n_smooth;             /* outputs with a gradient, the first ones; 0: one */
    int into[MAX_OUT];             /* ops that write in place: out[o] lies on in[into[o] - 1] */
    void (*derive)(struct call *); /* replaces inputs by what a forward would have given */
    void (*naive)(
        struct call *); /* NULL (backward ops): the F64 reference kernel is the truth, and gradients hold that one */
} op_case;

/* For tables. */
#define NDIM(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
/* clang-format off */
#define IN(kind, ...) \
    { kind, NDIM(__VA_ARGS__), {__VA_ARGS__}, 0 }
/* clang-format on */
#define REAL(...) IN(IN_REAL, __VA_ARGS__)
#define POSITIVE(...) IN(IN_POSITIVE, __VA_ARGS__)
#define ANY(...) IN(IN_ANY, __VA_ARGS__)
#define STAT(...) IN(IN_STAT, __VA_ARGS__)
#define MASK(...) IN(IN_MASK, __VA_ARGS__)
#define F32(...) IN(IN_F32, __VA_ARGS__)
/* clang-format off */
#define INDEX(limit, ...) \
    { IN_INDEX, NDIM(__VA_ARGS__), {__VA_ARGS__}, limit }
/* clang-format on */
#define SCALAR                                                                                                         \
    { IN_REAL, 0, {0}, 0 }
#define RNG IN(IN_RNG, 4)
/* clang-format off */
#define A_INT(name_, i_)                                               \
    {                                                                  \
        .name = (name_), .kind = HCT_ATTR_INT, .n = 1, .ints = {(i_) } \
    }
#define A_REAL(name_, f_) \
    { .name = (name_), .kind = HCT_ATTR_REAL, .real = (f_) }
#define A_INTS(name_, ...)                                                                      \
    {                                                                                           \
        .name = (name_), .kind = HCT_ATTR_INTS, .n = NDIM(__VA_ARGS__), .ints = { __VA_ARGS__ } \
    }
/* clang-format on */

extern const op_case cases_elementwise[], cases_products[], cases_norm[], cases_softmax[], cases_shape[],
    cases_tokens[], cases_optim[], cases_dino[], cases_views[], cases_volume[];

/* ---- cases_file.c ---- */

/* The cases of a file, ended by one without an op. NULL: err names the file, the line and what is wrong with it. */
op_case *case_file_read(const char *path, hct_err *err);
void case_file_free(op_case *);
/* Element i of an IN_LIST input in a dtype. */
double listed_value(const case_input *, int32_t dtype, int64_t i);
/* The smallest normal number of a real dtype; 0: of another. */
double least_normal(int32_t dtype);

/* ---- a case made concrete ---- */

typedef struct call {
    const op_case *c;
    const hct_op *op;
    uint32_t n_in, n_out, n_attr;
    hct_view in[MAX_IN], out[MAX_OUT]; /* contiguous, without memory */
    double *x[MAX_IN], *y[MAX_OUT];    /* row-major values; inputs are exact in their dtype; y: the truth, unrounded */
} call;

/* The F64 reference on the CPU, where a case has no naive loop. */
typedef struct device {
    hct_ctx *ctx;
    const hct_backend *backend;
    hct_device *device;
    hct_stream *stream;
} device;

/* Makes inputs, shapes and truth (no truth where the reference has no backend). broadcast: inputs are constant along
 * their first axis. False, with the reason in why, where the shape rule refuses. */
bool call_make(call *, const device *reference, const op_case *, int32_t dtype, bool broadcast, hct_err *why);
void call_free(call *);
uint32_t case_inputs(const op_case *);
uint32_t case_attrs(const op_case *);
int64_t call_int(const call *, const char *name, int64_t otherwise);
double call_real(const call *, const char *name);

void encode(const double *, int64_t n, int32_t dtype, void *);
void decode(const void *, int64_t n, int32_t dtype, double *);
bool real_dtype(int32_t);
/* A value of [-2, 2] that is a multiple of 1/64, from a state that it steps. */
double random_64th(uint64_t *state);
/* Whether got is close enough to output o's truth; why says where it is not. */
bool call_compare(const call *, uint32_t o, const double *got, hct_err *why);
/* Whether most of the truth is zero although the case does not say so. */
bool call_mistrusted(const call *);

/* ---- memory ---- */

typedef enum layout { PLAIN, TRANSPOSED, SLICED, STRIDED, BROADCAST, MIXED, LAYOUTS } layout;
extern const char *const layout_names[LAYOUTS];
/* Sets strides and offset of input i's view; returns how many elements its storage has. */
int64_t layout_place(hct_view *, layout, uint32_t i);

bool device_open(device *, hct_ctx *, const char *spec, hct_err *);
void device_close(device *);

/* ---- checks ---- */

typedef enum verdict { PASSED, SKIPPED, FAILED } verdict;

verdict kernel_check(const device *, const hct_kernel *, const call *, layout, hct_err *why);
/* The lowest-priority F64 kernel of the call's op on a device: writes y. */
bool reference_run(const device *, call *, hct_err *why);

/* Through the tape, in F64: value against truth, program against eager bit for bit, gradients. */
verdict tape_check(hct_dev *, const call *, bool contiguous, bool gradients, hct_err *why);
/* The same on a device that computes in F32: value against truth, program against eager bit for bit, gradients against
 * those of the reference device. */
verdict tape_compare(hct_dev *, hct_dev *reference, const call *, bool contiguous, bool gradients, hct_err *why);
/* The op's compose() against the truth; SKIPPED where it has none. */
verdict composite_check(hct_dev *, const call *, hct_err *why);

/* One CSV line: op, kernel, dtype, case, microseconds, GFLOP/s, GB/s. */
verdict kernel_bench(const device *, const hct_kernel *, const call *, hct_err *why);

/* Memory of one kernel run on a device. */
typedef struct buffer {
    void *mem;
    unsigned char *image; /* what was written there, guards included */
    uint64_t bytes, data; /* in all; between the guards */
    hct_view view;
} buffer;
typedef struct kernel_memory {
    buffer in[MAX_IN], out[MAX_OUT], work, packed;
    hct_view in_view[MAX_IN], out_view[MAX_OUT];
    hct_plan plan;
    bool planned;
} kernel_memory;
/* Plans and allocates; HCT_NOTIMPL where the kernel refuses. steady, unused: of the problem. alias_o < 0: outputs of
 * their own (or the case's into). */
hct_status memory_make(kernel_memory *, const device *, const hct_kernel *, const call *, layout, uint64_t steady,
                       uint64_t unused, int alias_o, int alias_k, hct_err *);
void memory_free(kernel_memory *, const device *, const hct_kernel *);
hct_status memory_run(kernel_memory *, const device *, const hct_kernel *, hct_err *);

#endif
