/* tests/cuda/device/kernel_side.h: what a device kernel sees when the host's C++ compiler makes it: CUDA's words, on
 * the emulated device's threads. units.py writes a file for each module of the build, which defines EMU_MODULE (its
 * name), EMU_SHARED (a C name for its shared memory), includes this and the kernel's own text, and registers its
 * kernels. */
#ifndef TESTS_CUDA_KERNEL_SIDE_H
#define TESTS_CUDA_KERNEL_SIDE_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define EMU_TEXT_(x) #x
#define EMU_TEXT(x) EMU_TEXT_(x)
#define EMU_PASTE_(a, b) a##b
#define EMU_PASTE(a, b) EMU_PASTE_(a, b)
/* All of a module's shared arrays lie side by side, so that each block can find them filled with NaN. */
#define __shared__ static __attribute__((section(EMU_TEXT(EMU_SHARED))))

struct emu_dim {
    unsigned x, y, z;
};
extern "C" {
extern emu_dim emu_block, emu_thread, emu_block_dim, emu_grid_dim;
void emu_barrier(void);
float emu_shuffle(float v, int lanes);
typedef struct emu_kernel { /* device.h's */
    const char *module, *name;
    void (*run)(void **);
    const char *kinds;
    const int *bytes;
    char *shared, *shared_end;
    int meets;
    struct emu_kernel *next;
} emu_kernel;
void emu_register(emu_kernel *);
extern char EMU_PASTE(__start_, EMU_SHARED)[] __attribute__((weak, visibility("hidden")));
extern char EMU_PASTE(__stop_, EMU_SHARED)[] __attribute__((weak, visibility("hidden")));
}

#define blockIdx emu_block
#define threadIdx emu_thread
#define blockDim emu_block_dim
#define gridDim emu_grid_dim
#define __syncthreads() emu_barrier()
#define __shfl_xor_sync(mask, v, lanes) emu_shuffle((v), (lanes))

static inline float __uint_as_float(unsigned u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline unsigned __float_as_uint(float f) {
    unsigned u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline int atomicAdd(int *p, int v) {
    int before = *p;
    *p += v;
    return before;
}
/* In double: the product is exact, the sum is rounded twice at most. The library's takes a call. */
static inline float emu_fmaf(float a, float b, float c) { return (float)((double)a * b + c); }
#define fmaf emu_fmaf

/* ---- registration: parameters come as CUDA passes them, an address for each; meets: its threads may wait for each
 * other ---- */

template <class... A, size_t... I> static inline void emu_apply(void (*f)(A...), void **p, std::index_sequence<I...>) {
    f(*(A *)p[I]...);
}
template <class... A> static inline void emu_call(void (*f)(A...), void **p) {
    emu_apply(f, p, std::index_sequence_for<A...>{});
}
template <class... A> static inline const char *emu_kinds(void (*)(A...)) {
    static const char kinds[] = {(std::is_pointer<A>::value ? 'p' : 'v')..., 0};
    return kinds;
}
template <class... A> static inline const int *emu_bytes(void (*)(A...)) {
    static const int bytes[] = {(int)sizeof(A)..., 0};
    return bytes;
}
#define EMU_KERNEL(name_, function, meets_)                                                                            \
    static void run_##function(void **p) { emu_call(function, p); }                                                    \
    static struct register_##function {                                                                                \
        emu_kernel k;                                                                                                  \
        register_##function() {                                                                                        \
            k = {EMU_MODULE,                                                                                           \
                 name_,                                                                                                \
                 run_##function,                                                                                       \
                 emu_kinds(function),                                                                                  \
                 emu_bytes(function),                                                                                  \
                 EMU_PASTE(__start_, EMU_SHARED),                                                                      \
                 EMU_PASTE(__stop_, EMU_SHARED),                                                                       \
                 meets_,                                                                                               \
                 nullptr};                                                                                             \
            emu_register(&k);                                                                                          \
        }                                                                                                              \
    } registered_##function;

#endif
