/* DINO (Caron et al. 2021): a student learns to give, for every view of a scan, the distribution over prototypes
 * that its teacher gives for other views of it; the teacher is the moving average of the student.
 *
 * Tensors: the student's encoder under its plain names and "head.*"; the teacher's copies of both under "teacher.*";
 * "center" [K]. Head: linear, GELU, linear, GELU, linear, L2 norm (eps 1e-12), then a linear layer without bias
 * whose rows have length weight_g (fixed at 1) and direction weight_v (Salimans & Kingma 2016). With batch_norm,
 * each hidden layer is normalised over the views of a batch before its GELU (no affine; an option of DINO's
 * authors): scans that differ little are then told apart from the first step on. */
#ifndef MODELS_DINO_H
#define MODELS_DINO_H

#include "models/pretext.h"

typedef struct dino_head {
    int64_t hidden, bottleneck, prototypes;
    int batch_norm;
} dino_head;

/* DINO as a pretext task, of any encoder; its own struct is a dino_head. */
extern const pretext_kind pretext_dino;
dino_head dino_head_of(const pretext *);
pretext pretext_of_dino(const dino_head *);

typedef struct dino_config {
    encoder encoder;
    dino_head head;
    int64_t views, global; /* of a scan; the first `global` are the teacher's too */
} dino_config;

#define DINO_TEACHER "teacher." /* what stands before the teacher's names */

/* What changes from step to step. */
typedef struct dino_inputs {
    hct_tensor *temps; /* F32 [2]: the student's and the teacher's temperature */
    hct_tensor *rates; /* F32 [4]: momentum m of the teacher, 1 - m; of the centre, 1 - m */
} dino_inputs;

typedef struct dino_outputs {
    hct_id loss, entropy;    /* scalars; entropy of the teacher's distributions, nats */
    hct_id student, teacher; /* logits [views, B, K], [global, B, K] */
    hct_id features;         /* the teacher's class tokens [global * B, width] */
} dino_outputs;

hct_status dino_check(const dino_config *, hct_err *);
void dino_declare(params *, const dino_config *);
/* Gives the teacher the student's values. */
hct_status dino_copy_teacher(params *, hct_err *);
hct_status dino_inputs_new(dino_inputs *, hct_dev *, hct_err *);
void dino_inputs_free(dino_inputs *);
hct_status dino_set(const dino_inputs *, double student_temp, double teacher_temp, double teacher_momentum,
                    double centre_momentum, hct_err *);

/* views [views, B, C, D0, D1, D2], or their patches [views, B, N, C P^3] where the encoder takes those: all go through
 * the student together, the first `global` through the teacher. */
dino_outputs dino_forward(hct_tape *, params *, const dino_config *, hct_id views, const dino_inputs *);
/* After hct_backward and the optimiser: the teacher's average, and the centre's over the teacher's logits of n
 * micro-batches. */
void dino_record_averages(hct_tape *, params *, const dino_outputs *, int64_t n, const dino_inputs *);
/* Whether a tensor belongs to the student's last layer, which is left alone in the first epochs. */
int dino_is_last_layer(const char *name);

#endif
