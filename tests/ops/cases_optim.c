/* Cases of the optimisers' ops. */
#include "naive.h"

#include "hct/optim.h"

/* rates hold two groups; the first is active by default, and `at` 8 is the second. */
static void rates(call *k, double active) {
    static const double group[] = {0.125, 0.5, 0.271, 0.002997, 1};
    for (int g = 0; g < 2; g++)
        for (int i = 0; i < 8; i++) k->x[0][8 * g + i] = i < 5 ? group[i] * (g && i < 2 ? 0.5 : 1) : 0;
    k->x[0][4] = k->x[0][12] = active;
}
static void active(call *k) { rates(k, 1); }
static void passive(call *k) { rates(k, 0); }

#define RATES IN(IN_F32, 16)
/* clang-format off */
#define HYPER(at_, mode, clip_, decoupled_, norm_at_)                                                       \
    {                                                                                                       \
        A_INT("at", at_), A_INT("norm_at", norm_at_), A_INT("clip_mode", mode), A_REAL("clip", clip_),      \
            A_REAL("beta1", 0.9), A_REAL("beta2", 0.95), A_REAL("eps", 0.03125), A_REAL("momentum", 0.875), \
            A_INT("decoupled", decoupled_)                                                                  \
    }
/* clang-format on */
#define ADAM1(...) REAL(__VA_ARGS__), REAL(__VA_ARGS__), REAL(__VA_ARGS__), POSITIVE(__VA_ARGS__)
#define SGD1(...) REAL(__VA_ARGS__), REAL(__VA_ARGS__), REAL(__VA_ARGS__)
/* clang-format off */
#define ADAM(name_, at, mode, clip, decoupled, norm_at, setup)                                            \
    {                                                                                                     \
        "adam", name_, {RATES, F32(6), ADAM1(3, 7), ADAM1(5)}, HYPER(at, mode, clip, decoupled, norm_at), \
            NO_BROADCAST, 6, .into = {3, 5, 6, 7, 9, 10}, .derive = setup, .naive = naive_adam            \
    }
#define SGD(name_, at, mode, clip, norm_at, setup)                                                         \
    {                                                                                                      \
        "sgd", name_, {RATES, F32(6), SGD1(3, 7), SGD1(5), SGD1(0, 2)}, HYPER(at, mode, clip, 0, norm_at), \
            NO_BROADCAST, 6, .into = {3, 5, 6, 8, 9, 11}, .derive = setup, .naive = naive_sgd              \
    }

#define ADAM_BENCH(name_, rows)                                                                             \
    {                                                                                                       \
        "adam", name_, {RATES, F32(6), ADAM1(rows, 3072)}, HYPER(0, HCT_CLIP_GLOBAL, 0.25, 1, 0), BENCH, 3, \
            .into = {3, 5, 6}, .derive = active, .naive = naive_adam                                        \
    }
/* clang-format on */

const op_case cases_optim[] = {
    {"grad_norm", "three", {REAL(3, 7), REAL(5), REAL(2, 2, 2)}, .naive = naive_grad_norm},
    {"grad_norm", "one and an empty one", {REAL(9), REAL(0, 3)}, .naive = naive_grad_norm},
    {"grad_norm", "one scalar", {SCALAR}, .naive = naive_grad_norm},
    /* of one rank; several: tests/training/ranks.sh */
    {"all_reduce",
     "three",
     {REAL(3, 7), REAL(5), REAL(2, 2, 2)},
     {A_REAL("scale", 0.5)},
     GRAD,
     3,
     3,
     .naive = naive_all_reduce},
    {"all_reduce", "one scalar", {SCALAR}, {A_REAL("scale", 1)}, GRAD, .naive = naive_all_reduce},
    {"all_reduce.wait", "two", {REAL(3, 7), REAL(5)}, .flags = ZEROS, .naive = naive_all_reduce_wait},
    ADAM("AdamW", 0, HCT_CLIP_NONE, 0, 1, 0, active),
    ADAM("Adam, second group", 8, HCT_CLIP_NONE, 0, 0, 0, active),
    ADAM("AdamW, global clip", 0, HCT_CLIP_GLOBAL, 0.25, 1, 0, active),
    ADAM("AdamW, clip by tensor", 8, HCT_CLIP_TENSOR, 0.0625, 1, 2, active),
    ADAM("AdamW, clip out of reach", 0, HCT_CLIP_TENSOR, 100, 1, 1, active),
    ADAM_BENCH("vit-b", 2052),
    ADAM_BENCH(BEYOND_CACHE, 6 * 2052),
    ADAM("left alone", 0, HCT_CLIP_GLOBAL, 0.25, 1, 0, passive),
    {"adam",
     "AdamW and a bf16 copy",
     {RATES, F32(6), ADAM1(3, 7), IN(IN_COPY, 3, 7), ADAM1(5), IN(IN_COPY, 5)},
     {A_INT("at", 0), A_INT("norm_at", 1), A_INT("clip_mode", HCT_CLIP_GLOBAL), A_REAL("clip", 0.25),
      A_REAL("beta1", 0.9), A_REAL("beta2", 0.95), A_REAL("eps", 0.03125), A_INT("decoupled", 1), A_INT("copy", 1)},
     NO_BROADCAST,
     8,
     .into = {3, 5, 6, 7, 8, 10, 11, 12},
     .derive = active,
     .naive = naive_adam},
    SGD("plain", 0, HCT_CLIP_NONE, 0, 0, active),
    SGD("second group, global clip", 8, HCT_CLIP_GLOBAL, 0.25, 0, active),
    SGD("clip by tensor", 0, HCT_CLIP_TENSOR, 0.0625, 2, active),
    SGD("left alone", 8, HCT_CLIP_NONE, 0, 0, passive),
    {0},
};
