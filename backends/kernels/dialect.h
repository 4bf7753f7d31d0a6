/* backends/kernels/dialect.h: the words in which device kernels are written, once, for OpenCL C 1.2 and for CUDA C.
 *
 *   KERNEL(name)(MEM(y), MEM(x), float f, EACH_ARGS) {     a kernel; MEM is a buffer and a byte offset into it
 *       EACH(i);                                           this work-item's element, of n
 *       st(AT(real, y), i, f * ld(AT(real, x), i));        storage is `real`, arithmetic is float
 *   }
 *
 * Compiled with one of REAL_F32, REAL_BF16, REAL_F16 (how `real` is stored) and GROUP (work-items of a row kernel's
 * group: 1 where one work-item is a whole core, 128 or so on a GPU).
 *
 *   KERNEL(name), FN                a kernel; an inline function
 *   GLOBAL, LOCAL, LOCAL_AT         address spaces; LOCAL arrays are declared at the top of a kernel,
 *                                   LOCAL_AT is for pointers to them
 *   MEM(x), AT(type, x)             a buffer argument; its address
 *   EACH_ARGS, EACH(i)              one work-item an element
 *   ROW, LANE                       row kernels: this group's row; this work-item in its group
 *   BARRIER()                       all of a group have arrived, their LOCAL writes are seen
 *   ld, st                          one element, converted; nearest even when narrowing
 *   vec, VW                         VW floats worked on together: vld, vst (real), vldf, vstf (float), VSET,
 *                                   vmad, vsum, vtop, vexp;
 *                                   vfirst(v, n): v's first n, -infinity behind them;
 *                                   vbell, vphi, vgelu, vgelu_slope;
 *                                   vldl, vstl (LOCAL floats), vldp, vstp (a work-item's own)
 *   NO_UNROLL, ROLL                 the next loop stays a loop; ROLL only where GROUP is 1 (compile time;
 *                                   arrays are memory there anyway)
 *   GROUP_SUM(x), GROUP_MAX(x)      over a group's work-items, the same bits in each; need SCRATCH in the kernel
 *   row_sum(x, c), row_squares(x, c, mean), row_top(x, c), row_exps(x, c, top)
 *                                   this work-item's share, for GROUP_SUM or GROUP_MAX, of a row's sum, sum of
 *                                   (x - mean)^2, largest, sum of exp(x - top)
 *   kexp, kbell, kphi               exp; exp(-x^2 / 2); the normal distribution's Phi, without branches so that
 *                                   CPU devices vectorise them
 *   FAIL(status, code, detail)      leaves a complaint that the next wait reports
 *
 * Extra kernels, for devices that have more than OpenCL C 1.2 asks of them:
 *   -DSUBGROUPS                     GROUP_SUM and GROUP_MAX through the device's sub-groups (CUDA: warps), two
 *                                   barriers for log2(GROUP) + 2:
 *                                   SUB_SUM(x), SUB_MAX(x) over a sub-group, the same bits in each;
 *                                   SUB which, SUBS how many, SUB_LANE in it
 *   -DHALF_ARITHMETIC               f16, hvec (VW of them): hld, hst, + - *, hmad (rounded once), H16(float) */
#ifndef HCT_DIALECT_H
#define HCT_DIALECT_H

#ifdef __OPENCL_VERSION__
typedef long i64;
typedef ulong u64;
typedef int i32;
typedef uint u32;
typedef short i16;
typedef ushort u16;
typedef char i8;
typedef uchar u8;
#ifdef HAVE_FP64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#define KERNEL(name) __kernel void hct_##name
/* Inlined whatever it costs: where all calls of a function pass the same LOCAL array, LLVM puts the array's name
 * into the function, and PoCL (3.1) gives each thread its own LOCAL arrays by rewriting the kernel alone: threads
 * would share this one. */
