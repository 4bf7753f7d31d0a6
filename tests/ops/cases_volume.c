/* Cases of convolution, pooling and 3D batch norm. */
#include "naive.h"

#include <math.h>
#include <stdlib.h>

/* ---- 3D convolution ---- */

#define WAY(s, p, d, g)                                                                                                \
    A_INTS("stride", s, s, s), A_INTS("padding", p, p, p), A_INTS("dilation", d, d, d), A_INT("groups", g)
#define OUT(n, k, s, p, d) (((n) + 2 * (p) - (d) * ((k)-1) - 1) / (s) + 1)

/* x [b, c, n0, n1, n2], o filters of k x k x k; with bias, without, and both backwards. */
/* clang-format off */
#define CONV(name_, more, b, c, n0, n1, n2, o, k, s, p, d, g)                                                        \
    {"conv3d", name_ ", bias", {REAL(b, c, n0, n1, n2), REAL(o, (c) / (g), k, k, k), REAL(o)}, {WAY(s, p, d, g)},    \
     GRAD | more,                                                                                                    \
     .naive = naive_conv},                                                                                           \
    {"conv3d", name_, {REAL(b, c, n0, n1, n2), REAL(o, (c) / (g), k, k, k)}, {WAY(s, p, d, g)}, GRAD | more,         \
     .naive = naive_conv},                                                                                           \
    {"conv3d.bwd_x", name_, {REAL(o, (c) / (g), k, k, k), REAL(b, o, OUT(n0, k, s, p, d), OUT(n1, k, s, p, d),       \
     OUT(n2, k, s, p, d))},                                                                                          \
     {WAY(s, p, d, g), A_INTS("dim", n0, n1, n2)}, more, .naive = naive_conv_bwd_x},                                 \
    {"conv3d.bwd_w", name_, {REAL(b, c, n0, n1, n2), REAL(b, o, OUT(n0, k, s, p, d), OUT(n1, k, s, p, d), OUT(n2, k, \
     s, p, d))},                                                                                                     \
     {WAY(s, p, d, g), A_INTS("kernel", k, k, k)}, more, .naive = naive_conv_bwd_w}
/* clang-format on */

/* ---- pooling ---- */

#define WINDOW(k, s, p) A_INTS("kernel", k, k, k), A_INTS("stride", s, s, s), A_INTS("padding", p, p, p)
#define POOLED(n, k, s, p) (((n) + 2 * (p) - (k)) / (s) + 1)
#define DISTINCT(...) IN(IN_DISTINCT, __VA_ARGS__)

static void max_pool_forward(call *k) { /* (dy, index): the places of a forward over other values */
    call f = *k;
    const hct_attr *dim = hct_attr_find(k->c->attr, k->n_attr, "dim");
    f.in[0] = (hct_view){.ndim = 5,
                         .dtype = HCT_F64,
                         .dim = {k->in[0].dim[0], k->in[0].dim[1], dim->ints[0], dim->ints[1], dim->ints[2]}};
    f.out[0] = k->in[0];
    f.x[0] = malloc(sizeof(double) * (size_t)(hct_numel(&f.in[0]) + 1));
    f.y[0] = malloc(sizeof(double) * (size_t)(hct_numel(&f.out[0]) + 1));
    f.y[1] = k->x[1];
    uint64_t state = 5;
    if (!f.x[0] || !f.y[0]) abort();
    for (int64_t i = 0; i < hct_numel(&f.in[0]); i++) f.x[0][i] = random_64th(&state);
    naive_max_pool(&f);
    free(f.x[0]);
    free(f.y[0]);
}

