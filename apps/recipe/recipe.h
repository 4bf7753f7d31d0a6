/* A recipe: everything that decides a run, as one YAML file and as one plain struct.
 *
 *   recipe r = recipe_default();
 *   recipe_load("recipes/mae.yaml", &r, &err);         lays the file over what r holds
 *   recipe_set(&r, "optim.lr=1e-4", &err);             --set of the command line
 *   recipe_check(&r, &err);                            ranges and what must fit together
 *
 * One table (recipe_keys.c) lists every key with its default, its range and a sentence; reading, --set, the nearest
 * known key in a message, and the canonical text all walk it. The struct holds no pointers: copy it freely. Where the
 * paper and its published code differ, a key chooses and the paper is the default. */
#ifndef RECIPE_RECIPE_H
#define RECIPE_RECIPE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hct/types.h"
#include "dataset/views.h"
#include "support/text.h"
#include "recipe/schedule.h"

enum {
    RECIPE_TEXT = 512,
    RECIPE_WORD = 32,
    RECIPE_ITEM = 64,
    RECIPE_ITEMS = 32,
    RECIPE_WINDOWS = 8,
    RECIPE_KEYS = 192
};

typedef enum recipe_init { FIRST_XAVIER, FIRST_NORMAL } recipe_init;               /* as MAE's authors; as DINO's */
typedef enum recipe_resnet { RESNET_PLAIN, RESNET_DILATED } recipe_resnet;         /* 3D-ResNets; MedicalNet */
typedef enum recipe_position { POSITION_FIXED, POSITION_TRAINED } recipe_position; /* paper; published code */
typedef enum recipe_optimizer { OPTIMIZER_ADAMW, OPTIMIZER_ADAM, OPTIMIZER_SGD } recipe_optimizer;
typedef enum recipe_decay { DECAY_ALL, DECAY_MATRICES } recipe_decay; /* all tensors; those of two or more dims */
typedef enum recipe_clip { CLIP_NONE, CLIP_GLOBAL, CLIP_TENSOR } recipe_clip;
typedef enum recipe_probe { PROBE_LINEAR, PROBE_ATTENTIVE, PROBE_MIL } recipe_probe;
typedef enum recipe_protocol { PROTOCOL_PAPER, PROTOCOL_LOGISTIC, PROTOCOL_CVPR26 } recipe_protocol;
typedef enum recipe_watched { WATCH_AUROC, WATCH_BALANCED_ACCURACY, WATCH_LOSS } recipe_watched;
typedef enum recipe_pool { POOL_CLS, POOL_MEAN } recipe_pool;
typedef enum recipe_features {
    FEATURES_ENCODER,
    FEATURES_RANDOM,
    FEATURES_HISTOGRAM,
    FEATURES_EMBEDDINGS
} recipe_features;
typedef enum recipe_loss { LOSS_ALL, LOSS_INSIDE } recipe_loss; /* hidden voxels that MAE's loss counts */
typedef enum recipe_start { START_WEIGHTS, START_RANDOM } recipe_start;
typedef enum recipe_backbone { BACKBONE_FULL, BACKBONE_FROZEN, BACKBONE_LORA } recipe_backbone;
typedef enum recipe_precision { PRECISION_F32, PRECISION_BF16 } recipe_precision;
typedef enum recipe_models { MODELS_EACH, MODELS_ALL } recipe_models; /* a model a task; one for all of them */

typedef struct recipe_list {
    int64_t n;
    char item[RECIPE_ITEMS][RECIPE_ITEM];
} recipe_list;

typedef struct recipe_window {
    double center, width; /* HU */
} recipe_window;

