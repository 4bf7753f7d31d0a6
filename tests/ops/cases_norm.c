/* Cases of layer and batch norm. */
#include "naive.h"

#include <stdlib.h>
#include <string.h>

/* Runs a forward on in[0] (and what it needs) into a scratch y[0], its statistics into the inputs from `first` on. */
static void layer_norm_forward(call *k) { /* (x, w, mean, rstd, dy, and more) */
    call f = *k;
    f.x[2] = k->x[1]; /* any bias will do */
    f.y[0] = malloc(sizeof(double) * ((size_t)hct_numel(&k->in[0]) + 1));
    f.y[1] = k->x[2];
    f.y[2] = k->x[3];
    if (!f.y[0]) abort();
    naive_layer_norm(&f);
    free(f.y[0]);
}

static void batch_norm_forward(call *k) { /* (x, mean, rstd, dy) */
    call f = *k;
    f.y[0] = malloc(sizeof(double) * ((size_t)hct_numel(&k->in[0]) + 1));
    f.y[1] = k->x[1];
    f.y[2] = k->x[2];
    f.y[3] = malloc(sizeof(double) * ((size_t)hct_numel(&k->in[1]) + 1));
    if (!f.y[0] || !f.y[3]) abort();
    naive_batch_norm(&f);
    free(f.y[0]);
    free(f.y[3]);
}

static void l2_forward(call *k) { /* (y, norm, dy): y is drawn as x */
    call f = *k;
    f.out[1] = k->in[1];
    f.y[0] = k->x[0];
    f.y[1] = k->x[1];
    naive_l2(&f);
}

/* eps is large enough to be seen in every dtype. */
/* clang-format off */
#define LAYER_NORM(name_, more, c, ...)                                                                  \
    {"layer_norm",                                                                                       \
     name_,                                                                                              \
     {REAL(__VA_ARGS__, c), REAL(c), REAL(c)},                                                           \
     {A_REAL("eps", 0.0625)},                                                                            \
     GRAD | more,                                                                                        \
     3,                                                                                                  \
     .naive = naive_layer_norm},                                                                         \
    {                                                                                                    \
        "layer_norm.bwd", name_,                                                                         \
            {REAL(__VA_ARGS__, c), REAL(c), STAT(__VA_ARGS__), STAT(__VA_ARGS__), REAL(__VA_ARGS__, c)}, \
            {A_REAL("eps", 0.0625)}, more, 3, .derive = layer_norm_forward                               \
    }

#define ADD_LAYER_NORM(name_, more, c, ...)                                     \
    {"add_layer_norm",                                                          \
     name_,                                                                     \
     {REAL(__VA_ARGS__, c), REAL(__VA_ARGS__, c), REAL(c), REAL(c)},            \
     {A_REAL("eps", 0.0625)},                                                   \
     GRAD | more,                                                               \
     4,                                                                         \
     2,                                                                         \
     .naive = naive_add_layer_norm},                                            \
    {                                                                           \
        "add_layer_norm.bwd", name_,                                            \
            {REAL(__VA_ARGS__, c), REAL(c),           STAT(__VA_ARGS__),        \
             STAT(__VA_ARGS__),    REAL(__VA_ARGS__, c), REAL(__VA_ARGS__, c)}, \
            {A_REAL("eps", 0.0625)}, more, 3, .derive = layer_norm_forward      \
    }

#define BIAS_GELU(name_, more, c, ...)                                                                              \
    {"bias_gelu", name_, {REAL(__VA_ARGS__, c), REAL(c)}, .flags = GRAD | more, .naive = naive_bias_gelu}, {        \
        "bias_gelu.bwd", name_, {REAL(__VA_ARGS__, c), REAL(c), REAL(__VA_ARGS__, c)}, .flags = more, .n_out = 2,   \
                                                                                       .naive = naive_bias_gelu_bwd \
    }

#define L2(name_, eps, more, c, ...)                                                                            \
    {"l2_normalize", name_, {REAL(__VA_ARGS__, c)}, {A_REAL("eps", eps)}, GRAD | more, 2, .naive = naive_l2}, { \
        "l2_normalize.bwd", name_, {REAL(__VA_ARGS__, c), STAT(__VA_ARGS__), REAL(__VA_ARGS__, c)},             \
            {A_REAL("eps", eps)}, more, .derive = l2_forward                                                    \
    }
/* clang-format on */

