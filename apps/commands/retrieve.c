/* headct retrieve: the scans nearest to a scan. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "explain/retrieve.h"

static const char doc[] =
    "The scans whose embeddings are nearest to a query's, by cosine similarity; with --labels also the mean average "
    "precision of each label: whether scans that have it find others that have it.\v"
    "Every scan of EMBEDDINGS is a query, or those of --queries. A query does not find itself, nor other scans of its "
    "patient unless --same-patient says so. Beside the mean average precision stands what chance would give: the share "
    "of scans that have the label.\n\n"
    "With --out: neighbours.csv, and with --labels retrieval.csv.\n\n"
    "Examples:\n"
    "  headct retrieve e.safetensors --query scan-17 --neighbours 5\n"
    "  headct retrieve train.safetensors --queries test.safetensors --labels data --out found";

enum {
    OPT_LABELS = 'l',
    OPT_OUT = 'o',
    OPT_SEED = 'S',
    OPT_QUERY = 256,
    OPT_QUERIES,
    OPT_K,
    OPT_SAME,
    OPT_BOOTSTRAP,
    OPT_THREADS
};

static const struct argp_option options[] = {
    {"query", OPT_QUERY, "SCAN", 0, "print and list the neighbours of this scan alone; may be given several times", 0},
    {"queries", OPT_QUERIES, "FILE", 0, "embeddings of the queries (default: EMBEDDINGS themselves)", 0},
    {"neighbours", OPT_K, "N", 0, "how many are listed (default 10)", 0},
    {"labels", OPT_LABELS, "FILE|DATASET", 0, "labels for the mean average precision", 0},
    {"same-patient", OPT_SAME, NULL, 0, "scans of a query's own patient are found, too", 0},
    {"bootstrap", OPT_BOOTSTRAP, "N", 0, "resamples of the queries (default 1000)", 0},
    {"seed", OPT_SEED, "S", 0, "of these (default 0)", 0},
    {"threads", OPT_THREADS, "N", 0, "they change no number (default: one a CPU)", 0},
    {"out", OPT_OUT, "DIR", 0, "write tables there", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    retrieve_options *s = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (s->embeddings) argp_error(state, "one file of embeddings is needed, not several; see --queries");
        s->embeddings = arg;
        break;
    case OPT_QUERY:
        if (s->n_query == RETRIEVE_QUERIES) argp_error(state, "more than %d --query", RETRIEVE_QUERIES);
        s->query[s->n_query++] = arg;
        break;
    case OPT_QUERIES: s->queries = arg; break;
    case OPT_K: s->k = argument_whole(state, "neighbours", arg, 1, 1000); break;
    case OPT_LABELS: s->labels = arg; break;
    case OPT_SAME: s->same_patient = 1; break;
    case OPT_BOOTSTRAP: s->resamples = argument_whole(state, "bootstrap", arg, 0, 1000000); break;
    case OPT_SEED: s->seed = argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case OPT_THREADS: s->threads = argument_whole(state, "threads", arg, 1, 1024); break;
    case OPT_OUT: s->out = arg; break;
    case ARGP_KEY_END:
        if (!s->embeddings) argp_error(state, "EMBEDDINGS is missing");
        if (!s->out && !s->labels && !s->n_query)
            argp_error(state, "nothing to show: --query SCAN, --labels FILE or --out DIR is needed");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_retrieve(int argc, char **argv) {
    retrieve_options o = {.k = 10, .resamples = 1000};
    const struct argp argp = {options, parse, "EMBEDDINGS", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0, ""};
    return command_end(argv[0], retrieve_run(&o, stdout, &err), &err);
}
