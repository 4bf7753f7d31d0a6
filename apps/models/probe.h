/* Probes: small classifiers on frozen features.
 *
 * Linear: batch norm without affine (eps 1e-6, momentum 0.1), then one linear layer, on one vector a scan.
 * Attentive: batch norm over all tokens of all scans, keys and values k, v = wkv h (no bias), one learned query,
 * batch norm, one linear layer. As published, the query is scaled by 1/sqrt(d) before an attention that scales by it
 * once more: logits are q.k / d, d = width / heads.
 * MIL, attention-based with a gate (Ilse, Tomczak and Welling 2018, eq. 9), for a bag of vectors a scan: batch norm
 * over all vectors, a_i = softmax over i of w.(tanh(V h_i) * sigmoid(U h_i)) with 128 hidden numbers, sum of a_i h_i,
 * one linear layer. */
#ifndef MODELS_PROBE_H
#define MODELS_PROBE_H

#include "models/params.h"

#define PROBE_EPS 1e-6
#define PROBE_MOMENTUM 0.1

/* Declares PREFIXbn.running_mean, PREFIXbn.running_var [width], PREFIXlinear.weight [classes, width],
 * PREFIXlinear.bias. */
void probe_declare(params *, const char *prefix, int64_t width, int64_t classes);
/* x [B, width] -> logits [B, classes]. In training the running statistics move. */
hct_id probe_forward(hct_tape *, params *, const char *prefix, hct_id x, int training);

/* Declares PREFIXbn1.*, PREFIXbn2.* [width], PREFIXcls_token (the query) [1, 1, width], PREFIXwkv.weight [2 width,
 * width], PREFIXlinear.*. */
void attentive_declare(params *, const char *prefix, int64_t width, int64_t classes);
/* tokens [B, N, width], width divisible by heads -> logits [B, classes]. */
hct_id attentive_forward(hct_tape *, params *, const char *prefix, int64_t heads, hct_id tokens, int training);

/* Declares PREFIXbn1.* [width], PREFIXtanh.*, PREFIXgate.* (weight [128, width], bias), PREFIXscore.weight [1, 128],
 * PREFIXlinear.*. */
void mil_declare(params *, const char *prefix, int64_t width, int64_t classes);
hct_id mil_forward(hct_tape *, params *, const char *prefix, hct_id tokens, int training);

/* Any kind: heads above 0 are an attentive probe's. tokens may be 0 for linear, pooled 0 for the others. */
enum { HEAD_LINEAR = 0, HEAD_MIL = -1 };
void head_declare(params *, const char *prefix, int64_t width, int64_t classes, int64_t heads);
hct_id head_forward(hct_tape *, params *, const char *prefix, int64_t heads, hct_id pooled, hct_id tokens,
                    int training);

#endif
