/* One recorded MAE step (micro-batches, gradients, update) or one validation pass, and filling its inputs. */
#ifndef PRETRAIN_MAE_STEP_H
#define PRETRAIN_MAE_STEP_H

#include "dataset/views.h"
#include "hct/optim.h"
#include "models/weights.h"
#include "training/micro.h"

typedef struct mae_step {
    hct_tape *tape;
    int64_t micro, batch; /* micro-batches of `batch` scans */
    mae_inputs in[MICRO_MOST];
    mae_outputs out[MICRO_MOST];
    float *image, *noise, *views; /* host buffers of one micro-batch; views NULL: images as they are */
    views_config augment;
    size_t image_floats; /* of one scan */
} mae_step;

/* optim NULL: forward only. augment NULL, or one that changes nothing: images as they are. Compiles unless
 * plan_only. */
hct_status mae_step_new(mae_step *, hct_dev *, params *, const mae_config *, int64_t batch, int64_t micro,
                        const views_config *augment, hct_optim *, int plan_only, hct_err *);
void mae_step_free(mae_step *);
/* Of the host buffers. */
uint64_t mae_step_host_bytes(const mae_step *, const mae_config *);
/* Sends micro-batch m: images from step->image; masks of scan b drawn from (seed, step, scan[b]), flips and shift
 * from (seed, epoch, scan[b]). The last batch - valid scans count for nothing (their mask is empty). */
hct_status mae_step_fill(mae_step *, const mae_config *, int64_t m, uint64_t seed, uint64_t epoch, uint64_t step,
                         const size_t *scan, int64_t valid, hct_err *);
/* Waits for the tape's run; *ret_loss is the mean over micro-batches. */
hct_status mae_step_loss(mae_step *, double *ret_loss, hct_err *);

#endif