#define FN static inline __attribute__((always_inline))
#define GLOBAL __global
#define LOCAL __local
#define LOCAL_AT __local
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define ROW ((i64)get_group_id(0))
#define ROW_Y ((i64)get_group_id(1))
#define LANE ((i32)get_local_id(0))
#define EACH_ARGS i64 each_first, i64 each_n
#define EACH(i) const i64 i = each_first + (i64)get_global_id(0)
#define AS_FLOAT(u) as_float(u)
#define AS_UINT(f) as_uint(f)
#define SQRTF(x) sqrt(x)
#define LOGF(x) log(x)
#define ERFF(x) erf(x)
#define POWF(x, y) pow((x), (y))
#define MAXF(a, b) fmax((a), (b))
#define MINF(a, b) fmin((a), (b))
#define MAD(a, b, c) ((a) * (b) + (c)) /* which the compiler fuses; PoCL's mad() is two instructions */
#define MUL_HI_U32(a, b) mul_hi((u32)(a), (u32)(b))
#define ATOMIC_INC(p) atomic_inc(p)
#else
typedef long long i64;
typedef unsigned long long u64;
typedef int i32;
typedef unsigned u32;
typedef short i16;
typedef unsigned short u16;
typedef signed char i8;
typedef unsigned char u8;
#include <cuda_fp16.h>
#define HAVE_FP64 1
#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
/* SUFFIX: the dtype, and a width where one is compiled in; OpenCL compiles each into a program of its own instead. */
#define KERNEL(name) extern "C" __global__ void PASTE(hct_##name, SUFFIX)
#define FN static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__
#define LOCAL_AT
#define BARRIER() __syncthreads()
#define ROW ((i64)blockIdx.x)
#define ROW_Y ((i64)blockIdx.y)
#define LANE ((i32)threadIdx.x)
#define EACH_ARGS i64 each_first, i64 each_n
#define EACH(i)                                                                                                        \
    const i64 i = each_first + (i64)blockIdx.x * (i64)blockDim.x + (i64)threadIdx.x;                                   \
    if (i >= each_n) return
#define AS_FLOAT(u) __uint_as_float(u)
#define AS_UINT(f) __float_as_uint(f)
#define SQRTF(x) sqrtf(x)
#define LOGF(x) logf(x)
#define ERFF(x) erff(x)
#define POWF(x, y) powf((x), (y))
#define MAXF(a, b) fmaxf((a), (b))
#define MINF(a, b) fminf((a), (b))
#define MAD(a, b, c) fmaf((a), (b), (c))
#define MUL_HI_U32(a, b) __umulhi((u32)(a), (u32)(b))
#define ATOMIC_INC(p) atomicAdd((p), 1)
#endif

#define NO_UNROLL _Pragma("unroll 1")
#if defined GROUP && GROUP == 1
#define ROLL NO_UNROLL
#else
#define ROLL
#endif
#define MEM(x) GLOBAL char *x##_mem, u64 x##_off
#define AT(type, x) ((GLOBAL type *)(x##_mem + x##_off))

/* A walk over up to 4 operands of equal dims, axes merged where they lie together (launch.h fills it). */
typedef struct walk {
    i64 ndim, dim[8], stride[4][8];
} walk;

/* The operands' places, in elements, at row-major index i. */
FN void walk_to(const walk *w, i64 i, i32 operands, i64 *at) {
    for (i32 k = 0; k < operands; k++) at[k] = 0;
    u32 rest = (u32)i;
    if (i >> 32) { /* dims beyond 2^32 elements: 64-bit divisions, slower */
        i64 far = i;
        for (i32 d = (i32)w->ndim - 1; d >= 0; d--) {
            i64 j = far % w->dim[d];
            far /= w->dim[d];
            for (i32 k = 0; k < operands; k++) at[k] += j * w->stride[k][d];
        }
        return;
    }
    for (i32 d = (i32)w->ndim - 1; d >= 0; d--) {
        u32 n = (u32)w->dim[d], q = rest / n, j = rest - q * n;
        rest = q;
        for (i32 k = 0; k < operands; k++) at[k] += (i64)j * w->stride[k][d];
    }
}

/* ---- f32 from and to 16 bits; nearest even ---- */

FN float f32_of_bf16(u16 h) { return AS_FLOAT((u32)h << 16); }
FN u16 bf16_of_f32(float f) {
#ifdef __CUDA_ARCH__ /* one instruction from sm_80 on */
    u16 h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
#else
    u32 u = AS_UINT(f);
    u32 r = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    return (u16)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16 | 0x40u) : r);
#endif
}
#ifdef __OPENCL_VERSION__
/* By integers: the library's conversions are slow to compile on PoCL, and its vector ones want addresses that are
 * multiples of 16. */
