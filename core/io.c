/* Files written whole or not at all; files mapped and read. */
#include "hct/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 18, LEFT_FOR_GOOD = 24 * 3600 };

struct hct_outfile {
    int fd, error; /* error: the first errno met, 0 while all is well */
    size_t used;
    char *path, *temporary;
    char buffer[BUFFER_BYTES];
};

static hct_status system_error(hct_err *err, const char *path, const char *doing, int error) {
    const char *advice = error == ENOSPC || error == EDQUOT  ? "; free some space and run it again"
                         : error == ENOENT                   ? "; check the path"
                         : error == EACCES || error == EPERM ? "; check who owns it and its permissions"
                                                             : "";
    return hct_fail(err,
                    error == ENOENT   ? HCT_ENOTFOUND
                    : error == ENOMEM ? HCT_ENOMEM
                                      : HCT_EIO,
                    "%s: %s failed: %s%s", path, doing, strerror(error), advice);
}

/* ---- temporary files and what is left of them ---- */

/* Where a PID means what it means here: FNV-1a of the boot's id and the PID namespace. 0: not known, then no PID is
 * trusted. */
static uint32_t system_mark(void) {
    char boot[37] = "";
    struct stat space;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, boot, sizeof boot - 1);
    if (fd >= 0) close(fd);
    if (n <= 0 || stat("/proc/self/ns/pid", &space) < 0) return 0;
    uint32_t hash = 2166136261u;
    for (ssize_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)boot[i]) * 16777619u;
    for (int shift = 0; shift < 64; shift += 8) hash = (hash ^ ((uint64_t)space.st_ino >> shift & 0xff)) * 16777619u;
    return hash;
}

static char *temporary_of(const char *path) {
    static atomic_uint serial;
    char *name = NULL;
    if (asprintf(&name, "%s.tmp.%08x.%ld.%u", path, (unsigned)system_mark(), (long)getpid(),
                 atomic_fetch_add(&serial, 1)) < 0)
        return NULL;
    return name;
}

/* Whether a name is one of temporary_of's, or of an earlier headct's, which had no system in it (then 0). */
static int is_temporary(const char *name, unsigned *ret_system, long *ret_pid) {
    const char *at = NULL;
    for (const char *next = name; (next = strstr(next, ".tmp.")); next++) at = next;
    unsigned serial;
    int end = 0;
    if (!at) return 0;
    if (sscanf(at, ".tmp.%8x.%ld.%u%n", ret_system, ret_pid, &serial, &end) == 3 && at[end] == 0) return 1;
    *ret_system = 0;
    return sscanf(at, ".tmp.%ld.%u%n", ret_pid, &serial, &end) == 2 && at[end] == 0;
}

/* Whether no such process runs: there is none, or it has ended and nobody has asked for its status yet. */
static int is_gone(long pid) {
    if (kill((pid_t)pid, 0) < 0) return errno == ESRCH;
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    int known = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1;
    if (f) fclose(f);
    return known && (state == 'Z' || state == 'X');
}

int hct_leftovers_remove(const char *folder) {
    DIR *d = opendir(folder);
    if (!d) return 0;
    unsigned here = system_mark(), where;
    int removed = 0;
    long pid;
    struct stat st;
    for (struct dirent *e; (e = readdir(d));) {
        if (!is_temporary(e->d_name, &where, &pid) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode))
            continue;
        int dead = here && where == here ? pid > 0 && is_gone(pid) : st.st_mtime < time(NULL) - LEFT_FOR_GOOD;
        removed += dead && unlinkat(dirfd(d), e->d_name, 0) == 0;
    }
    closedir(d);
    return removed;
}

/* ---- writing ---- */

/* A new file alone: what somebody has put there under that name, a link among others, is never written through. */
static void open_temporary(hct_outfile *f) {
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES && f->fd < 0; i++) {
        free(f->temporary);
        f->temporary = temporary_of(f->path);
        if (!f->temporary) return;
        f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST) return;
    }
}

hct_outfile *hct_outfile_open(const char *path, hct_err *err) {
    hct_outfile *f = malloc(sizeof *f);
    if (!f) {
        hct_fail(err, HCT_ENOMEM, "%s: out of memory for a write buffer", path);
        return NULL;
    }
    f->error = 0;
    f->used = 0;
    f->path = strdup(path);
    f->temporary = NULL;
    f->fd = -1;
    if (f->path) open_temporary(f);
    if (f->fd < 0) {
        system_error(err, path, "creating it", f->path && f->temporary ? errno : ENOMEM);
        free(f->path);
        free(f->temporary);
        free(f);
        return NULL;
    }
    return f;
}

/* All n bytes to the descriptor, or the errno. */
static int write_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, bytes, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return k < 0 ? errno : EIO;
        bytes += k;
        n -= (size_t)k;
    }
    return 0;
}

