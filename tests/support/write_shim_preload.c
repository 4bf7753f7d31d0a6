/* write_shim.c as a library for LD_PRELOAD: WRITE_SHIM_BUDGET bytes may be written, then the disk is full. */
#include "write_shim.h"

#include <stdlib.h>

__attribute__((constructor)) static void begin(void) {
    const char *budget = getenv("WRITE_SHIM_BUDGET");
    if (budget) write_shim_budget = atol(budget);
}
