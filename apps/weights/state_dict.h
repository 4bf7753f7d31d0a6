/* The state dict in a file of torch.save, under the names a plain model has.
 *
 * Looked for under the keys of the published code (state_dict, momentum_model_state_dict), of DINO's (student,
 * teacher) and MAE's (model); else the file's own dict. In front of each name "module." (DistributedDataParallel),
 * "_orig_mod." (torch.compile, anywhere) and "backbone." (DINO's wrapper) are taken off. Everything else in the
 * file, such as optimiser and scheduler, is not looked at. */
#ifndef WEIGHTS_STATE_DICT_H
#define WEIGHTS_STATE_DICT_H

#include "pickle/torch.h"

typedef enum state_dict_which { STATE_DICT_STUDENT, STATE_DICT_TEACHER } state_dict_which;

typedef struct state_dict {
    hct_st_entry *entry; /* in order of name; bytes live as long as the torch_file */
    size_t n;
    char **name; /* [names], in the order of the file */
    size_t names;
    char key[64]; /* where it was found; "" the file's own dict */
} state_dict;

/* Student: the weights that gradients train, which is what the published code loads, and the only ones of methods
 * without a teacher. HCT_EFORMAT: no state dict, a value that is no tensor, two tensors of one name, tensors that
 * add up to far more than the file. */
hct_status state_dict_read(torch_file *f, const char *path, state_dict_which which, state_dict *ret, hct_err *err);
void state_dict_free(state_dict *s);

#endif
