/* Views (no kernel: held through the tape alone), concat, and slice's backward. */
#include "naive.h"

const op_case cases_shape[] = {
    {"reshape", "2x3x4 to 6x4", {ANY(2, 3, 4)}, {A_INTS("dim", 6, 4)}, GRAD | CONTIGUOUS, .naive = naive_copy},
    {"reshape", "2x3x4 to 4x-1", {ANY(2, 3, 4)}, {A_INTS("dim", 4, -1)}, GRAD | CONTIGUOUS, .naive = naive_copy},
    {"permute", "2x3 to 3x2", {ANY(2, 3)}, {A_INTS("axes", 1, 0)}, GRAD | EXACT, .naive = naive_permute},
    {"permute", "cycle of 2x3x4x5", {ANY(2, 3, 4, 5)}, {A_INTS("axes", 2, 0, 3, 1)}, GRAD | EXACT, .naive = naive_permute},
    {"expand", "3x1 to 3x4", {ANY(3, 1)}, {A_INTS("dim", 3, 4)}, GRAD | EXACT, .naive = naive_expand},
    {"expand", "3 to 2x5x3", {ANY(3)}, {A_INTS("dim", 2, 5, 3)}, GRAD | EXACT, .naive = naive_expand},
    {"expand", "2x1x3 to 2x2x4x3", {ANY(2, 1, 3)}, {A_INTS("dim", 2, 2, 4, 3)}, GRAD | EXACT, .naive = naive_expand},
    {"slice", "rows", {ANY(7, 3)}, {A_INT("axis", 0), A_INT("start", 2), A_INT("length", 4)}, GRAD | EXACT, .naive = naive_slice},
    {"slice", "middle", {ANY(2, 6, 3)}, {A_INT("axis", 1), A_INT("start", 1), A_INT("length", 4)}, GRAD | EXACT, .naive = naive_slice},
    {"slice", "last", {ANY(2, 6)}, {A_INT("axis", 1), A_INT("start", 5), A_INT("length", 1)}, GRAD | EXACT, .naive = naive_slice},
    {"slice", "nothing", {ANY(2, 6)}, {A_INT("axis", 1), A_INT("start", 6), A_INT("length", 0)}, 0, .naive = naive_slice},
    {"slice.bwd", "rows", {ANY(4, 3)}, {A_INT("axis", 0), A_INT("start", 2), A_INTS("dim", 7, 3)}, ANY_DTYPE | EXACT, .naive = naive_slice_bwd},
    {"slice.bwd", "middle", {ANY(2, 4, 3)}, {A_INT("axis", 1), A_INT("start", 1), A_INTS("dim", 2, 6, 3)}, 0, .naive = naive_slice_bwd},
    {"slice.bwd", "nothing", {ANY(2, 0)}, {A_INT("axis", 1), A_INT("start", 3), A_INTS("dim", 2, 6)}, ZEROS, .naive = naive_slice_bwd},
    {"split", "three columns", {ANY(4, 9)}, {A_INT("axis", 1)}, GRAD | EXACT, 3, 3, .naive = naive_split},
    {"split", "two of the middle", {ANY(2, 4, 3)}, {A_INT("axis", 1)}, GRAD | EXACT, 2, 2, .naive = naive_split},
    {"split", "the first part alone", {ANY(2, 6)}, {A_INT("axis", 1)}, GRAD | EXACT, 3, 1, .naive = naive_split},
    {"concat", "rows", {ANY(2, 5), ANY(3, 5)}, {A_INT("axis", 0)}, GRAD | ANY_DTYPE | EXACT, .naive = naive_concat},
    {"concat", "three of the middle", {ANY(2, 1, 3), ANY(2, 4, 3), ANY(2, 2, 3)}, {A_INT("axis", 1)}, GRAD | ANY_DTYPE | EXACT,
     .naive = naive_concat},
    {"concat", "columns with an empty one", {ANY(3, 2), ANY(3, 0), ANY(3, 4)}, {A_INT("axis", 1)}, ANY_DTYPE | EXACT, .naive = naive_concat},
    {"concat", "one", {ANY(3, 2)}, {A_INT("axis", 0)}, GRAD | EXACT, .naive = naive_concat},
    {"detach", "3x4", {ANY(3, 4)}, .naive = naive_copy},
    {0},
};
