/* recipes/filters as part of the program. */
#ifndef DICOM_FILTERS_BUILTIN_H
#define DICOM_FILTERS_BUILTIN_H

#include <stddef.h>

typedef struct filters_builtin {
    const char *name, *yaml;
    size_t n;
} filters_builtin;
extern const filters_builtin filters_builtins[]; /* ends with an empty one; the default is first */

#endif
