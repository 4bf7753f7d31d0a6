/* Preloaded: the FAIL_ALLOC_AT-th call of malloc, calloc or realloc of a process fails, as where memory has run out
 * for a moment. FAIL_ALLOC_LOG=FILE: how many calls there were, written at the end. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static atomic_long calls;
static long at = -1;

static int fails(void) {
    if (at < 0) {
        const char *text = getenv("FAIL_ALLOC_AT");
        at = text ? atol(text) : 0;
    }
    if (atomic_fetch_add(&calls, 1) + 1 != at) return 0;
    errno = ENOMEM;
    return 1;
}

#define EXPORT __attribute__((visibility("default")))
EXPORT void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
EXPORT void *calloc(size_t a, size_t b) { return fails() ? NULL : __libc_calloc(a, b); }
EXPORT void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FAIL_ALLOC_LOG");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%ld\n", atomic_load(&calls));
    fclose(f);
}
