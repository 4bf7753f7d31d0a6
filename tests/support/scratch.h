/* Scratch folders for tests, and a disk that is full. */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include <stddef.h>

/* A fresh empty folder below $TMPDIR (or /tmp); it is removed with all it holds when the process ends. */
const char *scratch_folder(void);
/* FOLDER/NAME in one of 16 static buffers. */
const char *scratch_path(const char *name);
/* Writes bytes to scratch_path(name) and returns that path; ends the process where it cannot. */
const char *scratch_file(const char *name, const void *bytes, size_t n);
/* How many directory entries a folder has (without . and ..); -1 where it cannot be read. */
int scratch_count(const char *folder);

/* Mounts a tmpfs of that size on folder, in a mount namespace of this process alone. 0, or -1 where the system does not
 * allow it (then use the write shim: see write_shim.h). */
int scratch_mount(const char *folder, size_t bytes);
/* Runs body in a child process, whose mounts and limits end with it. What it returns, by custom 0 where all was well
 * and 77 where the system does not allow a mount; -1 where it died. */
int scratch_apart(int (*body)(void));

#endif
