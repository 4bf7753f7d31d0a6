/* A replayed step allocates nothing: malloc, calloc, realloc, posix_memalign, aligned_alloc and mmap are counted over
 * steps 2 to 10, and the device's own table. A kernel that allocates in run() (the plugin given as argument) must be
 * noticed.
 *
 * Not counted: memalign, by which libgomp makes a team of its own (1.5 KB) each time that a parallel region with one
 * thread (its `if` is false) is entered. Counted apart: what libdnnl itself allocates, the table of a primitive's
 * arguments (plugins/onednn/onednn.h); its kernels are chosen where plugins/fastcpu has none. */
#include <dlfcn.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check_main.h"
#include "small_vit.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN
#endif
#ifdef UNDER_ASAN
#define TELLS_OF_MEMALIGN 1
#else
#define TELLS_OF_MEMALIGN 0
#endif

static atomic_long allocations, by_onednn;
static atomic_int counting;

/* Whether the first caller outside this program, the sanitizer and the C++ library is of the library named. */
static int called_by(const char *library) {
    void *frames[24];
    Dl_info own, caller = {.dli_fname = ""};
    int k = backtrace(frames, 24), found = dladdr((void *)(uintptr_t)&allocations, &own), i = 0;
    while (found && i < k && (!dladdr(frames[i], &caller) || caller.dli_fbase == own.dli_fbase || strstr(caller.dli_fname, "libasan") ||
                              strstr(caller.dli_fname, "libstdc++")))
        i++;
    return found && i < k && strstr(caller.dli_fname, library) != NULL;
}

static void count(void) {
    static _Thread_local int looking; /* backtrace may allocate */
    if (!counting || looking) return;
    looking = 1;
    if (called_by("libdnnl")) by_onednn++;
    else if (!TELLS_OF_MEMALIGN || !called_by("libgomp")) allocations++;
    looking = 0;
}

#ifdef UNDER_ASAN /* the sanitizer has taken malloc over; it tells, memalign included */
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t), void (*)(const volatile void *));
static void on_malloc(const volatile void *p, size_t n) {
    (void)p, (void)n;
    count();
}
static void on_free(const volatile void *p) {
    (void)p;
}
static void install(void) {
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else /* glibc's own functions under their other names */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *malloc(size_t n) {
    count();
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    count();
    return __libc_realloc(p, n);
}
int posix_memalign(void **ret, size_t align, size_t n) {
    count();
    *ret = __libc_memalign(align, n);
    return *ret ? 0 : 12;
}
void *aligned_alloc(size_t align, size_t n) {
    count();
    return __libc_memalign(align, n);
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off) {
    count();
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off); /* NOLINT */
}
static void install(void) {}
#endif

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
            allocations = by_onednn = 0;
            counting = 1;
        }
        if (st == HCT_OK) st = vit_step(&v, step, &f.err); /* Check's own asserts allocate: none in here */
        if (st == HCT_OK) st = hct_run(t, &f.err);
        if (st == HCT_OK) st = hct_read(t, loss, step == 1 ? &first : &last, &f.err);
    }
    counting = 0;
    ok(&f, st);
    c.host = allocations;
    c.onednn = by_onednn;
    c.device = hct_device_memory(f.dev).calls - c.device;
    ck_assert_msg(last < first, "ten steps did not lower the loss: %g, then %g", (double)first, (double)last);
    hct_tape_free(t);
    vit_free(&v);
    close_cpu(&f);
    return c;
}

START_TEST(the_counter_counts) {
    allocations = 0;
    counting = 1;
    void *volatile p = malloc(10), *volatile q = calloc(3, 3);
    p = realloc(p, 5000);
    void *volatile r = NULL;
    ck_assert_int_eq(posix_memalign((void **)&r, 64, 64), 0);
    counting = 0;
    free(p);
    free(q);
    free(r);
    ck_assert_int_ge(allocations, 4);
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
            allocations = 0;
            counting = 1;
        }
        if (st == HCT_OK) st = hct_tensor_write(w, other, &f.err);
        if (st == HCT_OK) st = hct_run(t, &f.err);
    }
    counting = 0;
    ok(&f, st);
    ck_assert_int_eq(allocations, 0);
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
    for (size_t i = 0; i < hct_kernel_count(f.ctx); i++) have |= !strcmp(hct_kernel_at(f.ctx, i)->name, "onednn:linear:f32");
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
    install();
    return CHECK_RUN("replay", the_counter_counts, steps_2_to_10_allocate_nothing, packing_again_allocates_nothing,
                     a_kernel_that_allocates_is_noticed, onednn_allocates_its_arguments_only);
}
