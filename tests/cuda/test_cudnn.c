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
