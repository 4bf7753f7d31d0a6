/* headct qc: a page to look at a dataset. */
#include <stdio.h>

#include "commands/command.h"
#include "qc/qc.h"

static const char doc[] =
    "Writes DATASET/qc.html: three planes of each scan in the soft-tissue window, with what was found on it, and what "
    "was "
    "left out with its reason; to be sorted by warning, thickness or age. headct prepare writes it too; this brings it "
    "up to date, after shards or a merge.\v"
    "Example:\n"
    "  headct qc data";

static const struct argp_option options[] = {
    {"quiet", 'q', NULL, 0, "no progress line", 0},
    {0},
};

typedef struct settings {
    const char *folder;
    int quiet;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case 'q': s->quiet = 1; break;
    case ARGP_KEY_ARG:
        if (s->folder) return ARGP_ERR_UNKNOWN;
        s->folder = arg;
        break;
    case ARGP_KEY_END:
        if (!s->folder) argp_error(state, "DATASET is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_qc(int argc, char **argv) {
    settings s = {0};
    const struct argp argp = {options, parse, "DATASET", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    hct_status st = qc_page(s.folder, s.quiet ? NULL : stderr, &err);
    if (st == HCT_OK) printf("%s/qc.html\n", s.folder);
    return command_end(argv[0], st, &err);
}
