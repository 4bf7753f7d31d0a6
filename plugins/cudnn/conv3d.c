/* conv3d and its two backwards as kernels: contiguous volumes, F32, BF16 and F16. F32 by engines without tensor
 * cores unless HEADCT_TF32=1. */
#include "dnn.h"

#include <stdlib.h>
#include <string.h>

static void release_conv3d(hct_plan *p) {
    if (p->state) dnn_call_free(p->state);
    free(p->state);
    p->state = NULL;
}

/* What no engine may do: sums in less than float; TF32 unasked; another order each time where the same bits are
 * asked for. */
static uint32_t avoid(const hct_problem *p) {
    const char *tf32 = getenv("HEADCT_TF32");
    uint32_t notes = 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    if (p->in[0].dtype == HCT_F32 && !(tf32 && *tf32 == '1'))
        notes |= 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    if (p->flags & HCT_DETERMINISTIC) notes |= 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    return notes;
}

static hct_status plan_conv3d(hct_device *device, const hct_problem *p, hct_plan *ret, hct_err *err) {
    static const char *const names[] = {"stride", "padding", "dilation"};
    hct_cuda_device *d = (hct_cuda_device *)(void *)device;
    const hct_view *view[CONV_TENSORS] = {NULL};
    conv_key key;
    memset(&key, 0, sizeof key);
    key.way = !strcmp(p->op, "conv3d.bwd_x")   ? CONV_BACKWARD_X
              : !strcmp(p->op, "conv3d.bwd_w") ? CONV_BACKWARD_W
                                               : CONV_FORWARD;
    view[CONV_X] = key.way == CONV_BACKWARD_X ? &p->out[0] : &p->in[0];
    view[CONV_W] = key.way == CONV_FORWARD ? &p->in[1] : key.way == CONV_BACKWARD_X ? &p->in[0] : &p->out[0];
    view[CONV_Y] = key.way == CONV_FORWARD ? &p->out[0] : &p->in[1];
    if (p->n_in == 3) view[CONV_BIAS] = &p->in[2];
    for (int i = 0; i < CONV_TENSORS; i++) {
        if (!view[i]) continue;
        if (hct_numel(view[i]) == 0) return hct_plugin_fail(err, HCT_NOTIMPL, "there is nothing to convolve");
        if (!hct_is_contiguous(view[i])) return hct_plugin_fail(err, HCT_NOTIMPL, "an operand has gaps");
        key.tensor[i] = dnn_tensor_of(view[i]);
    }
    if (view[CONV_BIAS]) { /* [O] over the channels of y */
        int64_t o = view[CONV_BIAS]->dim[0];
        key.has_bias = 1;
        key.tensor[CONV_BIAS] = (dnn_tensor){5, {1, o, 1, 1, 1}, {o, 1, 1, 1, 1}, key.tensor[CONV_BIAS].align};
    }
    int64_t *const to[] = {key.stride, key.padding, key.dilation};
    for (int i = 0; i < 3; i++) memcpy(to[i], hct_attr_find(p->attr, p->n_attr, names[i])->ints, sizeof key.stride);
    key.device = d->index;
    key.dtype = p->in[0].dtype;
    key.avoid = avoid(p);
    hct_err why = {0, ""};
    dnn_device *open = dnn_open(d, &why);
    const dnn_target on = {open ? open->handle : NULL, NULL, open ? &open->plans : NULL};
    const dnn_plan *made = open ? conv_plan_for(&on, &key, &why) : NULL;
    if (!made) {
        dnn_say_slow("3D convolution", why.msg);
        return hct_plugin_fail(err, HCT_NOTIMPL, "%s", why.msg);
    }
    dnn_call *c = calloc(1, sizeof *c);
    if (!c) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    c->plan = made;
    c->handle = on.handle;
    for (int i = 0; i < CONV_TENSORS; i++)
        if (view[i]) c->uid[c->n++] = CONV_UIDS + i;
    ret->state = c;
    ret->flags = HCT_CAPTURE_SAFE | (made->deterministic ? HCT_DETERMINISTIC : 0);
    ret->workspace = made->workspace;
    dnn_account(p, ret);
    return HCT_OK;
}

static void *place(const hct_view *v) { return (char *)v->mem + v->off; }

static hct_status enqueue_conv3d(const hct_plan *p, hct_stream *stream, const hct_view *x, const hct_view *w,
                                 const hct_view *y, const hct_view *bias, const hct_view *ws, hct_err *err) {
    dnn_call *c = p->state;
    void *const at[CONV_TENSORS] = {place(x), place(w), place(y), bias ? place(bias) : NULL};
    return dnn_run(c, stream, at, c->plan->workspace ? place(ws) : NULL, err);
}

#define RUN(name)                                                                                                      \
    static hct_status name(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out,                  \
                           const hct_view *ws, hct_err *err)
RUN(run_conv3d) {
    return enqueue_conv3d(p, s, &in[0], &in[1], out, ((const dnn_call *)p->state)->n > CONV_BIAS ? &in[2] : NULL, ws,
                          err);
}
RUN(run_conv3d_bwd_x) { return enqueue_conv3d(p, s, out, &in[0], &in[1], NULL, ws, err); }
RUN(run_conv3d_bwd_w) { return enqueue_conv3d(p, s, &in[0], out, &in[1], NULL, ws, err); }

#define REAL ((uint64_t)(1u << HCT_F32 | 1u << HCT_BF16 | 1u << HCT_F16))
#define KERNEL(var, op_, run_)                                                                                         \
    static const hct_kernel var = {.size = sizeof var,                                                                 \
                                   .name = "cudnn:" op_,                                                               \
                                   .op = op_,                                                                          \
                                   .backend = "cuda",                                                                  \
                                   .dtypes = REAL,                                                                     \
                                   .priority = 200,                                                                    \
                                   .plan = plan_conv3d,                                                                \
                                   .run = run_,                                                                        \
                                   .release = release_conv3d}
KERNEL(forward, "conv3d", run_conv3d);
KERNEL(backward_x, "conv3d.bwd_x", run_conv3d_bwd_x);
KERNEL(backward_w, "conv3d.bwd_w", run_conv3d_bwd_w);

const hct_kernel *const cudnn_conv[] = {&forward, &backward_x, &backward_w, NULL};
