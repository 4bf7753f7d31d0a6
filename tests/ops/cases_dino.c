/* Cases of DINO's loss and moving averages. */
#include "naive.h"

/* Temperatures that keep both distributions far from one-hot and from even. */
static void temps(call *k) {
    k->x[3][0] = 0.5;
    k->x[3][1] = 0.75;
}

static void forward(call *k) { /* (student, teacher, centre, temps, lse_student, lse_teacher, dloss) */
    double loss, entropy;
    temps(k);
    call f = *k;
    f.y[0] = &loss;
    f.y[1] = &entropy;
    f.y[2] = k->x[4];
    f.y[3] = k->x[5];
    naive_dino_loss(&f);
}

#define TEACHER(...) IN(IN_FINE, __VA_ARGS__) /* not differentiable */
/* clang-format off */
#define DINO(name_, more, v, g, b, k)                                                                               \
    {"dino_loss", name_, {REAL(v, b, k), TEACHER(g, b, k), STAT(k), F32(2)}, .flags = GRAD | NO_BROADCAST | more,   \
     .n_out = 4,                                                                                                    \
     .derive = temps, .naive = naive_dino_loss},                                                                    \
    {                                                                                                               \
        "dino_loss.bwd", name_, {REAL(v, b, k), TEACHER(g, b, k), STAT(k), F32(2), STAT(v, b), STAT(g, b), SCALAR}, \
            .flags = NO_BROADCAST | more, .derive = forward, .naive = naive_dino_loss_bwd                           \
    }
/* clang-format on */

#define SEVERAL REAL(2, 3), REAL(2, 3)

const op_case cases_dino[] = {
    DINO("5 views, 2 of the teacher", 0, 5, 2, 3, 7),
    DINO("both see both", 0, 2, 2, 2, 5),
    DINO("one teacher", 0, 3, 1, 1, 9),
    DINO("4x1031", BIG, 4, 2, 2, 1031),
    DINO("65536", BENCH, 5, 2, 8, 65536),
    {"ema",
     "three",
     {F32(4), REAL(3, 7), REAL(3, 7), REAL(5), REAL(5), REAL(0, 2), REAL(0, 2)},
     {A_INT("at", 2)},
     NO_BROADCAST,
     3,
     .into = {2, 4, 6},
     .naive = naive_ema},
    {"ema",
     "two and their bf16 copies",
     {F32(4), REAL(3, 7), REAL(3, 7), IN(IN_COPY, 3, 7), REAL(5), REAL(5), IN(IN_COPY, 5)},
     {A_INT("at", 2), A_INT("copy", 1)},
     NO_BROADCAST,
     4,
     .into = {2, 4, 5, 7},
     .naive = naive_ema},
    {"ema",
     "more tensors than an OpenCL launch takes",
     {F32(2), SEVERAL, SEVERAL, SEVERAL, SEVERAL, SEVERAL},
     {A_INT("at", 0)},
     NO_BROADCAST,
     5,
     .into = {2, 4, 6, 8, 10},
     .naive = naive_ema},
    {"ema", "one scalar", {F32(2), SCALAR, SCALAR}, .flags = NO_BROADCAST, .into = {2}, .naive = naive_ema},
    {0},
};
