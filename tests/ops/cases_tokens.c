/* Cases of ops on tokens and patches. */
#include "naive.h"

/* clang-format off */
#define UNFOLD(name_, more, s, last, b, c, d0, d1, d2)                                                \
    {"unfold3d",                                                                                      \
     name_,                                                                                           \
     {ANY(b, c, d0, d1, d2)},                                                                         \
     {A_INT("patch", s), A_INT("channel_last", last)},                                                \
     GRAD | ANY_DTYPE | more,                                                                         \
     .naive = naive_unfold},                                                                          \
    {                                                                                                 \
        "fold3d", name_, {ANY(b, ((d0) / (s)) * ((d1) / (s)) * ((d2) / (s)), (c) * (s) * (s) * (s))}, \
            {A_INT("patch", s), A_INT("channel_last", last), A_INTS("dim", c, d0, d1, d2)},           \
            GRAD | ANY_DTYPE | more | EXACT, .naive = naive_fold                                      \
    }
/* clang-format on */

const op_case cases_tokens[] = {
    {"gather",
     "2x7x3, four each",
     {ANY(2, 7, 3), INDEX(7, 2, 4)},
     .flags = GRAD | ANY_DTYPE | EXACT,
     .naive = naive_gather},
    {"gather", "more than there are", {ANY(1, 3, 5), INDEX(3, 1, 8)}, .flags = GRAD | EXACT, .naive = naive_gather},
    {"gather", "none", {ANY(2, 7, 3), INDEX(7, 2, 0)}, .naive = naive_gather},
    {"gather", "513 tokens", {ANY(2, 513, 33), INDEX(513, 2, 128)}, .flags = BIG, .naive = naive_gather},
    {"gather.bwd",
     "2x7x3, nine each",
     {REAL(2, 9, 3), INDEX(7, 2, 9)},
     {A_INT("tokens", 7)},
     0,
     .naive = naive_gather_bwd},
    {"gather.bwd", "none", {REAL(2, 0, 3), INDEX(7, 2, 0)}, {A_INT("tokens", 7)}, ZEROS, .naive = naive_gather_bwd},
    UNFOLD("2x3x4x6x2 by 2", 0, 2, 0, 2, 3, 4, 6, 2),
    UNFOLD("2x3x4x6x2 by 2, channel last", 0, 2, 1, 2, 3, 4, 6, 2),
    UNFOLD("1x1x3x6x9 by 3", 0, 3, 0, 1, 1, 3, 6, 9),
    UNFOLD("1x2x6x3x3 by 3, channel last", 0, 3, 1, 1, 2, 6, 3, 3),
    UNFOLD("by 1", 0, 1, 1, 1, 2, 2, 3, 1),
    UNFOLD("no volume", 0, 2, 0, 0, 2, 2, 2, 2),
    UNFOLD("vit-b", BENCH, 12, 0, 1, 3, 96, 96, 96),
    UNFOLD("vit-b, channel last", BENCH, 12, 1, 1, 3, 96, 96, 96),
    {0},
};
