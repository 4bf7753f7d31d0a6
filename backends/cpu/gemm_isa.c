/* Which of the compiled tiles this processor runs. */
#include "gemm.h"

#define TILES(isa)                                                                                                     \
    extern const int gemm_tile32_mr_##isa, gemm_tile32_nr_##isa, gemm_tile64_mr_##isa, gemm_tile64_nr_##isa;           \
    void gemm_tile32_##isa(int64_t, const float *, const float *, float *);                                            \
    void gemm_tile64_##isa(int64_t, const double *, const double *, double *);

#define F32(isa) ((gemm_tile_f32){gemm_tile32_mr_##isa, gemm_tile32_nr_##isa, gemm_tile32_##isa})
#define F64(isa) ((gemm_tile_f64){gemm_tile64_mr_##isa, gemm_tile64_nr_##isa, gemm_tile64_##isa})

TILES(plain)
#ifdef HAVE_X86_TILES
TILES(avx2)
TILES(avx512)
#define PICK(T)                                                                                                        \
    if (__builtin_cpu_supports("avx512f")) return T(avx512);                                                           \
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return T(avx2);
#else
#define PICK(T)
#endif

gemm_tile_f32 gemm_best_f32(void) {
    PICK(F32)
    return F32(plain);
}

gemm_tile_f64 gemm_best_f64(void) {
    PICK(F64)
    return F64(plain);
}
