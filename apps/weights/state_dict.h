/* The state dict in a file of torch.save, under the names a plain model has.
 *
 * Looked for under the keys of the published code (state_dict, momentum_model_state_dict), of DINO's (student,
 * teacher) and MAE's (model); else the file's own dict. In front of each name "module." (DistributedDataParallel),
 * "_orig_mod." (torch.compile, anywhere) and "backbone." (DINO's wrapper) are taken off, and any other prefix that
 * stands before a key which an encoder needs (Lightning's "model.", "net.", ...). Values that are no tensors (None,
 * text, numbers) are skipped. Everything else in the file, such as optimiser and scheduler, is not looked at.
 *
 * Safetensors files, and the index of shards of them (model.safetensors.index.json), are read the same. */
#ifndef WEIGHTS_STATE_DICT_H
#define WEIGHTS_STATE_DICT_H

#include "pickle/torch.h"

/* A checkpoint of any of these forms, opened. */
typedef struct weights_source {
    torch_file *torch; /* or */
    hct_st_file **parts;
    size_t n_parts;
} weights_source;
/* HCT_EFORMAT says what the file is instead: empty, a pointer of Git LFS, an HTML page, ... */
hct_status weights_source_open(const char *path, weights_source *ret, hct_err *err);
void weights_source_close(weights_source *s);
/* The description that headct export left in a file of torch.save, and its format; NULL: none. The caller's to free. */
char *weights_source_told(const weights_source *s, const char *key);

typedef enum state_dict_which { STATE_DICT_STUDENT, STATE_DICT_TEACHER } state_dict_which;

typedef struct state_dict {
    hct_st_entry *entry; /* in order of name; bytes live as long as the torch_file */
    size_t n;
    char **name; /* [names], in the order of the file */
    size_t names;
    void **own; /* [n_own]: further memory that entries point into */
    size_t n_own;
    char key[64]; /* where it was found; "" the file's own dict */
} state_dict;

/* Student: the weights that gradients train, which is what the published code loads, and the only ones of methods
 * without a teacher. wanted: keys that tell encoders, ended by NULL, for prefixes; NULL: none. HCT_EFORMAT: no state
 * dict, two tensors of one name, tensors that add up to far more than the file. */
hct_status state_dict_read(const weights_source *f, const char *path, state_dict_which which, const char *const *wanted,
                           state_dict *ret, hct_err *err);
/* Puts entries whose names were changed in order again; HCT_EFORMAT: two have one name. */
hct_status state_dict_sort(state_dict *s, const char *path, hct_err *err);
void state_dict_free(state_dict *s);

#endif
