/* headct project: embeddings on a plane. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "explain/project.h"
#include "support/stop.h"
#include "support/text.h"

static const char doc[] =
    "Puts embeddings on a plane, by t-SNE (over all pairs; of more than 5000 scans by Barnes-Hut on 50 principal "
    "components) and by principal components, and draws "
    "them "
    "coloured by labels (positives against all others) and by groups.\v"
    "EMBEDDINGS is a file of headct embed, or made elsewhere: safetensors, .npy, .npz, CSV, JSON lines.\n\n"
    "Distances and sizes of clusters in a t-SNE picture mean little: it shows who is near whom. It starts from the "
    "principal components, so that the same file gives the same picture.\n\n"
    "Writes OUT/projection.csv (scan, patient, split, pca_1, pca_2, tsne_1, tsne_2, labels, groups) and "
    "OUT/figures/project_NAME.svg.\n\n"
    "Examples:\n"
    "  headct embed --weights runs/mae/weights.safetensors --data data --out e.safetensors\n"
    "  headct project e.safetensors --labels data --out plane\n"
    "  headct project e.safetensors --colour thickness:0.5-1-3-5 --colour manufacturer --groups scans.csv --out plane";

enum {
    OPT_LABELS = 'l',
    OPT_OUT = 'o',
    OPT_SPLIT = 256,
    OPT_EMBEDDING_IDS,
    OPT_COLOUR,
    OPT_GROUPS,
    OPT_METHOD,
    OPT_PERPLEXITY,
    OPT_STEPS,
    OPT_THREADS
};

static const struct argp_option options[] = {
    {"out", OPT_OUT, "DIR", 0, "where table and figures go", 0},
    {"labels", OPT_LABELS, "FILE|DATASET", 0, "a figure for each of these labels", 0},
    {"embedding-ids", OPT_EMBEDDING_IDS, "FILE", 0,
     "the scans' ids in the order of the rows, where EMBEDDINGS has none (default: EMBEDDINGS.ids)", 0},
    {"split", OPT_SPLIT, "NAME", 0, "only scans of this split (default: all)", 0},
    {"colour", OPT_COLOUR, "COLUMN[:A-B-C]", 0,
     "a figure coloured by a column of --groups, numbers cut at edges; may be given several times", 0},
    {"groups", OPT_GROUPS, "FILE|DATASET", 0, "a CSV with a column scan, or the tags of a dataset", 0},
    {"method", OPT_METHOD, "tsne|tree|pca", 0,
     "pca: principal components alone; tree: t-SNE by Barnes-Hut of few scans too (default tsne)", 0},
    {"perplexity", OPT_PERPLEXITY, "P", 0, "about how many neighbours each scan has (default 30)", 0},
    {"steps", OPT_STEPS, "N", 0, "of t-SNE (default 1000)", 0},
    {"threads", OPT_THREADS, "N", 0, "they change no number (default: one a CPU)", 0},
    {"quiet", 'q', NULL, 0, "no progress", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    project_options *s = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (s->embeddings) argp_error(state, "one file of embeddings is needed, not several");
        s->embeddings = arg;
        break;
    case OPT_OUT: s->out = arg; break;
    case OPT_LABELS: s->labels = arg; break;
    case OPT_EMBEDDING_IDS: s->embedding_ids = arg; break;
    case OPT_SPLIT: s->split = strcmp(arg, "all") ? arg : NULL; break;
    case OPT_COLOUR:
        if (s->n_colours == PROJECT_COLOURS) argp_error(state, "more than %d --colour", PROJECT_COLOURS);
        s->colour[s->n_colours++] = arg;
        break;
    case OPT_GROUPS: s->groups = arg; break;
    case OPT_METHOD:
        s->pca_only = !strcmp(arg, "pca");
        s->tree = !strcmp(arg, "tree");
        if (!s->pca_only && !s->tree && strcmp(arg, "tsne") != 0)
            argp_error(state, "--method %s: tsne, tree or pca", arg);
        break;
    case OPT_PERPLEXITY:
        if (!text_double(arg, &s->perplexity) || !(s->perplexity > 1 && s->perplexity < 1e6))
            argp_error(state, "--perplexity %s: a number above 1 is needed", arg);
        break;
    case OPT_STEPS: s->iterations = argument_whole(state, "steps", arg, 1, 1000000); break;
    case OPT_THREADS: s->threads = argument_whole(state, "threads", arg, 1, 1024); break;
    case 'q': s->progress = NULL; break;
    case ARGP_KEY_END:
        if (!s->embeddings) argp_error(state, "EMBEDDINGS is missing");
        if (!s->out) argp_error(state, "--out DIR is missing");
        if (s->n_colours && !s->groups) argp_error(state, "--colour needs --groups FILE or DATASET");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_project(int argc, char **argv) {
    project_options o = {.perplexity = 30, .iterations = 1000, .progress = stderr};
    const struct argp argp = {options, parse, "EMBEDDINGS --out DIR", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0, ""};
    stop_listen();
    return command_end(argv[0], project_run(&o, stdout, &err), &err);
}
