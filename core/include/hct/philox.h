/* hct/philox.h: counter-based random numbers, Philox 4x32-10 (Salmon et al., SC 2011, doi 10.1145/2063384.2063405).
 *
 * The same (key, counter) gives the same four words on every machine, in any order, on any number of threads. */
#ifndef HCT_PHILOX_H
#define HCT_PHILOX_H

#include <stdint.h>

typedef struct hct_philox {
    uint32_t v[4];
} hct_philox;

static inline hct_philox hct_philox4x32(uint64_t key, uint64_t counter_lo, uint64_t counter_hi) {
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    hct_philox r = {{c0, c1, c2, c3}};
    return r;
}

/* Uniform in [0, 1) with 24 bits; and in (0, 1) with 32 bits in double. */
static inline float hct_u01f(uint32_t u) { return (float)(u >> 8) * (1.0f / 16777216.0f); }
static inline double hct_u01(uint32_t u) { return ((double)u + 0.5) * (1.0 / 4294967296.0); }

#endif
