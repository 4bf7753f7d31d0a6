/* headct pretrain: MAE or DINO pre-training from a recipe. */
#include <stdio.h>

#include "commands/command.h"
#include "commands/recipe_args.h"
#include "pretrain/pretrain.h"
#include "run/recipe_encoder.h"
#include "training/ranks.h"

static const char doc[] =
    "Pre-trains an encoder on a prepared dataset (headct prepare, headct split) by masked autoencoding (method: mae) "
    "or self-distillation\n(method: dino).\n\n"
    "The run's folder gets recipe.yaml, metrics.jsonl, TensorBoard events, checkpoints/last.safetensors after every "
    "epoch (and every "
    "train.checkpoint_every steps), checkpoints/best.safetensors by validation loss (MAE), and weights.safetensors at "
    "the end (DINO: the teacher's encoder). SIGTERM, SIGINT or SIGUSR1 "
    "write a checkpoint within a step and end with status 75; --resume continues bit for bit.\n\n"
    "--weights goes on from an encoder (imported, or of another run): its sizes and windows are taken, the decoder or "
    "the "
    "head begins anew, and the new weights name it as their parent. --resume --fork NEWRUN goes on from a run's last "
    "checkpoint in a folder of its own, with keys changed by --set: more epochs, another rate.\n\n"
    "Under mpirun or srun the ranks train one model: each takes optim.batch scans at once, gradients are averaged, "
    "rank 0 writes. A run that some number of ranks began goes on with another, as far as they can share a step "
    "evenly.\v"
    "Examples:\n"
    "  headct pretrain --recipe recipes/mae.yaml --data data --run runs/mae\n"
    "  headct pretrain --recipe recipes/demo.yaml --data data --run runs/small --set optim.epochs=10 --seed 3\n"
    "  headct pretrain --recipe recipes/dino.yaml --data data --run runs/dino\n"
    "  headct pretrain --recipe recipes/mae.yaml --data data --fraction 0.1 --run runs/tenth\n"
    "  headct pretrain --recipe mae --weights fm-ct.safetensors --data data --run runs/ours\n"
    "  headct pretrain --run runs/mae --resume\n"
    "  headct pretrain --run runs/mae --resume --fork runs/longer --set optim.epochs=800\n"
    "  mpirun -np 4 headct pretrain --recipe recipes/dino.yaml --data data --run runs/dino";

typedef struct settings {
    recipe_args common;
    const char *fraction, *weights, *fork;
} settings;

enum { OPT_FRACTION = 256, OPT_FORK };

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "go on from this encoder; same as --set model.weights=FILE", 0},
    {"fork", OPT_FORK, "NEWRUN", 0, "with --resume: leave --run as it is, and go on in this folder", 0},
    {"fraction", OPT_FRACTION, "SHARE", 0,
     "share of the training split's patients, as 0.1; same as --set data.fraction=SHARE. Smaller shares lie within "
     "larger ones of the same seed",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    recipe_args *a = &s->common;
    switch (key) {
    case 'w': s->weights = arg; break;
    case OPT_FORK: s->fork = arg; break;
    case OPT_FRACTION: s->fraction = arg; break;
    case ARGP_KEY_INIT: state->child_inputs[0] = a; break;
    case ARGP_KEY_END:
        recipe_args_need(state, a, 1);
        if (a->resume && s->fraction)
            argp_error(state, "--resume takes the recipe that lies in --run; leave --fraction out");
        if (a->resume && s->weights) argp_error(state, "--resume goes on from a checkpoint; leave --weights out");
        if (s->fork && !a->resume) argp_error(state, "--fork NEWRUN goes with --run RUN --resume");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_pretrain(int argc, char **argv) {
    settings s = {0};
    const struct argp_child children[] = {{&recipe_resume_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --run DIR", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    const recipe_args a = s.common;
    const hct_comm *comm;
    hct_status st = hct_comm_open(&comm, &err);
    if (st == HCT_OK) st = recipe_from_args(&a, &r, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "data.fraction", s.fraction, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "model.weights", s.weights, &err);
    /* a resumed run's recipe stays as it is */
    if (st == HCT_OK && recipe_pretrains(&r) && !a.resume) st = recipe_take_encoder(&r, &err);
    const pretrain_options o = {.run = s.fork ? s.fork : a.run,
                                .resume = a.resume && !s.fork,
                                .fork_of = s.fork ? a.run : NULL,
                                .progress = a.quiet ? NULL : stderr};
    if (st == HCT_OK) st = pretrain_run(&r, &o, &err);
    int first = ranks_mine() == 0, status = EXIT_STOPPED;
    if (st < 0 && st != HCT_EINTERRUPTED) ranks_fail(argv[0], &err), status = EXIT_ERROR;
    else if (first) status = command_end(argv[0], st, &err);
    else if (st == HCT_OK) status = EXIT_OK;
    if (st == HCT_OK && first) printf("%s/weights.safetensors\n", o.run);
    hct_comm_close();
    recipe_args_free(&s.common);
    return status;
}
