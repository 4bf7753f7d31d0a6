/* The CPU reference backend: plain memory, work done at once. Registers the kernels of every *_real.c for each
 * dtype. */
#include "kit/cpu.h"

#include "hct/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

extern const hct_comm *cpu_comm; /* real.h */
const hct_comm *cpu_comm;

/* What kernels in plugins choose by. */
static const char *instructions(void) {
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512bf16")) return ", AVX512_BF16";
    if (__builtin_cpu_supports("avx512bw")) return ", AVX-512 without BF16: bfloat16 is multiplied as float32";
    if (__builtin_cpu_supports("avx2")) return ", AVX2: bfloat16 is multiplied as float32";
#endif
    return "";
}

static hct_status probe(int index, char *text, size_t n, hct_err *err) {
    if (index > 0) return hct_plugin_fail(err, HCT_ENOTFOUND, "there is one CPU device, cpu:0");
    struct sysinfo info;
    double gib = sysinfo(&info) == 0 ? (double)info.totalram * info.mem_unit / (1 << 30) : 0;
    char model[128] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");
    for (char line[512]; f && fgets(line, sizeof line, f);)
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
            snprintf(model, sizeof model, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
            break;
        }
    if (f) fclose(f);
    snprintf(text, n, "%s, %d thread%s, %.1f GiB%s", *model ? model : "CPU", cpu_threads(),
             cpu_threads() == 1 ? "" : "s", gib, instructions());
    return HCT_OK;
}

/* The device has nothing of its own; a handle that is not NULL stands for it. */
static char the_device, the_stream;

static hct_status open_device(int index, hct_device **ret, hct_err *err) {
    if (index != 0) return hct_plugin_fail(err, HCT_ENOTFOUND, "cpu:%d: there is one CPU device, cpu:0", index);
    *ret = (hct_device *)&the_device;
    return HCT_OK;
}

static void close_device(hct_device *d) { (void)d; }

/* Large arrays stand on huge pages where the kernel has them to give: a page fault and a TLB entry for each 2 MiB,
 * not for each 4 KiB. Only whole ones are asked for: the rest of an array keeps small pages, and no more memory is
 * taken than its bytes. */
static hct_status alloc(hct_device *d, uint64_t bytes, void **ret, hct_err *err) {
    enum { HUGE_PAGE = 2 << 20 };
    (void)d;
    int huge = bytes >= 2 * HUGE_PAGE;
    if (posix_memalign(ret, huge ? HUGE_PAGE : 128, bytes ? bytes : 1) == 0) {
#ifdef MADV_HUGEPAGE
        if (huge) madvise(*ret, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* refused: small pages, as elsewhere */
#endif
        return HCT_OK;
    }
    *ret = NULL;
    return hct_plugin_fail(err, HCT_ENOMEM, "out of memory: %llu bytes were wanted on the CPU",
                           (unsigned long long)bytes);
}

static void free_memory(hct_device *d, void *mem) {
    (void)d;
    free(mem);
}

static hct_status copy(hct_device *d, hct_stream *s, hct_copy_kind kind, void *dst, uint64_t dst_off, const void *src,
                       uint64_t src_off, uint64_t bytes, hct_err *err) {
    (void)d, (void)s, (void)kind, (void)err;
    if (bytes) memmove((char *)dst + dst_off, (const char *)src + src_off, bytes);
    return HCT_OK;
}

static hct_status stream_new(hct_device *d, hct_stream **ret, hct_err *err) {
    (void)d, (void)err;
    *ret = (hct_stream *)&the_stream;
    return HCT_OK;
}

static hct_status stream_sync(hct_stream *s, hct_err *err) {
    (void)s, (void)err;
    return HCT_OK;
}

static void stream_free(hct_stream *s) { (void)s; }

static const hct_backend backend = {.size = sizeof backend,
                                    .name = "cpu",
                                    .probe = probe,
                                    .open = open_device,
                                    .close = close_device,
                                    .alloc = alloc,
                                    .free = free_memory,
                                    .copy = copy,
                                    .stream_new = stream_new,
                                    .stream_sync = stream_sync,
                                    .stream_free = stream_free};

/* clang-format off */
#define FAMILIES(X, dtype)                                                                                    \
    X(cpu_elementwise_##dtype) X(cpu_matmul_##dtype) X(cpu_attention_##dtype) X(cpu_reduce_##dtype)           \
    X(cpu_norm_##dtype) X(cpu_softmax_##dtype) X(cpu_optim_##dtype) X(cpu_tokens_##dtype) X(cpu_dino_##dtype) \
    X(cpu_collective_##dtype) X(cpu_conv_##dtype) X(cpu_pool_##dtype) X(cpu_batch_norm3d_##dtype)             \
    X(cpu_bias_gelu_##dtype) X(cpu_int8_##dtype)
/* clang-format on */
#define ALL(X) FAMILIES(X, f32) FAMILIES(X, f64) FAMILIES(X, bf16) FAMILIES(X, f16) X(cpu_move)

#define DECLARE(table) extern const hct_kernel *const table[];
ALL(DECLARE)
extern const hct_op cpu_linear_int8;

static hct_status init(const hct_host *host, hct_err *err) {
#define TABLE(table) table,
    static const hct_kernel *const *const tables[] = {ALL(TABLE)};
    cpu_comm = HCT_HAS(host, comm) ? host->comm : NULL;
    hct_status st = host->add_backend(host, &backend, err);
    if (st == HCT_OK) st = host->add_op(host, &cpu_linear_int8, err);
    for (size_t i = 0; st == HCT_OK && i < sizeof tables / sizeof *tables; i++)
        for (const hct_kernel *const *k = tables[i]; st == HCT_OK && *k; k++) st = host->add_kernel(host, *k, err);
    return st;
}

HCT_PLUGIN_DEFINE("cpu", "0.1.0", init)
