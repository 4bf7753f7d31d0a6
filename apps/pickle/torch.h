/* Files of torch.save (the zip format of PyTorch 1.6 and later, and the one before: torch_legacy.c) read without
 * running anything: a pickle whose tensors point to storages beside it in the archive.
 *
 * Names that are understood, and what becomes of them: collections.OrderedDict (a dict; its attributes such as
 * _metadata are dropped), torch._utils._rebuild_tensor_v2 and _rebuild_parameter (a tensor), torch.FloatStorage and
 * its kin, and for numbers numpy.dtype, numpy.core.multiarray.scalar (numpy._core too) and _codecs.encode. What
 * every other name would make is inert (pickle.h). */
#ifndef PICKLE_TORCH_H
#define PICKLE_TORCH_H

#include "hct/safetensors.h"
#include "pickle/pickle.h"

typedef struct torch_file torch_file;

typedef struct torch_tensor {
    int32_t dtype, ndim;                                     /* bool becomes U8 */
    int64_t dim[HCT_MAX_DIMS], stride[HCT_MAX_DIMS], offset; /* in elements of its storage; checked to lie inside */
    size_t storage;
} torch_tensor;

/* NULL and err, which names the file, on damage of any kind. */
torch_file *torch_open(const char *path, hct_err *err);
/* f may be NULL. */
void torch_close(torch_file *f);
const pickle *torch_values(const torch_file *f);
/* NULL where the value is no tensor. */
const torch_tensor *torch_tensor_at(const torch_file *f, pickle_id v);
/* The number of an int, float, bool or numpy scalar; false where it is none. */
int torch_number(const torch_file *f, pickle_id v, double *ret);
/* The tensor as an entry, row-major: its bytes in the mapped file where it lies so already, else a copy that lives
 * as long as f. The storage's checksum is verified the first time. */
hct_status torch_entry(torch_file *f, pickle_id v, const char *name, hct_st_entry *ret, hct_err *err);
/* Bytes of the whole file. */
size_t torch_file_bytes(const torch_file *f);

#endif