FN float ld_f16(GLOBAL const u16 *p, i64 i) {
    u32 h = p[i], e = h & 0x7c00u, m = (h & 0x7fffu) << 13;
    u32 small = AS_UINT(AS_FLOAT(m + 0x38800000u) - AS_FLOAT(0x38800000u)); /* 2^-14 */
    u32 u = e == 0 ? small : e == 0x7c00u ? m + 0x70000000u : m + 0x38000000u;
    return AS_FLOAT(u | (h & 0x8000u) << 16);
}
FN void st_f16(GLOBAL u16 *p, i64 i, float f) {
    u32 bits = AS_UINT(f), u = bits & 0x7fffffffu;
    u32 small = AS_UINT(AS_FLOAT(u) + 0.5f) - 0x3f000000u, big = u > 0x7f800000u ? 0x7e00u : 0x7c00u,
        h = (u + 0xc8000fffu + (u >> 13 & 1u)) >> 13;
    h = u >= 0x47800000u ? big : u < 0x38800000u ? small : h;
    p[i] = (u16)(h | (bits >> 16 & 0x8000u));
}
#else
FN float ld_f16(const u16 *p, i64 i) { return __half2float(__ushort_as_half(p[i])); }
FN void st_f16(u16 *p, i64 i, float f) { p[i] = __half_as_ushort(__float2half_rn(f)); }
#endif

#if defined REAL_F32
typedef float real;
FN float ld(GLOBAL const real *p, i64 i) { return p[i]; }
FN void st(GLOBAL real *p, i64 i, float f) { p[i] = f; }
#elif defined REAL_BF16
typedef u16 real;
FN float ld(GLOBAL const real *p, i64 i) { return f32_of_bf16(p[i]); }
FN void st(GLOBAL real *p, i64 i, float f) { p[i] = bf16_of_f32(f); }
#elif defined REAL_F16
typedef u16 real;
FN float ld(GLOBAL const real *p, i64 i) { return ld_f16(p, i); }
FN void st(GLOBAL real *p, i64 i, float f) { st_f16(p, i, f); }
#endif

/* ---- exp and Phi ---- */

/* Held at 88.02 above, 0 below -87.7; NaN stays NaN. The sum with EXP_ROUND rounds to a whole n and has n in its low
 * bits. */
#define EXP_LOW (-88.0f)
#define EXP_HIGH 88.02f
#define EXP_ROUND 12582912.0f /* 1.5 2^23 */
#define EXP_BITS 0x4b400000
#define LOG2E 1.44269504088896341f
#define LN2_HIGH 0.693359375f
#define LN2_LOW (-2.12194440e-4f)
/* exp(r) for |r| <= ln 2 / 2: the polynomial of degree 6 with the smallest relative error, 2e-9 (8e-8 as floats add
 * it up: below 1 ulp). */
#define EXP_POLY(r)                                                                                                    \
    ((((((1.38436535e-3f * r + 8.37415533e-3f) * r + 4.1668002e-2f) * r + 0.166664313f) * r + 0.499999942f) * r +      \
      1.0f) *                                                                                                          \
         r +                                                                                                           \
     1.0f)

#ifdef __OPENCL_VERSION__
FN float kexp(float x) {
    float c = x < EXP_LOW ? EXP_LOW : x;
    c = c > EXP_HIGH ? EXP_HIGH : c;
    float t = MAD(c, LOG2E, EXP_ROUND), n = t - EXP_ROUND, r = MAD(n, -LN2_LOW, MAD(n, -LN2_HIGH, c));
    return EXP_POLY(r) * as_float((as_int(t) - (EXP_BITS - 127)) << 23);
}
#else
FN float kexp(float x) { return expf(x); }
#endif

/* exp(-x^2 / 2) for Phi, by 2^q: cheaper than kexp, an absolute error below 2e-7, held at 2^-100 where it is
 * smaller. */
#define BELL_LOW (-100.0f)
#define BELL_SCALE (-0.72134752f) /* -log2(e) / 2 */
/* 2^r for |r| <= 1/2, so too, of degree 5: 1.7e-7. */
#define EXP2_POLY(r)                                                                                                   \
    (((((1.32647271e-3f * r + 9.67151267e-3f) * r + 5.55073374e-2f) * r + 0.240222421f) * r + 0.693146978f) * r + 1.0f)
