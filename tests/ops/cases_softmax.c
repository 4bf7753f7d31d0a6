/* Cases of softmax and cross-entropy. */
#include "naive.h"

#include <string.h>

static void softmax_forward(call *k) { /* (y, dy): y is drawn as x */
    call f = *k;
    f.y[0] = k->x[0];
    naive_softmax(&f);
}

/* Two unequal logits of each row so large that exp of them overflows, each pair further from the row's start than
 * the one before. */
static void peaks(call *k) {
    int64_t rows = k->in[0].dim[0], c = k->in[0].dim[1];
    for (int64_t r = 0; r < rows; r++) {
        double *end = k->x[0] + r * c + (r + 1) * c / rows;
        end[-1] = 512;
        end[-2] = 508;
    }
}

static void cross_entropy_forward(call *k) { /* (logits, target, lse, dloss) */
    double loss = 0;
    call f = *k;
    f.y[0] = &loss;
    f.y[1] = k->x[2];
    naive_cross_entropy(&f);
}

/* clang-format off */
#define SOFTMAX(name_, more, ...)                                                                              \
    {"softmax", name_, {REAL(__VA_ARGS__)}, .flags = GRAD | more, .naive = naive_softmax}, {                   \
        "softmax.bwd", name_, {REAL(__VA_ARGS__), REAL(__VA_ARGS__)}, .flags = more, .derive = softmax_forward \
    }

#define CROSS_ENTROPY(name_, more, n, c)                                                                        \
    {                                                                                                           \
        "cross_entropy",      name_,      {REAL(n, c), INDEX(c, n)},                                            \
        .flags = GRAD | more, .n_out = 2, .naive = naive_cross_entropy},                                        \
    {                                                                                                           \
        "cross_entropy.bwd", name_, {REAL(n, c), INDEX(c, n), STAT(n), SCALAR}, .flags = more,                  \
                                                                                .derive = cross_entropy_forward \
    }

#define MSE(name_, more, b, l, p)                                                                                  \
    {"mse_masked", name_, {REAL(b, l, p), REAL(b, l, p), MASK(b, l)}, .flags = GRAD | more, .naive = naive_mse}, { \
        "mse_masked.bwd", name_, {REAL(b, l, p), REAL(b, l, p), MASK(b, l), SCALAR}, .flags = more                 \
    }
/* clang-format on */

const op_case cases_softmax[] = {
    SOFTMAX("5x7", 0, 5, 7),
    SOFTMAX("2x3x1x9", 0, 2, 3, 1, 9),
    SOFTMAX("one of one", ZEROS, 3, 1),
    SOFTMAX("no rows", 0, 0, 4),
    SOFTMAX("13x513", BIG, 13, 513),
    SOFTMAX("vit-b", BENCH, 24, 513, 513),
    SOFTMAX(BEYOND_CACHE, BENCH, 6 * 24, 513, 513),
    {"softmax", "one row", {REAL(6)}, .flags = GRAD, .naive = naive_softmax},
    {"softmax", "a peak far along", {REAL(3, 1103)}, .flags = BIG | ZEROS, .derive = peaks, .naive = naive_softmax},
    {"cross_entropy",
     "a peak far along",
     {REAL(3, 1103), INDEX(1103, 3)},
     .flags = BIG,
     .n_out = 2,
     .derive = peaks,
     .naive = naive_cross_entropy},
    {"softmax", "large logits", {IN(IN_LARGE, 3, 5)}, .flags = ZEROS, .naive = naive_softmax},
    {"cross_entropy", "large logits", {IN(IN_LARGE, 3, 5), INDEX(5, 3)}, .n_out = 2, .naive = naive_cross_entropy},
    CROSS_ENTROPY("5x7", 0, 5, 7),
    CROSS_ENTROPY("1x2", 0, 1, 2),
    CROSS_ENTROPY("129x33", BIG, 129, 33),
    MSE("2x5x3", 0, 2, 5, 3),
    MSE("3x4x27", 0, 3, 4, 27),
    MSE("1x129x33", BIG, 1, 129, 33),
    {0},
};
