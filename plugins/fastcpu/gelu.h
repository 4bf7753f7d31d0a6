/* plugins/fastcpu/gelu.h: GELU by the exact error function (not its tanh form), and its slope. */
#ifndef FASTCPU_GELU_H
#define FASTCPU_GELU_H

#include "vec.h"

#include "gelu_table.h"

#if defined __AVX512F__
/* f(|x|) by its polynomial on the interval that |x| is nearest to the middle of; 0 beyond the last one. NaN stays
 * NaN. */
ALWAYS vf gelu_piece(const float (*f)[GELU_PIECES], vf a) {
    const vf u = vmul(a, vset(1 / GELU_WIDTH)), s = _mm512_reduce_ps(u, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512i piece = _mm512_castps_si512(vadd(u, vset(0x1p23f))); /* its low bits: the nearest whole number */
    vf y = _mm512_permutex2var_ps(vload(f[GELU_DEGREE]), piece, vload(f[GELU_DEGREE] + VL));
    for (int i = GELU_DEGREE - 1; i >= 0; i--)
        y = vfma(y, s, _mm512_permutex2var_ps(vload(f[i]), piece, vload(f[i] + VL)));
    return y;
}
/* Where the pieces' functions are 0 already. */
ALWAYS vf gelu_held(vf x) { return vmin(vset((GELU_PIECES - 1) * GELU_WIDTH), vabs(x)); }

/* x Phi(x) = max(x, 0) - |x| Phi(-|x|), error below 1e-7 of the largest such value around and 3e-8 */
ALWAYS vf vgelu(vf x) {
    const vf a = gelu_held(x);
    return vfnma(a, gelu_piece(gelu_tail, a), vmax(vzero(), x));
}
/* d gelu / dx = Phi(x) + x phi(x): t below 0, 1 - t above, t = Phi(-|x|) - |x| phi(x) */
ALWAYS vf vgelu_slope(vf x) {
    const vf t = gelu_piece(gelu_slope_tail, gelu_held(x));
    return _mm512_mask_sub_ps(t, _mm512_cmp_ps_mask(x, vzero(), _CMP_GT_OQ), vset(1.0f), t);
}
#else
/* erf(x): x P(x^2) below 1, 1 - exp(Q(x)) from there (coefficients: fit_gelu.py), error below 1.5e-7 of the result. */
ALWAYS vf verf(vf x) {
    const vf a = vmin(vset(4.0f), vabs(x)), s = vmul(x, x), t = vfma(a, vset(2.0f / 3), vset(-5.0f / 3));
    vf p = vset(erf_small[ERF_SMALL - 1]), q = vset(erf_large[ERF_LARGE - 1]);
    for (int i = ERF_SMALL - 2; i >= 0; i--) p = vfma(p, s, vset(erf_small[i]));
    for (int i = ERF_LARGE - 2; i >= 0; i--) q = vfma(q, t, vset(erf_large[i]));
    return vpick_lt(vabs(x), vset(1.0f), vmul(x, p), vsign(vsub(vset(1.0f), vexp(q)), x));
}

ALWAYS vf vgelu(vf x) {
    const vf h = vmul(x, vset(0.5f));
    return vfma(h, verf(vmul(x, vset(0.70710678118f))), h);
}
/* d gelu / dx = Phi(x) + x phi(x) */
ALWAYS vf vgelu_slope(vf x) {
    const vf cdf = vfma(vset(0.5f), verf(vmul(x, vset(0.70710678118f))), vset(0.5f));
    return vfma(vmul(x, vset(0.39894228040f)), vexp(vmul(vmul(x, x), vset(-0.5f))), cdf);
}
#endif

#endif
