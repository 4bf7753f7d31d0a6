/* kit/int8.h: what every kernel of linear_int8 agrees on, so that all give the same whole numbers.
 *
 *   linear_int8: x [..., K], w [N, K] (, b [N]) -> [..., N]; attribute: gelu
 *
 * The product of linear with both operands rounded to whole numbers that fit in a byte: a row of w by the row's own
 * step, a row of x by its own, found anew in each call.
 *
 *   step(v) = max |v| / top    q(v) = round to nearest even(v * (top / max |v|))    top: 127 of x, 63 of w
 *   y = (sum q(x) q(w)) * (step(x) * step(w)) + b, and GELU of that (the exact form) where gelu is 1
 *
 * v is a row of x or of w. All of it is float32 arithmetic (F64: from the sum on float64) but the sum, which is
 * exact. w has 7 bits, so that two products of a byte without sign and one with fit in 16 bits: AVX2 has no other
 * product of bytes, and all processors shall give the same. A row whose largest number is below INT8_LEAST is zero; one
 * that holds a NaN or an infinity has the step NaN. It has no gradient, and kernels on the CPU alone. */
#ifndef KIT_INT8_H
#define KIT_INT8_H

#include <stdint.h>

#define INT8_LEAST 0x1p-100f
#define INT8_MOST 3.40282347e38f
enum { INT8_TOP_X = 127, INT8_TOP_W = 63, INT8_INNER = 1 << 17 }; /* K at most: 255 * 63 K stays below 2^31 */

#endif
