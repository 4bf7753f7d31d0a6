/* Makes writes fail after so many bytes: a full disk. */
#include "write_shim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long write_shim_budget = -1, write_shim_for = -1, write_shim_calls, write_shim_kill = -1;

static int is_temporary(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, ".tmp.") != NULL;
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *bytes, size_t n) {
    if (fd > 2) {
        write_shim_calls++;
        if (write_shim_budget >= 0) {
            if (write_shim_budget == 0 && n > 0) {
                if (write_shim_for > 0 && --write_shim_for == 0) write_shim_budget = -1;
                errno = ENOSPC;
                return -1;
            }
            if (n > (size_t)write_shim_budget) n = (size_t)write_shim_budget;
            write_shim_budget -= (long)n;
        }
    }
    if (write_shim_kill >= 0 && fd > 2 && is_temporary(fd)) {
        if (n > (size_t)write_shim_kill) {
            syscall(SYS_write, fd, bytes, write_shim_kill);
            raise(SIGKILL);
        }
        write_shim_kill -= (long)n;
    }
    return syscall(SYS_write, fd, bytes, n);
}
