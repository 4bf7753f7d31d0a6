/* The files of one request, in memory: a folder of its own below the server's, on a file system without a disk
 * (/dev/shm), mode 0700, removed with the request. What a server that was killed left there, the next one removes. */
#ifndef SERVE_UPLOAD_H
#define SERVE_UPLOAD_H

#include <stdbool.h>
#include <stdio.h>

#include "hct/types.h"

enum { UPLOAD_FILES = 4096, UPLOAD_NAME = 128 };

typedef struct upload {
    char *folder;
    char *path[UPLOAD_FILES];
    size_t n, bytes;
    FILE *open; /* of the last path */
} upload;

hct_status upload_begin(upload *u, const char *root, hct_err *err);
/* Begins a file. name: what the client calls it; its last part is kept where it is plain letters, and an ending that
 * fits the first bytes is put on when the file is done. HCT_EINVAL: more than UPLOAD_FILES. */
hct_status upload_file(upload *u, const char *name, hct_err *err);
hct_status upload_add(upload *u, const void *bytes, size_t n, hct_err *err);
/* Ends the last file. */
hct_status upload_done(upload *u, hct_err *err);
void upload_remove(upload *u);

#endif