/* clang-format off */
#define POOL(name_, more, b, c, n0, n1, n2, k, s, p)                                                          \
    {"max_pool3d", name_, {DISTINCT(b, c, n0, n1, n2)}, {WINDOW(k, s, p)}, GRAD | NO_BROADCAST | more, 2, 1,  \
     .naive = naive_max_pool},                                                                                \
    {"max_pool3d.bwd", name_,                                                                                 \
     {REAL(b, c, POOLED(n0, k, s, p), POOLED(n1, k, s, p), POOLED(n2, k, s, p)),                              \
      INDEX(1, b, c, POOLED(n0, k, s, p), POOLED(n1, k, s, p), POOLED(n2, k, s, p))},                         \
     {WINDOW(k, s, p), A_INTS("dim", n0, n1, n2)}, ZEROS | NO_BROADCAST | more, .derive = max_pool_forward,   \
      .naive = naive_max_pool_bwd},                                                                           \
    {"avg_pool3d", name_, {REAL(b, c, n0, n1, n2)}, {WINDOW(k, s, p)}, GRAD | more, .naive = naive_avg_pool}, \
    {"avg_pool3d.bwd", name_, {REAL(b, c, POOLED(n0, k, s, p), POOLED(n1, k, s, p), POOLED(n2, k, s, p))},    \
     {WINDOW(k, s, p), A_INTS("dim", n0, n1, n2)}, ZEROS | more, .naive = naive_avg_pool_bwd}

#define ADAPTIVE(name_, more, b, c, n0, n1, n2, o0, o1, o2)                                                        \
    {"adaptive_avg_pool3d", name_, {REAL(b, c, n0, n1, n2)}, {A_INTS("out", o0, o1, o2)}, GRAD | more,             \
     .naive = naive_avg_pool},                                                                                     \
    {"adaptive_avg_pool3d.bwd", name_, {REAL(b, c, o0, o1, o2)}, {A_INTS("out", o0, o1, o2), A_INTS("dim", n0, n1, \
     n2)}, more,                                                                                                   \
     .naive = naive_avg_pool_bwd}
/* clang-format on */

/* ---- batch norm: eps is large enough to be seen in every dtype ---- */

static void batch_norm_forward(call *k) { /* (x, w, mean, rstd, dy) */
    call f = *k;
    f.x[2] = k->x[1];
    f.y[0] = malloc(sizeof(double) * (size_t)(hct_numel(&k->in[0]) + 1));
    f.y[1] = k->x[2];
    f.y[2] = k->x[3];
    f.y[3] = malloc(sizeof(double) * (size_t)(hct_numel(&k->in[1]) + 1));
    if (!f.y[0] || !f.y[3]) abort();
    naive_batch_norm3d(&f);
    free(f.y[0]);
    free(f.y[3]);
}
static void positive_var(call *k) {
    uint32_t v = k->n_in == 5 && k->c->n_out == 3 ? 3 : 4;
    for (int64_t i = 0; i < hct_numel(&k->in[v]); i++) k->x[v][i] = fabs(k->x[v][i]) + 0.25;
}

/* clang-format off */
#define BATCH_NORM(name_, more, c, ...)                                                                            \
    {"batch_norm3d", name_, {REAL(__VA_ARGS__), REAL(c), REAL(c)}, {A_REAL("eps", 0.0625)},                        \
     GRAD | NO_BROADCAST | more, 4,                                                                                \
     .naive = naive_batch_norm3d},                                                                                 \
    {"batch_norm3d.bwd", name_, {REAL(__VA_ARGS__), REAL(c), STAT(c), STAT(c), REAL(__VA_ARGS__)}, {A_REAL("eps",  \
     0.0625)},                                                                                                     \
     NO_BROADCAST | more, 3, .derive = batch_norm_forward},                                                        \
    {"batch_norm3d_eval", name_, {REAL(__VA_ARGS__), REAL(c), REAL(c), STAT(c), STAT(c)}, {A_REAL("eps", 0.0625)}, \
     GRAD | more,                                                                                                  \
     .derive = positive_var, .naive = naive_batch_norm3d_eval},                                                    \
    {"batch_norm3d_eval.bwd", name_, {REAL(__VA_ARGS__), REAL(c), STAT(c), STAT(c), REAL(__VA_ARGS__)},            \
     {A_REAL("eps", 0.0625)}, more, 3,                                                                             \
     .derive = positive_var}
/* clang-format on */