static void flush(hct_outfile *f) {
    if (!f->error && f->used) f->error = write_all(f->fd, f->buffer, f->used);
    f->used = 0;
}

void hct_outfile_write(hct_outfile *f, const void *bytes, size_t n) {
    if (!f || f->error || n == 0) return;
    if (n > BUFFER_BYTES - f->used) flush(f);
    if (n > BUFFER_BYTES) {
        if (!f->error) f->error = write_all(f->fd, bytes, n);
        return;
    }
    memcpy(f->buffer + f->used, bytes, n);
    f->used += n;
}

void hct_outfile_printf(hct_outfile *f, const char *fmt, ...) {
    if (!f || f->error) return;
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        f->error = ENOMEM;
        return;
    }
    hct_outfile_write(f, text, (size_t)n);
    free(text);
}

static void release(hct_outfile *f) {
    free(f->path);
    free(f->temporary);
    free(f);
}

void hct_outfile_discard(hct_outfile *f) {
    if (!f) return;
    close(f->fd);
    unlink(f->temporary);
    release(f);
}

/* Makes the rename itself durable. Some file systems cannot sync a folder; the data is safe there already. */
static void sync_folder_of(char *path) {
    char *slash = strrchr(path, '/');
    if (slash == path) slash++;
    if (slash) *slash = '\0';
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

hct_status hct_outfile_close(hct_outfile *f, hct_err *err) {
    if (!f) return err && err->code < 0 ? err->code : HCT_EIO;
    flush(f);
    if (!f->error && fsync(f->fd) < 0 && errno != EINVAL) f->error = errno;
    if (close(f->fd) < 0 && !f->error) f->error = errno;
    if (!f->error && rename(f->temporary, f->path) < 0) f->error = errno;
    hct_status status = HCT_OK;
    if (f->error) {
        unlink(f->temporary);
        status = system_error(err, f->path, "writing", f->error);
    } else {
        sync_folder_of(f->path);
    }
    release(f);
    return status;
}

/* ---- reading ---- */

/* Opens a regular file for reading; its size in *ret_size. Returns the descriptor, or -1 with err filled. */
static int open_regular(const char *path, size_t *ret_size, hct_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused below, not waited for */
    if (fd < 0) {
        system_error(err, path, "opening", errno);
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) < 0) system_error(err, path, "reading", errno);
    else if (!S_ISREG(st.st_mode))
        hct_fail(err, HCT_EIO, "%s: is %s, not a file", path, S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    else {
        *ret_size = (size_t)st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

hct_status hct_map_file(const char *path, hct_mapped *ret, hct_err *err) {
    hct_err here = {0};
    size_t size = 0;
    int fd = open_regular(path, &size, &here);
    if (fd < 0) return hct_fail(err, here.code, "%s", here.msg);
    if (size == 0) {
        close(fd);
        *ret = (hct_mapped){(const unsigned char *)"", 0};
        return HCT_OK;
    }
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    if (p == MAP_FAILED) return system_error(err, path, "mapping", error);
    *ret = (hct_mapped){p, size};
    return HCT_OK;
}

hct_status hct_load_file(const char *path, hct_mapped *ret, hct_err *err) {
    hct_err here = {0};
    size_t size = 0, at = 0;
    int fd = open_regular(path, &size, &here);
    if (fd < 0) return hct_fail(err, here.code, "%s", here.msg);
    *ret = (hct_mapped){(const unsigned char *)"", 0};
    unsigned char *p = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
    int error = size && p == MAP_FAILED ? ENOMEM : 0;
    while (!error && at < size) {
        ssize_t k = read(fd, p + at, size - at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            error = k < 0 ? errno : ENODATA;
            munmap(p, size);
        }
        at += k > 0 ? (size_t)k : 0;
    }
    close(fd);
    if (error == ENODATA)
        return hct_fail(err, HCT_EIO, "%s: became shorter while it was read (%zu of %zu bytes); try it again", path, at,
                        size);
    if (error) return system_error(err, path, "reading", error);
    if (size) *ret = (hct_mapped){p, size};
    return HCT_OK;
}

void hct_unmap_file(hct_mapped *m) {
    if (m->size) munmap((void *)(uintptr_t)m->bytes, m->size);
    *m = (hct_mapped){NULL, 0};
}

hct_status hct_read_file(const char *path, char **ret, size_t *ret_size, hct_err *err) {
    hct_mapped m;
    hct_status status = hct_load_file(path, &m, err);
    if (status < 0) return status;
    char *text = malloc(m.size + 1);
    if (text) {
        memcpy(text, m.bytes, m.size);
        text[m.size] = '\0';
        *ret = text;
        if (ret_size) *ret_size = m.size;
    } else {
        status = hct_fail(err, HCT_ENOMEM, "%s: out of memory for %zu bytes", path, m.size);
    }
    hct_unmap_file(&m);
    return status;
}