#ifdef __OPENCL_VERSION__
FN float kbell(float x) {
    float q = x * x * BELL_SCALE;
    q = q < BELL_LOW ? BELL_LOW : q;
    float t = q + EXP_ROUND, r = q - (t - EXP_ROUND);
    return as_float(as_int(EXP2_POLY(r)) + (as_int(t) << 23));
}
#else
FN float kbell(float x) { return expf(-0.5f * x * x); }
#endif

/* erf(|a|) = 1 - (a1 t + ... + a5 t^5) exp(-a^2), t = 1 / (1 + 0.3275911 |a|): Abramowitz & Stegun 7.1.26, error
 * below 1.5e-7. Phi(x) = (1 + erf(x / sqrt 2)) / 2; e is exp(-x^2 / 2), which phi(x) needs as well. The a are halved
 * here. */
#define PHI_1 0.127414796f
#define PHI_2 (-0.142248368f)
#define PHI_3 0.710706871f
#define PHI_4 (-0.726576013f)
#define PHI_5 0.530702715f
FN float phi_from(float x, float e) {
    float a = x < 0 ? -x : x, t = 1.0f / MAD(0.3275911f * 0.70710678f, a, 1.0f);
    float tail = e * t * MAD(MAD(MAD(MAD(PHI_5, t, PHI_4), t, PHI_3), t, PHI_2), t, PHI_1);
    return x < 0 ? tail : 1.0f - tail;
}
FN float kphi(float x) { return phi_from(x, kbell(x)); }
#define INV_SQRT_2PI 0.398942280401432678f
FN float kgelu(float x) { return x * kphi(x); }
FN float kgelu_slope(float x) {
    float e = kbell(x);
    return phi_from(x, e) + x * INV_SQRT_2PI * e;
}

/* ---- vectors ---- */

#ifdef __OPENCL_VERSION__
#if defined GROUP && GROUP == 1
#define VW 16 /* a CPU's widest register, or two or four of its smaller ones */
#define OF_VW(word) word##16
#define LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define HALVES(v, op) op((v).lo, (v).hi)
/* PoCL's vload and vstore come in pieces of two; these are one instruction. */
typedef float16 floats_anywhere __attribute__((aligned(4)));
typedef ushort16 ushorts_anywhere __attribute__((aligned(2)));
#define TAKE(type, space, p) (*(space const type *)(p))
#define PUT(type, space, p, v) (*(space type *)(p) = (v))
#else
#define VW 8
#define OF_VW(word) word##8
#define LANES ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#define HALVES(v, op) (v)
#define TAKE(type, space, p) vload8(0, (p))
#define PUT(type, space, p, v) vstore8((v), 0, (p))
#endif
typedef OF_VW(float) vec;
typedef OF_VW(uint) uvec;
#define VSET(x) ((vec)(x))
/* Operators and ?: rather than mad, fmax, select: PoCL calls those once for each half of a half, and the compiler
 * fuses a b + c itself. */
