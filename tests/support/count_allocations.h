/* A counter of the host's allocations for tests that link count_allocations.c; counts nothing until its `counting`
 * is set. */
#ifndef TESTS_SUPPORT_COUNT_ALLOCATIONS_H
#define TESTS_SUPPORT_COUNT_ALLOCATIONS_H

#include "support/allocations.h"

extern allocation_counter headct_allocation_counter;
extern const int count_allocations_sees_mmap; /* not under a sanitizer */

/* First in main: under a sanitizer, which has taken malloc over, the counter asks it to tell. */
void count_allocations_install(void);

#endif
