/* backends/cpu/real.h: one dtype a compilation. The kernel files named *_real.c are compiled four times, each with
 * one of REAL_F32, REAL_F64, REAL_BF16, REAL_F16 defined. `real` is how an element is stored, `acc` what is computed
 * in, `stat` how saved statistics (mean, lse) are stored. Sums over many elements run in double. */
#ifndef CPU_REAL_H
#define CPU_REAL_H

#include "hct/half.h"
#include "hct/plugin.h"

#if defined REAL_F32
typedef float real, acc, stat;
#define REAL(name) name##_f32
#define REAL_TEXT "f32"
#define REAL_DTYPE HCT_F32
static inline acc ld(real x) { return x; }
static inline real st(acc x) { return x; }
#elif defined REAL_F64
typedef double real, acc, stat;
#define REAL(name) name##_f64
#define REAL_TEXT "f64"
#define REAL_DTYPE HCT_F64
static inline acc ld(real x) { return x; }
static inline real st(acc x) { return x; }
#elif defined REAL_BF16
typedef uint16_t real;
typedef float acc, stat;
#define REAL(name) name##_bf16
#define REAL_TEXT "bf16"
#define REAL_DTYPE HCT_BF16
static inline acc ld(real x) { return hct_f32_from_bf16(x); }
static inline real st(acc x) { return hct_bf16_from_f32(x); }
#elif defined REAL_F16
typedef uint16_t real;
typedef float acc, stat;
#define REAL(name) name##_f16
#define REAL_TEXT "f16"
#define REAL_DTYPE HCT_F16
static inline acc ld(real x) { return hct_f32_from_f16(x); }
static inline real st(acc x) { return hct_f16_from_f32(x); }
#else
#error "compile with -DREAL_F32, -DREAL_F64, -DREAL_BF16 or -DREAL_F16"
#endif

#if defined REAL_F64
#define GEMM(name) name##_f64
#define EXP exp
#define ERF erf
#define SQRT sqrt
#else
#define GEMM(name) name##_f32
#define EXP expf
#define ERF erff
#define SQRT sqrtf
#endif

#include "kit/cpu.h"

/* The job's ranks, NULL: one. */
extern const hct_comm *cpu_comm;

/* y = gelu(x + b): x [..., C] of any strides, b [C], y without gaps. */
void REAL(cpu_gelu_of_sum)(const hct_view *x, const hct_view *b, const hct_view *y);

/* A kernel of this file's dtype: the dtype of in[0], unless a plan of its own says otherwise. */
#define KERNEL_PLANNED(id, op_, plan_, run_)                                                                           \
    static const hct_kernel id = {.size = sizeof(hct_kernel),                                                          \
                                  .name = "ref:" op_ ":" REAL_TEXT,                                                    \
                                  .op = op_,                                                                           \
                                  .backend = "cpu",                                                                    \
                                  .dtypes = 1u << REAL_DTYPE,                                                          \
                                  .plan = plan_,                                                                       \
                                  .run = run_,                                                                         \
                                  .release = cpu_release}
#define KERNEL(id, op_, run_) KERNEL_PLANNED(id, op_, cpu_plan, run_)

#endif
