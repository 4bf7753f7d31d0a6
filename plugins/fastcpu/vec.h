/* plugins/fastcpu/vec.h: one instruction set and one dtype a compilation. Kernel files are compiled with ISA=avx2,
 * avx512 or avx512bf16 (and its flags) and REAL_F32 or REAL_BF16: `real` is how an element is stored; all arithmetic
 * is in float, VL lanes at a time. FAST(name) is name_avx2_f32 and so on. */
#ifndef FASTCPU_VEC_H
#define FASTCPU_VEC_H

#include "hct/half.h"
#include "hct/plugin.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FAST_JOIN3(a, b, c) a##_##b##_##c
#define FAST_JOIN(a, b, c) FAST_JOIN3(a, b, c)
#define ALWAYS static inline __attribute__((always_inline))

#if defined REAL_F32
typedef float real;
#define REAL_NAME f32
#define REAL_TEXT "f32"
#define REAL_DTYPE HCT_F32
#elif defined REAL_BF16
typedef uint16_t real;
#define REAL_NAME bf16
#define REAL_TEXT "bf16"
#define REAL_DTYPE HCT_BF16
#else
#error "compile with -DREAL_F32 or -DREAL_BF16"
#endif
#define FAST(name) FAST_JOIN(name, ISA, REAL_NAME)

/* ---- float vectors ---- */

#if defined __AVX512F__
enum { VL = 16 };
typedef __m512 vf;
ALWAYS vf vset(float x) { return _mm512_set1_ps(x); }
ALWAYS vf vzero(void) { return _mm512_setzero_ps(); }
ALWAYS vf vload(const float *p) { return _mm512_loadu_ps(p); }
ALWAYS void vstore(float *p, vf v) { _mm512_storeu_ps(p, v); }
ALWAYS __mmask16 vfirst(int64_t n) { return (__mmask16)((1u << n) - 1); }
ALWAYS vf vload_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(vfirst(n), p); }
ALWAYS void vstore_n(float *p, vf v, int64_t n) { _mm512_mask_storeu_ps(p, vfirst(n), v); }
ALWAYS vf vadd(vf a, vf b) { return _mm512_add_ps(a, b); }
ALWAYS vf vsub(vf a, vf b) { return _mm512_sub_ps(a, b); }
ALWAYS vf vmul(vf a, vf b) { return _mm512_mul_ps(a, b); }
ALWAYS vf vdiv(vf a, vf b) { return _mm512_div_ps(a, b); }
ALWAYS vf vsqrt(vf a) { return _mm512_sqrt_ps(a); }
ALWAYS vf vfma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }   /* a b + c */
ALWAYS vf vfnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a b */
ALWAYS vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }              /* b where either is NaN */
ALWAYS vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
ALWAYS vf vabs(vf a) { return _mm512_abs_ps(a); }
ALWAYS vf vsign(vf magnitude, vf of) { return _mm512_or_ps(vabs(magnitude), _mm512_and_ps(of, vset(-0.0f))); }
ALWAYS vf vpick_lt(vf a, vf b, vf yes, vf no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
ALWAYS vf vround(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* 2^n for whole n in [-127, 127]; -127 gives 0. */
ALWAYS vf vpow2(vf n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
ALWAYS float vsum(vf v) { return _mm512_reduce_add_ps(v); }
ALWAYS float vtop(vf v) { return _mm512_reduce_max_ps(v); }
#else
enum { VL = 8 };
typedef __m256 vf;
ALWAYS vf vset(float x) { return _mm256_set1_ps(x); }
ALWAYS vf vzero(void) { return _mm256_setzero_ps(); }
ALWAYS vf vload(const float *p) { return _mm256_loadu_ps(p); }
ALWAYS void vstore(float *p, vf v) { _mm256_storeu_ps(p, v); }
ALWAYS __m256i vfirst(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
ALWAYS vf vload_n(const float *p, int64_t n) { return _mm256_maskload_ps(p, vfirst(n)); }
ALWAYS void vstore_n(float *p, vf v, int64_t n) { _mm256_maskstore_ps(p, vfirst(n), v); }
ALWAYS vf vadd(vf a, vf b) { return _mm256_add_ps(a, b); }
ALWAYS vf vsub(vf a, vf b) { return _mm256_sub_ps(a, b); }
ALWAYS vf vmul(vf a, vf b) { return _mm256_mul_ps(a, b); }
ALWAYS vf vdiv(vf a, vf b) { return _mm256_div_ps(a, b); }
ALWAYS vf vsqrt(vf a) { return _mm256_sqrt_ps(a); }
ALWAYS vf vfma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }   /* a b + c */
ALWAYS vf vfnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); } /* c - a b */
ALWAYS vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }              /* b where either is NaN */
ALWAYS vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
ALWAYS vf vabs(vf a) { return _mm256_andnot_ps(vset(-0.0f), a); }
ALWAYS vf vsign(vf magnitude, vf of) { return _mm256_or_ps(vabs(magnitude), _mm256_and_ps(of, vset(-0.0f))); }
ALWAYS vf vpick_lt(vf a, vf b, vf yes, vf no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
ALWAYS vf vround(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* 2^n for whole n in [-127, 127]; -127 gives 0. */
ALWAYS vf vpow2(vf n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
ALWAYS float vsum(vf v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
ALWAYS float vtop(vf v) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
#endif

/* The first n elements; n is VL at most. */
ALWAYS vf vget(const float *p, int64_t n) { return n == VL ? vload(p) : vload_n(p, n); }
ALWAYS void vput(float *p, vf v, int64_t n) {
    if (n == VL) vstore(p, v);
    else vstore_n(p, v, n);
}

/* ---- elements as they are stored ---- */

#if defined __AVX512F__
ALWAYS vf ld_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
/* Nearest even; NaN stays NaN. */
ALWAYS void st_bf16(uint16_t *p, vf v) {
    const __m512i u = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
    const __m512i nan = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((void *)p, _mm512_cvtepi32_epi16(
                                       _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), up, nan)));
}
#else
ALWAYS vf ld_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}
/* Nearest even; NaN stays NaN. */
ALWAYS void st_bf16(uint16_t *p, vf v) {
    const __m256i u = _mm256_castps_si256(v), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
    const __m256i nan = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
    const __m256i r = _mm256_blendv_epi8(up, nan, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
    _mm_storeu_si128((void *)p, _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1)));
}
#endif
ALWAYS vf ld_bf16_n(const uint16_t *p, int64_t n) {
    uint16_t whole[VL] = {0};
    memcpy(whole, p, (size_t)n * sizeof *p);
    return ld_bf16(whole);
}
ALWAYS void st_bf16_n(uint16_t *p, vf v, int64_t n) {
    uint16_t whole[VL];
    st_bf16(whole, v);
    memcpy(p, whole, (size_t)n * sizeof *p);
}

