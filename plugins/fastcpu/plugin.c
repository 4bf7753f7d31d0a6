/* fastcpu: kernels for the CPU backend written with the instructions of AVX2 and FMA, AVX-512, or AVX-512 with BF16.
 * Which of the three is registered is decided here, when the plugin is loaded; a processor with neither gets no
 * kernel and keeps the reference. Where it has AVX-512 with VNNI, 8-bit products have a kernel more. HCT_ISA=avx2 or
 * avx512 (without BF16 and VNNI) asks for less than the processor has. */
#include "hct/plugin.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define FAMILIES(X, isa, dtype)                                                                            \
    X(fast_products_##isa##_##dtype) X(fast_attention_##isa##_##dtype) X(fast_elementwise_##isa##_##dtype) \
    X(fast_norm_##isa##_##dtype) X(fast_training_##isa##_##dtype) X(fast_bias_gelu_##isa##_##dtype)        \
    X(fast_pool_##isa##_##dtype) X(fast_int8_##isa##_##dtype)
/* clang-format on */
#define ALL(X, isa) FAMILIES(X, isa, f32) FAMILIES(X, isa, bf16)
/* With the processor's own product of bfloat16. */
#define ALL_BF16(X) FAMILIES(X, avx512, f32) FAMILIES(X, avx512bf16, bf16)

#define DECLARE(table) extern const hct_kernel *const table[];
#define TABLE(table) table,
/* A build may leave instruction sets out (-Dfast_isa): their tables are empty. */
#ifdef FAST_AVX2
ALL(DECLARE, avx2)
static const hct_kernel *const *const avx2[] = {ALL(TABLE, avx2) NULL};
#else
static const hct_kernel *const *const avx2[] = {NULL};
#endif
#ifdef FAST_AVX512
ALL(DECLARE, avx512)
static const hct_kernel *const *const avx512[] = {ALL(TABLE, avx512) NULL};
#else
static const hct_kernel *const *const avx512[] = {NULL};
#endif
#if defined FAST_AVX512 && defined FAST_AVX512BF16
FAMILIES(DECLARE, avx512bf16, bf16)
static const hct_kernel *const *const avx512bf16[] = {ALL_BF16(TABLE) NULL};
#else
static const hct_kernel *const *const avx512bf16[] = {NULL};
#endif
#ifdef FAST_AVX512VNNI
DECLARE(fast_int8_avx512vnni_f32)
DECLARE(fast_int8_avx512vnni_bf16)
static const hct_kernel *const *const vnni[] = {TABLE(fast_int8_avx512vnni_f32) TABLE(fast_int8_avx512vnni_bf16) NULL};
#else
static const hct_kernel *const *const vnni[] = {NULL};
#endif

static hct_status add_all(const hct_host *host, const hct_kernel *const *const *t, hct_err *err) {
    hct_status st = HCT_OK;
    for (; st == HCT_OK && *t; t++)
        for (const hct_kernel *const *k = *t; st == HCT_OK && *k; k++) st = host->add_kernel(host, *k, err);
    return st;
}

static hct_status init(const hct_host *host, hct_err *err) {
    int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    const char *most = getenv("HCT_ISA");
    if (!has_avx2) return HCT_OK;
    if (most && strcmp(most, "avx2") != 0 && strcmp(most, "avx512") != 0)
        return hct_plugin_fail(err, HCT_EINVAL, "HCT_ISA=%s: avx2 and avx512 are known", most);
    has_avx512 = has_avx512 && !(most && !strcmp(most, "avx2"));
    int has_bf16 = has_avx512 && !most && __builtin_cpu_supports("avx512bf16");
    int has_vnni = has_avx512 && !most && __builtin_cpu_supports("avx512vnni");
    hct_status st = add_all(host, has_bf16 && *avx512bf16 ? avx512bf16 : has_avx512 && *avx512 ? avx512 : avx2, err);
    return st == HCT_OK && has_vnni ? add_all(host, vnni, err) : st;
}

HCT_PLUGIN_DEFINE("fastcpu", "0.1.0", init)
