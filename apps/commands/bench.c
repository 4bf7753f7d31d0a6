/* headct bench: how fast, and in how much memory, a model runs here. */
#include <argp.h>

#include "commands/command.h"
#include "planning/timing.h"
#include "support/text.h"

static const char doc[] =
    "Times the forward pass and the training step (MAE; DINO with --recipe of one) of a model on made-up data, after "
    "planning them: memory predicted and measured, "
    "floating-point operations, rate, allocations made while steps run.\v"
    "Allocations on the host (malloc, mmap and their kin) are counted where BUILD/tests/support/count_allocations.so "
    "is preloaded.\n\n"
    "Examples:\n"
    "  headct bench --model vit-b12 --batch 4\n"
    "  headct bench --recipe recipes/demo.yaml --profile\n"
    "  headct bench --model vit-b16 --forward --steps 10\n"
    "  headct bench --recipe recipes/dino.yaml --train --device cuda --precision bf16 --batch 64\n"
    "  headct bench --views views.safetensors --batch 8\n"
    "  headct bench --tune --device cuda --precision bf16 --batch 64";

enum { OPT_MODEL = 256, OPT_STEPS, OPT_PROFILE, OPT_FORWARD, OPT_TRAIN };

static const struct argp_option options[] = {
    {"model", OPT_MODEL, "NAME", 0, "vit-b12 (ViT-Base, patches of 12^3; default) or vit-b16", 0},
    {"recipe", 'r', "FILE", 0, "the model of a recipe instead", 0},
    {"batch", 'b', "N", 0, "scans of a batch (default: 4 forward, 1 training; with --recipe its own)", 0},
    {"steps", OPT_STEPS, "N", 0, "timed steps (default 5); two more run first, untimed", 0},
    {"device", 'D', "NAME", 0, "cpu, or another backend that 'headct backends' lists", 0},
    {"precision", 'P', "NAME", 0, "f32 or bf16 (train.precision)", 0},
    {"views", 'v', "FILE", 0,
     "time the making of DINO's views of --batch phantom scans instead, and write them to FILE (safetensors)", 0},
    {"tune", 'T', "N", OPTION_ARG_OPTIONAL,
     "find the fastest matrix products for this device, and keep them. CUDA: times cuBLASLt's algorithms for the "
     "model's products, seconds; OpenCL: runs "
     "CLBlast's tuners (Debian: clblast-utils), two to twenty minutes, or as long as one in N of their configurations "
     "takes (on a CPU 512 if not given)",
     0},
    {"profile", OPT_PROFILE, NULL, 0, "time by kernel of one more step", 0},
    {"forward", OPT_FORWARD, NULL, 0, "only the forward pass", 0},
    {"train", OPT_TRAIN, NULL, 0, "only the training step", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    timing_options *s = state->input;
    int64_t n;
    switch (key) {
    case OPT_MODEL: s->model = arg; break;
    case 'r': s->recipe_file = arg; break;
    case 'D': s->device = arg; break;
    case 'v': s->views = arg; break;
    case 'P': s->precision = arg; break;
    case 'T':
        s->tune = arg ? arg : "auto";
        if (arg && (!text_int64(arg, &n) || n < 1 || n > 1000000))
            argp_error(state, "--tune=%s: a whole number from 1 is needed", arg);
        break;
    case OPT_PROFILE: s->profile = 1; break;
    case OPT_FORWARD: s->forward_only = 1; break;
    case OPT_TRAIN: s->train_only = 1; break;
    case 'b':
        if (!text_int64(arg, &s->batch) || s->batch < 1 || s->batch > 4096)
            argp_error(state, "--batch %s: a whole number from 1 to 4096 is needed", arg);
        break;
    case OPT_STEPS:
        if (!text_int64(arg, &s->steps) || s->steps < 1 || s->steps > 100000)
            argp_error(state, "--steps %s: a whole number from 1 is needed", arg);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_bench(int argc, char **argv) {
    timing_options o = {.steps = 5, .out = stdout};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0, ""};
    return command_end(argv[0], timing_run(&o, &err), &err);
}