#define vmad(a, b, c) ((a) * (b) + (c))
#define vtop(a, b) ((a) > (b) ? (a) : (b))
#define vfirst(v, n) (LANES < (n) ? (v) : (vec)(-INFINITY))
#define PLUS(a, b) ((a) + (b))
FN float vsum(vec v) {
    float8 w = HALVES(v, PLUS);
    float4 h = w.lo + w.hi;
    float2 q = h.lo + h.hi;
    return q.x + q.y;
}
FN float vmost(vec v) {
    float8 w = HALVES(v, vtop);
    float4 h = vtop(w.lo, w.hi);
    float2 q = vtop(h.lo, h.hi);
    return vtop(q.x, q.y);
}
#define vldl(p) TAKE(floats_anywhere, LOCAL_AT, p)
#define vstl(p, v) PUT(floats_anywhere, LOCAL_AT, p, v)
#define vldp(p) TAKE(floats_anywhere, __private, p)
#define vstp(p, v) PUT(floats_anywhere, __private, p, v)
#define vget(v, j) (((const float *)&(v))[j])
#define vas(u) OF_VW(as_float)(u)
#define uas(v) OF_VW(as_uint)(v)
FN vec vldf(GLOBAL const float *p) { return TAKE(floats_anywhere, GLOBAL, p); }
FN void vstf(GLOBAL float *p, vec v) { PUT(floats_anywhere, GLOBAL, p, v); }
FN vec vexp(vec x) {
    vec c = x < EXP_LOW ? (vec)EXP_LOW : x;
    c = c > EXP_HIGH ? (vec)EXP_HIGH : c;
    vec t = c * LOG2E + EXP_ROUND, n = t - EXP_ROUND, r = n * -LN2_LOW + (n * -LN2_HIGH + c);
    return EXP_POLY(r) * vas((uas(t) - (EXP_BITS - 127)) << 23);
}
FN vec vbell(vec x) {
    vec q = x * x * BELL_SCALE;
    q = q < BELL_LOW ? (vec)BELL_LOW : q;
    vec t = q + EXP_ROUND, r = q - (t - EXP_ROUND);
    return vas(uas(EXP2_POLY(r)) + (uas(t) << 23));
}
#if defined REAL_F32
FN vec vld(GLOBAL const real *p) { return vldf(p); }
FN void vst(GLOBAL real *p, vec v) { vstf(p, v); }
#elif defined REAL_BF16 || defined REAL_F16
FN uvec uld(GLOBAL const real *p) { return OF_VW(convert_uint)(TAKE(ushorts_anywhere, GLOBAL, p)); }
FN void ust(GLOBAL real *p, uvec u) { PUT(ushorts_anywhere, GLOBAL, p, OF_VW(convert_ushort)(u)); }
#endif
#if defined REAL_BF16
FN vec vld(GLOBAL const real *p) { return vas(uld(p) << 16); }
FN void vst(GLOBAL real *p, vec v) {
    uvec u = uas(v), r = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    ust(p, (u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : r);
}
#elif defined REAL_F16
FN vec vld(GLOBAL const real *p) {
    uvec h = uld(p), e = h & 0x7c00u, m = (h & 0x7fffu) << 13;
    uvec small = uas(vas(m + 0x38800000u) - as_float(0x38800000u));
    uvec u = e == 0x7c00u ? m + 0x70000000u : m + 0x38000000u;
    u = e == 0u ? small : u;
    return vas(u | (h & 0x8000u) << 16);
}
FN void vst(GLOBAL real *p, vec v) {
    uvec bits = uas(v), u = bits & 0x7fffffffu;
    uvec small = uas(vas(u) + 0.5f) - 0x3f000000u, big = u > 0x7f800000u ? (uvec)0x7e00u : (uvec)0x7c00u;
    uvec h = (u + 0xc8000fffu + (u >> 13 & 1u)) >> 13;
    h = u < 0x38800000u ? small : h;
    h = u >= 0x47800000u ? big : h;
    ust(p, h | (bits >> 16 & 0x8000u));
}
#endif
#else
#define VW 4
struct vec {
    float x[4];
};
FN vec VSET(float f) { return vec{{f, f, f, f}}; }
#define VEC_OP(op)                                                                                                     \
    FN vec operator op(vec a, vec b) {                                                                                 \
        return vec{{a.x[0] op b.x[0], a.x[1] op b.x[1], a.x[2] op b.x[2], a.x[3] op b.x[3]}};                          \
    }                                                                                                                  \
    FN vec operator op(vec a, float b) { return a op VSET(b); }                                                        \
    FN vec operator op(float a, vec b) { return VSET(a) op b; }
VEC_OP(+)
VEC_OP(-)
VEC_OP(*)
VEC_OP(/)
FN vec &operator+=(vec &a, vec b) { return a = a + b; }
FN vec &operator*=(vec &a, vec b) { return a = a * b; }
FN vec vmad(vec a, vec b, vec c) {
    return vec{{fmaf(a.x[0], b.x[0], c.x[0]), fmaf(a.x[1], b.x[1], c.x[1]), fmaf(a.x[2], b.x[2], c.x[2]),
                fmaf(a.x[3], b.x[3], c.x[3])}};
}
FN vec vtop(vec a, vec b) {
    return vec{{fmaxf(a.x[0], b.x[0]), fmaxf(a.x[1], b.x[1]), fmaxf(a.x[2], b.x[2]), fmaxf(a.x[3], b.x[3])}};
}
FN vec vfirst(vec v, i32 n) {
    for (int i = 0; i < 4; i++) v.x[i] = i < n ? v.x[i] : -INFINITY;
    return v;
}
FN float vsum(vec v) { return (v.x[0] + v.x[2]) + (v.x[1] + v.x[3]); }
FN float vmost(vec v) { return fmaxf(fmaxf(v.x[0], v.x[2]), fmaxf(v.x[1], v.x[3])); }
/* One instruction where the place is a multiple of the vector's bytes, which it nearly always is. */
template <class T> struct alignas(4 * sizeof(T)) four { T x[4]; };
template <class T> FN four<T> take_four(const T *p) {
    if ((u64)p % sizeof(four<T>) == 0) return *(const four<T> *)p;
    return four<T>{{p[0], p[1], p[2], p[3]}};
}
template <class T> FN void put_four(T *p, four<T> v) {
    if ((u64)p % sizeof(four<T>) == 0) *(four<T> *)p = v;
    else
        for (int i = 0; i < 4; i++) p[i] = v.x[i];
}
FN vec vldf(const float *p) {
    const four<float> f = take_four(p);
    return vec{{f.x[0], f.x[1], f.x[2], f.x[3]}};
}
FN void vstf(float *p, vec v) { put_four(p, four<float>{{v.x[0], v.x[1], v.x[2], v.x[3]}}); }
FN vec vldl(const float *p) { return vec{{p[0], p[1], p[2], p[3]}}; }
FN void vstl(float *p, vec v) {
    for (int i = 0; i < 4; i++) p[i] = v.x[i];
}
#define vldp(p) vldl(p)
#define vstp(p, v) vstl((p), (v))
#define vget(v, j) ((v).x[j])
FN vec vexp(vec v) { return vec{{expf(v.x[0]), expf(v.x[1]), expf(v.x[2]), expf(v.x[3])}}; }
FN vec vbell(vec v) { return vexp(v * v * -0.5f); }
#if defined REAL_F32 || defined REAL_BF16 || defined REAL_F16
FN vec vld(const real *p) {
    const four<real> f = take_four(p);
    return vec{{ld(f.x, 0), ld(f.x, 1), ld(f.x, 2), ld(f.x, 3)}};
}
FN four<real> as_stored(vec v) {
    four<real> f;
    for (int i = 0; i < 4; i++) st(f.x, i, v.x[i]);
    return f;
}
FN void vst(real *p, vec v) { put_four(p, as_stored(v)); }
/* v as it is when it has been stored. */
FN vec vstored(vec v) {
    const four<real> f = as_stored(v);
    return vec{{ld(f.x, 0), ld(f.x, 1), ld(f.x, 2), ld(f.x, 3)}};
}
#endif
#endif

/* Phi of x; e: exp(-x^2 / 2). As phi_from. */
#ifdef __OPENCL_VERSION__
#define vpositive(x, yes, no) ((x) >= 0.0f ? (yes) : (no))
#define vabs(x) vas(uas(x) & 0x7fffffffu)
#else
FN vec vpositive(vec x, vec yes, vec no) {
    for (int i = 0; i < 4; i++) no.x[i] = x.x[i] >= 0 ? yes.x[i] : no.x[i];
    return no;
}
FN vec vabs(vec v) { return vec{{fabsf(v.x[0]), fabsf(v.x[1]), fabsf(v.x[2]), fabsf(v.x[3])}}; }
#endif
FN vec vphi(vec x, vec e) {
    vec t = 1.0f / (vabs(x) * (0.3275911f * 0.70710678f) + 1.0f), tail = vmad(t, VSET(PHI_5), VSET(PHI_4));
    tail = vmad(tail, t, VSET(PHI_3));
    tail = vmad(tail, t, VSET(PHI_2));
    tail = vmad(tail, t, VSET(PHI_1)) * t * e;
    return vpositive(x, 1.0f - tail, tail);
}
FN vec vgelu(vec x) { return x * vphi(x, vbell(x)); }
FN vec vgelu_slope(vec x) {
    vec e = vbell(x);
    return vmad(x * INV_SQRT_2PI, e, vphi(x, e));
}

/* ---- over a group: a tree in local memory, so that the order of additions is always the same ---- */

#ifndef GROUP
#define GROUP 128
#endif
#if GROUP == 1
#define SCRATCH
#define GROUP_SUM(x) (x)
#define GROUP_MAX(x) (x)
#else
#define SCRATCH LOCAL float scratch[GROUP]
#ifdef SUBGROUPS
#ifdef __OPENCL_VERSION__
#ifdef cl_khr_subgroups
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#endif
#define SUB_SUM(x) sub_group_reduce_add(x)
#define SUB_MAX(x) sub_group_reduce_max(x)
#define SUB ((i32)get_sub_group_id())
#define SUBS ((i32)get_num_sub_groups())
#define SUB_LANE ((i32)get_sub_group_local_id())
#else
#define WARP 32
#define SUB (LANE / WARP)
#define SUBS (GROUP / WARP)
#define SUB_LANE (LANE % WARP)
FN float SUB_SUM(float x) {
    for (i32 n = WARP / 2; n > 0; n /= 2) x += __shfl_xor_sync(0xffffffffu, x, n);
    return x;
}
FN float SUB_MAX(float x) {
    for (i32 n = WARP / 2; n > 0; n /= 2) x = MAXF(x, __shfl_xor_sync(0xffffffffu, x, n));
    return x;
}
#endif
/* Every work-item goes through the sub-groups' results in the same order. */
FN float group_sum(LOCAL_AT float *s, float x) {
    x = SUB_SUM(x);
    BARRIER();
    if (SUB_LANE == 0) s[SUB] = x;
    BARRIER();
    float sum = s[0];
    for (i32 i = 1; i < SUBS; i++) sum += s[i];
    return sum;
}
FN float group_max(LOCAL_AT float *s, float x) {
    x = SUB_MAX(x);
    BARRIER();
    if (SUB_LANE == 0) s[SUB] = x;
    BARRIER();
    float top = s[0];
    for (i32 i = 1; i < SUBS; i++) top = MAXF(top, s[i]);
    return top;
}
#else
FN float group_sum(LOCAL_AT float *s, float x) {
    BARRIER();
    s[LANE] = x;
    for (i32 n = GROUP / 2; n > 0; n /= 2) {
        BARRIER();
        if (LANE < n) s[LANE] += s[LANE + n];
    }
    BARRIER();
    return s[0];
}
FN float group_max(LOCAL_AT float *s, float x) {
    BARRIER();
    s[LANE] = x;
    for (i32 n = GROUP / 2; n > 0; n /= 2) {
        BARRIER();
        if (LANE < n) s[LANE] = MAXF(s[LANE], s[LANE + n]);
    }
    BARRIER();
    return s[0];
}
#endif
#define GROUP_SUM(x) group_sum(scratch, (x))
#define GROUP_MAX(x) group_max(scratch, (x))
#endif

/* The row's elements [0, c) shared out over the group: whole vectors, and the rest one by one. In sums the rest goes
 * first: behind the vectors' sum it would be waited for. */
#define FOR_VECTORS(i, c) for (i64 i = (i64)LANE * VW; i + VW <= (c); i += (i64)GROUP * VW)
#define FOR_REST(i, c) for (i64 i = (c) / VW * VW + LANE; i < (c); i += GROUP)

#if defined REAL_F32 || defined REAL_BF16 || defined REAL_F16
FN float row_sum(GLOBAL const real *x, i64 c) {
    float s = 0;
    vec v = VSET(0.0f);
    FOR_REST(i, c) s += ld(x, i);
    FOR_VECTORS(i, c) v += vld(x + i);
    return s + vsum(v);
}
FN float row_squares(GLOBAL const real *x, i64 c, float mean) {
    float s = 0;
    vec v = VSET(0.0f);
    FOR_REST(i, c) {
        float d = ld(x, i) - mean;
        s += d * d;
    }
    FOR_VECTORS(i, c) {
        vec d = vld(x + i) - mean;
        v = vmad(d, d, v);
    }
    return s + vsum(v);
}
FN float row_top(GLOBAL const real *x, i64 c) {
    float top = -INFINITY;
    vec v = VSET(-INFINITY);
    FOR_REST(i, c) top = MAXF(top, ld(x, i));
    FOR_VECTORS(i, c) v = vtop(v, vld(x + i));
    return MAXF(top, vmost(v));
}
FN float row_exps(GLOBAL const real *x, i64 c, float top) {
    float s = 0;
    vec v = VSET(0.0f);
    FOR_REST(i, c) s += kexp(ld(x, i) - top);
    FOR_VECTORS(i, c) v += vexp(vld(x + i) - top);
    return s + vsum(v);
}
#endif

/* CUDA with sub-groups: a warp a row, the row in registers: HELD vectors a work-item. c is a multiple of VW and at most
 * HELD_MOST. FOR_HELD: vector k of this work-item, which begins at i. */
#if defined SUBGROUPS && !defined __OPENCL_VERSION__
#define WARPS_OF_ROWS
#define HELD_VECTORS 8
#define HELD_MOST (HELD_VECTORS * WARP * VW)
#define FOR_HELD(k, i)                                                                                                 \
    _Pragma("unroll") for (i32 k = 0; k < HELD_VECTORS; k++) if (const i32 i = (k * WARP + SUB_LANE) * VW; i < c)
#if defined REAL_F32 || defined REAL_BF16 || defined REAL_F16
/* y = (x - mean) rstd w + b of a row that is held, whose sum over this work-item is v; held is x - mean afterwards. */
FN void norm_held(real *y, float *ret_mean, float *ret_rstd, vec held[], const vec w[], const vec b[], vec v, i64 c,
                  float eps) {
    vec squares = VSET(0.0f);
    float mean = SUB_SUM(vsum(v)) / (float)c;
    FOR_HELD(k, i) {
        held[k] = held[k] - mean;
        squares = vmad(held[k], held[k], squares);
    }
    float rstd = 1.0f / SQRTF(SUB_SUM(vsum(squares)) / (float)c + eps);
    FOR_HELD(k, i) vst(y + i, vmad(held[k] * rstd, w[k], b[k]));
    if (SUB_LANE == 0) {
        *ret_mean = mean;
        *ret_rstd = rstd;
    }
}
#endif
#endif

/* ---- f16 arithmetic ---- */

#ifdef HALF_ARITHMETIC
#ifdef __OPENCL_VERSION__
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef half f16;
typedef OF_VW(half) hvec;
#define H16(x) ((f16)(x))
#define HSET(x) ((hvec)(x))
#define hmad(a, b, c) fma((a), (b), (c))
FN hvec hld(GLOBAL const f16 *p) { return OF_VW(as_half)(OF_VW(vload)(0, (GLOBAL const u16 *)p)); }
FN void hst(GLOBAL f16 *p, hvec v) { OF_VW(vstore)(OF_VW(as_ushort)(v), 0, (GLOBAL u16 *)p); }
#else
typedef __half f16;
struct hvec {
    __half2 x[2];
};
#define H16(x) __float2half_rn(x)
FN hvec HSET(f16 f) { return hvec{{__half2half2(f), __half2half2(f)}}; }
FN hvec operator+(hvec a, hvec b) { return hvec{{__hadd2(a.x[0], b.x[0]), __hadd2(a.x[1], b.x[1])}}; }
FN hvec operator-(hvec a, hvec b) { return hvec{{__hsub2(a.x[0], b.x[0]), __hsub2(a.x[1], b.x[1])}}; }
FN hvec operator*(hvec a, hvec b) { return hvec{{__hmul2(a.x[0], b.x[0]), __hmul2(a.x[1], b.x[1])}}; }
FN hvec hmad(hvec a, hvec b, hvec c) {
    return hvec{{__hfma2(a.x[0], b.x[0], c.x[0]), __hfma2(a.x[1], b.x[1], c.x[1])}};
}
FN f16 hmad(f16 a, f16 b, f16 c) { return __hfma(a, b, c); }
/* In pairs where the place allows it. */
FN hvec hld(const f16 *p) {
    const __half2 *pair = (const __half2 *)p;
    if ((u64)p % sizeof *pair == 0) return hvec{{pair[0], pair[1]}};
    return hvec{{__halves2half2(p[0], p[1]), __halves2half2(p[2], p[3])}};
}
FN void hst(f16 *p, hvec v) {
    __half2 *pair = (__half2 *)p;
    for (int i = 0; i < 2; i++) {
        if ((u64)p % sizeof *pair == 0) pair[i] = v.x[i];
        else p[2 * i] = __low2half(v.x[i]), p[2 * i + 1] = __high2half(v.x[i]);
    }
}
#endif
#endif

/* status: int[4] = how many complaints, code and detail of one of them. */
FN void FAIL(GLOBAL i32 *status, i32 code, i32 detail) {
    if (ATOMIC_INC(status) == 0) {
        status[1] = code;
        status[2] = detail;
    }
}

#endif
