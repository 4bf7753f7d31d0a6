/* A replayed step allocates nothing, of the host's memory (support/count_allocations.c) or of the device's own
 * table, over steps 2 to 10. A kernel that allocates in run() (the plugin given as argument) must be noticed. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "check_main.h"
#include "count_allocations.h"
#include "small_vit.h"

#define counter headct_allocation_counter

static void start_counting(void) {
    counter.host = counter.onednn = 0;
    counter.counting = 1;
}

static const char *plugin;

typedef struct counts {
    long host, onednn;
    uint64_t device;
} counts;

static counts of_steps_2_to_10(const char *with) {
    fixture f = open_cpu(with);
    small_vit v = {4, 33, 48, 4, 2, {0}, NULL, NULL, NULL, 0, NULL};
    hct_tape *t = hct_tape_new(f.dev, HCT_PROGRAM);
    hct_id loss = vit_record(&v, &f, t);
    ok(&f, hct_compile(t, &f.err));
    counts c = {0, 0, 0};
    hct_status st = HCT_OK;
    float first = 0, last = 0;
    for (int step = 1; step <= 10; step++) {
        if (step == 2) {
            c.device = hct_device_memory(f.dev).calls;
            start_counting();
        }
        if (st == HCT_OK) st = vit_step(&v, step, &f.err); /* Check's own asserts allocate: none in here */
        if (st == HCT_OK) st = hct_run(t, &f.err);
        if (st == HCT_OK) st = hct_read(t, loss, step == 1 ? &first : &last, &f.err);
    }
    counter.counting = 0;
    ok(&f, st);
    c.host = counter.host;
    c.onednn = counter.onednn;
    c.device = hct_device_memory(f.dev).calls - c.device;
    ck_assert_msg(last < first, "ten steps did not lower the loss: %g, then %g", (double)first, (double)last);
    hct_tape_free(t);
    vit_free(&v);
    close_cpu(&f);
    return c;
}

START_TEST(the_counter_counts) {
    start_counting();
    void *volatile p = malloc(10), *volatile q = calloc(3, 3);
    p = realloc(p, 5000);
    void *volatile r = NULL;
    int aligned = posix_memalign((void **)&r, 64, 64);
    void *volatile s = aligned_alloc(64, 64), *volatile m =
                                                  mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    counter.counting = 0;
    ck_assert(p && q && aligned == 0 && r && s && m != MAP_FAILED);
    free(p);
    free(q);
    free(r);
    free(s);
    munmap(m, 4096);
    ck_assert_int_ge(counter.host, count_allocations_sees_mmap ? 6 : 5);
}
END_TEST

START_TEST(steps_2_to_10_allocate_nothing) {
    counts c = of_steps_2_to_10(NULL);
    ck_assert_int_eq(c.host, 0);
    ck_assert_uint_eq(c.device, 0);
}
END_TEST

/* Weights that are kept packed, and written before each run. */
START_TEST(packing_again_allocates_nothing) {
    fixture f = open_cpu(NULL);
    hct_tensor *x = FILLED(&f, 1, 40, 64), *w = FILLED(&f, 2, 96, 64);
    hct_tape *t = hct_tape_new(f.dev, HCT_PROGRAM);
    hct_keep(t, hct_linear(t, hct_use(t, x), hct_use(t, w), 0));
    hct_keep_packed(t);
    ok(&f, hct_compile(t, &f.err));
    static const float other[96 * 64];
    hct_status st = HCT_OK;
    uint64_t device = 0;
    for (int step = 1; step <= 10; step++) {
        if (step == 2) {
            device = hct_device_memory(f.dev).calls;
            start_counting();
        }
        if (st == HCT_OK) st = hct_tensor_write(w, other, &f.err);
        if (st == HCT_OK) st = hct_run(t, &f.err);
    }
    counter.counting = 0;
    ok(&f, st);
    ck_assert_int_eq(counter.host, 0);
    ck_assert_uint_eq(hct_device_memory(f.dev).calls, device);
    hct_tape_free(t);
    hct_tensor_free(x);
    hct_tensor_free(w);
    close_cpu(&f);
}
END_TEST

START_TEST(a_kernel_that_allocates_is_noticed) {
    counts c = of_steps_2_to_10(plugin);
    ck_assert_int_ge(c.host, 9);
}
END_TEST

/* With linear by oneDNN: nothing else than its tables. */
START_TEST(onednn_allocates_its_arguments_only) {
    fixture f = open_cpu(NULL);
    int have = 0;
    for (size_t i = 0; i < hct_kernel_count(f.ctx); i++)
        have |= !strcmp(hct_kernel_at(f.ctx, i)->name, "onednn:linear:f32");
    close_cpu(&f);
    if (!have) return;
    setenv("HCT_KERNEL", "linear=onednn:linear:f32", 1);
    counts c = of_steps_2_to_10(NULL);
    unsetenv("HCT_KERNEL");
    ck_assert_int_eq(c.host, 0);
    ck_assert_int_gt(c.onednn, 0);
}
END_TEST

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    plugin = argv[1];
    count_allocations_install();
    return CHECK_RUN("replay", the_counter_counts, steps_2_to_10_allocate_nothing, packing_again_allocates_nothing,
                     a_kernel_that_allocates_is_noticed, onednn_allocates_its_arguments_only);
}
