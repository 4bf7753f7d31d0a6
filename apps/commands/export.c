/* headct export: weights for others. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/command.h"
#include "weights/export.h"

static const char doc[] =
    "Writes weights, or a checkpoint's weights without its optimiser state, under the paper's key names: as safetensors that any reader loads, or as a "
    "file that torch.load(FILE, weights_only=True) reads, whose 'state_dict' holds the tensors. --card writes a model card: sizes, recipe, data counts and "
    "metrics, as far as the run's folder has them.\v"
    "Examples:\n"
    "  headct export --weights runs/mae/weights.safetensors --format pth --out mae.pth --card mae.md\n"
    "  headct export --weights runs/probe/weights.safetensors --format safetensors --out probe.safetensors";

enum { OPT_WEIGHTS = 'w', OPT_FORMAT = 'f', OPT_OUT = 'o', OPT_CARD = 'c', OPT_RUN = 'r' };

static const struct argp_option options[] = {
    {"weights", OPT_WEIGHTS, "FILE", 0, "weights that headct wrote", 0},
    {"format", OPT_FORMAT, "NAME", 0, "safetensors (default) or pth", 0},
    {"out", OPT_OUT, "FILE", 0, "the file to write", 0},
    {"card", OPT_CARD, "FILE", 0, "model card in Markdown to write", 0},
    {"run", OPT_RUN, "RUN", 0, "run folder that the card quotes (default: the folder of --weights)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    export_options *o = state->input;
    switch (key) {
    case OPT_WEIGHTS: o->weights = arg; break;
    case OPT_FORMAT:
        if (strcmp(arg, "pth") != 0 && strcmp(arg, "safetensors") != 0) argp_error(state, "--format %s: safetensors or pth is needed", arg);
        o->torch = !strcmp(arg, "pth");
        break;
    case OPT_OUT: o->out = arg; break;
    case OPT_CARD: o->card = arg; break;
    case OPT_RUN: o->run = arg; break;
    case ARGP_KEY_END:
        if (!o->weights) argp_error(state, "--weights FILE is missing");
        if (!o->out) argp_error(state, "--out FILE is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_export(int argc, char **argv) {
    export_options o = {0};
    const struct argp argp = {options, parse, "--weights FILE --out FILE", doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    hct_err err = {0, ""};
    hct_status st = export_run(&o, &err);
    if (st < 0) fprintf(stderr, "headct export: %s\n", err.msg);
    else printf("%s\n", o.out);
    return st < 0 ? EXIT_ERROR : EXIT_OK;
}