typedef struct recipe {
    char name[RECIPE_TEXT];
    char method[RECIPE_WORD]; /* probe, finetune, or a method of pre-training (pretrain/method.h) */
    int64_t seed;
    struct {
        char dataset[RECIPE_TEXT];                                           /* folder made by `headct prepare` */
        char train[RECIPE_TEXT], validation[RECIPE_TEXT], test[RECIPE_TEXT]; /* names of splits */
        double fraction;                                                     /* of the training split's patients */
        int64_t patients, seed; /* how many of them instead, 0: by fraction; which ones, -1: by the run's seed */
        recipe_list tasks;      /* label columns; none: all of the dataset */
        struct {
            int64_t n;
            recipe_window at[RECIPE_WINDOWS];
        } windows;           /* one input channel each */
        int64_t crop, image; /* voxels (mm) along an edge cut out of the middle; resized to */
    } data;
    struct {
        char kind[RECIPE_WORD];    /* of encoder (models/encoder.h) */
        char weights[RECIPE_TEXT]; /* that pre-training goes on from */
        int64_t patch, width, depth, heads, mlp, registers;
        bool qkv_bias;
        recipe_position position;
        recipe_init init;
        double mask_ratio;
        bool norm_pix;
        recipe_loss loss;
        struct {
            int64_t width, depth, heads, mlp;
            bool bias; /* of the decoder's embedding, qkv and prediction layers */
        } decoder;
        struct {
            int64_t blocks[4], width;
            recipe_resnet form;
        } resnet;
    } model;
    struct {
        recipe_optimizer name;
        schedule_kind schedule;
        double lr;
        bool scale_lr_by_batch;
        double betas[2], eps, momentum;
        double weight_decay, weight_decay_end;
        recipe_decay decay;
        double clip;
        recipe_clip clip_mode;
        int64_t batch, accumulate, epochs;
        double warmup_epochs, warmup_fraction, min_lr_ratio;
    } optim;
    struct {
        int64_t workers;
        char device[RECIPE_TEXT];
        int64_t checkpoint_every, keep, log_every, validate_every, early_stop, balanced, cache_mb;
        bool disk_cache, recompute;
        recipe_precision precision;
    } train;
    views_config views; /* augmentation; crops of DINO */
    struct {
        int64_t prototypes, hidden, bottleneck;
        bool batch_norm;
        double student_temp, teacher_temp_start, teacher_temp;
        int64_t teacher_temp_epochs;
        /* of the teacher at the first and the last step; of the centre */
        double momentum, momentum_end, center_momentum;
        int64_t freeze_last_layer; /* epochs */
    } dino;
    struct {
        char weights[RECIPE_TEXT];
        char embeddings[RECIPE_TEXT], embedding_ids[RECIPE_TEXT]; /* made elsewhere (embeddings/table.h) */
        recipe_probe kind;
        recipe_features features;
        recipe_pool pool;
        int64_t heads; /* of an attentive probe */
        recipe_protocol protocol;
        double c; /* of logistic regression; 0: chosen on validation */
        bool standardize;
        recipe_watched watched; /* of the grid */
    } probe;
    struct {
        recipe_start init;
        char weights[RECIPE_TEXT];
        recipe_models tasks;
        recipe_probe head;
        int64_t heads;
        recipe_pool pool;
        recipe_backbone backbone;
        double backbone_lr, layer_decay, drop_path;
        int64_t lora_rank;
        double lora_alpha;
    } finetune;
    /* in the order of the table: set by a file or an option, not a default; no part of text or hash */
    bool given[RECIPE_KEYS];
} recipe;

recipe recipe_default(void);
/* What is trained: a probe, a classifier, or neither: then it is pre-training. */
static inline bool recipe_probes(const recipe *r) { return !strcmp(r->method, "probe"); }
static inline bool recipe_finetunes(const recipe *r) { return !strcmp(r->method, "finetune"); }
static inline bool recipe_pretrains(const recipe *r) { return !recipe_probes(r) && !recipe_finetunes(r); }
/* In the field's words, for tables and figures: "fine-tuned", "from scratch", "linear probe", "AB-MIL probe",
 * "embeddings, linear probe", "random encoder", "histogram", "low-rank tuned", "linear head", "pre-training", ... */
const char *recipe_approach(const recipe *r);

/* Lays the keys of a YAML file over *r; *r is untouched on failure. An unknown key is refused with file, line and the
 * nearest known one. */
hct_status recipe_load(const char *path, recipe *r, hct_err *err);
/* "section.key=value"; lists with commas, windows as center:width,center:width. *r is untouched on failure. */
hct_status recipe_set(recipe *r, const char *assignment, hct_err *err);
/* The same with a key that exists and its value; NULL leaves the key as it is. */
hct_status recipe_set_key(recipe *r, const char *key, const char *value, hct_err *err);
/* What no single key can tell: shares, what must be set together. (What models and methods need: pretrain/method.h.) */
hct_status recipe_check(const recipe *r, hct_err *err);
/* A number, a bool (0, 1) or a choice (its place) by its key; HCT_ENOTFOUND: no key of that kind. */
hct_status recipe_number(const recipe *r, const char *key, double *ret, hct_err *err);
hct_status recipe_put_number(recipe *r, const char *key, double value, hct_err *err);

/* The whole recipe as YAML, every key, in the table's order: what a run folder keeps and what is hashed. Reading it
 * back gives the same struct. */
void recipe_text(const recipe *r, text_buffer *out);
/* SHA-256 of recipe_text, 64 hex digits. */
hct_status recipe_hash(const recipe *r, char hex[65], hct_err *err);
/* The recipe as YAML, each key below its sentence, range and default: the keys of its method, or all. */
void recipe_print(const recipe *r, bool all, text_buffer *out);
/* The same of one key ("optim.lr", or another name of it), of a section, or of every key of a name ("lr").
 * HCT_ENOTFOUND names the nearest. */
hct_status recipe_explain(const char *path, text_buffer *out, hct_err *err);
/* "optim.lr 0.001, now 0.002; seed 1, now 2": every key whose value differs. */
void recipe_difference(const recipe *was, const recipe *now, text_buffer *out);
/* The file of a recipe: name itself where there is such a file, else NAME.yaml of those that came with headct. Free it;
 * NULL: no memory. */
char *recipe_find(const char *name);

/* Scans of one optimiser step over all ranks. */
int64_t recipe_effective_batch(const recipe *r, int64_t ranks);
/* The learning rate of a run with this many optimiser steps an epoch: scaled, warmed up, down to its minimum. */
lr_schedule recipe_schedule(const recipe *r, int64_t steps_per_epoch, int64_t ranks);
/* Weight decay of an optimiser step: along half a cosine to weight_decay_end where that is 0 or more. */
double recipe_weight_decay(const recipe *r, int64_t step, int64_t total);

#endif
