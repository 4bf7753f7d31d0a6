/* write_shim.c as a library for LD_PRELOAD: WRITE_SHIM_BUDGET bytes may be written, then the disk is full;
 * WRITE_SHIM_FOR: for so many writes, then there is room again. WRITE_SHIM_KILL: after that many bytes of temporary
 * files the program is killed. */
#include "write_shim.h"

#include <stdlib.h>

__attribute__((constructor)) static void begin(void) {
    const char *budget = getenv("WRITE_SHIM_BUDGET"), *killed = getenv("WRITE_SHIM_KILL");
    const char *times = getenv("WRITE_SHIM_FOR");
    if (times) write_shim_for = atol(times);
    if (budget) write_shim_budget = atol(budget);
    if (killed) write_shim_kill = atol(killed);
}