ALWAYS void put_bf16(uint16_t *p, vf v, int64_t n) {
    if (n == VL) st_bf16(p, v);
    else st_bf16_n(p, v, n);
}

#if defined REAL_F32
ALWAYS float ld1(real x) { return x; }
ALWAYS real st1(float x) { return x; }
ALWAYS vf ld(const real *p) { return vload(p); }
ALWAYS void st(real *p, vf v) { vstore(p, v); }
ALWAYS vf ld_n(const real *p, int64_t n) { return vload_n(p, n); }
ALWAYS void st_n(real *p, vf v, int64_t n) { vstore_n(p, v, n); }
#else
ALWAYS float ld1(real x) { return hct_f32_from_bf16(x); }
ALWAYS real st1(float x) { return hct_bf16_from_f32(x); }
ALWAYS vf ld(const real *p) { return ld_bf16(p); }
ALWAYS void st(real *p, vf v) { st_bf16(p, v); }
ALWAYS vf ld_n(const real *p, int64_t n) { return ld_bf16_n(p, n); }
ALWAYS void st_n(real *p, vf v, int64_t n) { st_bf16_n(p, v, n); }
#endif

/* ---- functions ---- */

/* exp(x), error below 2 ulp (polynomial: Taylor's on |r| <= ln 2 / 2, Cody & Waite reduction); 0 below -87.7, held
 * at 88.02 above; NaN stays NaN. */
ALWAYS vf vexp(vf x) {
    x = vmin(vset(88.02f), vmax(vset(-88.0f), x));
    const vf n = vround(vmul(x, vset(1.44269504089f)));
    vf r = vfnma(n, vset(0.693359375f), x);
    r = vfnma(n, vset(-2.12194440e-4f), r);
    vf p = vset(1.0f / 5040);
    p = vfma(p, r, vset(1.0f / 720));
    p = vfma(p, r, vset(1.0f / 120));
    p = vfma(p, r, vset(1.0f / 24));
    p = vfma(p, r, vset(1.0f / 6));
    p = vfma(p, r, vset(0.5f));
    p = vfma(p, r, vset(1.0f));
    p = vfma(p, r, vset(1.0f));
    return vmul(p, vpow2(n));
}

#endif
