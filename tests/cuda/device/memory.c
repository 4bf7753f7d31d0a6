/* Device memory: each block ends at a page that nobody may touch (a kernel that leaves it faults, see fibers.c), begins
 * as NaN, and is aligned to 256 bytes and no more. Pinned memory is read and written when the device gets to it;
 * pageable memory during the call. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, ALIGN = 256, FRESH = 0xFF, SLACK = 0xA5, FILLED_AT_MOST = 64 << 20, PINNED = 1 << 12 };

typedef struct block { /* mapped [map, map + length): guard, (padding), bytes, slack, guard */
    char *at, *map;
    size_t bytes, length;
    int device;
} block;
static block *blocks; /* by address */
static size_t n_blocks, cap_blocks, held;
static struct {
    char *at;
    size_t bytes;
} pinned[PINNED];

static size_t most(void) { return (size_t)emu_number("EMU_MEMORY", 4l << 30); }

/* The last block that begins at or before p, or -1. */
static long find(const char *p) {
    size_t low = 0, high = n_blocks;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (blocks[mid].at <= p) low = mid + 1;
        else high = mid;
    }
    return (long)low - 1;
}

bool emu_inside(CUdeviceptr at, size_t bytes) {
    const char *p = (const char *)(uintptr_t)at;
    long i = find(p);
    return i >= 0 && p + bytes <= blocks[i].at + blocks[i].bytes;
}

static bool is_pinned(const void *p, size_t bytes) {
    for (int i = 0; i < PINNED; i++)
        if (pinned[i].at && (const char *)p >= pinned[i].at &&
            (const char *)p + bytes <= pinned[i].at + pinned[i].bytes)
            return true;
    return false;
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *ret, size_t bytes) {
    EMU_CALL;
    owner of;
    int refused;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("alloc");
    if (emu_fails("alloc", CUDA_ERROR_OUT_OF_MEMORY, &refused)) return (CUresult)refused;
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    if (held + bytes > most()) return CUDA_ERROR_OUT_OF_MEMORY;
    size_t room = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (room % (2 * ALIGN) == 0) room += ALIGN; /* an odd multiple, so that nothing relies on more */
    size_t pages = (room + PAGE - 1) / PAGE * PAGE, length = pages + 2 * PAGE;
    char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    mprotect(map, PAGE, PROT_NONE);
    mprotect(map + length - PAGE, PAGE, PROT_NONE);
    char *at = map + length - PAGE - room;
    if (!emu_skips()) memset(at, FRESH, bytes < FILLED_AT_MOST ? bytes : FILLED_AT_MOST);
    memset(at + bytes, SLACK, room - bytes);
    if (n_blocks == cap_blocks) blocks = realloc(blocks, (cap_blocks = 2 * cap_blocks + 64) * sizeof *blocks);
    size_t i = (size_t)(find(at) + 1);
    memmove(blocks + i + 1, blocks + i, (n_blocks - i) * sizeof *blocks);
    blocks[i] = (block){at, map, bytes, length, of.device};
    n_blocks++;
    held += bytes;
    *ret = (CUdeviceptr)(uintptr_t)at;
    emu_note("alloc %zu", bytes);
    return CUDA_SUCCESS;
}

static void give_back(size_t i) {
    const block b = blocks[i];
    const unsigned char *slack = (const unsigned char *)b.at + b.bytes;
    for (const char *end = b.map + b.length - PAGE; (const char *)slack < end; slack++)
        if (*slack != SLACK) {
            emu_complain("something wrote behind a block of %zu bytes", b.bytes);
            break;
        }
    emu_note("free %zu", b.bytes);
    held -= b.bytes;
    munmap(b.map, b.length);
    memmove(blocks + i, blocks + i + 1, (--n_blocks - i) * sizeof *blocks);
}

/* As the real one: waits for all work first. */
EXPORT CUresult cuMemFree_v2(CUdeviceptr at) {
    EMU_CALL;
    owner of;
    int refused;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("free");
    if (emu_fails("free", CUDA_ERROR_INVALID_VALUE, &refused)) return (CUresult)refused;
    long i = find((const char *)(uintptr_t)at);
    if (i < 0 || (CUdeviceptr)(uintptr_t)blocks[i].at != at) {
        emu_complain("memory is given back that was not taken");
        return CUDA_ERROR_INVALID_VALUE;
    }
    emu_run_all();
    give_back((size_t)i);
    return CUDA_SUCCESS;
}

void emu_memory_release(int device) {
    size_t left = 0, n = 0;
    for (size_t i = n_blocks; i-- > 0;)
        if (blocks[i].device == device) {
            left += blocks[i].bytes;
            n++;
            give_back(i);
        }
    emu_note("end %zu bytes held in %zu blocks", left, n);
}

