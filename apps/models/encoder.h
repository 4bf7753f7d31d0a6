/* Encoders: what turns a scan into vectors. A kind of encoder is a row of the table in encoder.c; whoever trains,
 * embeds, predicts or explains knows this header and no kind.
 *
 *   encoder e = encoder_default(encoder_find("vit"));
 *   encoder_check(&e, &err);
 *   e.kind->declare(p, &e);
 *   encoder_values v = {0};
 *   e.kind->forward(t, p, &e, x, &v);       x [B, C, D0, D1, D2], what e.input says
 *   ... v.embedding [B, width], v.tokens [B, N, width] ...
 *
 * To add a kind: one file with its encoder_kind, one row. */
#ifndef MODELS_ENCODER_H
#define MODELS_ENCODER_H

#include "imaging/input_spec.h"
#include "models/fields.h"
#include "models/params.h"

enum { ENCODER_OWN = 128 };

typedef struct encoder_kind encoder_kind;

/* One encoder, by value: its kind, what it takes, its sizes. */
typedef struct encoder {
    const encoder_kind *kind;
    input_spec input;
    unsigned char own[ENCODER_OWN]; /* the kind's own struct; only its file looks inside, by memcpy */
    int output; /* which of its outputs (encoder_kind.outputs) the embedding is; 0 the usual one. No part of files */
} encoder;

/* What a forward pass is asked for, and gives. Gradients of anything below it, of tokens, embedding, activations or the
 * input (a parameter then: hct_param), are hct_grad's after hct_backward. */
typedef struct encoder_values {
    /* asked for */
    int pool_mean;     /* the embedding is the mean of the patches' tokens, not the class token; kinds without one: both
                           are their own pooling */
    hct_id *attention; /* [layers], filled where not NULL: each layer's [B, heads, N, N]; slower, keeps N x N */
    hct_id *activation; /* [layers], filled where not NULL: each layer's result */
    int training;       /* batch norms use the batch's statistics, where they are trained, and running ones move */
    hct_id drop;        /* [branches, B, 1, 1]: what residual branches are multiplied by (drop-path); 0: nothing */
    /* given */
    hct_id embedding; /* [B, width] */
    hct_id tokens;    /* [B, N, width] */
} encoder_values;

struct encoder_kind {
    const char *name;          /* as files and recipes say it */
    const char *summary;       /* one line for people */
    const model_field *fields; /* of its own struct */
    size_t size;               /* of that struct, at most ENCODER_OWN */

    /* Sizes and input where nothing else says them; own is zero before. */
    void (*defaults)(encoder *);
    /* What must fit together. HCT_EINVAL names the field and the rule it breaks. */
    hct_status (*check)(const encoder *, hct_err *);
    /* Declares all tensors, those that are not drawn (position tables) with their values. */
    void (*declare)(params *, const encoder *);
    void (*forward)(hct_tape *, params *, const encoder *, hct_id x, encoder_values *);
    /* The edge of patches where forward also takes an image's patches, x [B, N, C edge^3] as hct_unfold3d gives them,
     * in the dtype that params_use gives. NULL: it takes images alone. */
    int64_t (*patch)(const encoder *);

    int64_t (*width)(const encoder *);     /* of embedding and tokens */
    int64_t (*tokens)(const encoder *);    /* N */
    int64_t (*layers)(const encoder *);    /* with a result, and attention where the kind has any */
    int64_t (*branches)(const encoder *);  /* that drop-path can skip; NULL: none (encoder_branches) */
    int (*has_attention)(const encoder *); /* NULL: none to give (encoder_has_attention) */
    /* Which layer a tensor belongs to, for rates that fall from layer to layer: 0 before the first, i + 1 of layer i,
     * layers + 1 behind the last. */
    int64_t (*layer_of)(const encoder *, const char *tensor);
    /* Tensors of a low-rank adaptation (models/lora.h); NULL: not possible. */
    void (*adapt)(params *, const encoder *, int64_t rank, double alpha);

    /* Names of what the embedding can be, the usual one first, ended by NULL; and whether one is there. NULL: one. */
    const char *const *outputs;
    int (*has_output)(const encoder *, int output);
    /* Windows, crop and size are part of the published model: no option or recipe sets them. */
    int own_input;
    /* Takes all scans of a study at once: x has n_windows channels for each. */
    int studies;
    int batch_norms; /* its forward pass in training needs batches, and moves running statistics */

    /* Sizes as tensors have them, in order of name; what no shape tells stays as it is in *io. HCT_EFORMAT names the
     * tensor that is missing or impossible. */
    hct_status (*sizes)(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err);
    const char *const *untold; /* fields that no shape tells; ends with NULL */
    /* Files without a description (headct import). key: a tensor that each of this kind has, by which prefixes of
     * others are found; NULL: none. recognises: whether these tensors are of this kind; NULL: it cannot be told. */
    const char *key;
    int (*recognises)(const hct_st_entry *sorted, size_t n);
    /* The field that must be given, as neither these tensors nor a default tell it; NULL: none. NULL: never. */
    const char *(*must_tell)(const hct_st_entry *sorted, size_t n);
    /* Its own name of a file's tensor, behind the prefix; NULL: the same. */
    const char *(*plain_name)(const char *name);
    /* Whether a new model of these sizes can be begun, without weights to load; NULL: any. */
    hct_status (*beginnable)(const encoder *, hct_err *err);
    /* What no shape tells, as published models of this kind have it; HCT_EINVAL names the option that must say it.
     * NULL: nothing. */
    hct_status (*presume)(const hct_st_entry *sorted, size_t n, const char *path, encoder *io, hct_err *err);
    /* Loads tensors named prefix + name, as params_load; NULL: exactly that. */
    hct_status (*load)(params *, const encoder *, const hct_st_file *, const char *path, const char *prefix,
                       load_report *, hct_err *);
};

/* The table, ended by NULL. */
extern const encoder_kind *const encoder_kinds[];
/* NULL: there is none of that name. */
const encoder_kind *encoder_find(const char *name);

encoder encoder_default(const encoder_kind *);
/* Input and sizes. */
hct_status encoder_check(const encoder *, hct_err *);
static inline int64_t encoder_width(const encoder *e) { return e->kind->width(e); }
static inline int64_t encoder_branches(const encoder *e) { return e->kind->branches ? e->kind->branches(e) : 0; }
static inline int encoder_has_attention(const encoder *e) {
    return e->kind->has_attention && e->kind->has_attention(e);
}
/* Reads a file's tensors by the kind's rules. */
hct_status encoder_load(params *, const encoder *, const hct_st_file *, const char *path, const char *prefix,
                        load_report *, hct_err *);

#endif
