/* headct dataset: what a dataset's index tells. */
#include <stdio.h>
#include <string.h>

#include "commands/command.h"
#include "dataset/story.h"

static const char doc[] =
    "Tells what the index of a dataset knows.\n\n"
    "  why DATASET NAME     the whole story of a scan (its ID), or of a file or folder (its path below what was given "
    "to "
    "headct prepare --in): what it became, every finding on it, its tags and labels\n"
    "  refused DATASET      what was left out, as a CSV: scan, place, kind, slices, reason, sentence\n"
    "  info DATASET         counts: scans, patients, splits, labels, files, reasons, warnings\v"
    "Examples:\n"
    "  headct dataset info data\n"
    "  headct dataset why data CD1/S2010\n"
    "  headct dataset refused data --out refused.csv";

static const struct argp_option options[] = {
    {"out", 'o', "FILE", 0, "write there instead of to standard output", 0},
    {"csv", 256, NULL, 0, "refused: a CSV (which it is in any case)", 0},
    {0},
};

typedef struct settings {
    const char *verb, *folder, *name, *out;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case 'o': s->out = arg; break;
    case 256: break;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) s->verb = arg;
        else if (state->arg_num == 1) s->folder = arg;
        else if (state->arg_num == 2) s->name = arg;
        else return ARGP_ERR_UNKNOWN;
        break;
    case ARGP_KEY_END:
        if (!s->verb) argp_error(state, "what is wanted: why, refused or info?");
        if (strcmp(s->verb, "why") != 0 && strcmp(s->verb, "refused") != 0 && strcmp(s->verb, "info") != 0)
            argp_error(state, "'%s': why, refused or info is needed", s->verb);
        if (!s->folder) argp_error(state, "DATASET is missing");
        if (!strcmp(s->verb, "why") != !!s->name)
            argp_error(state, s->name ? "only 'why' takes a NAME" : "NAME is missing: a scan's ID, or a path");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_dataset(int argc, char **argv) {
    settings s = {0};
    const struct argp argp = {options, parse, "why DATASET NAME\nrefused DATASET\ninfo DATASET", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    dataset_index ix = {0};
    text_buffer text = {0};
    hct_err err = {0};
    hct_status st = index_open(&ix, s.folder, 0, &err);
    if (st == HCT_OK && ix.version < 3)
        st =
            hct_fail(&err, HCT_EVERSION,
                     "%s: was made by an earlier headct, which kept less: run headct prepare again, which brings it up "
                     "to date",
                     ix.path);
    if (st == HCT_OK && !strcmp(s.verb, "why")) st = story_why(&ix, s.name, &text, &err);
    else if (st == HCT_OK && !strcmp(s.verb, "refused")) st = story_refused(&ix, &text, &err);
    else if (st == HCT_OK) st = story_info(&ix, &text, &err);
    if (st == HCT_OK && s.out) st = text_save(&text, s.out, &err);
    const char *all = st == HCT_OK && !s.out ? text_get(&text, "the answer", &err) : NULL;
    if (st == HCT_OK && !s.out && !all) st = HCT_ENOMEM;
    if (all) fputs(all, stdout);
    text_free(&text);
    index_close(&ix);
    return command_end(argv[0], st, &err);
}
