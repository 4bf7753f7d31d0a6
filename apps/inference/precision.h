/* What a model computes in when it is run over scans. Weights files hold F32 (or what they were imported with); a
 * shorter form is made of them when they are opened.
 *
 *   f32    as they are
 *   bf16   the encoder in bfloat16, as train.precision: bf16 has it; heads in F32
 *   int8   the linear layers of an encoder's blocks in 8 bits (kit/int8.h, on the CPU): weights with one step an output
 *          channel, activations with one a token; the rest, norms, softmax, GELU, embedding and heads, in F32 */
#ifndef INFERENCE_PRECISION_H
#define INFERENCE_PRECISION_H

#include "models/params.h"

typedef enum run_precision { RUN_F32, RUN_BF16, RUN_INT8 } run_precision;

/* "f32", "bf16", "int8"; 0 where text is none of them. */
int precision_find(const char *text, run_precision *ret);
const char *precision_name(run_precision);
/* For --help. */
#define PRECISION_HELP                                                                                                 \
    "what is computed in: f32 (default), bf16, or int8: the blocks' products in 8 bits, weights by output channel, "   \
    "activations by token (cpu alone)"

/* Has the tensors of p computed with in that precision. HCT_EINVAL: not on p's device. */
hct_status precision_set(params *p, run_precision, hct_err *err);

#endif
