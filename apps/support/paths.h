/* File names and folders. Results are the caller's (free) unless said otherwise; NULL only where memory ran out. */
#ifndef SUPPORT_PATHS_H
#define SUPPORT_PATHS_H

#include <stdbool.h>

#include "hct/types.h"

/* folder/name; name alone where it is absolute or folder is empty. */
char *path_join(const char *folder, const char *name);
/* The last part, borrowed: "c.nii.gz" of "a/b/c.nii.gz". */
const char *path_base(const char *path);
/* All before it: "a/b" of "a/b/c", "/" of "/c", "." of "c". */
char *path_folder(const char *path);
/* The last part without its ending, .gz and the ending before it counted as one: "c" of "a/b/c.nii.gz". */
char *path_stem(const char *path);
bool path_is_file(const char *path);
bool path_is_folder(const char *path);
/* Whether it lies in the folder once all links are followed. */
bool path_is_below(const char *path, const char *folder);
/* mkdir -p; fine where it is there already. */
hct_status path_make_folders(const char *path, hct_err *err);
/* Names in a folder that end in `ending` ("" for all) in byte order, hidden ones left out; free each, then the array.
 */
hct_status path_list(const char *folder, const char *ending, char ***ret_names, size_t *ret_n, hct_err *err);

#endif
