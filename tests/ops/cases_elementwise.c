/* Cases of elementwise ops. */
#include "naive.h"

/* clang-format off */
#define UNARY_CASES(op_, naive_, kind, ...)                                                  \
    {op_, "7x5", {IN(kind, 7, 5)}, {__VA_ARGS__}, GRAD, .naive = naive_},                    \
        {op_, "scalar", {{kind, 0, {0}, 0}}, {__VA_ARGS__}, GRAD, .naive = naive_},          \
        {op_, "empty", {IN(kind, 3, 0, 2)}, {__VA_ARGS__}, .naive = naive_},                 \
        {op_, "3x4x1x5", {IN(kind, 3, 4, 1, 5)}, {__VA_ARGS__}, GRAD, .naive = naive_},      \
        {op_, "513x33", {IN(kind, 513, 33)}, {__VA_ARGS__}, BIG, .naive = naive_},           \
        {op_, "vit-b", {IN(kind, 2052, 3072)}, {__VA_ARGS__}, BENCH, .naive = naive_}, {     \
        op_, BEYOND_CACHE, {IN(kind, 6 * 2052, 3072)}, {__VA_ARGS__}, BENCH, .naive = naive_ \
    }

/* half of what comes out is 0 */
#define RELU_CASE(name_, flags_, ...)                                                            \
    {"relu", name_, {REAL(__VA_ARGS__)}, .flags = (flags_) | ZEROS, .derive = off_zero, .naive = naive_relu}, {      \
        "relu.bwd", name_, {REAL(__VA_ARGS__), REAL(__VA_ARGS__)}, .flags = ((flags_) & ~GRAD) | ZEROS, \
            .naive = naive_relu_bwd                                                              \
    }

#define BINARY_CASES(op_, naive_)                                                                        \
    {op_, "7x5", {REAL(7, 5), REAL(7, 5)}, .flags = GRAD, .naive = naive_},                              \
        {op_, "scalar", {SCALAR, SCALAR}, .flags = GRAD, .naive = naive_},                               \
        {op_, "empty", {REAL(0, 5), REAL(0, 5)}, .naive = naive_},                                       \
        {op_, "2x3x1x5", {REAL(2, 3, 1, 5), REAL(2, 3, 1, 5)}, .flags = GRAD, .naive = naive_},          \
        {op_, "513x33", {REAL(513, 33), REAL(513, 33)}, .flags = BIG, .naive = naive_},                  \
        {op_, "vit-b", {REAL(2052, 3072), REAL(2052, 3072)}, .flags = BENCH, .naive = naive_}, {         \
        op_, BEYOND_CACHE, {REAL(6 * 2052, 3072), REAL(6 * 2052, 3072)}, .flags = BENCH, .naive = naive_ \
    }

#define CAST_CASE(name_, to)                                                                                     \
    {"cast", name_, {IN(IN_WIDE, 7, 5)}, {A_INT("dtype", to)}, ANY_DTYPE | EXACT, .naive = naive_cast}, {        \
        "cast", name_ ", rounded", {IN(IN_FINE, 7, 5)}, {A_INT("dtype", to)}, EXACT | ZEROS, .naive = naive_cast \
    }
/* clang-format on */

/* No value where relu's slope jumps, so that differences tell the gradient. */
static void off_zero(call *k) {
    for (int64_t i = 0; i < hct_numel(&k->in[0]); i++) k->x[0][i] += k->x[0][i] < 0 ? -0.125 : 0.125;
}