const op_case cases_norm[] = {
    LAYER_NORM("5x7", 0, 7, 5),
    LAYER_NORM("2x3x8", 0, 8, 2, 3),
    LAYER_NORM("2x1x3x5", 0, 5, 2, 1, 3),
    LAYER_NORM("no rows", 0, 4, 0),
    LAYER_NORM("513x48", BIG, 48, 513),
    LAYER_NORM("5x1024", BIG, 1024, 5),
    LAYER_NORM("more rows than warps at once", BIG, 8, 5000),
    LAYER_NORM("3x1103", BIG, 1103, 3), /* more vectors than a group of 128 has work-items */
    LAYER_NORM("vit-b", BENCH, 768, 8208),
    LAYER_NORM(BEYOND_CACHE, BENCH, 768, 6 * 8208),
    {"layer_norm", "one row", {REAL(9), REAL(9), REAL(9)}, {A_REAL("eps", 1e-6)}, GRAD, 3, .naive = naive_layer_norm},
    ADD_LAYER_NORM("5x7", 0, 7, 5),
    ADD_LAYER_NORM("2x3x8", 0, 8, 2, 3),
    ADD_LAYER_NORM("2x1x3x5", 0, 5, 2, 1, 3),
    ADD_LAYER_NORM("no rows", 0, 4, 0),
    ADD_LAYER_NORM("513x48", BIG, 48, 513),
    ADD_LAYER_NORM("131x37", BIG, 37, 131),
    ADD_LAYER_NORM("5x1024", BIG, 1024, 5),
    ADD_LAYER_NORM("more rows than warps at once", BIG, 8, 5000),
    ADD_LAYER_NORM("3x1103", BIG, 1103, 3),
    ADD_LAYER_NORM("vit-b", BENCH, 768, 8208),
    ADD_LAYER_NORM(BEYOND_CACHE, BENCH, 768, 6 * 8208),
    BIAS_GELU("5x7", 0, 7, 5),
    BIAS_GELU("2x3x8", 0, 8, 2, 3),
    BIAS_GELU("2x1x3x19", 0, 19, 2, 1, 3),
    BIAS_GELU("no rows", ZEROS, 4, 0),
    BIAS_GELU("513x48", BIG, 48, 513),
    BIAS_GELU("131x37", BIG, 37, 131),
    BIAS_GELU("11x1031, several strips", BIG, 1031, 11),
    BIAS_GELU("vit-b", BENCH, 3072, 2052),
    BIAS_GELU(BEYOND_CACHE, BENCH, 3072, 6 * 2052),
    {"batch_norm", "6x5", {REAL(6, 5)}, {A_REAL("eps", 0.0625)}, GRAD | NO_BROADCAST, 4, .naive = naive_batch_norm},
    {"batch_norm", "2x3", {REAL(2, 3)}, {A_REAL("eps", 0.25)}, GRAD | NO_BROADCAST, 4, .naive = naive_batch_norm},
    {"batch_norm", "129x40", {REAL(129, 40)}, {A_REAL("eps", 1e-5)}, BIG, 4, .naive = naive_batch_norm},
    {"batch_norm", "no columns", {REAL(6, 0)}, {A_REAL("eps", 1e-5)}, 0, 4, .naive = naive_batch_norm},
    {"batch_norm.bwd",
     "6x5",
     {REAL(6, 5), STAT(5), STAT(5), REAL(6, 5)},
     .flags = NO_BROADCAST,
     .derive = batch_norm_forward,
     .attr = {A_REAL("eps", 0.0625)}},
    {"batch_norm.update",
     "5",
     {REAL(5), POSITIVE(5), STAT(5), STAT(5)},
     {A_REAL("momentum", 0.1), A_INT("n", 6)},
     0,
     2,
     .into = {1, 2},
     .naive = naive_update},
    {"batch_norm.update",
     "33 of two rows",
     {REAL(33), POSITIVE(33), STAT(33), STAT(33)},
     {A_REAL("momentum", 0.75), A_INT("n", 2)},
     0,
     2,
     .into = {1, 2},
     .naive = naive_update},
    L2("5x7", 1e-12, 0, 7, 5),
    L2("2x3x4, half below eps", 2.25, 0, 4, 2, 3),
    L2("no rows", 1e-12, 0, 4, 0),
    L2("513x33", 1e-12, BIG, 33, 513),
    L2("3x1103", 1e-12, BIG, 1103, 3),
    {0},
};