const op_case cases_volume[] = {
    CONV("2x3x5x4x6, 4 of 3", 0, 2, 3, 5, 4, 6, 4, 3, 1, 0, 1, 1),
    CONV("padded", 0, 2, 2, 3, 4, 3, 3, 3, 1, 1, 1, 1),
    CONV("stride 2, padded", 0, 1, 3, 5, 6, 7, 2, 3, 2, 1, 1, 1),
    CONV("dilated", 0, 1, 2, 6, 5, 7, 3, 2, 1, 1, 2, 1),
    CONV("two groups", 0, 2, 4, 3, 4, 5, 6, 2, 1, 0, 1, 2),
    CONV("by channel, stride 3", 0, 1, 3, 7, 4, 5, 3, 3, 3, 1, 1, 3),
    CONV("1 x 1 x 1", 0, 2, 5, 2, 3, 2, 4, 1, 1, 0, 1, 1),
    CONV("1 x 1 x 1, stride 2", ZEROS, 2, 3, 4, 3, 5, 4, 1, 2, 0, 1, 1),
    CONV("35 channels", BIG, 2, 35, 4, 5, 6, 7, 3, 1, 1, 1, 1),
    CONV("17 channels, 10962 places", BIG, 1, 17, 14, 27, 29, 2, 3, 1, 1, 1, 1),
    CONV("resnet", BENCH, 1, 64, 24, 24, 24, 64, 3, 1, 1, 1, 1),
    CONV("resnet, 7 x 7 x 7 of 3, stride 2", BENCH, 1, 3, 96, 96, 96, 64, 7, 2, 3, 1, 1),
    CONV("resnet, 1 x 1 x 1", BENCH, 1, 64, 24, 24, 24, 256, 1, 1, 0, 1, 1),
    CONV("resnet, stride 2", BENCH, 1, 128, 24, 24, 24, 128, 3, 2, 1, 1, 1),
    CONV("resnet, deep", BENCH, 1, 512, 3, 3, 3, 512, 3, 1, 1, 1, 1),
    {"conv3d", "no batch", {REAL(0, 2, 3, 3, 3), REAL(3, 2, 2, 2, 2), REAL(3)}, {WAY(1, 0, 1, 1)}, .naive = naive_conv},
    {"conv3d",
     "axes of their own",
     {REAL(2, 2, 5, 4, 3), REAL(3, 2, 3, 1, 2), REAL(3)},
     {A_INTS("stride", 2, 1, 1), A_INTS("padding", 1, 0, 2), A_INTS("dilation", 1, 3, 2), A_INT("groups", 1)},
     GRAD,
     .naive = naive_conv},
    POOL("2x3x4x6x5 by 2", 0, 2, 1, 4, 6, 5, 2, 2, 0),
    POOL("overlapping, padded", 0, 1, 2, 5, 4, 6, 3, 2, 1),
    POOL("stride 1", 0, 2, 2, 3, 4, 4, 2, 1, 0),
    POOL("with gaps", 0, 2, 1, 7, 4, 4, 1, 3, 0),
    POOL("17x9x13", BIG, 2, 3, 17, 9, 13, 3, 2, 1),
    POOL("resnet", BENCH, 1, 64, 48, 48, 48, 3, 2, 1),
    {"max_pool3d", "the first of equals", {REAL(2, 3, 6, 7, 8)}, {WINDOW(3, 2, 1)}, 0, 2, .naive = naive_max_pool},
    {"avg_pool3d", "no batch", {REAL(0, 2, 4, 4, 4)}, {WINDOW(2, 2, 0)}, .naive = naive_avg_pool},
    ADAPTIVE("5x4x7 to 2x3x4", 0, 2, 2, 5, 4, 7, 2, 3, 4),
    ADAPTIVE("to one", 0, 2, 3, 3, 4, 5, 1, 1, 1),
    ADAPTIVE("to more than there are", 0, 1, 2, 2, 3, 2, 3, 5, 2),
    ADAPTIVE("resnet", BENCH, 1, 512, 12, 12, 12, 1, 1, 1),
    BATCH_NORM("2x3x2x3x4", 0, 3, 2, 3, 2, 3, 4),
    BATCH_NORM("4x5", 0, 5, 4, 5),
    BATCH_NORM("3x2x9", 0, 2, 3, 2, 9),
    BATCH_NORM("no channels", 0, 0, 2, 0, 3, 3, 3),
    BATCH_NORM("2x9x17x11x13", BIG, 9, 2, 9, 17, 11, 13),
    BATCH_NORM("long rows", BIG, 2, 1, 2, 16, 33, 67),
    BATCH_NORM("resnet", BENCH, 64, 1, 64, 48, 48, 48),
    {0},
};
