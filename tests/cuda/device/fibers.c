/* Blocks of threads. Each thread is a fiber with a stack of its own; it runs until a barrier or a shuffle makes it wait
 * for others. Which one goes on is up to EMU_THREADS: an order that barriers do not enforce is not kept. Shared memory
 * is NaN before each block. A kernel that leaves its memory faults at a guard page, which ends it as an illegal
 * address, as on a GPU. */
#include "device.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if !defined __x86_64__
#include <ucontext.h>
#endif

enum { STACK = 256 << 10, MOST = 1024, WARP = 32 };

struct emu_dim { /* kernel_side.h's */
    unsigned x, y, z;
};
EXPORT struct emu_dim emu_block, emu_thread, emu_block_dim, emu_grid_dim;
EXPORT void emu_barrier(void);
EXPORT float emu_shuffle(float v, int lanes);
const char *emu_running = "";

typedef struct fiber {
    void *at; /* where it stopped: a stack pointer, or a ucontext_t */
    char *stack;
    bool started, done;
    unsigned block_waits, warp_waits; /* the phase whose end it waits for, plus 1; 0: none */
} fiber;
static fiber fibers[MOST];
static void *home; /* the scheduler */
static unsigned threads, current, alive, arrived, phase;
static unsigned warp_alive[MOST / WARP], warp_arrived[MOST / WARP], warp_phase[MOST / WARP];
static float lane_value[2][MOST]; /* of this exchange and of the one before, which slower lanes still read */
static const emu_kernel *kernel;
static void **parameters;
static bool inside_kernel, faulted;
static const char *apart; /* the order of threads that never wait for each other; NULL: they may */
static void *fault_at;
static long launched;

/* ---- switching stacks ---- */

#if defined __x86_64__
/* Keeps the registers that a call may not change on the stack it leaves. */
void emu_switch(void **from, void *to);
__asm__(".text\n"
        ".globl emu_switch\n"
        ".hidden emu_switch\n"
        ".type emu_switch, @function\n"
        "emu_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size emu_switch, .-emu_switch\n");

static void first_frame(fiber *f, void (*entry)(void)) {
    uintptr_t *top = (uintptr_t *)(void *)(f->stack + STACK);
    *--top = 0; /* entry never returns; keeps the stack aligned as after a call */
    *--top = (uintptr_t)entry;
    for (int i = 0; i < 6; i++) *--top = 0;
    f->at = top;
}
#else
static void emu_switch(void **from, void *to) {
    ucontext_t here;
    *from = &here;
    swapcontext(&here, to);
}

static void first_frame(fiber *f, void (*entry)(void)) {
    ucontext_t *c = (ucontext_t *)(void *)(f->stack + STACK - sizeof(ucontext_t) / 64 * 64 - 64);
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = STACK - 4096;
    c->uc_link = NULL;
    makecontext(c, entry, 0);
    f->at = c;
}
#endif

static void leave_thread(void) { emu_switch(&fibers[current].at, home); }

/* ---- meeting ---- */

static void open_barrier(void) {
    arrived = 0;
    phase++;
}

static void open_warp(unsigned w) {
    warp_arrived[w] = 0;
    warp_phase[w]++;
}

void emu_barrier(void) {
    fiber *f = &fibers[current];
    if (apart) abort(); /* units.py took it for a kernel whose threads do not meet */
    if (++arrived == alive) {
        open_barrier();
        return; /* the last one goes on: it may run ahead of all others */
    }
    f->block_waits = phase + 1;
    leave_thread();
    f->block_waits = 0;
}

static void meet_warp(void) {
    unsigned w = current / WARP;
    fiber *f = &fibers[current];
    if (apart) abort(); /* units.py took it for a kernel whose threads do not meet */
    if (++warp_arrived[w] == warp_alive[w]) {
        open_warp(w);
        return;
    }
    f->warp_waits = warp_phase[w] + 1;
    leave_thread();
    f->warp_waits = 0;
}

float emu_shuffle(float v, int lanes) {
    unsigned t = current, from = t / WARP * WARP + ((t % WARP) ^ (unsigned)lanes);
    float *value = lane_value[warp_phase[t / WARP] & 1];
    value[t] = v;
    meet_warp();
    return from < threads ? value[from] : v;
}

/* ---- threads ---- */

/* Threads that never wait, one after another in any order, on one stack. */
static void run_apart(const char *order) {
    unsigned first = *order == 'f' || !strcmp(order, "reverse") ? 0 : emu_random(threads);
    bool reverse = !strcmp(order, "reverse") || (*order != 'f' && emu_random(2));
    for (unsigned i = 0; i < threads; i++) {
        unsigned t = (first + i) % threads;
        if (reverse) t = threads - 1 - t;
        emu_thread = (struct emu_dim){t, 0, 0};
        current = t;
        kernel->run(parameters);
    }
}

static void thread_main(void) {
    if (apart) {
        run_apart(apart);
        fibers[0].done = true;
        alive = current = 0;
        leave_thread();
    }
    kernel->run(parameters);
    fibers[current].done = true;
    alive--;
    unsigned w = current / WARP;
    warp_alive[w]--;
    if (arrived) {
        emu_complain("%s: a thread ends while others wait at a barrier", kernel->name);
        if (arrived == alive) open_barrier();
    }
    if (warp_arrived[w]) {
        emu_complain("%s: a thread ends while others of its warp wait", kernel->name);
        if (warp_arrived[w] == warp_alive[w]) open_warp(w);
    }
    leave_thread();
}

