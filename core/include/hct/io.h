/* hct/io.h: files that are either whole or not there.
 *
 *   hct_outfile *f = hct_outfile_open("w.safetensors", &err);
 *   hct_outfile_write(f, bytes, n);
 *   if (hct_outfile_close(f, &err) < 0) ...
 *
 * Bytes go to PATH.tmp.SYSTEM.PID.N beside the target (SYSTEM: 8 hex digits of this boot and PID namespace); close()
 * flushes, fsyncs, renames and fsyncs the folder. Any failure before the rename (disk full included) removes the
 * temporary file and leaves an older PATH untouched. */
#ifndef HCT_IO_H
#define HCT_IO_H

#include "hct/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hct_outfile hct_outfile;

/* NULL on error. The folder of path must exist. */
HCT_API hct_outfile *hct_outfile_open(const char *path, hct_err *err);
/* Errors are kept and reported by close. f may be NULL. */
HCT_API void hct_outfile_write(hct_outfile *f, const void *bytes, size_t n);
HCT_API void hct_outfile_printf(hct_outfile *f, const char *fmt, ...) HCT_PRINTF(2, 3);
/* Commits; frees f in any case. f == NULL (open failed) returns the code already in err. */
HCT_API hct_status hct_outfile_close(hct_outfile *f, hct_err *err);
/* Gives up: removes the temporary file, frees f. */
HCT_API void hct_outfile_discard(hct_outfile *f);

/* Removes what killed writers left in a folder: files named as above whose process, of this system, is no longer
 * there; those of other systems that share the folder, or of an earlier boot, once nothing was written to them for a
 * day. Writers at work are left alone. Returns how many it removed; a folder that is not there holds none. */
HCT_API int hct_leftovers_remove(const char *folder);

/* The bytes of a whole file: mapped read-only, or a copy. An empty file gives size 0 and bytes that may not be read. */
typedef struct hct_mapped {
    const unsigned char *bytes;
    size_t size;
} hct_mapped;

/* HCT_ENOTFOUND where there is no such file, HCT_EIO where it cannot be read. */
HCT_API hct_status hct_map_file(const char *path, hct_mapped *ret, hct_err *err);
/* The same as a copy in memory, which stays as it is whatever becomes of the file; released in the same way. For
 * files of others: a mapped one that shrinks ends the process with SIGBUS. HCT_EIO: it shrank while it was read. */
HCT_API hct_status hct_load_file(const char *path, hct_mapped *ret, hct_err *err);
HCT_API void hct_unmap_file(hct_mapped *m);

/* A whole (small) file in memory of the caller, to be freed with free(). A NUL follows the bytes; ret_size may be
 * NULL. */
HCT_API hct_status hct_read_file(const char *path, char **ret, size_t *ret_size, hct_err *err);

#ifdef __cplusplus
}
#endif
#endif
