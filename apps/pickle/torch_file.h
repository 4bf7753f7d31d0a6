/* What torch.c and torch_legacy.c share of an opened file of torch.save. */
#ifndef PICKLE_TORCH_FILE_H
#define PICKLE_TORCH_FILE_H

#include "hct/io.h"
#include "pickle/torch.h"
#include "pickle/zip.h"

enum { KEY_BYTES = 64 };

typedef struct storage {
    const unsigned char *bytes; /* NULL: not referred to yet, or not found yet */
    const zip_member *member;   /* of a zip file: has its checksum */
    const char *key;            /* of a legacy file: borrowed from its pickle, key_bytes long */
    uint32_t key_bytes;
    int32_t dtype;
    int64_t elements;
    int checked;
} storage;

struct torch_file {
    const char *path; /* of torch_open, for messages while it reads */
    char *own_path;
    zip *z;               /* or, of a legacy file: */
    hct_mapped map;       /* all of it */
    char root[KEY_BYTES]; /* "archive/" */
    pickle *p;
    storage *storage; /* one a zip member, at the member's number; of a legacy file in order of appearance */
    size_t storages, storage_capacity; /* of a legacy file */
    torch_tensor *tensor;
    size_t n, capacity;
    void **copy;
    size_t copies, copy_capacity;
};

/* Whether a file begins as torch.save wrote before PyTorch 1.6. */
int torch_is_legacy(const char *path);
/* Reads it: f->map is open. hooks: of the pickle that holds the object. */
hct_status torch_legacy_read(torch_file *f, const pickle_hooks *hooks, hct_err *err);
/* The storage of that key, noted; HCT_EFORMAT where it was noted as another. *ret: its number. */
hct_status torch_legacy_storage(torch_file *f, const pickle_value *key, int32_t dtype, int64_t elements, size_t *ret,
                                hct_err *err);

#endif
