/* Methods of pre-training. A method is a row of the table in method.c; pretrain.c, headct plan and headct bench know
 * this header and no method.
 *
 *   const method *k = method_find("mae");
 *   method_step step;
 *   method_open(&step, k, &(method_setup){dev, p, r, &info, .batch = 8, .micro = 1, .optim = o}, &err);
 *   ... scan b of the micro-batch into method_item(&step, b) ...
 *   method_fill(&step, 0, &(method_draw){.seed = 1, .scan = scans, .valid = 8}, &err);
 *   method_set(&step, epoch, number, total, &err);
 *   method_run(&step, &loss, &err);
 *   method_close(&step);
 *
 * To add a method: one file with its row, its name in the table. What it adds to the encoder's tensors is a
 * pretext_kind (models/pretext.h), so that its weights files can be read. */
#ifndef PRETRAIN_METHOD_H
#define PRETRAIN_METHOD_H

#include "dataset/loader.h"
#include "hct/optim.h"
#include "models/weights.h"
#include "recipe/recipe.h"
#include "training/micro.h"

typedef struct method method;

enum { METHOD_HEALTH = 8 };

/* One recorded step (micro-batches, gradients, update), or one validation pass. */
typedef struct method_step {
    const method *kind;
    const recipe *r; /* borrowed, as info is */
    const model_info *info;
    int64_t batch, micro; /* micro-batches of `batch` scans */
    /* made by the method's open */
    hct_tape *tape;
    hct_id loss[MICRO_MOST]; /* a scalar a micro-batch */
    void *host;              /* [batch]: scans of one micro-batch as the loader delivers them, before they are sent */
    size_t item;             /* bytes of one of them */
    uint64_t host_bytes;     /* of everything that the step holds on the host */
    void *own;               /* the method's */
} method_step;

typedef struct method_setup {
    hct_dev *dev;
    params *p;
    const recipe *r; /* r and info must outlive the step */
    const model_info *info;
    int64_t batch, micro;
    hct_optim *optim; /* NULL: forward only, for validation */
    int plan_only;    /* memory is planned, nothing is compiled */
} method_setup;

/* What a micro-batch is drawn from: every random number is a function of these and of the scan's number. */
typedef struct method_draw {
    uint64_t seed;
    int64_t epoch, step;
    const size_t *scan; /* [batch]: numbers in the dataset */
    int64_t valid;      /* the last batch - valid scans are not there, and count for nothing */
} method_draw;

struct method {
    const char *name;            /* the recipe's `method` */
    const char *title;           /* for people: "MAE" */
    const char *summary;         /* one line for people */
    const pretext_kind *pretext; /* what it adds to the encoder's tensors; NULL: nothing */
    int chooses;       /* the lowest validation loss is the best epoch; else the loss says nothing of the features */
    int whole_batches; /* validation leaves out a last batch that is not full */

    /* What no key's range tells; NULL: nothing. HCT_EINVAL names the key. */
    hct_status (*check)(const recipe *, const model_info *, hct_err *);
    /* What the loader is to deliver, where it is not the encoder's input; NULL: it is. */
    void (*input)(const recipe *, loader_options *io);
    /* The optimiser and its rates; NULL: training/optimizer.h's. */
    hct_optim *(*optimizer)(hct_dev *, const recipe *, const params *, hct_err *);
    hct_status (*rates)(hct_optim *, const recipe *, double lr, double decay, int64_t epoch, hct_err *);

    /* Makes everything above; the caller closes it after a failure too. */
    hct_status (*open)(method_step *, const method_setup *, hct_err *);
    void (*close)(method_step *); /* frees own, tape and host */
    /* Sends micro-batch m: the scans in host, and what is drawn for them. */
    hct_status (*fill)(method_step *, int64_t m, const method_draw *, hct_err *);
    /* What else goes with an optimiser step (temperatures, momenta); NULL: nothing. */
    hct_status (*set)(method_step *, int64_t epoch, int64_t step, int64_t total, hct_err *);

    /* Values of the last run's first micro-batch that tell how training goes, logged beside the loss: their names,
     * at most METHOD_HEALTH, ended by NULL; NULL: none. */
    const char *const *health_names;
    hct_status (*health)(method_step *, double *ret, hct_err *);
    /* Whether these values say that training has collapsed; NULL: never. why: how, and what to change. */
    int (*collapse)(const recipe *, const double *health, char *why, size_t size);
    /* Whether validation batches must be the same on all ranks, because their statistics are over all; NULL: no. */
    int (*together)(const recipe *);

    /* RUN/weights.safetensors, what others use; NULL: all tensors. */
    hct_status (*save)(const char *path, hct_dev *, const params *, const model_info *, hct_err *);
    /* Figures of a validation batch that was filled and run, into a folder; NULL: none. */
    hct_status (*draw)(method_step *, const char *folder, hct_err *);
    /* More than the encoder's sizes, for headct plan: ", 64 visible"; NULL: nothing. */
    void (*describe)(const recipe *, const model_info *, text_buffer *out);
};

/* The table, ended by NULL. */
extern const method *const methods[];
/* NULL: there is none of that name. */
const method *method_find(const char *name);
/* The method of a recipe that pre-trains; HCT_EINVAL names the nearest where there is none of its name. */
hct_status method_of_recipe(const recipe *r, const method **ret, hct_err *err);
/* The model that it trains, with everything checked that recipe, encoder and method say of it. */
hct_status method_model(const method *, const recipe *r, model_info *ret, hct_err *err);
/* Method and model of any recipe, as far as they can be told without weights: what recipe_check leaves open. */
hct_status method_check_recipe(const recipe *r, hct_err *err);

loader_options method_input(const method *, const recipe *, const model_info *);
hct_optim *method_optimizer(const method *, hct_dev *, const recipe *, const params *, hct_err *);
hct_status method_rates(const method *, hct_optim *, const recipe *, double lr, double decay, int64_t epoch, hct_err *);
hct_status method_save(const method *, const char *path, hct_dev *, const params *, const model_info *, hct_err *);

hct_status method_open(method_step *, const method *, const method_setup *, hct_err *);
void method_close(method_step *);
/* Where the loader puts scan b of a micro-batch. */
void *method_item(const method_step *, int64_t b);
hct_status method_fill(method_step *, int64_t m, const method_draw *, hct_err *);
hct_status method_set(method_step *, int64_t epoch, int64_t step, int64_t total, hct_err *);
/* Waits for the tape's run, which hct_start began; *ret_loss is the mean over micro-batches. */
hct_status method_finish(method_step *, double *ret_loss, hct_err *);
/* hct_start and method_finish. */
hct_status method_run(method_step *, double *ret_loss, hct_err *);
/* Number of health values. */
size_t method_health_count(const method *);

#endif
