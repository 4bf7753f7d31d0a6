/* headct sweep: a grid of probes or fine-tunings, one process a point, the best by validation. */
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "commands/recipe_args.h"
#include "hct/log.h"
#include "run/recipe_encoder.h"
#include "support/text.h"
#include "sweep/sweep.h"

static const char doc[] =
    "Trains a probe, or fine-tunes, as the recipe's method says, for every point of a grid over learning rate, weight "
    "decay, epochs and optimiser, each in a "
    "process and a folder of its own (RUN/point-000, ...), and chooses by the macro AUC of the validation split alone. "
    "Start the same command again to resume, "
    "with or without --resume: a point whose folder is complete is not run again, a fine-tuning that was cut off goes "
    "on from its checkpoint. Each task of a "
    "Slurm array takes its --index or --shard. RUN/sweep.csv lists the points that are done, RUN/best.yaml is the best "
    "one's recipe once all are; where each "
    "task has a model of its own, RUN/best-TASK.yaml that of the task's best point.\n\n"
    "--lr is optim.lr: the rate of a probe, or of the heads in fine-tuning, where finetune.backbone_lr is the "
    "encoder's; with 0 there, as recipes/scratch.yaml "
    "has it, the whole network takes it.\v"
    "Examples:\n"
    "  headct sweep --recipe recipes/scratch.yaml --data data --set data.tasks=IPH --run runs/scratch\n"
    "  headct sweep --recipe recipes/probe.yaml --data data --set probe.weights=w.safetensors --run runs/sweep --jobs "
    "2\n"
    "  headct sweep --recipe recipes/probe.yaml --data data --run runs/sweep --lr 1e-3,1e-4 --epochs 10 --shard "
    "$SLURM_ARRAY_TASK_ID/8      (sbatch --array=1-8)";

enum { OPT_JOBS = 'j', OPT_INDEX = 256, OPT_SHARD, OPT_AXIS };

static const struct argp_option options[] = {
    {"lr", OPT_AXIS, "A,B,...", 0, "learning rates (default 1e-3,1e-4,1e-5)", 0},
    {"wd", OPT_AXIS + 1, "A,B,...", 0, "weight decays (default 0.01,0.05,1e-4,1e-5)", 0},
    {"epochs", OPT_AXIS + 2, "A,B,...", 0, "epochs (default 10,15,30,50)", 0},
    {"optimizer", OPT_AXIS + 3, "A,B,...", 0, "optimisers (default sgd,adam,adamw)", 0},
    {"jobs", OPT_JOBS, "N", 0, "processes at once (default 1)", 0},
    {"index", OPT_INDEX, "I", 0, "this point alone, from 0", 0},
    {"shard", OPT_SHARD, "I/N", 0, "only every N-th point, from the I-th on (I from 1)", 0},
    {0},
};

typedef struct settings {
    recipe_args common;
    sweep_options o;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    if (key >= OPT_AXIS && key < OPT_AXIS + SWEEP_AXES) {
        if (!sweep_set_axis(&s->o, key - OPT_AXIS, arg))
            argp_error(state, "--%s %s: 1 to %d values with commas are needed", sweep_axes[key - OPT_AXIS].option, arg,
                       SWEEP_VALUES);
        return 0;
    }
    switch (key) {
    case OPT_JOBS: s->o.jobs = argument_whole(state, "jobs", arg, 1, 1024); break;
    case OPT_INDEX:
        if (!text_int64(arg, &s->o.first) || s->o.first < 0)
            argp_error(state, "--index %s: a whole number of 0 or more is needed", arg);
        s->o.step = 0;
        break;
    case OPT_SHARD: argument_shard(state, arg, &s->o.first, &s->o.step); break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END:
        recipe_args_need(state, &s->common, 0);
        s->common.resume = 0; /* a sweep goes on by itself, by the recipe it is given */
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_sweep(int argc, char **argv) {
    settings s = {.o = sweep_default()};
    const struct argp_child children[] = {{&recipe_resume_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --run DIR", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    size_t failed = 0;
    s.o.run = s.common.run;
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK) st = recipe_take_encoder(&r, &err);
    if (st == HCT_OK) st = sweep_run(&s.o, &r, stdout, &failed, &err);
    int status = command_end(argv[0], st, &err);
    if (failed)
        hct_log(HCT_LOG_WARNING, "headct sweep: %zu points failed; each said why above. Run the same command again",
                failed);
    recipe_args_free(&s.common);
    return status == EXIT_OK && failed ? EXIT_ERROR : status;
}