EXPORT CUresult cuMemGetInfo_v2(size_t *left, size_t *all) {
    EMU_CALL;
    owner of;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    *all = most();
    *left = *all - held;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned flags) {
    EMU_CALL;
    (void)flags;
    owner of;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("take pinned memory");
    int i = 0;
    while (i < PINNED && pinned[i].at) i++;
    if (i == PINNED || !(*at = malloc(bytes))) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(*at, FRESH, bytes);
    pinned[i].at = *at;
    pinned[i].bytes = bytes;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFreeHost(void *at) {
    EMU_CALL;
    for (int i = 0; i < PINNED; i++)
        if (pinned[i].at == at && at) {
            pinned[i].at = NULL;
            free(at);
            return CUDA_SUCCESS;
        }
    emu_complain("pinned memory is given back that was not taken");
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- copies ---- */

typedef struct copy {
    void *to;
    const void *from;
    size_t bytes;
    int value;
    bool owned;       /* `from` is a copy of pageable memory */
    const void *host; /* what lies in pinned memory */
} copy;

static void run_copy(void *arg) {
    const copy *c = arg;
    if (c->host && !is_pinned(c->host, c->bytes)) emu_complain("pinned memory was given back before it was copied");
    else memmove(c->to, c->from, c->bytes);
}
static void run_set(void *arg) {
    const copy *c = arg;
    memset(c->to, c->value, c->bytes);
}
static void drop_copy(void *arg) {
    copy *c = arg;
    if (c->owned) free((void *)(uintptr_t)c->from);
}

/* FNV-1a (Fowler, Noll, Vo): tells contents apart. */
static unsigned sum_of(const void *at, size_t n) {
    const unsigned char *p = at;
    unsigned sum = 2166136261u;
    if (!getenv("EMU_LOG")) return 0;
    for (size_t i = 0; i < n; i++) sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

/* What all copies ask first. */
static CUresult begin(CUstream s, const char *what, CUdeviceptr place, size_t bytes) {
    int refused;
    CUresult code = emu_valid(&s->of, "a stream");
    if (code != CUDA_SUCCESS) return code;
    if (emu_fails(what, CUDA_ERROR_UNKNOWN, &refused)) return (CUresult)refused;
    if (emu_inside(place, bytes)) return CUDA_SUCCESS;
    emu_complain("%s leaves its memory", what);
    return CUDA_ERROR_INVALID_VALUE;
}

static void *device(CUdeviceptr p) { return (void *)(uintptr_t)p; }

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    EMU_CALL;
    CUstream s = emu_stream(stream);
    CUresult code = begin(s, "upload", to, bytes);
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("upload");
    copy c = {device(to), from, bytes, 0, false, NULL};
    if (is_pinned(from, bytes)) c.host = from;
    emu_note("upload %zu %08x on %d", bytes, sum_of(from, bytes), s->number);
    if (!is_pinned(from, bytes)) {
        c.from = memcpy(malloc(bytes + 1), from, bytes);
        c.owned = true;
    }
    emu_put(s, emu_work(run_copy, drop_copy, &c, sizeof c, s->of.device));
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    EMU_CALL;
    CUstream s = emu_stream(stream);
    CUresult code = begin(s, "download", from, bytes);
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("download");
    copy c = {to, device(from), bytes, 0, false, NULL};
    emu_note("download %zu on %d", bytes, s->number);
    bool waits = !is_pinned(to, bytes);
    if (!waits) c.host = memset(to, FRESH, bytes); /* until the device has got here */
    emu_put(s, emu_work(run_copy, NULL, &c, sizeof c, s->of.device));
    if (waits) emu_finish(s);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    EMU_CALL;
    CUstream s = emu_stream(stream);
    CUresult code = begin(s, "copy", to, bytes);
    if (code == CUDA_SUCCESS) code = begin(s, "copy", from, bytes);
    if (code != CUDA_SUCCESS) return code;
    const copy c = {device(to), device(from), bytes, 0, false, NULL};
    if (s->captured) emu_note("copy %zu on %d", bytes, s->number);
    else emu_note("copy %zu %08x on %d", bytes, sum_of(device(from), bytes), s->number);
    emu_put(s, emu_work(run_copy, NULL, &c, sizeof c, s->of.device));
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream) {
    EMU_CALL;
    CUstream s = emu_stream(stream);
    CUresult code = begin(s, "set", to, n);
    if (code != CUDA_SUCCESS) return code;
    const copy c = {device(to), NULL, n, value, false, NULL};
    emu_note("set %zu on %d", n, s->number);
    emu_put(s, emu_work(run_set, NULL, &c, sizeof c, s->of.device));
    return CUDA_SUCCESS;
}