static bool ready(unsigned t) {
    const fiber *f = &fibers[t];
    return !f->done && f->block_waits != phase + 1 && f->warp_waits != warp_phase[t / WARP] + 1;
}

static void go_on(unsigned t) {
    fiber *f = &fibers[t];
    current = t;
    emu_thread = (struct emu_dim){t, 0, 0};
    if (!f->started) {
        f->started = true;
        if (!f->stack)
            f->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        first_frame(f, thread_main);
    }
    emu_switch(&home, f->at);
}

/* ---- orders: each runs what is ready, once or more; false where nothing was ---- */

static bool sweep(bool reverse) {
    bool moved = false;
    for (unsigned i = 0; i < threads && !faulted; i++) {
        unsigned t = reverse ? threads - 1 - i : i;
        if (!ready(t)) continue;
        go_on(t);
        moved = true;
    }
    return moved;
}

static bool at_random(void) {
    bool moved = false;
    for (unsigned i = 0; i < threads && !faulted; i++) {
        unsigned t = emu_random(threads);
        if (!ready(t)) continue;
        go_on(t);
        moved = true;
    }
    return moved || sweep(false);
}

/* One warp as far as it comes before another does anything. */
static bool unfair(void) {
    unsigned warps = (threads + WARP - 1) / WARP, first = emu_random(warps);
    bool moved = false;
    for (unsigned v = 0; v < warps; v++) {
        unsigned w = (first + v) % warps;
        for (bool again = true; again && !faulted;) {
            again = false;
            for (unsigned t = w * WARP; t < threads && t < (w + 1) * WARP && !faulted; t++) {
                if (!ready(t)) continue;
                go_on(t);
                again = moved = true;
            }
        }
    }
    return moved;
}

static void run_block(void) {
    static const char *order;
    if (!order) order = emu_word("EMU_THREADS", "forward");
    apart = kernel->meets ? NULL : order;
    if (kernel->shared) memset(kernel->shared, 0xFF, (size_t)(kernel->shared_end - kernel->shared));
    alive = threads;
    arrived = phase = 0;
    for (unsigned t = 0; t < threads; t++) {
        fiber *f = &fibers[t];
        f->started = f->done = false;
        f->block_waits = f->warp_waits = 0;
        unsigned w = t / WARP;
        warp_alive[w] = threads - w * WARP < WARP ? threads - w * WARP : WARP;
        warp_arrived[w] = warp_phase[w] = 0;
    }
    if (apart) go_on(0);
    while (alive && !faulted) {
        bool moved = *order == 'u'              ? unfair()
                     : !strcmp(order, "random") ? at_random()
                                                : sweep(!strcmp(order, "reverse"));
        if (moved) continue;
        emu_complain("%s: threads wait for each other for ever", kernel->name);
        faulted = true;
    }
}

/* ---- faults ---- */

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    if (!inside_kernel) { /* somebody else's */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    faulted = true;
    fault_at = info->si_addr;
    emu_switch(&fibers[current].at, home); /* never to come back */
}

static void watch_faults(bool on) {
    static struct sigaction before[2];
    struct sigaction ours;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, on ? &ours : &before[0], on ? &before[0] : NULL);
    sigaction(SIGBUS, on ? &ours : &before[1], on ? &before[1] : NULL);
}

/* ---- grids ---- */

static bool is_run(unsigned i, unsigned n) {
    static int ends = -1;
    if (ends < 0) ends = !strcmp(emu_word("EMU_BLOCKS", ""), "ends");
    return !ends || i < 2 || i + 2 >= n;
}

CUresult emu_run_grid(const emu_kernel *k, void **params, grid g) {
    unsigned turned = emu_random(2);
    kernel = k;
    parameters = params;
    threads = g.block;
    emu_block_dim = (struct emu_dim){g.block, 1, 1};
    emu_grid_dim = (struct emu_dim){g.x, g.y, 1};
    faulted = false;
    launched++;
    watch_faults(true);
    inside_kernel = true;
    emu_running = k->name;
    for (unsigned y = 0; y < g.y && !faulted; y++) {
        if (!is_run(y, g.y)) {
            y = g.y - 3;
            continue;
        }
        for (unsigned i = 0; i < g.x && !faulted; i++) {
            if (!is_run(i, g.x)) {
                i = g.x - 3;
                continue;
            }
            emu_block = (struct emu_dim){turned ? g.x - 1 - i : i, y, 0};
            run_block();
        }
    }
    emu_running = "";
    inside_kernel = false;
    watch_faults(false);
    if (!faulted) return CUDA_SUCCESS;
    emu_note("kernel %s faults at %p in block %u %u, thread %u", k->name, fault_at, emu_block.x, emu_block.y, current);
    fprintf(stderr, "emulated device: kernel %s leaves its memory at %p in block [%u %u], thread %u\n", k->name,
            fault_at, emu_block.x, emu_block.y, current);
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

static __attribute__((destructor)) void report(void) {
    if (emu_number("EMU_REPORT", 0)) fprintf(stderr, "emulated device: %ld kernels were run\n", launched);
}
