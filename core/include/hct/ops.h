/* hct/ops.h: the ops that models are written in. Each appends to a tape and returns the value's id (0 after an
 * error).
 *
 * Shapes are row-major, last axis fastest. Axes may be negative, counted from the end. "Real" is F32, F64, BF16 or
 * F16; all real inputs of one op have one dtype; sums are held in F32 (F64 for F64). */
#ifndef HCT_OPS_H
#define HCT_OPS_H

#include "hct/plugin.h"

/* Elementwise, with NumPy broadcasting. */
HCT_API hct_id hct_add(hct_tape *, hct_id a, hct_id b);
HCT_API hct_id hct_sub(hct_tape *, hct_id a, hct_id b);
HCT_API hct_id hct_mul(hct_tape *, hct_id a, hct_id b);
HCT_API hct_id hct_scale(hct_tape *, hct_id x, double factor, double plus); /* factor * x + plus */
/* x * Phi(x), exact erf (Hendrycks & Gimpel 2016) */
HCT_API hct_id hct_gelu(hct_tape *, hct_id x);
HCT_API hct_id hct_relu(hct_tape *, hct_id x); /* max(x, 0); its slope at 0 is 0; NaN stays NaN */
/* gelu(x + b), x [..., C], b [C], in one pass */
HCT_API hct_id hct_bias_gelu(hct_tape *, hct_id x, hct_id b);
HCT_API hct_id hct_rsqrt(hct_tape *, hct_id x, double eps); /* 1 / sqrt(x + eps) */
HCT_API hct_id hct_cast(hct_tape *, hct_id x, hct_dtype);
/* Zeroes each element with probability p and multiplies the others by 1/(1-p). rng: I32[4] = seed lo, hi, step lo,
 * hi; two calls on one tape draw different numbers. */
HCT_API hct_id hct_dropout(hct_tape *, hct_id x, hct_id rng, double p);

/* The axes of a reduction: HCT_AXIS(0) | HCT_AXIS(2); all of a tensor of n axes: HCT_AXES(n). */
#define HCT_AXIS(i) (1u << (i))
#define HCT_AXES(n) (HCT_AXIS(n) - 1)
/* Sum / mean over `axes`; keep: they stay with length 1. */
HCT_API hct_id hct_sum(hct_tape *, hct_id x, uint32_t axes, int keep);
HCT_API hct_id hct_mean(hct_tape *, hct_id x, uint32_t axes, int keep);

/* x [..., K], w [N, K], b [N] or 0 -> [..., N]: x w^T + b. */
HCT_API hct_id hct_linear(hct_tape *, hct_id x, hct_id w, hct_id b);
HCT_API hct_id hct_linear_gelu(hct_tape *, hct_id x, hct_id w, hct_id b); /* gelu(x w^T + b), in one pass */
/* a [..., M, K], b [..., K, N], leading axes broadcast -> [..., M, N]. Any strides: transpose with hct_permute. */
HCT_API hct_id hct_matmul(hct_tape *, hct_id a, hct_id b);
/* q [B, N, H, D], k, v [B, M, H, D] -> [B, N, H, D]: softmax(scale * q k^T) v for each head. */
HCT_API hct_id hct_attention(hct_tape *, hct_id q, hct_id k, hct_id v, double scale);
/* The same in smaller ops; *ret_probs gets the softmax [B, H, N, M]. */
HCT_API hct_id hct_attention_probs(hct_tape *, hct_id q, hct_id k, hct_id v, double scale, hct_id *ret_probs);

/* Over the last axis: (x - mean) / sqrt(var + eps) * w + b, population variance (Ba et al. 2016). */
HCT_API hct_id hct_layer_norm(hct_tape *, hct_id x, hct_id w, hct_id b, double eps);
/* *ret_sum = x + h (equal dims), and its layer norm, in one pass. */
HCT_API hct_id hct_add_layer_norm(hct_tape *, hct_id x, hct_id h, hct_id w, hct_id b, double eps, hct_id *ret_sum);
/* x [N, C], no affine. Training: batch statistics, and running_mean, running_var (tensors, [C]) move by momentum
 * towards them (variance with n-1), as PyTorch's BatchNorm1d; with several ranks over the batches of all, of equal
 * size. Else: running statistics. */
HCT_API hct_id hct_batch_norm(hct_tape *, hct_id x, hct_id running_mean, hct_id running_var, double momentum,
                              double eps, int training);
HCT_API hct_id hct_softmax(hct_tape *, hct_id x);                  /* over the last axis */
HCT_API hct_id hct_l2_normalize(hct_tape *, hct_id x, double eps); /* x / max(||x||, eps) over the last axis */

/* Volumes: x [N, C, D0, D1, D2]; stride, padding, dilation, kernel: 3 numbers each. As PyTorch's Conv3d, MaxPool3d,
 * AvgPool3d (padding counted as zeros), AdaptiveAvgPool3d. w [O, C/groups, K0, K1, K2], b [O] or 0. */