const op_case cases_elementwise[] = {
    BINARY_CASES("add", naive_add),
    BINARY_CASES("sub", naive_sub),
    BINARY_CASES("mul", naive_mul),
    UNARY_CASES("scale", naive_scale, IN_REAL, A_REAL("factor", -1.5), A_REAL("plus", 0.625)),
    {"scale", "by a tenth", {REAL(7, 5)}, {A_REAL("factor", 0.1), A_REAL("plus", 0.3)}, GRAD, .naive = naive_scale},
    UNARY_CASES("gelu", naive_gelu, IN_REAL, {.name = NULL}),
    {"gelu", "wide", {IN(IN_WIDE, 7, 53)}, .naive = naive_gelu},
    RELU_CASE("7x5", GRAD, 7, 5),
    RELU_CASE("3x4x1x5", GRAD, 3, 4, 1, 5),
    RELU_CASE("empty", 0, 3, 0, 2),
    RELU_CASE("513x33", BIG, 513, 33),
    RELU_CASE("vit-b", BENCH, 2052, 3072),
    {"relu", "wide", {IN(IN_WIDE, 7, 53)}, .flags = ZEROS, .naive = naive_relu},
    UNARY_CASES("rsqrt", naive_rsqrt, IN_POSITIVE, A_REAL("eps", 0.125)),
    {"gelu.bwd", "7x5", {REAL(7, 5), REAL(7, 5)}},
    {"gelu.bwd", "wide", {IN(IN_WIDE, 7, 53), REAL(7, 53)}},
    {"gelu.bwd", "513x33", {REAL(513, 33), REAL(513, 33)}, .flags = BIG},
    {"gelu.bwd", "vit-b", {REAL(2052, 3072), REAL(2052, 3072)}, .flags = BENCH},
    {"gelu.bwd", BEYOND_CACHE, {REAL(6 * 2052, 3072), REAL(6 * 2052, 3072)}, .flags = BENCH},
    CAST_CASE("to F32", HCT_F32),
    CAST_CASE("to F64", HCT_F64),
    CAST_CASE("to BF16", HCT_BF16),
    CAST_CASE("to F16", HCT_F16),
    CAST_CASE("to I64", HCT_I64),
    CAST_CASE("to I32", HCT_I32),
    CAST_CASE("to I16", HCT_I16),
    CAST_CASE("to I8", HCT_I8),
    CAST_CASE("to U8", HCT_U8),
    {"cast", "empty", {IN(IN_WIDE, 0, 3)}, {A_INT("dtype", HCT_F32)}, ANY_DTYPE, .naive = naive_cast},
    {"cast", "gradient", {REAL(4, 3)}, {A_INT("dtype", HCT_F64)}, GRAD, .naive = naive_cast},
    {"copy", "7x5", {ANY(7, 5)}, .flags = GRAD | ANY_DTYPE | EXACT, .naive = naive_copy},
    {"copy", "2x3x4x5", {ANY(2, 3, 4, 5)}, .flags = GRAD | ANY_DTYPE | EXACT, .naive = naive_copy},
    {"copy", "scalar", {{IN_ANY, 0, {0}, 0}}, .flags = ANY_DTYPE | EXACT, .naive = naive_copy},
    {"copy", "empty", {ANY(2, 0)}, .flags = ANY_DTYPE | EXACT, .naive = naive_copy},
    {"copy", "vit-b", {ANY(2052, 3072)}, .flags = BENCH, .naive = naive_copy},
    {"copy", BEYOND_CACHE, {ANY(6 * 2052, 3072)}, .flags = BENCH, .naive = naive_copy},
    {"copy", "513x33", {ANY(513, 33)}, .flags = BIG, .naive = naive_copy},
    {"fill",
     "F32",
     {{0}},
     {A_INTS("dim", 3, 5), A_INT("dtype", HCT_F32), A_REAL("value", -1.5)},
     .flags = EXACT,
     .naive = naive_fill},
    {"fill",
     "F64",
     {{0}},
     {A_INTS("dim", 7), A_INT("dtype", HCT_F64), A_REAL("value", 0.1)},
     .flags = EXACT,
     .naive = naive_fill},
    {"fill",
     "BF16",
     {{0}},
     {A_INTS("dim", 7), A_INT("dtype", HCT_BF16), A_REAL("value", 3)},
     .flags = EXACT,
     .naive = naive_fill},
    {"fill",
     "F16",
     {{0}},
     {A_INTS("dim", 7), A_INT("dtype", HCT_F16), A_REAL("value", 3)},
     .flags = EXACT,
     .naive = naive_fill},
    {"fill",
     "I32",
     {{0}},
     {A_INTS("dim", 2, 2), A_INT("dtype", HCT_I32), A_REAL("value", -7)},
     .flags = EXACT,
     .naive = naive_fill},
    {"fill",
     "empty",
     {{0}},
     {A_INTS("dim", 0), A_INT("dtype", HCT_F32), A_REAL("value", 1)},
     .flags = EXACT,
     .naive = naive_fill},
    {"dropout",
     "30% of 7x33",
     {REAL(7, 33), RNG},
     {A_REAL("p", 0.3), A_INT("stream", 2)},
     GRAD,
     .naive = naive_dropout},
    {"dropout",
     "10% of 2x3x5",
     {REAL(2, 3, 5), RNG},
     {A_REAL("p", 0.1), A_INT("stream", 0)},
     GRAD,
     .naive = naive_dropout},
    {"dropout", "empty", {REAL(0, 3), RNG}, {A_REAL("p", 0.1), A_INT("stream", 0)}, .naive = naive_dropout},
    {"sum", "rows", {REAL(5, 7)}, {A_INT("axes", 2), A_INT("keep", 0)}, GRAD, .naive = naive_sum},
    {"sum", "columns", {REAL(5, 7)}, {A_INT("axes", 1), A_INT("keep", 1)}, GRAD, .naive = naive_sum},
    {"sum", "middle", {REAL(2, 5, 3)}, {A_INT("axes", 2), A_INT("keep", 1)}, GRAD, .naive = naive_sum},
    {"sum", "outer two of four", {REAL(3, 2, 4, 5)}, {A_INT("axes", 9), A_INT("keep", 0)}, GRAD, .naive = naive_sum},
    {"sum", "all", {REAL(3, 4, 5)}, {A_INT("axes", 7), A_INT("keep", 0)}, GRAD, .naive = naive_sum},
    {"sum", "none", {REAL(3, 4)}, {A_INT("axes", 0), A_INT("keep", 0)}, GRAD, .naive = naive_sum},
    {"sum", "an empty axis", {REAL(3, 0)}, {A_INT("axes", 2), A_INT("keep", 0)}, ZEROS, .naive = naive_sum},
    {"sum", "to empty", {REAL(3, 0)}, {A_INT("axes", 1), A_INT("keep", 0)}, .naive = naive_sum},
    {"sum", "long rows", {REAL(3, 1103)}, {A_INT("axes", 2), A_INT("keep", 0)}, BIG, .naive = naive_sum},
    {"sum", "513 rows", {REAL(513, 300)}, {A_INT("axes", 1), A_INT("keep", 0)}, BIG, .naive = naive_sum},
    {"sum", "vit-b", {REAL(2052, 768)}, {A_INT("axes", 1), A_INT("keep", 0)}, BENCH, .naive = naive_sum},
    {0},
};
