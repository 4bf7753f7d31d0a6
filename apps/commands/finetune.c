/* headct finetune: training an encoder and its heads for labels. */
#include <stdio.h>

#include "commands/command.h"
#include "commands/recipe_args.h"
#include "finetune/finetune_run.h"
#include "run/recipe_encoder.h"

static const char doc[] =
    "Fine-tunes the encoder of --weights, with a new head on it, for the tasks (labels) of a prepared dataset, and "
    "evaluates it on the test split.\n\n"
    "By default each task gets a model of its own, in RUN/TASK: weights.safetensors (for headct predict), "
    "metrics.jsonl, checkpoints, predictions.csv "
    "of the validation and test scans, metrics and ROC figures; RUN itself gets the predictions, metrics and figures "
    "of all. --tasks all trains one "
    "encoder with a head a task; scans without a label of some task then count for the others only. The epoch with the "
    "best validation AUC is kept. "
    "Section finetune of the recipe chooses what of the encoder is trained (all, nothing, low-rank additions), its "
    "learning rate beside the head's, "
    "layer-wise decay of it, and drop-path; finetune.init=random trains from scratch.\n\n"
    "SIGTERM, SIGINT or SIGUSR1 write a checkpoint within a step and end with status 75; --resume continues bit for "
    "bit, and leaves finished tasks alone.\v"
    "Examples:\n"
    "  headct finetune --recipe recipes/finetune.yaml --data data --weights runs/mae/weights.safetensors --run "
    "runs/finetune\n"
    "  headct finetune --recipe recipes/finetune.yaml --data data --weights runs/mae/weights.safetensors --task IPH "
    "--run runs/iph --set finetune.backbone=lora\n"
    "  headct finetune --recipe recipes/finetune.yaml --data data --set finetune.init=random --run runs/scratch\n"
    "  headct finetune --run runs/finetune --resume";

enum { OPT_TASKS = 256 };

typedef struct settings {
    recipe_args common;
    const char *weights, *task, *tasks;
} settings;

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "same as --set finetune.weights=FILE", 0},
    {"task", 't', "A,B,...", 0, "only these labels; same as --set data.tasks=A,B,...", 0},
    {"tasks", OPT_TASKS, "each|all", 0,
     "a model for each task, or one with a head a task; same as --set finetune.tasks=each|all", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case 'w': s->weights = arg; break;
    case 't': s->task = arg; break;
    case OPT_TASKS: s->tasks = arg; break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END: recipe_args_need(state, &s->common, 1); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_finetune(int argc, char **argv) {
    settings s = {0};
    const struct argp_child children[] = {{&recipe_resume_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --weights FILE --run DIR", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "finetune.weights", s.weights, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "data.tasks", s.task, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "finetune.tasks", s.tasks, &err);
    if (st == HCT_OK && !recipe_finetunes(&r))
        st =
            hct_fail(&err, HCT_EINVAL, "the recipe's method is not finetune; see 'headct pretrain' and 'headct probe'");
    /* a resumed run's recipe stays as it is */
    if (st == HCT_OK && !s.common.resume) st = recipe_take_encoder(&r, &err);
    finetune_run_options o = {
        .run = s.common.run, .resume = s.common.resume, .progress = s.common.quiet ? NULL : stderr, .table = stdout};
    if (st == HCT_OK) st = finetune_run(&r, &o, &err);
    recipe_args_free(&s.common);
    return command_end(argv[0], st, &err);
}
