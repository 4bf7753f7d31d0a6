/* What the environment asks of the emulated device; its log; complaints, which make the process fail. */
#include "device.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_COMPLAINTS = 20, STATUS = 97, NAMES = 32 };

static pthread_mutex_t lock;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static FILE *out;
static long complaints;

static void make_lock(void) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &a);
    pthread_mutexattr_destroy(&a);
}

void emu_enter(void) {
    pthread_once(&once, make_lock);
    pthread_mutex_lock(&lock);
}

bool emu_try_enter(void) {
    pthread_once(&once, make_lock);
    return pthread_mutex_trylock(&lock) == 0;
}

void emu_leave(const int *inside) {
    (void)inside;
    pthread_mutex_unlock(&lock);
}

long emu_number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

const char *emu_word(const char *name, const char *otherwise) {
    const char *text = getenv(name);
    return text && *text ? text : otherwise;
}

bool emu_skips(void) {
    static int skips = -1;
    if (skips < 0) skips = emu_number("EMU_SKIP", 0) != 0;
    return skips != 0;
}

uint32_t emu_random(uint32_t below) { /* xorshift64* (Vigna, 2016) */
    static uint64_t state;
    if (!state) state = (uint64_t)emu_number("EMU_SEED", 1) * 0x9E3779B97F4A7C15u + 1;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return below ? (uint32_t)((state * 0x2545F4914F6CDD1Du) >> 32) % below : 0;
}

void emu_note(const char *fmt, ...) {
    va_list ap;
    const char *path = getenv("EMU_LOG"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    char own[4096];
    if (!out && path) {
        snprintf(own, sizeof own, "%s%s%s", path, rank ? "." : "", rank ? rank : "");
        out = fopen(own, "w");
    }
    if (!out) return;
    va_start(ap, fmt);
    vfprintf(out, fmt, ap);
    va_end(ap);
    fputc('\n', out);
    fflush(out);
}

void emu_complain(const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    emu_note("complaint: %s", text);
    if (complaints++ < MOST_COMPLAINTS) fprintf(stderr, "emulated device: %s\n", text);
    if (emu_number("EMU_ABORT", 0)) abort();
}

static __attribute__((destructor)) void report(void) {
    if (!complaints) return;
    fprintf(stderr, "emulated device: %ld complaints\n", complaints);
    fflush(NULL);
    _exit(STATUS);
}

/* EMU_FAIL's entry for the count-th call of what; its code where it names one. */
static bool listed(const char *what, long count, int *code) {
    const char *at = getenv("EMU_FAIL");
    size_t n = strlen(what);
    for (; at && *at; at += strcspn(at, ","), at += *at == ',') {
        if (strncmp(at, what, n) != 0 || at[n] != '@') continue;
        char *end;
        long nth = strtol(at + n + 1, &end, 10);
        int on = *end == '+';
        end += on;
        if (count != nth && !(on && count > nth)) continue;
        if (*end == '=') *code = (int)strtol(end + 1, NULL, 10);
        return true;
    }
    return false;
}

bool emu_fails(const char *what, int code, int *ret) {
    static struct {
        const char *what;
        long calls;
    } counts[NAMES];
    int i = 0;
    while (i < NAMES - 1 && counts[i].what && strcmp(counts[i].what, what) != 0) i++;
    counts[i].what = what;
    if (!listed(what, ++counts[i].calls, &code)) return false;
    *ret = code;
    emu_note("%s %ld fails with %d", what, counts[i].calls, *ret);
    return true;
}
