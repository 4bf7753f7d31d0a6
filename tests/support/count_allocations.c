/* Counts the calls of malloc, calloc, realloc, posix_memalign, aligned_alloc and mmap: linked into a test, or
 * preloaded into the program.
 *
 * Not counted: memalign, by which libgomp makes a team of its own (1.5 KB) each time that a parallel region with one
 * thread (its `if` is false) is entered. Counted apart: what libdnnl itself allocates, the table of a primitive's
 * arguments (plugins/onednn/onednn.h); its kernels are chosen where plugins/fastcpu has none. */
#undef _FILE_OFFSET_BITS /* with 64 the name mmap means mmap64 here; both are taken over */
#include "count_allocations.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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
const int count_allocations_sees_mmap = !TELLS_OF_MEMALIGN;

__attribute__((visibility("default"))) allocation_counter headct_allocation_counter;
#define counter headct_allocation_counter

/* Whether the first caller outside this object, the sanitizer and the C++ library is of the library named. */
static int called_by(const char *library) {
    void *frames[24];
    Dl_info own, caller = {.dli_fname = ""};
    int k = backtrace(frames, 24), found = dladdr(&counter, &own), i = 0;
    while (found && i < k &&
           (!dladdr(frames[i], &caller) || caller.dli_fbase == own.dli_fbase || strstr(caller.dli_fname, "libasan") ||
            strstr(caller.dli_fname, "libstdc++")))
        i++;
    return found && i < k && strstr(caller.dli_fname, library) != NULL;
}

static void count(void) {
    static _Thread_local __attribute__((tls_model("initial-exec"))) int looking; /* backtrace may allocate */
    if (!counter.counting || looking) return;
    looking = 1;
    if (called_by("libdnnl")) counter.onednn++;
    else if (!TELLS_OF_MEMALIGN || !called_by("libgomp")) counter.host++;
    looking = 0;
}

#ifdef UNDER_ASAN /* the sanitizer has taken malloc over; it tells, memalign included */
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t), void (*)(const volatile void *));
static void on_malloc(const volatile void *p, size_t n) {
    (void)p, (void)n;
    count();
}
static void on_free(const volatile void *p) { (void)p; }
void count_allocations_install(void) { __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free); }
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
void *mmap64(void *at, size_t n, int prot, int flags, int fd, off64_t off) { return mmap(at, n, prot, flags, fd, off); }
void count_allocations_install(void) {}
#endif
