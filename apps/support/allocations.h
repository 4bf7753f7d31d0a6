/* Allocations that a program makes by malloc and its kin, where somebody counts them:
 * tests/support/count_allocations.c does, linked in or preloaded
 * (LD_PRELOAD=BUILD/tests/support/count_allocations.so headct bench). */
#ifndef SUPPORT_ALLOCATIONS_H
#define SUPPORT_ALLOCATIONS_H

#include <stdatomic.h>

typedef struct allocation_counter {
    atomic_int counting; /* set it to count, in any thread */
    /* calls of malloc, calloc, realloc, posix_memalign, aligned_alloc, mmap; those of libdnnl apart */
    atomic_long host, onednn;
} allocation_counter;

/* NULL where nobody counts. */
allocation_counter *allocation_counter_find(void);

#endif
