/* Graphs of plugins/cudnn planned by the real cuDNN for described cards, which it does without a GPU
 * (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR): shapes, strides, dtypes and attributes are what the library takes, and an
 * engine for the card exists and compiles. Nothing is run. It wants a libcuda.so.1 to load what it compiled:
 * fake_libcuda.py's takes anything. Skipped where libcudnn.so.9 is not found. */
#include "dnn.h"
#include "tap.h"

#include <string.h>

static hct_err err;

typedef struct card {
    const char *name;
    int version, units, local;
    long long l2, memory;
} card;
static const card cards[] = {
    {"NVIDIA H200", 900, 132, 232448, 62914560, 150754820096},
    {"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 41943040, 85094825984},
};

static int open_card(const card *c, dnn_target *on) {
    char text[1024];
    dnn_maker m = {CUDNN_STATUS_SUCCESS, NULL};
    int n = snprintf(text, sizeof text,
                     "{\"deviceName\":\"%s\",\"deviceVer\":%d,\"driverVer\":13000,\"cudaDeviceId\":0,\"pciDeviceId\":0,"
                     "\"isTccDriver\":0,\"supportCoopLaunch\":1,"
                     "\"multiProcessorCount\":%d,\"warpSize\":32,\"maxGridSize\":[2147483647,65535,65535],"
                     "\"maxBlockSize\":[1024,1024,64],"
                     "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"maxCtasPerSM\":32,\"regsPerBlock\":65536,"
                     "\"maxRegistersPerSM\":65536,"
                     "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
                     "\"reservedSharedMemoryPerBlock\":1024,\"l2CacheSize\":%lld,"
                     "\"totalGlobalMem\":%lld,\"smClockRateKHz\":1410000,\"memClockRateKHz\":1593000}",
                     c->name, c->version, c->units, c->local, c->l2, c->memory);
    on->card = dnn_create(&m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "the card");
    dnn_set(&m, on->card, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n + 1, text);
    dnn_finalize(&m, on->card);
    return m.code == CUDNN_STATUS_SUCCESS;
}

/* Why there is no plan. */
static const char *refusal(const dnn_plan *p) {
    static char text[600];
    snprintf(text, sizeof text, "%s%s", p ? "" : ": ", p ? "" : err.msg);
    return text;
}

/* version: the graph as it is built for that cuDNN. */
static void attention(const dnn_target *on, int device, int backward, int64_t dtype, int64_t tokens, int64_t width,
                      size_t version) {
    enum { B = 4, H = 12 };
    /* q, k, v side by side, as qkv leaves them */
    const dnn_tensor packed = {4, {B, H, tokens, width}, {3 * H * width * tokens, width, 3 * H * width, 1}, 16};
    const dnn_tensor apart = {4, {B, H, tokens, width}, {H * width * tokens, width, H * width, 1}, 16};
    sdpa_key key;
    memset(&key, 0, sizeof key);
    key.device = device;
    key.backward = backward;
    key.dtype = dtype;
    for (int i = 0; i < (backward ? SDPA_TENSORS : SDPA_DO); i++) key.tensor[i] = i <= SDPA_V ? packed : apart;
    key.tensor[SDPA_STATS] = (dnn_tensor){4, {B, H, tokens, 1}, {H * tokens, tokens, 1, 1}, 4};
    err.msg[0] = 0;
    const dnn_plan *p = sdpa_fit(&key, version, &err) ? sdpa_plan_for(on, &key, &err) : NULL;
    tap_ok(p != NULL, "attention%s, %s, %d tokens, heads of %d, as for %zu%s%s%s", backward ? " backward" : "",
           dtype == HCT_BF16 ? "bf16" : "f16", (int)tokens, (int)width, version,
           key.composite && !backward ? ", by operations" : "",
           key.masked_twice ? ", masked twice"
           : key.masked     ? ", masked"
                            : "",
           refusal(p));
}

/* The node SDPA_BWD, which cuDNN's header has since 9.13.1: as plugins/cudnn/sdpa.c would ask for it. */
static cudnnBackendDescriptor_t backward_node(dnn_maker *m, const dnn_target *on, const void *of) {
    enum { NODE = 43, Q = 2851, K, V, O, STATS, SCALE, LENGTHS_Q, LENGTHS_K, DQ, DK, DV, DO }; /* cudnn_graph.h's */
    static const int names[] = {Q, K, V, O, STATS, DO, DQ, DK, DV, SCALE};                     /* SDPA_Q, ... */
    static const dnn_tensor one = {4, {1, 1, 1, 1}, {1, 1, 1, 1}, 4};
    const sdpa_key *key = of;
    cudnnBackendDescriptor_t part[SDPA_TENSORS + 1],
        op = dnn_create(m, (cudnnBackendDescriptorType_t)NODE, "the node SDPA_BWD");
    for (int i = 0; i <= SDPA_TENSORS; i++) {
        int is_float = i == SDPA_STATS || i == SDPA_TENSORS;
        part[i] =
            dnn_tensor_new(m, 1 + i, is_float ? CUDNN_DATA_FLOAT : dnn_type(key->dtype),
                           i < SDPA_TENSORS ? &key->tensor[i] : &one, i < SDPA_TENSORS ? DNN_MEMORY : DNN_BY_VALUE);
        dnn_link(m, op, (cudnnBackendAttributeName_t)names[i], part[i]);
    }
    dnn_finalize(m, op);
    for (int i = 0; i <= SDPA_TENSORS; i++) dnn_destroy(part[i]);
    return dnn_graph_of(m, on, &op, 1);
}

/* Versions up to 9.19 have it in name only: no graph of it can be made. A later one that can is worth a look. */
static void no_backward_node(const dnn_target *on, int device, size_t version) {
    enum { B = 4, H = 12, N = 512, D = 64 };
    const dnn_tensor t = {4, {B, H, N, D}, {H * D * N, D, H * D, 1}, 16};
    sdpa_key key;
    memset(&key, 0, sizeof key);
    key.device = device;
    key.dtype = HCT_BF16;
    for (int i = 0; i < SDPA_TENSORS; i++) key.tensor[i] = t;
    key.tensor[SDPA_STATS] = (dnn_tensor){4, {B, H, N, 1}, {H * N, N, 1, 1}, 4};
    err.msg[0] = 0;
    const dnn_plan *p = dnn_plan_for(on, backward_node, &key, sizeof key, 0, "node SDPA_BWD", &err);
    if (p && version > 91900)
        tap_skip("the node SDPA_BWD", "cuDNN %zu plans it: plugins/cudnn/sdpa.c may ask for it", version);
    else tap_ok(!p, "cuDNN %zu makes no plan of the node SDPA_BWD%s", version, refusal(p));
}

static dnn_tensor dense(int64_t n, int64_t c, const int64_t *d) {
    return (dnn_tensor){
        5, {n, c, d[0], d[1], d[2]}, {c * d[0] * d[1] * d[2], d[0] * d[1] * d[2], d[1] * d[2], d[2], 1}, 16};
}

typedef struct shape {
    int64_t in, out, groups, side, kernel, stride, padding;
    int bias;
} shape;

static void convolve(const dnn_target *on, int device, const char *what, const char *type, conv_way way, int64_t dtype,
                     shape z) {
    enum { N = 2 };
    int64_t after = (z.side + 2 * z.padding - z.kernel) / z.stride + 1;
    conv_key key;
    memset(&key, 0, sizeof key);
    key.device = device;
    key.way = way;
    key.dtype = dtype;
    key.avoid = 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    if (dtype == HCT_F32)
        key.avoid |= 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE | 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    key.has_bias = z.bias;
    for (int d = 0; d < 3; d++) key.stride[d] = z.stride, key.padding[d] = z.padding, key.dilation[d] = 1;
    key.tensor[CONV_X] = dense(N, z.in, (int64_t[]){z.side, z.side, z.side});
    key.tensor[CONV_W] = dense(z.out, z.in / z.groups, (int64_t[]){z.kernel, z.kernel, z.kernel});
    key.tensor[CONV_Y] = dense(N, z.out, (int64_t[]){after, after, after});
    if (z.bias) key.tensor[CONV_BIAS] = (dnn_tensor){5, {1, z.out, 1, 1, 1}, {z.out, 1, 1, 1, 1}, 16};
    err.msg[0] = 0;
    const dnn_plan *p = conv_plan_for(on, &key, &err);
    tap_ok(p != NULL, "convolution %s, %s, %d -> %d channels, %d^3, stride %d%s", what, type, (int)z.in, (int)z.out,
           (int)z.kernel, (int)z.stride, refusal(p));
}

static void plan_all(const card *c, int device) {
    static const char *const ways[] = {"forward", "dx", "dw"}, *const types[] = {"f32", "bf16", "f16"};
    static const int64_t dtypes[] = {HCT_F32, HCT_BF16, HCT_F16}, tokens[] = {129, 513, 217};
    static dnn_kept *plans;
    dnn_target on = {NULL, NULL, &plans};
    size_t version = dnn.cudnnGetVersion();
    if (!open_card(c, &on)) { /* before 9.8 */
        tap_skip(c->name, "cuDNN %zu plans for no card that is described", version);
        return;
    }
    tap_ok(1, "cuDNN %zu takes the description of %s", version, c->name);
    for (int backward = 0; backward < 2; backward++)
        for (int w = 0; w < 2; w++)
            for (int n = 0; n < 3; n++)
                attention(&on, device, backward, n ? HCT_BF16 : HCT_F16, tokens[n], w ? 64 : 48, version);
    /* what older versions are given; where it is one of those, it is asked for no more than it knows */
    static const size_t older[] = {90100, 90700, 91002, 91200, 91500};
    for (size_t v = 0; v < sizeof older / sizeof *older; v++)
        for (int backward = 0; backward < 2 && older[v] < version; backward++)
            attention(&on, device, backward, HCT_BF16, 513, 64, older[v]);
    no_backward_node(&on, device, version);
    for (int d = 0; d < 3; d++)
        for (int way = 0; way < 3; way++) {
            convolve(&on, device, ways[way], types[d], (conv_way)way, dtypes[d], (shape){1, 64, 1, 64, 7, 2, 3, 0});
            convolve(&on, device, ways[way], types[d], (conv_way)way, dtypes[d], (shape){64, 64, 1, 16, 3, 1, 1, 0});
            convolve(&on, device, ways[way], types[d], (conv_way)way, dtypes[d], (shape){64, 128, 1, 16, 1, 2, 0, 0});
            if (way == CONV_FORWARD)
                convolve(&on, device, "with a bias", types[d], (conv_way)way, dtypes[d],
                         (shape){64, 64, 1, 16, 3, 1, 1, 1});
        }
    dnn_plans_free(&plans);
    dnn_destroy(on.card);
}

int main(void) {
    if (!cudnn_library(&err)) {
        printf("1..0 # SKIP %s\n", err.msg);
        return 0;
    }
    for (int i = 0; i < (int)(sizeof cards / sizeof *cards); i++) plan_all(&cards[i], i);
    return tap_done();
}
