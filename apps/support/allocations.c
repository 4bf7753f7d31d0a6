/* Counts of allocations, where a counter is preloaded. */
#include "support/allocations.h"

#include <dlfcn.h>

allocation_counter *allocation_counter_find(void) { return dlsym(RTLD_DEFAULT, "headct_allocation_counter"); }