HCT_API hct_id hct_conv3d(hct_tape *, hct_id x, hct_id w, hct_id b, const int64_t *stride, const int64_t *padding,
                          const int64_t *dilation, int64_t groups);
HCT_API hct_id hct_max_pool3d(hct_tape *, hct_id x, const int64_t *kernel, const int64_t *stride,
                              const int64_t *padding);
HCT_API hct_id hct_avg_pool3d(hct_tape *, hct_id x, const int64_t *kernel, const int64_t *stride,
                              const int64_t *padding);
/* Output i of an axis is the mean over [floor(i D / out), ceil((i + 1) D / out)). */
HCT_API hct_id hct_adaptive_avg_pool3d(hct_tape *, hct_id x, const int64_t *out);
/* x [N, C, ...], w, b [C]; running_mean, running_var: tensors [C], F32 (F64 beside F64). Training: batch statistics
 * (population variance), and the running ones move by momentum (variance with n-1), as PyTorch's BatchNorm3d; with
 * several ranks over the batches of all, of equal size. Else: the running ones. */
HCT_API hct_id hct_batch_norm3d(hct_tape *, hct_id x, hct_id w, hct_id b, hct_id running_mean, hct_id running_var,
                                double momentum, double eps, int training);

/* logits [N, C], target I32 [N] -> mean of -log softmax(logits)[target], a scalar. */
HCT_API hct_id hct_cross_entropy(hct_tape *, hct_id logits, hct_id target);
/* pred, target [B, L, P], mask [B, L] -> sum over masked patches of the mean squared error of a patch, / sum of
 * mask. */
HCT_API hct_id hct_mse_masked(hct_tape *, hct_id pred, hct_id target, hct_id mask);
/* DINO (Caron et al. 2021): student [V, B, K], teacher [G, B, K], of which the first G views are the same images;
 * centre [K]; temps F32 [2]: the student's and the teacher's temperature. -> mean cross-entropy over pairs of
 * different views, a scalar; *ret_entropy (may be NULL): mean entropy of the teacher's distributions, in nats. Only
 * the student has a gradient. */
HCT_API hct_id hct_dino_loss(hct_tape *, hct_id student, hct_id teacher, hct_id centre, hct_id temps,
                             hct_id *ret_entropy);
/* Moving averages of tensors, in place: target = rates[at] target + rates[at + 1] source, for each pair {target,
 * source}. */
HCT_API void hct_ema(hct_tape *, hct_id rates, int64_t at, const hct_id *target_and_source, uint32_t pairs);
/* The same for n of {target, source, copy}: copies are BF16 and get what the targets become. */
HCT_API void hct_ema_copy(hct_tape *, hct_id rates, int64_t at, const hct_id *target_source_copy, uint32_t n);

/* x[i] becomes scale * the sum of x[i] over all ranks (comm.h), for each of n values of one real dtype, in one
 * exchange; one rank: scale * x. Differentiable: the loss is then that of all ranks together. */
HCT_API void hct_all_reduce(hct_tape *, hct_id *x, uint32_t n, double scale);

/* Views: no data moves. */
/* copies first if x has gaps; one dim may be -1 */
HCT_API hct_id hct_reshape(hct_tape *, hct_id x, int ndim, const int64_t *dim);
HCT_API hct_id hct_permute(hct_tape *, hct_id x, const int *axes); /* out axis i is x's axis axes[i] */
/* broadcast, aligned at the last axis */
HCT_API hct_id hct_expand(hct_tape *, hct_id x, int ndim, const int64_t *dim);
HCT_API hct_id hct_slice(hct_tape *, hct_id x, int axis, int64_t start, int64_t length);
HCT_API void hct_split(hct_tape *, hct_id x, int axis, uint32_t parts, hct_id *out); /* equal parts */
HCT_API hct_id hct_copy(hct_tape *, hct_id x);                                       /* contiguous */
HCT_API hct_id hct_concat(hct_tape *, const hct_id *x, uint32_t n, int axis);
HCT_API hct_id hct_fill(hct_tape *, hct_dtype, int ndim, const int64_t *dim, double value);

/* x [B, L, C], index I32 [B, K] -> [B, K, C]: out[b, k] = x[b, index[b, k]]. Indices beyond L fail at run time. */
HCT_API hct_id hct_gather(hct_tape *, hct_id x, hct_id index);
/* x [B, C, D0, D1, D2] -> [B, n, C p^3], n = (D0/p)(D1/p)(D2/p), patch (i, j, k) at row (i G1 + j) G2 + k. Within a
 * row: channel_last 0: (C, d0, d1, d2), as a convolution's weight; 1: (d0, d1, d2, C), as MAE's targets. */
HCT_API hct_id hct_unfold3d(hct_tape *, hct_id x, int64_t patch, int channel_last);
/* The inverse: x [B, n, C p^3] -> [B, C, D0, D1, D2], dim = {C, D0, D1, D2}. */
HCT_API hct_id hct_fold3d(hct_tape *, hct_id x, int64_t patch, int channel_last, const int64_t *dim);

#endif
