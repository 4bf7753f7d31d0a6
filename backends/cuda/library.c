/* Opening the driver and NVIDIA's libraries at run time, function by function. */
#include "library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

int cuda_library(const char *const *files, const cuda_symbol *symbols, size_t n, void *table, hct_err *err) {
    const char *instead = getenv("HEADCT_CUDA_LIBRARY");
    void *lib = instead && *instead ? dlopen(instead, RTLD_NOW | RTLD_LOCAL) : NULL;
    for (size_t i = 0; !lib && !(instead && *instead) && files[i]; i++) lib = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        hct_plugin_fail(err, HCT_ENOTFOUND, "%s cannot be opened (%s)", instead && *instead ? instead : files[0],
                        dlerror());
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        void *f = dlsym(lib, symbols[i].name);
        if (!f) {
            hct_plugin_fail(err, HCT_EVERSION, "%s has no function %s: it is too old for this build", files[0],
                            symbols[i].name);
            return 0;
        }
        memcpy((char *)table + symbols[i].at, &f, sizeof f);
    }
    return 1;
}
