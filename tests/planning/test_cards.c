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

START_TEST(seconds_by_hand) {
    const card c = {"c", "", 1e12, 100e12, 10e12};
    double floor;
    const hct_call product = {"linear", "k", HCT_BF16, 1e6, 1e12, 1e6, 1, 1},
                   copy = {"copy", "k", HCT_F32, 1e9, 0, 1e9, 1, 0},
                   wide = {"matmul", "k", HCT_F32, 1e6, 1e12, 1e6, 1, 1},
                   attention = {"attention", "k", HCT_BF16, 1e6, 1e12, 1e6, 1, 1};
    ck_assert_double_eq_tol(card_seconds(&c, &product, &floor), CARD_LAUNCH + 0.01 / CARD_PRODUCTS, 1e-12);
    ck_assert_double_eq_tol(floor, 0.01, 1e-12);
    ck_assert_double_eq_tol(card_seconds(&c, &copy, &floor), CARD_LAUNCH + 0.001 / CARD_MEMORY, 1e-12);
    ck_assert_double_eq_tol(floor, 0.001, 1e-12);
    ck_assert_double_eq_tol(card_seconds(&c, &wide, NULL), CARD_LAUNCH + 0.1 / CARD_PRODUCTS, 1e-12);
    ck_assert_double_eq_tol(card_seconds(&c, &attention, NULL), CARD_LAUNCH + 0.01 / CARD_ATTENTION, 1e-12);
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
            hct_call call = {ops[k % 4], "k", k & 4 ? HCT_F32 : HCT_BF16, pow(10, k % 11), pow(10, k % 15)};
            call.moved = call.bytes * (1 + k % 3), call.launches = 1 + (uint32_t)k % 5;
            double seconds = card_seconds(c, &call, &floor);
            ck_assert(seconds > floor && floor > 0);
            card faster = *c;
            faster.bandwidth *= 1.5;
            ck_assert(card_seconds(&faster, &call, NULL) <= seconds);
            faster.peak16 *= 1.5, faster.peak32 *= 1.5;
            ck_assert(card_seconds(&faster, &call, NULL) < seconds);
            hct_call more = call;
            more.bytes *= 2, more.moved *= 2, more.flops *= 2;
            ck_assert(card_seconds(c, &more, NULL) > seconds);
        }
    }
    ck_assert_ptr_null(card_find("h2000"));
}
END_TEST

CHECK_MAIN("cards", calls_by_hand, seconds_by_hand, what_holds_for_any_card)
