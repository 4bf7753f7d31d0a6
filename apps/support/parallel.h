/* PARALLEL_FOR before a for loop spreads its iterations over OpenMP's threads; nothing without OpenMP. */
#ifndef SUPPORT_PARALLEL_H
#define SUPPORT_PARALLEL_H

#ifdef _OPENMP
#include <omp.h>
#define PARALLEL_FOR _Pragma("omp parallel for schedule(static)")
static inline int parallel_threads(void) { return omp_get_max_threads(); }
static inline int parallel_self(void) { return omp_get_thread_num(); }
/* Threads that this thread's loops use from now on: 1 in a worker that is itself one of many. */
static inline void parallel_limit(int n) { omp_set_num_threads(n); }
#else
#define PARALLEL_FOR
static inline int parallel_threads(void) { return 1; }
static inline int parallel_self(void) { return 0; }
static inline void parallel_limit(int n) { (void)n; }
#endif

#endif
