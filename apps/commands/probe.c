/* headct probe: linear and attentive probing of frozen features. */
#include <stdio.h>

#include "commands/command.h"
#include "commands/recipe_args.h"
#include "probe/probe_run.h"
#include "run/recipe_encoder.h"

static const char doc[] =
    "Trains a probe for every task (label) of a prepared dataset on frozen features, and evaluates it on the test "
    "part.\n\n"
    "A linear probe (--kind linear, the default) takes the class tokens of --weights, an attentive one (--kind "
    "attentive) attends over all tokens with a learned "
    "query, mil weighs them by gated attention (AB-MIL); those of all scans are kept in memory. With --set "
    "probe.features=random those of a random encoder of the "
    "same sizes, with "
    "--set probe.features=histogram a histogram of the input's voxels, with --embeddings FILE those that another "
    "program made; they are joined to the "
    "dataset's scans by id (.nii and .nii.gz are ignored), scans without one and those of no scan are left out and "
    "listed in left_out.csv. The epoch with the best validation AUC is kept. "
    "--protocol says how a linear head is found: paper (the recipe's optimiser), logistic (L2-regularised logistic "
    "regression to convergence, scikit-learn's objective, C by validation AUC or probe.c), cvpr26 (the grid of 104 "
    "heads of the CVPR 2026 challenge). "
    "A label of one class in the training split is left out, unless the recipe names it. The run's folder gets "
    "predictions.csv, weights.safetensors (encoder and heads, for headct predict; not with histograms and "
    "--embeddings: "
    "there is no encoder that predict could run, the heads are in checkpoints/), metrics.json, metrics.csv and ROC "
    "figures.\v"
    "Examples:\n"
    "  headct probe --recipe recipes/probe.yaml --data data --weights runs/mae/weights.safetensors --run runs/probe\n"
    "  headct probe --recipe recipes/probe.yaml --data data --weights runs/mae/weights.safetensors --set "
    "probe.features=random --run runs/random\n"
    "  headct probe --recipe recipes/probe.yaml --kind attentive --data data --weights runs/mae/weights.safetensors "
    "--run runs/attentive\n"
    "  headct probe --recipe recipes/probe.yaml --data data --embeddings google.jsonl --run runs/google\n"
    "  headct probe --recipe recipes/probe.yaml --data data --embeddings google.jsonl --protocol logistic --run "
    "runs/google-lr";

typedef struct settings {
    recipe_args common;
    const char *weights, *kind, *protocol;
} settings;

enum { OPT_KIND = 256, OPT_PROTOCOL };

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "same as --set probe.weights=FILE", 0},
    {"kind", OPT_KIND, "KIND", 0, "linear, attentive or mil; same as --set probe.kind=KIND", 0},
    {"protocol", OPT_PROTOCOL, "NAME", 0,
     "paper, logistic (to convergence, C by validation) or cvpr26 (a grid of 104 heads); same as --set "
     "probe.protocol=NAME",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case 'w': s->weights = arg; break;
    case OPT_KIND: s->kind = arg; break;
    case OPT_PROTOCOL: s->protocol = arg; break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END: recipe_args_need(state, &s->common, 1); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_probe(int argc, char **argv) {
    settings s = {0};
    const struct argp_child children[] = {{&recipe_embeddings_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --run DIR", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "probe.weights", s.weights, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "probe.kind", s.kind, &err);
    if (st == HCT_OK) st = recipe_set_key(&r, "probe.protocol", s.protocol, &err);
    if (st == HCT_OK) st = recipe_check(&r, &err);
    if (st == HCT_OK && !recipe_probes(&r))
        st = hct_fail(&err, HCT_EINVAL, "the recipe's method is not probe; see 'headct pretrain'");
    if (st == HCT_OK) st = recipe_take_encoder(&r, &err);
    if (st == HCT_OK)
        st = probe_run(&r,
                       &(probe_options){.run = s.common.run,
                                        .resume = s.common.resume,
                                        .progress = s.common.quiet ? NULL : stderr,
                                        .table = stdout},
                       &err);
    recipe_args_free(&s.common);
    return command_end(argv[0], st, &err);
}
