/* Checkpoints of published code (torch.save) into weights that headct runs.
 *
 * The kind of encoder is told by the names of the tensors, its sizes by their shapes. What no shape tells is an option:
 * attention heads, HU windows, crop. */
#ifndef WEIGHTS_IMPORT_H
#define WEIGHTS_IMPORT_H

#include "models/weights.h"
#include "weights/library_map.h"

enum { IMPORT_TOLD = 12 };

typedef struct import_head {
    const char *task, *path; /* a classifier's file: bn.* and linear.* */
} import_head;

/* A size of the encoder (encoder_kind.fields), as an option gives it. */
typedef struct import_size {
    const char *name;
    double value;
} import_size;

typedef struct import_options {
    const char *path, *out;
    state_dict_which which;
    int64_t heads, decoder_heads; /* 0: width / 64, and decoder width / 48 (16 of 768), as the paper's models */
    double norm_eps;              /* of the last norm; 0: 1e-5 of MAE, else 1e-6 */
    const hu_window *window;      /* NULL: the paper's three */
    int n_windows;
    int64_t crop;           /* voxels of 1 mm; 0: 192 */
    int encoder_only;       /* leave MAE's decoder out */
    library_map map;        /* names of another library's vision transformer */
    const char *as;         /* kind of encoder (models/encoder.h); NULL: told by the names of the tensors */
    const import_size *set; /* sizes that no shape tells */
    size_t n_set;
    int drop_registers; /* as the published code does where the target has none: outputs differ */
    const import_head *head;
    size_t n_heads;
} import_options;

/* Reads o->path, writes o->out with its description, logs which of the model's tensors were found, one line for all and
 * one for each that is missing, of another shape, or not the model's (IMPORT_TOLD of each at most). Where one is
 * missing or of another shape nothing is written: HCT_EFORMAT, HCT_ESHAPE. ret may be NULL. */
hct_status import_run(const import_options *o, model_info *ret, hct_err *err);

#endif
