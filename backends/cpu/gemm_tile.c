/* One register tile of a matrix product. Compiled once for each instruction set with -DISA=name and its flags. */
#include <stdint.h>

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)

#if defined __AVX512F__
enum { BYTES = 64, MR = 12, NV = 2 }; /* 24 of 32 registers hold the tile */
#elif defined __AVX2__
enum { BYTES = 32, MR = 6, NV = 2 }; /* 12 of 16 */
#else
enum { BYTES = 16, MR = 4, NV = 2 }; /* 8 of 16 */
#endif

#define TILE(name, elem)                                                                                               \
    typedef elem name##_vec __attribute__((vector_size(BYTES)));                                                       \
    void JOIN(name, ISA)(int64_t k, const elem *a, const elem *b, elem *c);                                            \
    void JOIN(name, ISA)(int64_t k, const elem *a, const elem *b, elem *c) {                                           \
        enum { L = BYTES / sizeof(elem), NR = NV * BYTES / sizeof(elem) };                                             \
        name##_vec t[MR][NV] = {{{0}}};                                                                                \
        for (int64_t p = 0; p < k; p++, a += MR, b += NR) {                                                            \
            const name##_vec b0 = *(const name##_vec *)b, b1 = *(const name##_vec *)(b + L);                           \
            _Pragma("GCC unroll 16") for (int i = 0; i < MR; i++) {                                                    \
                t[i][0] += a[i] * b0;                                                                                  \
                t[i][1] += a[i] * b1;                                                                                  \
            }                                                                                                          \
        }                                                                                                              \
        for (int i = 0; i < MR; i++)                                                                                   \
            for (int j = 0; j < NV; j++) *(name##_vec *)(c + i * NR + j * L) += t[i][j];                               \
    }                                                                                                                  \
    extern const int JOIN(name##_mr, ISA), JOIN(name##_nr, ISA);                                                       \
    const int JOIN(name##_mr, ISA) = MR, JOIN(name##_nr, ISA) = (int)(NV * BYTES / sizeof(elem));

TILE(gemm_tile32, float)
TILE(gemm_tile64, double)
