/* Attention and its backward as kernels: BF16 and F16, heads of any width that is a multiple of 8, up to 128. */
#include "dnn.h"

#include <stdlib.h>
#include <string.h>

typedef struct state {
    dnn_call call;
    float scale, one, low;                        /* what the graph reads by value */
    int backward, clears;                         /* clears: the accumulator is to be zero before each run */
    uint64_t sum, accumulator, accumulator_bytes; /* where in the workspace, after the plan's own, these lie */
    void *queries, *keys;                         /* lengths, in the device's memory */
    uint64_t part; /* attention.bwd_packed: bytes from dq to dk, and from there to dv, in one output; else 0 */
} state;

static void release_attention(hct_plan *p) {
    if (p->state) dnn_call_free(&((state *)p->state)->call);
    free(p->state);
    p->state = NULL;
}

/* [B, N, H, D] as cuDNN names axes: batch, head, token, width; axes of one place as if they lay without gaps. */
static dnn_tensor as_sdpa(const hct_view *v) {
    static const int axis[] = {0, 2, 1, 3};
    dnn_tensor t = {.dims = 4, .align = 16};
    for (int i = 0; i < 4; i++) {
        int64_t whole = v->dim[3];
        for (int d = axis[i] + 1; d < 3; d++) whole *= v->dim[d];
        t.dim[i] = v->dim[axis[i]];
        t.stride[i] = t.dim[i] == 1 && i < 3 ? whole : v->stride[axis[i]];
    }
    return t;
}

/* Rows of 16 bytes, the width's elements side by side, and no two places the same: a stride of 0 (hct_expand's) is
 * none that cuDNN takes. Where an axis has one place, its stride says nothing. */
static int lies_well(const hct_view *v) {
    int well = v->stride[3] == 1 && v->off % 16 == 0;
    for (int d = 0; d < 3; d++) well = well && (v->dim[d] == 1 || (v->stride[d] > 0 && v->stride[d] % 8 == 0));
    return well;
}

static uint64_t whole(uint64_t bytes) { return (bytes + 255) / 256 * 256; }

/* The op's views by their part in attention, checked: what is left of the plan is cuDNN's to refuse. */
static hct_status describe(const hct_problem *p, sdpa_key *key, hct_err *err) {
    static const int in[] = {SDPA_Q, SDPA_K, SDPA_V, SDPA_O, SDPA_STATS, SDPA_DO},
                     grads[] = {SDPA_DQ, SDPA_DK, SDPA_DV}, out[] = {SDPA_O, SDPA_STATS};
    const hct_view *view[SDPA_TENSORS] = {NULL};
    int64_t width = p->in[0].dim[3];
    for (uint32_t i = 0; i < p->n_in && i < 6; i++) view[in[i]] = &p->in[i];
    for (uint32_t i = 0; i < p->n_out && i < 3; i++) view[key->backward ? grads[i] : out[i]] = &p->out[i];
    if (width % 8 || width > 128)
        return hct_plugin_fail(err, HCT_NOTIMPL, "heads of %lld; cuDNN takes multiples of 8 up to 128",
                               (long long)width);
    for (int i = 0; i < SDPA_TENSORS; i++) {
        const hct_view *v = view[i];
        if (!v) continue;
        if (i == SDPA_STATS) { /* ours is [B, H, N] */
            if (!hct_is_contiguous(v)) return hct_plugin_fail(err, HCT_NOTIMPL, "log-sum-exps with gaps");
            key->tensor[i] =
                (dnn_tensor){4, {v->dim[0], v->dim[1], v->dim[2], 1}, {v->dim[1] * v->dim[2], v->dim[2], 1, 1}, 4};
            continue;
        }
        if (!lies_well(v))
            return hct_plugin_fail(err, HCT_NOTIMPL, "an operand's rows do not begin at multiples of 16 bytes");
        key->tensor[i] = as_sdpa(v);
    }
    return HCT_OK;
}

/* Where the rest of the workspace lies, and what else a run needs. */
static int complete(state *s, dnn_device *open, const sdpa_key *key, hct_err *err) {
    const int64_t *dim = key->tensor[SDPA_Q].dim;
    s->sum = whole(s->call.plan->workspace);
    s->accumulator = whole(s->sum + (uint64_t)(dim[0] * dim[1] * dim[2]) * sizeof(float));
    s->accumulator_bytes = (uint64_t)(dim[0] * dim[1] * dim[2] * dim[3]) * sizeof(float);
    s->low = sdpa_low(dnn.cudnnGetVersion());
    s->clears = dnn.cudnnGetVersion() < 90600;
    if (!key->masked) return 1;
    s->queries = dnn_lengths_of(open, dim[0], (int32_t)dim[2], err);
    s->keys = s->queries ? dnn_lengths_of(open, dim[0], (int32_t)key->tensor[SDPA_K].dim[2], err) : NULL;
    return s->keys != NULL;
}

