/* tests/cuda/mock.h: what the mock driver's files share. */
#ifndef TESTS_CUDA_MOCK_H
#define TESTS_CUDA_MOCK_H

#include <cuda.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

struct CUstream_st {
    int number, capturing, forked; /* forked: has captured work that the first stream has not waited for */
};

/* The number of an environment variable. */
long mock_number(const char *name, long otherwise);
/* A line of the log. */
void mock_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Whether bytes lie in memory that was taken. */
int mock_inside(CUdeviceptr p, size_t bytes);
/* Whether a stream is being captured. */
int mock_capturing(void);
/* What events measure, in ms: work that is said to take time adds to it. */
extern double mock_clock;

#endif
