/* hct/optim.h: AdamW, Adam, SGD as one fused call a group, recorded on the tape after hct_backward.
 *
 *   hct_optim *o = hct_optim_new(dev, &options, &err);
 *   hct_optim_add(o, 0, "blocks.0.attn.qkv.weight", w, &err);        group 0
 *   ... record the model, hct_backward(t, loss) ...
 *   hct_id norm = hct_optim_record(o, t);                             then hct_compile
 *   hct_optim_step(o, (hct_optim_rate[]){{lr, decay, 1}}, &err);      before each run: the rates of that step
 *   hct_run(t, &err);
 *
 * AdamW: Loshchilov & Hutter 2019; p -= lr decay p; p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps). Adam:
 * decay p is added to the gradient instead. SGD: g += decay p; m = momentum m + g; p -= lr m. Clipping: g *= min(1,
 * clip / (||g|| + 1e-6)), with the norm of all gradients together, or each tensor's own. */
#ifndef HCT_OPTIM_H
#define HCT_OPTIM_H

#include "hct/hct.h"

typedef enum hct_optim_kind { HCT_ADAMW, HCT_ADAM, HCT_SGD } hct_optim_kind;
typedef enum hct_clip_mode { HCT_CLIP_NONE, HCT_CLIP_GLOBAL, HCT_CLIP_TENSOR } hct_clip_mode;

typedef struct hct_optim_options {
    hct_optim_kind kind;
    double beta1, beta2, eps; /* Adam */
    double momentum;          /* SGD */
    hct_clip_mode clip_mode;
    double clip;
} hct_optim_options;

typedef struct hct_optim_rate {
    double lr, decay;
    int active; /* 0: the group is left alone entirely this step: no decay, no moments, no step count */
} hct_optim_rate;

typedef struct hct_optim hct_optim;
enum { HCT_OPTIM_GROUPS = 64 };

HCT_API hct_optim *hct_optim_new(hct_dev *, const hct_optim_options *, hct_err *);
HCT_API void hct_optim_free(hct_optim *);
/* A parameter of a group (numbered from 0 without gaps). Its moments are F32 tensors of its shape, "NAME.m" and
 * "NAME.v". */
HCT_API hct_status hct_optim_add(hct_optim *, int group, const char *name, hct_tensor *param, hct_err *);
/* A BF16 or F16 copy of a parameter that was added, which each update writes too (Adam and AdamW; all parameters of
 * a group or none). */
HCT_API hct_status hct_optim_copy(hct_optim *, const hct_tensor *param, hct_tensor *copy, hct_err *err);
/* Before the step's last hct_backward: it then appends, each as soon as its gradients exist, calls that average the
 * parameters' gradients over all ranks (comm.h), in buckets of about bucket_bytes (0: a sixteenth of all, within 1
 * and 32 MiB). One rank: nothing. */
HCT_API void hct_optim_reduce(hct_optim *, hct_tape *, uint64_t bucket_bytes);
/* Appends norm and update. Parameters that the loss does not reach are left out. Returns the kept value F32 [n + 1]:
 * each gradient's norm before clipping, and the norm of all, last. hct_optim_norm reads the last. */
HCT_API hct_id hct_optim_record(hct_optim *, hct_tape *);
/* Counts a step and sets each group's rates for the next run. */
HCT_API hct_status hct_optim_step(hct_optim *, const hct_optim_rate *, hct_err *);
/* Norm of all gradients in the last run, before clipping. */
HCT_API hct_status hct_optim_norm(hct_optim *, hct_tape *, double *ret, hct_err *);

/* What a checkpoint keeps: state tensors by name, and how many steps each group has taken. */
HCT_API size_t hct_optim_state_count(const hct_optim *);
HCT_API hct_tensor *hct_optim_state_at(const hct_optim *, size_t i, const char **ret_name);
HCT_API int64_t hct_optim_steps(const hct_optim *, int group);
HCT_API void hct_optim_set_steps(hct_optim *, int group, int64_t steps);
HCT_API int hct_optim_group_count(const hct_optim *);

#endif
