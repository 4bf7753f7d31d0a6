/* What lies in a folder that something else fills: DICOM files by series, NIfTI files each by itself, which of them
 * have come to rest.
 *
 *   arrivals *a = arrivals_new(folder, settle, &err);
 *   arrivals_look(a, &err);                              walks the folder, again and again
 *   while ((one = arrivals_next(a)) != NULL) ... arrivals_done(a, one->key);
 *   arrivals_free(a);
 *
 * A series has come to rest when the youngest change of its files (ctime, which no sender sets) lies `settle` seconds
 * back. Links are not followed. Headers are read once for each state of a file. */
#ifndef WATCH_ARRIVALS_H
#define WATCH_ARRIVALS_H

#include <stdbool.h>

#include "hct/types.h"

typedef struct arrivals arrivals;

typedef struct arrival {
    char *key;           /* of a series "study|series"; of what has no series UID its path or folder */
    char *study, *name;  /* UIDs; of what has none "" and the path below the folder */
    size_t n_files;      /* now */
    int64_t youngest_ns; /* ctime of the youngest */
    int64_t bytes;
    bool done, late; /* late: it has changed since it was done */
    size_t n_done;   /* files when it was done */
} arrival;

arrivals *arrivals_new(const char *folder, int64_t settle, hct_err *err);
void arrivals_free(arrivals *a);
/* HCT_EIO: the folder itself cannot be read; what lies below and cannot be is passed over until it can. */
hct_status arrivals_look(arrivals *a, hct_err *err);
/* A series that is at rest and not done, the longest waiting first; NULL: none now. */
arrival *arrivals_next(arrivals *a);
/* Its files in order of path: an array of borrowed texts, itself the caller's. */
hct_status arrivals_paths(const arrivals *a, const arrival *one, const char ***ret, size_t *ret_n, hct_err *err);
/* Whether its files are still as arrivals_look saw them. */
bool arrivals_same(const arrivals *a, const arrival *one);
/* Need not be there (yet). HCT_ENOMEM. */
hct_status arrivals_done(arrivals *a, const char *study, const char *name, hct_err *err);
/* Series that are not done, and those that changed after they were. */
void arrivals_count(const arrivals *a, size_t *ret_waiting, size_t *ret_late);

#endif
