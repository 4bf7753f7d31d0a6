/* write_shim.c as a library for LD_PRELOAD: WRITE_SHIM_BUDGET bytes may be written, then the disk is full;
 * WRITE_SHIM_FOR: for so many writes, then there is room again. WRITE_SHIM_KILL: after that many bytes of temporary
 * files the program is killed. WRITE_SHIM_HOLD: while this file is there, fsync() of a new .safetensors file does not
 * come back, as on a disk that does not answer. */
#include "write_shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_new_weights(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return strstr(path, ".safetensors.tmp.") != NULL;
}

__attribute__((visibility("default"))) int fsync(int fd) {
    const char *hold = getenv("WRITE_SHIM_HOLD");
    while (hold && is_new_weights(fd) && access(hold, F_OK) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return (int)syscall(SYS_fsync, fd);
}

__attribute__((constructor)) static void begin(void) {
    const char *budget = getenv("WRITE_SHIM_BUDGET"), *killed = getenv("WRITE_SHIM_KILL");
    const char *times = getenv("WRITE_SHIM_FOR");
    if (times) write_shim_for = atol(times);
    if (budget) write_shim_budget = atol(budget);
    if (killed) write_shim_kill = atol(killed);
}
