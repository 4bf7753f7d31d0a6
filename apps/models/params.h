/* The named tensors of a model: made, initialised, saved, loaded. Names are the paper's state-dict keys.
 *
 *   params *p = params_new(dev);
 *   vit_declare(p, &config);               declares every tensor
 *   params_init(p, seed);
 *   params_load(p, file, "", &report, &err);
 */
#ifndef MODELS_PARAMS_H
#define MODELS_PARAMS_H

#include "hct/hct.h"
#include "hct/safetensors.h"

typedef enum param_init {
    INIT_ZERO,
    INIT_ONE,
    INIT_XAVIER,  /* uniform +-sqrt(6 / (fan_in + fan_out)), weight seen as [dim 0, rest] (Glorot & Bengio 2010) */
    INIT_NORMAL,  /* normal, standard deviation 0.02 */
    INIT_KAIMING, /* normal, deviation sqrt(2 / (dim 0 * kernel places)) (He et al. 2015, fan out) */
    INIT_GIVEN    /* written by whoever declared it: position tables */
} param_init;

typedef struct param {
    char *name;
    hct_tensor *tensor; /* F32 */
    hct_tensor *copy;   /* in params.compute, of a trained one and one that follows; NULL: models compute with tensor */
    param_init init;
    int trained; /* gradients flow to it and the optimiser updates it */
    int follows; /* it is a moving average of one that is trained: whoever averages writes the copy too */
} param;

typedef struct params {
    hct_dev *dev;
    param *items;
    size_t n, cap;
    hct_err error;     /* of a declaration; kept until params_check */
    int recompute;     /* blocks are segments (hct_segment_begin): their insides are computed again for the gradients */
    hct_dtype compute; /* what params_use gives: F32, or BF16 (params_compute) */
    int int8;          /* layers_linear and layers_linear_gelu compute in 8 bits: no gradients */
    size_t int8_layers; /* how many did */
    char scope[32];     /* stands before the names given to params_add, params_use, params_has and params_set */
} params;

params *params_new(hct_dev *);
void params_free(params *);
/* Two models of one kind in one set: names that follow are meant below this prefix ("teacher."; "" again for none). */
void params_scope(params *, const char *prefix);
/* The axes of a tensor, as two arguments: their number and an array. */
/* clang-format off */
#define PARAM_DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}
/* clang-format on */
/* Declares one tensor; a failure is kept in error. The name is printf-like. Returns it (NULL after a failure). */
param *params_add(params *, param_init, int trained, int ndim, const int64_t *dim, const char *name, ...)
    HCT_PRINTF(6, 7);
hct_status params_check(const params *, hct_err *);
/* NULL where there is none. */
param *params_find(const params *, const char *name);
/* The tensor as a value in the dtype that is computed in: a parameter if trained, else a constant. An unknown name
 * is the tape's error. */
hct_id params_use(params *, hct_tape *, const char *name, ...) HCT_PRINTF(3, 4);
/* The F32 tensor itself, as a constant. */
hct_id params_master(params *, hct_tape *, const char *name, ...) HCT_PRINTF(3, 4);
/* Lets models compute in BF16: trained tensors get copies, which the optimiser writes from then on; others are
 * converted where they are used. Masters, gradients' sums and moments stay F32. */
hct_status params_compute(params *, hct_dtype, hct_err *);
/* Writes all copies anew: after masters were read from a file. */
hct_status params_copy_masters(params *, hct_err *);
/* Whether there is such a tensor. */
int params_has(const params *, const char *name, ...) HCT_PRINTF(2, 3);
/* Draws every tensor from Philox keyed by seed and name: independent of order. */
hct_status params_init(params *, uint64_t seed, hct_err *);
/* Writes one tensor from float32 values. */
hct_status params_set(params *, const char *name, const float *values, hct_err *);
/* Gives `to` the values of `from`, a tensor of its shape; NULL: there is none, and the error names `to`. */
hct_status param_copy(const param *from, const param *to, hct_err *err);
/* Sets `trained` of all tensors whose name starts with prefix. */
void params_train(params *, const char *prefix, int trained);

/* What a file and a model had in common. */
typedef struct load_report {
    size_t matched, missing, unused, wrong_shape;
    char first_missing[160], first_unused[160], first_wrong[256];
} load_report;

/* Reads every tensor named prefix + name. Widens F16 and BF16. Loads nothing if a shape differs. */
hct_status params_load(params *, const hct_st_file *, const char *path, const char *prefix, load_report *, hct_err *);
/* One line: "W.safetensors: 152 matched, 0 missing, 3 unused (first: decoder_norm.bias), 0 of another shape". */
void load_report_print(const load_report *, const char *path);

/* Copies to the host as entries for hct_st_write; *ret_entries and *ret_bytes are freed by the caller. */
hct_status params_entries(const params *, hct_st_entry **ret_entries, void **ret_bytes, hct_err *);
int64_t params_count(const params *); /* elements of all trained tensors */

#endif
