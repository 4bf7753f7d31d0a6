/* hct/nearest.h: which known name somebody may have meant. */
#ifndef HCT_NEAREST_H
#define HCT_NEAREST_H

#include "hct/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Insertions, deletions, substitutions and swaps of neighbours from a to b, case ignored (optimal string alignment). */
HCT_API size_t hct_name_distance(const char *a, const char *b);
/* The name nearest to `name`; NULL where none is near, that is, within a third of its length plus one. */
HCT_API const char *hct_name_nearest(const char *name, const char *const *names, size_t n);

#ifdef __cplusplus
}
#endif
#endif
