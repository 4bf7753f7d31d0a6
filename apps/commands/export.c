/* headct export: weights for others. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/command.h"
#include "weights/export.h"

static const char doc[] =
    "Writes weights, or a checkpoint's weights without its optimiser state, under the paper's key names: as "
    "safetensors that any reader loads, or as a "
    "file that torch.load(FILE, weights_only=True) reads, whose 'state_dict' holds the tensors, or (of a vision "
    "transformer) as an ONNX graph, opset 17, with a dynamic batch: embedding, and a classifier's probabilities, of "
    "ready inputs or with --input volume of prepared volumes. Low-rank additions "
    "(LoRA) are merged. Of a DINO checkpoint the "
    "encoder of the teacher is written, the moving average (EMA) of the student, which DINO's authors use, or with "
    "--which student the student's. --card "
    "writes a model card: sizes, recipe, data counts, training and metrics, as far as the run's folder and its dataset "
    "have them.\v"
    "Examples:\n"
    "  headct export --weights runs/mae/weights.safetensors --format pth --out mae.pth --card mae.md\n"
    "  headct export --weights runs/probe/weights.safetensors --format safetensors --out probe.safetensors\n"
    "  headct export --weights runs/probe/weights.safetensors --format onnx --input volume --out probe.onnx\n"
    "  headct export --weights runs/dino/checkpoints/last.safetensors --which student --out student.safetensors";

enum { OPT_WEIGHTS = 'w', OPT_FORMAT = 256, OPT_OUT = 'o', OPT_CARD = 'c', OPT_RUN = 257, OPT_WHICH = 258, OPT_INPUT };

static const struct argp_option options[] = {
    {"weights", OPT_WEIGHTS, "FILE", 0, "weights that headct wrote", 0},
    {"format", OPT_FORMAT, "NAME", 0, "safetensors (default), pth or onnx", 0},
    {"input", OPT_INPUT, "NAME", 0,
     "of onnx: ready (default; windows cut and resized, float) or volume (a prepared 224^3 volume, int16 HU)", 0},
    {"which", OPT_WHICH, "NAME", 0, "of a DINO checkpoint: teacher (default; ema is another name for it) or student",
     0},
    {"out", OPT_OUT, "FILE", 0, "the file to write", 0},
    {"card", OPT_CARD, "FILE", 0, "model card in Markdown to write", 0},
    {"run", OPT_RUN, "RUN", 0,
     "run folder that the card quotes (default: the folder of --weights, or above it where that is checkpoints)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    export_options *o = state->input;
    switch (key) {
    case OPT_WEIGHTS: o->weights = arg; break;
    case OPT_FORMAT:
        o->format = !strcmp(arg, "pth") ? EXPORT_TORCH : !strcmp(arg, "onnx") ? EXPORT_ONNX : EXPORT_SAFETENSORS;
        if (o->format == EXPORT_SAFETENSORS && strcmp(arg, "safetensors") != 0)
            argp_error(state, "--format %s: safetensors, pth or onnx is needed", arg);
        break;
    case OPT_INPUT:
        o->from_volume = !strcmp(arg, "volume");
        if (!o->from_volume && strcmp(arg, "ready") != 0) argp_error(state, "--input %s: ready or volume", arg);
        break;
    case OPT_WHICH:
        o->which = !strcmp(arg, "student")                          ? EXPORT_STUDENT
                   : !strcmp(arg, "teacher") || !strcmp(arg, "ema") ? EXPORT_TEACHER
                                                                    : EXPORT_ALL;
        if (o->which == EXPORT_ALL) argp_error(state, "--which %s: student, teacher or ema is needed", arg);
        break;
    case OPT_OUT: o->out = arg; break;
    case OPT_CARD: o->card = arg; break;
    case OPT_RUN: o->run = arg; break;
    case ARGP_KEY_END:
        if (!o->weights) argp_error(state, "--weights FILE is missing");
        if (!o->out) argp_error(state, "--out FILE is missing");
        if (o->from_volume && o->format != EXPORT_ONNX) argp_error(state, "--input belongs to --format onnx");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_export(int argc, char **argv) {
    export_options o = {0};
    const struct argp argp = {options, parse, "--weights FILE --out FILE", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0, ""};
    hct_status st = export_run(&o, &err);
    if (st == HCT_OK) printf("%s\n", o.out);
    return command_end(argv[0], st, &err);
}
