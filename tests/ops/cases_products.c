/* Cases of matrix products and attention. */
#include "naive.h"

#include <string.h>

/* attention.bwd: in[3] and in[4] are what the forward gives for q, k, v. */
static void attention_forward(call *k) {
    call f = *k;
    f.y[0] = k->x[3];
    f.y[1] = k->x[4];
    memset(f.y[0], 0, sizeof(double) * (size_t)hct_numel(&k->in[3]));
    naive_attention(&f);
}

/* clang-format off */
#define ATTENTION(name_, b, n, m, h, d, scale, more)                                                                   \
    {"attention",                                                                                                      \
     name_,                                                                                                            \
     {REAL(b, n, h, d), REAL(b, m, h, d), REAL(b, m, h, d)},                                                           \
     {A_REAL("scale", scale)},                                                                                         \
     GRAD | more,                                                                                                      \
     2,                                                                                                                \
     .naive = naive_attention},                                                                                        \
    {                                                                                                                  \
        "attention.bwd", name_,                                                                                        \
            {REAL(b, n, h, d), REAL(b, m, h, d), REAL(b, m, h, d), REAL(b, n, h, d), STAT(b, h, n), REAL(b, n, h, d)}, \
            {A_REAL("scale", scale)}, more, 3, .derive = attention_forward                                             \
    }

#define PACKED(name_, more, b, n, h, d)                                                                                \
    {                                                                                                                  \
        "attention.bwd_packed", name_,                                                                                 \
            {REAL(b, n, h, d), REAL(b, n, h, d), REAL(b, n, h, d), REAL(b, n, h, d), STAT(b, h, n), REAL(b, n, h, d)}, \
            {A_REAL("scale", 0.25)}, OPTIONAL | more, 1, .derive = attention_forward,                                  \
            .naive = naive_attention_bwd_packed                                                                        \
    }

#define LINEAR_GELU(name_, more, inner, n, ...)                                                               \
    {                                                                                                         \
        "linear_gelu", name_, {REAL(__VA_ARGS__, inner), REAL(n, inner), REAL(n)}, .flags = more, .n_out = 2, \
                                                                                   .naive = naive_linear_gelu \
    }
#define INT8(name_, gelu, more, ...)                                                                     \
    {                                                                                                            \
        "linear_int8", name_, {__VA_ARGS__}, {A_INT("gelu", gelu)}, more,                 \
            .naive = naive_linear_int8                                                                           \
    }
/* clang-format on */

