#include "naive.h"

#include <string.h>

static void softmax_forward(call *k) { /* (y, dy): y is drawn as x */
    call f = *k;
    f.y[0] = k->x[0];
    naive_softmax(&f);
}

static void cross_entropy_forward(call *k) { /* (logits, target, lse, dloss) */
    double loss = 0;
    call f = *k;
    f.y[0] = &loss;
    f.y[1] = k->x[2];
    naive_cross_entropy(&f);
}

#define SOFTMAX(name_, more, ...)                                                                                      \
    {"softmax", name_, {REAL(__VA_ARGS__)}, .flags = GRAD | more, .naive = naive_softmax}, {                           \
        "softmax.bwd", name_, {REAL(__VA_ARGS__), REAL(__VA_ARGS__)}, .flags = more, .derive = softmax_forward         \
    }

#define CROSS_ENTROPY(name_, more, n, c)                                                                               \
    {                                                                                                                  \
        "cross_entropy",      name_,      {REAL(n, c), INDEX(c, n)},                                                   \
        .flags = GRAD | more, .n_out = 2, .naive = naive_cross_entropy},                                               \
    {                                                                                                                  \
        "cross_entropy.bwd", name_, {REAL(n, c), INDEX(c, n), STAT(n), SCALAR}, .flags = more,                         \
                                                                                .derive = cross_entropy_forward        \
    }

#define MSE(name_, more, b, l, p)                                                                                      \
    {"mse_masked", name_, {REAL(b, l, p), REAL(b, l, p), MASK(b, l)}, .flags = GRAD | more, .naive = naive_mse}, {     \
        "mse_masked.bwd", name_, {REAL(b, l, p), REAL(b, l, p), MASK(b, l), SCALAR}, .flags = more                     \
    }

const op_case cases_softmax[] = {
    SOFTMAX("5x7", 0, 5, 7),
    SOFTMAX("2x3x1x9", 0, 2, 3, 1, 9),
    SOFTMAX("one of one", ZEROS, 3, 1),
    SOFTMAX("no rows", 0, 0, 4),
    SOFTMAX("13x513", BIG, 13, 513),
    SOFTMAX("vit-b", BENCH, 24, 513, 513),
    {"softmax", "one row", {REAL(6)}, .flags = GRAD, .naive = naive_softmax},
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
