/* Attention and its backward on "cuda" by cuDNN: BF16 and F16, heads of any width that is a multiple of 8, up to 128. The portable kernels of
 * backends/kernels do what it refuses, and hold it to account in the conformance table. */
#include "sdpa.h"

#include <stdlib.h>
#include <string.h>

cudnn_table dnn;

int cudnn_open(const hct_cuda_device *d, cudnnHandle_t *ret, hct_err *err) {
#define SYMBOL(f) {CUDA_TEXT(f), offsetof(cudnn_table, f)},
    static const cuda_symbol symbols[] = {CUDNN_FUNCTIONS(SYMBOL)};
#undef SYMBOL
    static cudnnHandle_t handle[64];
    static int state;
    static hct_err why;
    if (!state) state = cuda_library((const char *const[]){"libcudnn.so.9", "libcudnn_graph.so.9", NULL}, symbols, sizeof symbols / sizeof *symbols, &dnn, &why) ? 1 : -1;
    if (state < 0 || d->index < 0 || d->index >= 64) {
        *err = why;
        return 0;
    }
    cudnnStatus_t code = handle[d->index] ? CUDNN_STATUS_SUCCESS : dnn.cudnnCreate(&handle[d->index]);
    if (code != CUDNN_STATUS_SUCCESS) {
        hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN does not start: %s", dnn.cudnnGetErrorString(code));
        return 0;
    }
    *ret = handle[d->index];
    return 1;
}

typedef struct state {
    const sdpa_plan *plan;
    cudnnHandle_t handle;
    float scale;
    void *at[SDPA_TENSORS], *work; /* what pack binds */
    cudnnBackendDescriptor_t pack;
} state;

static void release(hct_plan *p) {
    state *s = p->state;
    if (s && s->pack) dnn.cudnnBackendDestroyDescriptor(s->pack);
    free(s);
    p->state = NULL;
}

/* [B, N, H, D] as cuDNN names axes: batch, head, token, width. */
static sdpa_tensor as_sdpa(const hct_view *v) {
    return (sdpa_tensor){{v->dim[0], v->dim[2], v->dim[1], v->dim[3]}, {v->stride[0], v->stride[2], v->stride[1], v->stride[3]}};
}

/* 16-byte rows, the width's elements side by side. */
static int lies_well(const hct_view *v) {
    return v->stride[3] == 1 && v->off % 16 == 0 && v->stride[0] % 8 == 0 && v->stride[1] % 8 == 0 && v->stride[2] % 8 == 0;
}

static hct_status plan(hct_device *device, const hct_problem *p, hct_plan *ret, hct_err *err) {
    const hct_cuda_device *d = (const hct_cuda_device *)(const void *)device;
    int back = !strcmp(p->op, "attention.bwd");
    int64_t width = p->in[0].dim[3];
    static const int in[] = {SDPA_Q, SDPA_K, SDPA_V, SDPA_O, SDPA_STATS, SDPA_DO}, grads[] = {SDPA_DQ, SDPA_DK, SDPA_DV}, out[] = {SDPA_O, SDPA_STATS};
    const hct_view *view[SDPA_TENSORS] = {NULL};
    for (uint32_t i = 0; i < p->n_in && i < 6; i++) view[in[i]] = &p->in[i];
    for (uint32_t i = 0; i < p->n_out && i < 3; i++) view[back ? grads[i] : out[i]] = &p->out[i];
    if (width % 8 || width > 128) return hct_plugin_fail(err, HCT_NOTIMPL, "heads of %lld; cuDNN takes multiples of 8 up to 128", (long long)width);
    if (hct_numel(&p->in[0]) == 0 || hct_numel(&p->in[1]) == 0) return hct_plugin_fail(err, HCT_NOTIMPL, "there is nothing to attend to");
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
            key.tensor[i] = (sdpa_tensor){{v->dim[0], v->dim[1], v->dim[2], 1}, {v->dim[1] * v->dim[2], v->dim[2], 1, 1}};
            continue;
        }
        if (!lies_well(v)) return hct_plugin_fail(err, HCT_NOTIMPL, "an operand's rows do not begin at multiples of 16 bytes");
        key.tensor[i] = as_sdpa(v);
    }
    hct_err why = {0, ""};
    cudnnHandle_t handle;
    if (!cudnn_open(d, &handle, &why)) return hct_plugin_fail(err, HCT_NOTIMPL, "%s", why.msg);
    const sdpa_plan *made = sdpa_plan_for(handle, &key, err);
    state *s = made ? calloc(1, sizeof *s) : NULL;
    if (!s) return made ? hct_plugin_fail(err, HCT_ENOMEM, "out of memory") : HCT_NOTIMPL;
    s->plan = made;
    s->handle = handle;
    s->scale = (float)hct_attr_real(p->attr, p->n_attr, "scale", 1);
    ret->state = s;
    ret->flags = HCT_CAPTURE_SAFE;
    ret->workspace = made->workspace;
    return HCT_OK;
}

static void *place(const hct_view *v) { return (char *)v->mem + v->off; }

static hct_status run(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out, const hct_view *ws, hct_err *err) {
    state *s = p->state;
    const hct_cuda_stream *on = (const hct_cuda_stream *)(const void *)stream;
    int back = s->plan->key.backward != 0;
    void *at[SDPA_TENSORS] = {place(&in[0]), place(&in[1]), place(&in[2])}, *work = s->plan->workspace ? place(ws) : NULL;
    if (back) {
        at[SDPA_O] = place(&in[3]);
        at[SDPA_STATS] = place(&in[4]);
        at[SDPA_DO] = place(&in[5]);
        for (int i = 0; i < 3; i++) at[SDPA_DQ + i] = place(&out[i]);
    } else {
        at[SDPA_O] = place(&out[0]);
        at[SDPA_STATS] = place(&out[1]);
    }
    if (!s->pack || memcmp(at, s->at, sizeof at) != 0 || work != s->work) { /* a program's addresses never change: once */
        if (s->pack) dnn.cudnnBackendDestroyDescriptor(s->pack);
        s->pack = sdpa_bind(s->plan, at, &s->scale, work);
        memcpy(s->at, at, sizeof at);
        s->work = work;
    }
    cudnnStatus_t code = s->pack ? dnn.cudnnSetStream(s->handle, (cudaStream_t)on->stream) : CUDNN_STATUS_BAD_PARAM;
    if (code == CUDNN_STATUS_SUCCESS) code = dnn.cudnnBackendExecute(s->handle, s->plan->plan, s->pack);
    return code == CUDNN_STATUS_SUCCESS ? HCT_OK : hct_plugin_fail(err, HCT_EDEVICE, "cuDNN: %s", dnn.cudnnGetErrorString(code));
}

#define HALVES ((uint64_t)(1u << HCT_BF16 | 1u << HCT_F16))
static const hct_kernel forward = {.size = sizeof forward, .name = "cudnn:attention", .op = "attention", .backend = "cuda", .dtypes = HALVES, .priority = 200,
                                   .plan = plan, .run = run, .release = release};
static const hct_kernel backward = {.size = sizeof backward, .name = "cudnn:attention.bwd", .op = "attention.bwd", .backend = "cuda", .dtypes = HALVES,
                                    .priority = 200, .plan = plan, .run = run, .release = release};

static hct_status init(const hct_host *host, hct_err *err) {
    hct_status st = host->add_kernel(host, &forward, err);
    return st == HCT_OK ? host->add_kernel(host, &backward, err) : st;
}

HCT_PLUGIN_DEFINE("cudnn", "0.1.0", init)
