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
    "  list DATASET         one row a scan, as a CSV: patient, split, labels, tags, warnings\n"
    "  remove DATASET ID    takes a scan out of the dataset; its source is not touched\n"
    "  info DATASET         counts: scans, patients, splits, labels, files, reasons, warnings\v"
    "Examples:\n"
    "  headct dataset info data\n"
    "  headct dataset why data CD1/S2010\n"
    "  headct dataset list data --out scans.csv\n"
    "  headct dataset refused data --out refused.csv";

static const struct argp_option options[] = {
    {"out", 'o', "FILE", 0, "write there instead of to standard output", 0},
    {"csv", 256, NULL, 0, "refused: a CSV (which it is in any case)", 0},
    {0},
};

static const struct {
    const char *name;
    bool takes_name;
    hct_status (*tell)(dataset_index *, text_buffer *, hct_err *);
} verbs[] = {{"why", true, NULL},         {"remove", true, NULL},
             {"list", false, story_list}, {"refused", false, story_refused},
             {"info", false, story_info}, {NULL, false, NULL}};

typedef struct settings {
    const char *verb, *folder, *name, *out;
    size_t at; /* of verbs */
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
        if (!s->verb) argp_error(state, "what is wanted: why, list, refused, info or remove?");
        while (verbs[s->at].name && strcmp(s->verb, verbs[s->at].name) != 0) s->at++;
        if (!verbs[s->at].name) argp_error(state, "'%s': why, list, refused, info or remove is needed", s->verb);
        if (!s->folder) argp_error(state, "DATASET is missing");
        if (verbs[s->at].takes_name != !!s->name)
            argp_error(state, s->name ? "'%s' takes no NAME" : "'%s': NAME is missing: a scan's ID, or a path",
                       s->verb);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_dataset(int argc, char **argv) {
    settings s = {0};
    const struct argp argp = {options, parse, "why DATASET NAME\nlist|refused|info DATASET\nremove DATASET ID",
                              doc,     NULL,  NULL,
                              NULL};
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
    if (st == HCT_OK && verbs[s.at].tell) st = verbs[s.at].tell(&ix, &text, &err);
    else if (st == HCT_OK && !strcmp(s.verb, "why")) st = story_why(&ix, s.name, &text, &err);
    else if (st == HCT_OK) st = story_remove(&ix, s.folder, s.name, &err);
    if (st == HCT_OK && s.out) st = text_save(&text, s.out, &err);
    const char *all = st == HCT_OK && !s.out ? text_get(&text, "the answer", &err) : NULL;
    if (st == HCT_OK && !s.out && !all) st = HCT_ENOMEM;
    if (all) fputs(all, stdout);
    text_free(&text);
    index_close(&ix);
    return command_end(argv[0], st, &err);
}
