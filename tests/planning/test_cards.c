/* planning/cards.h: a program's calls counted by hand, the time of a call by hand, and what must hold whatever the
 * rates are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "planning/cards.h"
#include "support/device.h"

typedef struct seen {
    size_t calls;
    double bytes, flops;
    char ops[256];
} seen;

static void look(void *context, const hct_call *call) {
    seen *s = context;
    s->calls++;
    s->bytes += call->bytes;
    s->flops += call->flops;
    snprintf(s->ops + strlen(s->ops), sizeof s->ops - strlen(s->ops), "%s ", call->op);
    ck_assert_ptr_nonnull(call->kernel);
}

/* y = gelu(x w^T + b) with x [4, 8] and w [16, 8], then a product with v [4, 16] -> [2, 4]. */
START_TEST(calls_by_hand) {
    hct_err err = {0};
    hct_dev *dev = device_open("cpu", NULL);
    hct_tensor *x = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){4, 8}, &err),
               *w = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){16, 8}, &err),
               *b = hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){16}, &err),
               *v = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){2, 4}, &err);
    ck_assert(x && w && b && v);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    hct_id y = hct_linear_gelu(t, hct_use(t, x), hct_use(t, w), hct_use(t, b));
    hct_id z = hct_matmul(t, hct_use(t, v), y);
    hct_gelu(t, y); /* nothing needs it */
    hct_keep(t, z);
    seen s = {0};
    ck_assert_int_eq(hct_calls(t, look, &s, &err), HCT_EINVAL);
    ck_assert_msg(hct_plan_only(t, &err) == HCT_OK && hct_calls(t, look, &s, &err) == HCT_OK, "%s", err.msg);
    ck_assert_uint_eq(s.calls, hct_stats(t).nodes);
    ck_assert_str_eq(s.ops, "linear_gelu matmul ");
    ck_assert_double_eq(s.flops, 2.0 * 4 * 16 * 8 + 2.0 * 2 * 16 * 4);
    ck_assert_double_eq(s.flops, hct_stats(t).flops);
    /* linear_gelu may leave its input of gelu unwritten, but counts it: [4, 16] once more or not */
    double small = 4.0 * (32 + 128 + 16 + 64) + 4.0 * (8 + 64 + 32);
    ck_assert_msg(s.bytes == small || s.bytes == small + 4.0 * 64, "%f bytes, %f by hand", s.bytes, small);
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(w);
    hct_tensor_free(b);
    hct_tensor_free(v);
    device_close(dev);
}
END_TEST

/* A card of round numbers: 1 TB/s, 100 TFLOP/s in 16 bits, 10 multiprocessors. */
static const card plain = {"c", "", 1e12, 100e12, 10e12, 10, 0.5, 0.25};

/* A step of a bf16 product, an f32 one, an attention and a pass over memory; each call by hand. */
START_TEST(a_step_by_hand) {
    /* 5 x 4 tiles of 128, 2 waves of 10, nothing padded: 2 * 640 * 512 * 1000 FLOP; 10 MB */
    const hct_call full = {"linear", "k", HCT_BF16, 1e7, 655.36e6, 1e7, 1e7, 1, 1, 640, 512, 1000, 1};
    /* 641 rows: 24 tiles, 3 waves; in two parts of 500 each 48, 5 waves: a quarter more */
    const hct_call padded = {"linear", "k", HCT_BF16, 1e7, 656.384e6, 1e7, 1e7, 1, 1, 641, 512, 1000, 1};
    /* one tile, whose sum of 1000 is split in 2 of 500: one wave of ten places */
    const hct_call split = {"matmul", "k", HCT_F32, 1e6, 32.768e6, 1e6, 1e6, 1, 1, 128, 128, 1000, 1};
    const hct_call attention = {"attention", "k", HCT_BF16, 1e6, 1e10, 1e6, 1e6, 1, 1, 0, 0, 0, 0};
    /* two launches that go over their operands twice */
    const hct_call copy = {"copy", "k", HCT_F32, 1e9, 0, 2e9, 0, 2, 0, 0, 0, 0, 0};
    /* a product and a pass of our own behind it */
    const hct_call gelu = {"linear_gelu", "k", HCT_BF16, 2e7, 655.36e6, 3e7, 1e7, 2, 1, 640, 512, 1000, 1};
    const struct {
        const hct_call *call;
        double seconds, floor;
    } step[] = {
        {&full, 2e-6 + 655.36e6 / 50e12, 1e-5},
        {&padded, 2e-6 + 2 * 50.0 * 128 * 128 * 500 / 50e12, 1e-5},
        {&split, 2e-6 + 2 * 10.0 * 128 * 128 * 500 / 5e12, 3.2768e-6},
        {&attention, 2e-6 + 1e10 / 25e12, 1e-4},
        {&copy, 4e-6 + 2e9 / 0.85e12, 1e-3},
        {&gelu, 4e-6 + 2e7 / 0.85e12 + 655.36e6 / 50e12, 2e-5},
    };
    double sum = 0;
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        double floor, seconds = card_seconds(&plain, step[i].call, &floor);
        ck_assert_msg(fabs(seconds - step[i].seconds) < 1e-12 && fabs(floor - step[i].floor) < 1e-12,
                      "call %zu: %.9e s, %.9e by hand; floor %.9e, %.9e by hand", i, seconds, step[i].seconds, floor,
                      step[i].floor);
        sum += seconds;
    }
    ck_assert_double_eq_tol(sum, 2.8678370e-3, 1e-9);
}
END_TEST

/* Never below the floor, never longer on a card with higher rates, never shorter for more bytes or work. */
START_TEST(what_holds_for_any_card) {
    const char *const ops[] = {"linear", "attention", "attention.bwd", "copy"};
    for (const card *c = cards; c->name; c++) {
        ck_assert_ptr_eq(card_find(c->name), c);
        ck_assert(c->bandwidth > 1e11 && c->peak16 > c->peak32 && c->peak32 > 1e12 && *c->source);
        for (int k = 0; k < 400; k++) {
            double floor;
            hct_call call = {.op = ops[k % 4], .kernel = "k", .dtype = k & 4 ? HCT_F32 : HCT_BF16, .matrices = 1};
            call.m = 1 + k * 37, call.n = 1 + k * k % 4099, call.k = 1 + k * 11, call.library = k % 3 != 0;
            call.bytes = pow(10, k % 11), call.moved = call.bytes * (1 + k % 3);
            call.moved_library = call.library ? call.bytes : 0;
            call.flops = k % 4 ? pow(10, k % 15) : 2.0 * (double)(call.m * call.n * call.k);
            call.launches = 1 + (uint32_t)k % 5;
            double seconds = card_seconds(c, &call, &floor);
            ck_assert(seconds > floor && floor > 0);
            card faster = *c;
            faster.bandwidth *= 1.5;
            ck_assert(card_seconds(&faster, &call, NULL) <= seconds);
            faster.peak16 *= 1.5, faster.peak32 *= 1.5;
            ck_assert(card_seconds(&faster, &call, NULL) < seconds);
            hct_call more = call;
            more.bytes *= 2, more.moved *= 2, more.moved_library *= 2;
            ck_assert(card_seconds(c, &more, NULL) >= seconds);
            more.flops *= 2, more.m *= 2;
            ck_assert(card_seconds(c, &more, NULL) >= seconds);
            more = call;
            more.launches++;
            ck_assert(card_seconds(c, &more, NULL) > seconds);
        }
    }
    ck_assert_ptr_null(card_find("h2000"));
}
END_TEST

CHECK_MAIN("cards", calls_by_hand, a_step_by_hand, what_holds_for_any_card)
