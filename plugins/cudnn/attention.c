/* Attention and its backward as kernels: BF16 and F16, heads of any width that is a multiple of 8, up to 128. */
#include "dnn.h"

#include <stdlib.h>
#include <string.h>

typedef struct state {
    dnn_call call;
    float scale, one; /* what the graph reads by value */
    int backward;
    uint64_t sum, accumulator; /* where in the workspace, after the plan's own, these lie */
} state;

static void release(hct_plan *p) {
    if (p->state) dnn_call_free(&((state *)p->state)->call);
    free(p->state);
    p->state = NULL;
}

/* [B, N, H, D] as cuDNN names axes: batch, head, token, width. */
static dnn_tensor as_sdpa(const hct_view *v) {
    return (dnn_tensor){
        4, {v->dim[0], v->dim[2], v->dim[1], v->dim[3]}, {v->stride[0], v->stride[2], v->stride[1], v->stride[3]}, 16};
}

/* 16-byte rows, the width's elements side by side. */
static int lies_well(const hct_view *v) {
    return v->stride[3] == 1 && v->off % 16 == 0 && v->stride[0] % 8 == 0 && v->stride[1] % 8 == 0 &&
           v->stride[2] % 8 == 0;
}

static uint64_t whole(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

static hct_status plan(hct_device *device, const hct_problem *p, hct_plan *ret, hct_err *err) {
    const hct_cuda_device *d = (const hct_cuda_device *)(const void *)device;
    int back = !strcmp(p->op, "attention.bwd");
    int64_t width = p->in[0].dim[3];
    static const int in[] = {SDPA_Q, SDPA_K, SDPA_V, SDPA_O, SDPA_STATS, SDPA_DO},
                     grads[] = {SDPA_DQ, SDPA_DK, SDPA_DV}, out[] = {SDPA_O, SDPA_STATS};
    const hct_view *view[SDPA_TENSORS] = {NULL};
    for (uint32_t i = 0; i < p->n_in && i < 6; i++) view[in[i]] = &p->in[i];
    for (uint32_t i = 0; i < p->n_out && i < 3; i++) view[back ? grads[i] : out[i]] = &p->out[i];
    if (width % 8 || width > 128)
        return hct_plugin_fail(err, HCT_NOTIMPL, "heads of %lld; cuDNN takes multiples of 8 up to 128",
                               (long long)width);
    if (hct_numel(&p->in[0]) == 0 || hct_numel(&p->in[1]) == 0)
        return hct_plugin_fail(err, HCT_NOTIMPL, "there is nothing to attend to");
    sdpa_key key;
    memset(&key, 0, sizeof key);
    key.device = d->index;
    key.backward = back;
    key.dtype = p->in[0].dtype;
    for (int i = 0; i < SDPA_TENSORS; i++) {
        const hct_view *v = view[i];
        if (!v) continue;
        if (i == SDPA_STATS) { /* ours is [B, H, N] */
            if (!hct_is_contiguous(v)) return hct_plugin_fail(err, HCT_NOTIMPL, "log-sum-exps with gaps");
            key.tensor[i] =
                (dnn_tensor){4, {v->dim[0], v->dim[1], v->dim[2], 1}, {v->dim[1] * v->dim[2], v->dim[2], 1, 1}, 4};
            continue;
        }
        if (!lies_well(v))
            return hct_plugin_fail(err, HCT_NOTIMPL, "an operand's rows do not begin at multiples of 16 bytes");
        key.tensor[i] = as_sdpa(v);
    }
    if (back && p->flags & HCT_DETERMINISTIC)
        return hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN sums dq in no fixed order");
    hct_err why = {0, ""};
    dnn_target on = {NULL, NULL};
    if (!cudnn_open(d, &on.handle, &why)) return hct_plugin_fail(err, HCT_NOTIMPL, "%s", why.msg);
    /* before 9.6 the caller must clear dq's memory; up to 9.15 keys that are no multiple of 128 want a padding mask
     * (as cudnn-frontend gives them) */
    if (back && dnn.cudnnGetVersion() < 91600)
        return hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN %zu; attention's backward takes 9.16 or later",
                               dnn.cudnnGetVersion());
    const dnn_plan *made = sdpa_plan_for(&on, &key, err);
    state *s = made ? calloc(1, sizeof *s) : NULL;
    if (!s) return made ? hct_plugin_fail(err, HCT_ENOMEM, "out of memory") : HCT_NOTIMPL;
    s->call = (dnn_call){.plan = made, .handle = on.handle};
    s->call.n = sdpa_uids(back, s->call.uid);
    s->backward = back;
    s->scale = (float)hct_attr_real(p->attr, p->n_attr, "scale", 1);
    s->one = 1;
    const int64_t *dim = key.tensor[SDPA_Q].dim;
    s->sum = whole(made->workspace);
    s->accumulator = whole(s->sum + (uint64_t)(dim[0] * dim[1] * dim[2]) * sizeof(float));
    ret->state = s;
    ret->flags = HCT_CAPTURE_SAFE | (back || !made->deterministic ? 0 : HCT_DETERMINISTIC);
    ret->workspace =
        back ? s->accumulator + (uint64_t)(dim[0] * dim[1] * dim[2] * dim[3]) * sizeof(float) : made->workspace;
    return HCT_OK;
}

static void *place(const hct_view *v) { return (char *)v->mem + v->off; }

static hct_status run(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                      const hct_view *ws, hct_err *err) {
    state *s = p->state;
    void *at[DNN_TENSORS] = {place(&in[0]), place(&in[1]), place(&in[2])},
         *work = s->call.plan->workspace ? place(ws) : NULL;
    if (s->backward) {
        at[SDPA_O] = place(&in[3]);
        at[SDPA_STATS] = place(&in[4]);
        at[SDPA_DO] = place(&in[5]);
        for (int i = 0; i < 3; i++) at[SDPA_DQ + i] = place(&out[i]);
        void *const more[] = {&s->scale, &s->one, (char *)place(ws) + s->sum, (char *)place(ws) + s->accumulator};
        memcpy(at + SDPA_TENSORS, more, sizeof more);
    } else {
        at[SDPA_O] = place(&out[0]);
        at[SDPA_STATS] = place(&out[1]);
        at[SDPA_STATS + 1] = &s->scale;
    }
    return dnn_run(&s->call, stream, at, work, err);
}

#define HALVES ((uint64_t)(1u << HCT_BF16 | 1u << HCT_F16))
static const hct_kernel forward = {.size = sizeof forward,
                                   .name = "cudnn:attention",
                                   .op = "attention",
                                   .backend = "cuda",
                                   .dtypes = HALVES,
                                   .priority = 200,
                                   .plan = plan,
                                   .run = run,
                                   .release = release};
static const hct_kernel backward = {.size = sizeof backward,
                                    .name = "cudnn:attention.bwd",
                                    .op = "attention.bwd",
                                    .backend = "cuda",
                                    .dtypes = HALVES,
                                    .priority = 200,
                                    .plan = plan,
                                    .run = run,
                                    .release = release};

const hct_kernel *const cudnn_attention[] = {&forward, &backward, NULL};
