/* Preloaded: one call of a kind fails, the FAIL_AT-th that the process makes, as a machine in trouble would have it.
 *
 *   FAIL_CALL   alloc, read, write, fsync, rename, open, close or mmap
 *   FAIL_AT     its number, counted from 1; 0: none
 *   FAIL_LOG    file that gets, at the end, how many calls there were
 *
 * The process alone, not what it starts. close() closes and then fails; a failed write is that of a full disk. */
#undef _FILE_OFFSET_BITS /* open and open64 are two names here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

enum kind { ALLOC, READ, WRITE, FSYNC, RENAME, OPEN, CLOSE, MMAP, KINDS };
static const char *const names[KINDS] = {"alloc", "read", "write", "fsync", "rename", "open", "close", "mmap"};
static int chosen = -1; /* KINDS: none, or not this process */
static long at;
static atomic_long calls;

static void choose(void) {
    const char *kind = getenv("FAIL_CALL"), *number = getenv("FAIL_AT"), *owner = getenv("FAIL_OWNER");
    static char mine[32];
    chosen = KINDS;
    snprintf(mine, sizeof mine, "FAIL_OWNER=%ld", (long)getpid());
    if (owner && strcmp(owner, mine + 11) != 0) return;
    if (!owner) putenv(mine);
    at = number ? atol(number) : 0;
    for (int k = 0; kind && k < KINDS; k++)
        if (!strcmp(kind, names[k])) chosen = k;
}

static int fails(enum kind kind, int error) {
    if (chosen < 0) choose();
    if (kind != (enum kind)chosen || atomic_fetch_add(&calls, 1) + 1 != at) return 0;
    errno = error;
    return 1;
}

static void *next(const char *name) {
    void *f = dlsym(RTLD_NEXT, name);
    if (!f) abort();
    return f;
}

#define EXPORT __attribute__((visibility("default")))
#define REAL(name, type) ((type)(uintptr_t)next(name))

EXPORT void *malloc(size_t n) { return fails(ALLOC, ENOMEM) ? NULL : __libc_malloc(n); }
EXPORT void *calloc(size_t a, size_t b) { return fails(ALLOC, ENOMEM) ? NULL : __libc_calloc(a, b); }
EXPORT void *realloc(void *p, size_t n) { return fails(ALLOC, ENOMEM) ? NULL : __libc_realloc(p, n); }

EXPORT ssize_t read(int fd, void *p, size_t n) {
    return fails(READ, EIO) ? -1 : REAL("read", ssize_t(*)(int, void *, size_t))(fd, p, n);
}
EXPORT ssize_t pread(int fd, void *p, size_t n, off_t where) {
    return fails(READ, EIO) ? -1 : REAL("pread", ssize_t(*)(int, void *, size_t, off_t))(fd, p, n, where);
}
EXPORT ssize_t pread64(int fd, void *p, size_t n, off64_t where) {
    return fails(READ, EIO) ? -1 : REAL("pread64", ssize_t(*)(int, void *, size_t, off64_t))(fd, p, n, where);
}
EXPORT ssize_t write(int fd, const void *p, size_t n) {
    return fd > 2 && fails(WRITE, ENOSPC) ? -1 : REAL("write", ssize_t(*)(int, const void *, size_t))(fd, p, n);
}
EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t where) {
    return fails(WRITE, ENOSPC) ? -1 : REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))(fd, p, n, where);
}
EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off64_t where) {
    return fails(WRITE, ENOSPC) ? -1
                                : REAL("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))(fd, p, n, where);
}
EXPORT int fsync(int fd) { return fails(FSYNC, EIO) ? -1 : REAL("fsync", int (*)(int))(fd); }
EXPORT int fdatasync(int fd) { return fails(FSYNC, EIO) ? -1 : REAL("fdatasync", int (*)(int))(fd); }
EXPORT int rename(const char *a, const char *b) {
    return fails(RENAME, EIO) ? -1 : REAL("rename", int (*)(const char *, const char *))(a, b);
}
EXPORT int close(int fd) {
    int status = REAL("close", int (*)(int))(fd);
    return fd > 2 && fails(CLOSE, EIO) ? -1 : status;
}
EXPORT void *mmap(void *p, size_t n, int protection, int flags, int fd, off_t where) {
    if (fd >= 0 && fails(MMAP, ENOMEM)) return MAP_FAILED;
    return REAL("mmap", void *(*)(void *, size_t, int, int, int, off_t))(p, n, protection, flags, fd, where);
}
EXPORT void *mmap64(void *p, size_t n, int protection, int flags, int fd, off64_t where) {
    if (fd >= 0 && fails(MMAP, ENOMEM)) return MAP_FAILED;
    return REAL("mmap64", void *(*)(void *, size_t, int, int, int, off64_t))(p, n, protection, flags, fd, where);
}

/* A file that is only looked for is not meant: names of the system and of devices. */
static int is_meant(const char *path) {
    return strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/sys/", 5) != 0 && strncmp(path, "/dev/", 5) != 0 &&
           strncmp(path, "/etc/", 5) != 0;
}
static mode_t mode_of(int flags, va_list ap) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0; }

#define OPENING(name)                                                                                                  \
    EXPORT int name(const char *path, int flags, ...) {                                                                \
        va_list ap;                                                                                                    \
        va_start(ap, flags);                                                                                           \
        mode_t mode = mode_of(flags, ap);                                                                              \
        va_end(ap);                                                                                                    \
        if (is_meant(path) && fails(OPEN, EMFILE)) return -1;                                                          \
        return REAL(#name, int (*)(const char *, int, ...))(path, flags, mode);                                        \
    }
OPENING(open)
OPENING(open64)

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FAIL_LOG");
    FILE *f = path && chosen >= 0 && chosen < KINDS ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%ld\n", atomic_load(&calls));
    fclose(f);
}
