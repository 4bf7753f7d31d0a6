/* kit/cpu.h: what CPU kernels share, the reference's and a plugin's alike: the remembered call, workspace for each
 * thread, and loops over operands with any strides.
 *
 *   static hct_status run(const hct_plan *p, hct_stream *s, const hct_view *in, const hct_view *out, ...) {
 *       cpu_loop l;
 *       cpu_loop_init(&l, 2, (const hct_view *const[]){out, in});
 *       for (int64_t t = 0; t < l.tasks; t++) {          share these out over threads as you like
 *           int64_t at[CPU_OPERANDS], n;
 *           cpu_loop_task(&l, t, at, &n);
 *           ... n elements, cpu_step(&l, 0) and cpu_step(&l, 1) apart, from elements at[0] and at[1] on
 *
 *   {.plan = cpu_plan, .run = run, .release = cpu_release}   cpu_int(p, "axis") then gives an attribute in run() */
#ifndef KIT_CPU_H
#define KIT_CPU_H

#include "hct/plugin.h"

#ifdef _OPENMP
#include <omp.h>
static inline int cpu_threads(void) { return omp_get_max_threads(); }
static inline int cpu_thread(void) { return omp_get_thread_num(); }
#else
static inline int cpu_threads(void) { return 1; }
static inline int cpu_thread(void) { return 0; }
#endif

/* A plan's state: what run() needs of the problem. */
typedef struct cpu_call {
    uint32_t n_in, n_out, n_attr, threads; /* threads: as planned, for the workspace */
    uint64_t per_thread;                   /* bytes of workspace a thread */
    hct_attr attr[];
} cpu_call;

/* Accepts and remembers the attributes. */
hct_status cpu_plan(hct_device *, const hct_problem *, hct_plan *ret, hct_err *);
/* The same with workspace for each thread. */
hct_status cpu_plan_workspace(const hct_problem *, hct_plan *ret, uint64_t per_thread, hct_err *);
/* cpu_plan, and out[0] may lie on in[0] (and in[1], where there is one). */
hct_status cpu_plan_in_place(hct_device *, const hct_problem *, hct_plan *ret, hct_err *);
void cpu_release(hct_plan *);

static inline const cpu_call *cpu_state(const hct_plan *p) { return p->state; }
static inline int64_t cpu_int(const hct_plan *p, const char *name) {
    return hct_attr_int(cpu_state(p)->attr, cpu_state(p)->n_attr, name, 0);
}
static inline double cpu_real(const hct_plan *p, const char *name) {
    return hct_attr_real(cpu_state(p)->attr, cpu_state(p)->n_attr, name, 0);
}
static inline const hct_attr *cpu_attr(const hct_plan *p, const char *name) {
    return hct_attr_find(cpu_state(p)->attr, cpu_state(p)->n_attr, name);
}
static inline char *cpu_workspace(const hct_plan *p, const hct_view *ws) {
    return (char *)hct_ptr(ws) + (uint64_t)cpu_thread() * cpu_state(p)->per_thread;
}
static inline uint64_t cpu_round(uint64_t bytes) { return (bytes + 127) / 128 * 128; }

/* A walk over operands of equal dims: axes that lie together in all operands are merged; the last one is the inner
 * loop. */
enum { CPU_OPERANDS = 4, CPU_CHUNK = 8192 };
typedef struct cpu_loop {
    int k, ndim;
    int64_t dim[HCT_MAX_DIMS], stride[CPU_OPERANDS][HCT_MAX_DIMS];
    int64_t chunks, tasks; /* chunks of the inner axis; tasks = chunks * all outer elements */
} cpu_loop;

/* views[0..k) have equal dims. */
void cpu_loop_init(cpu_loop *, int k, const hct_view *const *views);
/* The elements [*ret_i, *ret_i + *ret_n) of the inner axis that task covers, and each operand's offset in elements. */
void cpu_loop_task(const cpu_loop *, int64_t task, int64_t *offset, int64_t *ret_n);
static inline int64_t cpu_step(const cpu_loop *l, int operand) { return l->stride[operand][l->ndim - 1]; }

/* Offset in elements of row r, when v's last `inner` axes are left out. */
static inline int64_t cpu_row(const hct_view *v, int inner, int64_t r) {
    int64_t o = 0;
    for (int d = v->ndim - inner - 1; d >= 0; d--) {
        o += r % v->dim[d] * v->stride[d];
        r /= v->dim[d];
    }
    return o;
}
/* Rows of v when its last `inner` axes are left out. */
static inline int64_t cpu_rows(const hct_view *v, int inner) {
    int64_t n = 1;
    for (int d = 0; d < v->ndim - inner; d++) n *= v->dim[d];
    return n;
}

#endif