const op_case cases_products[] = {
    {"linear", "3x7 to 5, bias", {REAL(3, 7), REAL(5, 7), REAL(5)}, .flags = GRAD, .naive = naive_linear},
    {"linear", "3x7 to 5", {REAL(3, 7), REAL(5, 7)}, .flags = GRAD, .naive = naive_linear},
    {"linear", "2x3x9 to 4, bias", {REAL(2, 3, 9), REAL(4, 9), REAL(4)}, .flags = GRAD, .naive = naive_linear},
    {"linear", "2x2x3x5 to 1, bias", {REAL(2, 2, 3, 5), REAL(1, 5), REAL(1)}, .flags = GRAD, .naive = naive_linear},
    {"linear", "one row", {REAL(6), REAL(4, 6), REAL(4)}, .flags = GRAD, .naive = naive_linear},
    {"linear", "no rows", {REAL(0, 7), REAL(5, 7), REAL(5)}, .naive = naive_linear},
    {"linear", "inner 0, bias", {REAL(3, 0), REAL(5, 0), REAL(5)}, .naive = naive_linear},
    {"linear",
     "241x257 to 259, bias",
     {REAL(241, 257), REAL(259, 257), REAL(259)},
     .flags = BIG,
     .naive = naive_linear},
    {"linear", "513x64 to 96", {REAL(513, 64), REAL(96, 64), REAL(96)}, .flags = BIG, .naive = naive_linear},
    {"linear", "vit-b", {REAL(513, 768), REAL(3072, 768), REAL(3072)}, .flags = BENCH, .naive = naive_linear},
    LINEAR_GELU("3x7 to 5", GRAD, 7, 5, 3),
    LINEAR_GELU("2x3x9 to 4", GRAD, 9, 4, 2, 3),
    LINEAR_GELU("2x2x3x5 to 1", GRAD, 5, 1, 2, 2, 3),
    {"linear_gelu",
     "one row",
     {REAL(6), REAL(4, 6), REAL(4)},
     .flags = GRAD | NO_BROADCAST,
     .n_out = 2,
     .naive = naive_linear_gelu},
    LINEAR_GELU("no rows", 0, 7, 5, 0),
    LINEAR_GELU("inner 0", 0, 0, 5, 3),
    LINEAR_GELU("241x257 to 259", BIG, 257, 259, 241),
    LINEAR_GELU("513x64 to 96", BIG, 64, 96, 513),
    LINEAR_GELU("vit-b", BENCH, 768, 3072, 513),
    INT8("3x7 to 5, bias", 0, 0, REAL(3, 7), REAL(5, 7), REAL(5)),
    INT8("3x7 to 5", 0, 0, REAL(3, 7), REAL(5, 7)),
    INT8("2x3x9 to 4, GELU", 1, 0, REAL(2, 3, 9), REAL(4, 9), REAL(4)),
    INT8("2x2x3x5 to 1, bias", 0, 0, REAL(2, 2, 3, 5), REAL(1, 5), REAL(1)),
    INT8("one row", 0, 0, REAL(6), REAL(4, 6), REAL(4)),
    INT8("no rows", 0, 0, REAL(0, 7), REAL(5, 7), REAL(5)),
    INT8("inner 0, bias", 0, 0, REAL(3, 0), REAL(5, 0), REAL(5)),
    INT8("41x1037 to 259, GELU", 1, BIG, REAL(41, 1037), REAL(259, 1037), REAL(259)),
    INT8("241x257 to 67, bias", 0, BIG, REAL(241, 257), REAL(67, 257), REAL(67)),
    INT8("513x64 to 96", 0, BIG, REAL(513, 64), REAL(96, 64), REAL(96)),
    INT8("vit-b", 0, BENCH, REAL(513, 768), REAL(3072, 768), REAL(3072)),
    {"matmul", "4x5 by 5x3", {REAL(4, 5), REAL(5, 3)}, .flags = GRAD, .naive = naive_matmul},
    {"matmul", "2x3 of 4x5 by 5x6", {REAL(2, 3, 4, 5), REAL(2, 3, 5, 6)}, .flags = GRAD, .naive = naive_matmul},
    {"matmul", "row by column", {REAL(2, 1, 7), REAL(2, 7, 1)}, .flags = GRAD, .naive = naive_matmul},
    {"matmul", "column by row", {REAL(5, 1), REAL(1, 4)}, .flags = GRAD, .naive = naive_matmul},
    {"matmul", "no batch", {REAL(0, 2, 3), REAL(0, 3, 2)}, .naive = naive_matmul},
    {"matmul", "inner 0", {REAL(2, 3, 0), REAL(2, 0, 4)}, .flags = ZEROS, .naive = naive_matmul},
    {"matmul", "513x33 by 33x65", {REAL(513, 33), REAL(33, 65)}, .flags = BIG, .naive = naive_matmul},
    {"matmul", "vit-b", {REAL(12, 513, 64), REAL(12, 64, 513)}, .flags = BENCH, .naive = naive_matmul},
    {"matmul_wide", "4x5 by 5x3", {REAL(4, 5), REAL(5, 3)}, .naive = naive_matmul},
    {"matmul_wide", "2x3 of 4x5 by 5x6", {REAL(2, 3, 4, 5), REAL(2, 3, 5, 6)}, .naive = naive_matmul},
    {"matmul_wide", "no batch", {REAL(0, 2, 3), REAL(0, 3, 2)}, .naive = naive_matmul},
    {"matmul_wide", "inner 0", {REAL(2, 3, 0), REAL(2, 0, 4)}, .flags = ZEROS, .naive = naive_matmul},
    {"matmul_wide", "131x1203 by 1203x65", {REAL(131, 1203), REAL(1203, 65)}, .flags = BIG, .naive = naive_matmul},
    {"matmul_wide", "vit-b", {REAL(3072, 516), REAL(516, 768)}, .flags = BENCH, .naive = naive_matmul},
    ATTENTION("2x5 of 2x3", 2, 5, 5, 2, 3, 0.57735, 0),
    ATTENTION("3 on 7, one head", 1, 3, 7, 1, 4, 0.5, 0),
    ATTENTION("one token", 2, 1, 1, 3, 5, 1.0, ZEROS),
    ATTENTION("large scores", 1, 4, 4, 2, 3, 16.0, 0),
    ATTENTION("no batch", 0, 4, 4, 2, 3, 1.0, 0),
    ATTENTION("a head of 64", 1, 67, 35, 2, 64, 0.125, BIG),
    ATTENTION("a head of 90", 1, 35, 67, 1, 90, 0.1, BIG),
    ATTENTION("a head of 200", 1, 6, 21, 1, 200, 0.07, BIG),
    {"attention",
     "513 tokens",
     {REAL(1, 513, 2, 16), REAL(1, 513, 2, 16), REAL(1, 513, 2, 16)},
     {A_REAL("scale", 0.25)},
     BIG,
     2,
     .naive = naive_attention},
    {"attention.bwd",
     "129 tokens",
     {REAL(1, 129, 2, 48), REAL(1, 129, 2, 48), REAL(1, 129, 2, 48), REAL(1, 129, 2, 48), STAT(1, 2, 129),
      REAL(1, 129, 2, 48)},
     {A_REAL("scale", 0.144)},
     BIG,
     3,
     .derive = attention_forward},
    PACKED("several blocks", 0, 2, 37, 3, 64),
    PACKED("short heads", 0, 1, 7, 2, 10),
    PACKED("one token", ZEROS, 2, 1, 2, 16),
    {"attention",
     "vit-b",
     {REAL(1, 513, 12, 64), REAL(1, 513, 12, 64), REAL(1, 513, 12, 64)},
     {A_REAL("scale", 0.125)},
     BENCH,
     2,
     .naive = naive_attention},
    {"attention.bwd",
     "vit-b",
     {REAL(1, 513, 12, 64), REAL(1, 513, 12, 64), REAL(1, 513, 12, 64), REAL(1, 513, 12, 64), STAT(1, 12, 513),
      REAL(1, 513, 12, 64)},
     {A_REAL("scale", 0.125)},
     BENCH,
     3,
     .derive = attention_forward},
    {0},
};