static hct_status prepare_attention(hct_cuda_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    sdpa_key key;
    memset(&key, 0, sizeof key);
    key.device = d->index;
    key.backward = !strcmp(p->op, "attention.bwd");
    key.dtype = p->in[0].dtype;
    hct_status st = describe(p, &key, err);
    if (st != HCT_OK) return st;
    dnn_device *open = dnn_open(d, err);
    if (!open || !sdpa_fit(&key, dnn.cudnnGetVersion(), err)) return HCT_NOTIMPL;
    const dnn_target on = {open->handle, NULL, &open->plans};
    const dnn_plan *made = sdpa_plan_for(&on, &key, err);
    state *s = made ? calloc(1, sizeof *s) : NULL;
    if (!s) return made ? hct_plugin_fail(err, HCT_ENOMEM, "out of memory") : HCT_NOTIMPL;
    s->call = (dnn_call){.plan = made, .handle = on.handle};
    s->call.n = sdpa_uids(&key, s->call.uid);
    s->backward = (int)key.backward;
    s->scale = (float)hct_attr_real(p->attr, p->n_attr, "scale", 1);
    s->one = 1;
    if (!complete(s, open, &key, err)) {
        free(s);
        return HCT_NOTIMPL;
    }
    ret->state = s;
    ret->flags = HCT_CAPTURE_SAFE | (s->backward || !made->deterministic ? 0 : HCT_DETERMINISTIC);
    ret->workspace = s->backward ? s->accumulator + s->accumulator_bytes : made->workspace;
    dnn_account(p, ret);
    return HCT_OK;
}

/* attention.bwd_packed as attention.bwd, whose outputs lie in one. */
static hct_status prepare_packed(hct_cuda_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    hct_view each[3];
    hct_problem apart = *p;
    uint64_t part = (uint64_t)(p->in[0].dim[2] * p->in[0].dim[3]) * hct_dtype_bytes(p->in[0].dtype);
    for (int i = 0; i < 3; i++) {
        each[i] = p->out[0];
        each[i].dim[2] = p->in[0].dim[2];
        each[i].off += (uint64_t)i * part;
    }
    apart.op = "attention.bwd";
    apart.out = each;
    apart.n_out = 3;
    hct_status st = prepare_attention(d, &apart, ret, err);
    if (st == HCT_OK) ((state *)ret->state)->part = part;
    return st;
}

static hct_status plan_attention(hct_device *device, const hct_problem *p, hct_plan *ret, hct_err *err) {
    int packed = !strcmp(p->op, "attention.bwd_packed"), back = packed || !strcmp(p->op, "attention.bwd");
    hct_cuda_device *d = (hct_cuda_device *)(void *)device;
    hct_err why = {0, ""};
    if (hct_numel(&p->in[0]) == 0 || hct_numel(&p->in[1]) == 0)
        return hct_plugin_fail(err, HCT_NOTIMPL, "there is nothing to attend to");
    if (back && p->in[0].dim[1] == 1 && p->in[1].dim[1] == 1)
        return hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN has no backward of one query and one key");
    if (back && p->flags & HCT_DETERMINISTIC)
        return hct_plugin_fail(err, HCT_NOTIMPL, "cuDNN sums dq in no fixed order");
    hct_status st = packed ? prepare_packed(d, p, ret, &why) : prepare_attention(d, p, ret, &why);
    if (st == HCT_OK) return st;
    dnn_say_slow(back ? "attention's backward" : "attention", why.msg);
    return hct_plugin_fail(err, st, "%s", why.msg);
}

static void *place(const hct_view *v) { return (char *)v->mem + v->off; }

static void *address(state *s, int64_t uid, const hct_view *in, const hct_view *out, const hct_view *ws) {
    switch (uid) {
    case SDPA_SCALE_UID: return &s->scale;
    case SDPA_ONE_UID: return &s->one;
    case SDPA_LOW_UID: return &s->low;
    case SDPA_SUM_UID: return (char *)place(ws) + s->sum;
    case SDPA_ACCUMULATOR_UID: return (char *)place(ws) + s->accumulator;
    case SDPA_QUERIES_UID: return s->queries;
    case SDPA_KEYS_UID: return s->keys;
    default: break;
    }
    int i = (int)uid - 1; /* q, k, v, o, statistics, do; dq, dk, dv. Forward writes o and the statistics */
    if (s->backward && i >= SDPA_DQ)
        return s->part ? (char *)place(out) + (uint64_t)(i - SDPA_DQ) * s->part : place(&out[i - SDPA_DQ]);
    if (s->backward) return place(&in[i]);
    return i < SDPA_O ? place(&in[i]) : place(&out[i - SDPA_O]);
}

static hct_status run_attention(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                                const hct_view *ws, hct_err *err) {
    state *s = p->state;
    void *at[DNN_TENSORS], *work = s->call.plan->workspace ? place(ws) : NULL;
    for (int i = 0; i < s->call.n; i++) at[i] = address(s, s->call.uid[i], in, out, ws);
    hct_status st = HCT_OK;
    if (s->backward && s->clears)
        st = dnn_clear((const hct_cuda_stream *)(const void *)stream, (char *)place(ws) + s->accumulator,
                       s->accumulator_bytes, err);
    return st == HCT_OK ? dnn_run(&s->call, stream, at, work, err) : st;
}

#define HALVES ((uint64_t)(1u << HCT_BF16 | 1u << HCT_F16))
#define BY_CUDNN(kernel, op_name)                                                                                      \
    static const hct_kernel kernel = {.size = sizeof kernel,                                                           \
                                      .name = "cudnn:" op_name,                                                        \
                                      .op = op_name,                                                                   \
                                      .backend = "cuda",                                                               \
                                      .dtypes = HALVES,                                                                \
                                      .priority = 200,                                                                 \
                                      .plan = plan_attention,                                                          \
                                      .run = run_attention,                                                            \
                                      .release = release_attention}
BY_CUDNN(forward, "attention");
BY_CUDNN(backward, "attention.bwd");
BY_CUDNN(packed, "attention.bwd_packed");

const hct_kernel *const cudnn_attention[] = {&forward, &backward, &packed, NULL};
