/* Writes a file that torch.load(weights_only=True) reads: a zip archive of stored members, {"state_dict":
 * OrderedDict of tensors, and texts}. Layout as torch.save's (torch/serialization.py describes it): archive/data.pkl
 * (protocol 2), byteorder, data/0, data/1, ... each on a 64-byte border, version. Sizes and places of 32 bits are
 * widened by zip64 fields where needed. */
#ifndef PICKLE_TORCH_WRITE_H
#define PICKLE_TORCH_WRITE_H

#include "hct/safetensors.h"

/* Entries in the order they shall have; names UTF-8. meta: further keys of the outer dict, text values. Atomic. */
hct_status torch_write(const char *path, const hct_st_entry *entries, size_t n, const hct_st_pair *meta, size_t n_meta,
                       hct_err *err);

#endif
