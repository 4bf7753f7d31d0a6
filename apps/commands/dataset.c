/* headct dataset: what a dataset's index tells. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/leaks.h"
#include "dataset/merge.h"
#include "dataset/story.h"
#include "hct/log.h"
#include "qc/qc.h"
#include "report/data_card.h"
#include "support/stop.h"

static const char doc[] =
    "Tells what the index of a dataset knows.\n\n"
    "  why DATASET NAME     the whole story of a scan (its ID), or of a file or folder (its path below what was given "
    "to "
    "headct prepare --in): what it became, every finding on it, its tags and labels\n"
    "  refused DATASET      what was left out, as a CSV: scan, place, kind, slices, reason, sentence\n"
    "  funnel DATASET       from what was found to what is kept and in each part, by reason, as a table; with --csv or "
    "--out a CSV\n"
    "  list DATASET         one row a scan, as a CSV: patient, split, labels, tags, warnings\n"
    "  remove DATASET ID    takes a scan out of the dataset; its source is not touched\n"
    "  check DATASET        looks for leaks: scans of two patients, in two parts, that are the same bytes, of one "
    "study, or "
    "the same scan in another file; a CSV of all such pairs with --out. Exit status 3 where there are any\n"
    "  merge INTO DATASET...   joins datasets that were prepared apart, of one key, preparation and filters (shards of "
    "one "
    "set on several machines, or sites): volumes (as hard links where the file system has them), index, labels, parts. "
    "INTO is made where it is missing; the others stay as they are. After a kill the same command finishes\n"
    "  evidence DATASET     the records behind labels of headct label, counted, as a CSV: label, what, records, scans\n"
    "  info DATASET         counts: scans, patients, splits, labels, files, reasons, warnings; with --figures DIR also "
    "prevalence.csv by label and split, demographics.csv of all and of each label's positives and negatives, tags.csv "
    "(manufacturers, thickness) and figures/prevalence.svg\v"
    "Examples:\n"
    "  headct dataset info data\n"
    "  headct dataset why data CD1/S2010\n"
    "  headct dataset list data --out scans.csv\n"
    "  headct dataset check data --out leaks.csv\n"
    "  headct dataset merge data shard1 shard2 shard3\n"
    "  headct dataset refused data --out refused.csv";

static const struct argp_option options[] = {
    {"out", 'o', "FILE", 0, "write there instead of to standard output", 0},
    {"figures", 257, "DIR", 0, "info: tables and a figure go there", 0},
    {"jobs", 'j', "J", 0, "check: threads (default: one a CPU)", 0},
    {"quiet", 'q', NULL, 0, "check, merge: no progress", 0},
    {"csv", 256, NULL, 0, "funnel: a CSV (what the others print is one in any case)", 0},
    {0},
};

static const struct {
    const char *name;
    bool takes_name;
    hct_status (*tell)(dataset_index *, text_buffer *, hct_err *);
} verbs[] = {{"why", true, NULL},         {"remove", true, NULL},
             {"list", false, story_list}, {"refused", false, story_refused},
             {"info", false, story_info}, {"evidence", false, story_evidence},
             {"check", false, NULL},      {"funnel", false, NULL},
             {"merge", true, NULL},       {NULL, false, NULL}};

typedef struct settings {
    const char *verb, *folder, *name, *out, *figures;
    const char **more; /* NAME and what follows it */
    size_t n_more;
    size_t at; /* of verbs */
    int jobs;
    bool quiet, csv;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case 'o': s->out = arg; break;
    case 256: s->csv = true; break;
    case 257: s->figures = arg; break;
    case 'j': s->jobs = (int)argument_whole(state, "jobs", arg, 1, 1024); break;
    case 'q': s->quiet = true; break;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) s->verb = arg;
        else if (state->arg_num == 1) s->folder = arg;
        else {
            if (state->arg_num == 2) s->name = arg;
            else if (strcmp(s->verb, "merge") != 0) return ARGP_ERR_UNKNOWN;
            s->more[s->n_more++] = arg;
        }
        break;
    case ARGP_KEY_END:
        if (!s->verb)
            argp_error(state, "what is wanted: why, list, refused, funnel, check, merge, evidence, info or remove?");
        while (verbs[s->at].name && strcmp(s->verb, verbs[s->at].name) != 0) s->at++;
        if (!verbs[s->at].name)
            argp_error(state, "'%s': why, list, refused, funnel, check, merge, evidence, info or remove is needed",
                       s->verb);
        if (!s->folder) argp_error(state, "DATASET is missing");
        if (s->figures && strcmp(s->verb, "info") != 0) argp_error(state, "--figures belongs to info");
        if (verbs[s->at].takes_name != !!s->name)
            argp_error(state,
                       s->name                         ? "'%s' takes no NAME"
                       : strcmp(s->verb, "merge") == 0 ? "'%s': the datasets to be joined are missing"
                                                       : "'%s': NAME is missing: a scan's ID, or a path",
                       s->verb);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What leaks there are, in words; *ret_found: any. */
static hct_status check_leaks(const settings *s, text_buffer *csv, bool *ret_found, hct_err *err) {
    static const char *const what[LEAK_KINDS] = {"the same bytes", "of the same study",
                                                 "the same scan in another file"};
    leaks_result r;
    stop_listen();
    hct_status st = leaks_find(s->folder, s->jobs, s->quiet ? NULL : stderr, csv, &r, err);
    if (st < 0) return st;
    for (int k = 0; k < LEAK_KINDS; k++) {
        printf("%-32s %8zu pairs in two %s", what[k], r.in_two[k], r.is_split ? "parts" : "patients");
        if (r.is_split) printf(", %zu of two patients in one", r.in_one[k]);
        printf("\n");
        *ret_found |= r.in_two[k] > 0;
    }
    printf("%zu scans compared%s\n", r.scans, r.is_split ? "" : "; the dataset is not split");
    if (r.without_part) printf("%zu scans are in no part: headct split --keep\n", r.without_part);
    fflush(stdout);
    if (*ret_found)
        hct_log(
            HCT_LOG_WARNING,
            "headct dataset: %s: scans that a model would learn by heart are in two %s: give both one patient in the "
            "table of labels, or remove one (headct dataset remove)%s",
            s->folder, r.is_split ? "parts" : "patients", s->out ? "" : "; --out FILE lists them");
    return st;
}

static hct_status merge(const settings *s, hct_err *err) {
    merge_result r;
    stop_listen();
    hct_status st = merge_datasets(s->folder, s->more, s->n_more, s->quiet ? NULL : stderr, &r, err);
    if (st == HCT_OK) st = qc_page(s->folder, NULL, err);
    if (st < 0) return st;
    printf("%s: %lld scans: %lld added, %lld there already; %lld files linked, %lld copied\n", s->folder,
           (long long)r.scans, (long long)r.added, (long long)r.known, (long long)r.linked, (long long)r.copied);
    if (r.without_split)
        hct_log(HCT_LOG_WARNING,
                "headct dataset: %lld scans are of patients without a split, and will not be trained on: headct split "
                "%s --keep deals these, and moves nobody",
                (long long)r.without_split, s->folder);
    return HCT_OK;
}

int command_dataset(int argc, char **argv) {
    settings s = {.more = calloc((size_t)argc, sizeof *s.more)};
    const struct argp argp = {options,
                              parse,
                              "why DATASET NAME\nlist|refused|funnel|check|evidence|info DATASET\nremove DATASET ID\n"
                              "merge INTO DATASET...",
                              doc,
                              NULL,
                              NULL,
                              NULL};
    hct_err failed = {0};
    if (!s.more)
        return command_end(argv[0], hct_fail(&failed, HCT_ENOMEM, "out of memory for %d arguments", argc), &failed);
    command_parse(&argp, argc, argv, &s);
    if (strcmp(s.verb, "merge") == 0) {
        hct_status merged = merge(&s, &failed);
        free(s.more);
        return command_end(argv[0], merged, &failed);
    }
    free(s.more);
    dataset_index ix = {0};
    text_buffer text = {0};
    bool leaks = false;
    hct_err err = {0};
    hct_status st = index_open(&ix, s.folder, 0, &err);
    if (st == HCT_OK && ix.version < 3 && strcmp(s.verb, "check") != 0)
        st =
            hct_fail(&err, HCT_EVERSION,
                     "%s: was made by an earlier headct, which kept less: run headct prepare again, which brings it up "
                     "to date",
                     ix.path);
    if (st == HCT_OK && verbs[s.at].tell) st = verbs[s.at].tell(&ix, &text, &err);
    else if (st == HCT_OK && !strcmp(s.verb, "why")) st = story_why(&ix, s.name, &text, &err);
    else if (st == HCT_OK && !strcmp(s.verb, "check")) st = check_leaks(&s, &text, &leaks, &err);
    else if (st == HCT_OK && !strcmp(s.verb, "funnel")) st = story_funnel(&ix, s.csv || s.out, &text, &err);
    else if (st == HCT_OK) st = story_remove(&ix, s.folder, s.name, &err);
    if (st == HCT_OK && s.figures) st = data_card_make(s.folder, s.figures, NULL, &err);
    if (st == HCT_OK && s.out) st = text_save(&text, s.out, &err);
    bool shown = !s.out && strcmp(s.verb, "check") != 0;
    const char *all = st == HCT_OK && shown ? text_get(&text, "the answer", &err) : NULL;
    if (st == HCT_OK && shown && !all) st = HCT_ENOMEM;
    if (all) fputs(all, stdout);
    text_free(&text);
    index_close(&ix);
    int status = command_end(argv[0], st, &err);
    return status == EXIT_OK && leaks ? EXIT_PARTIAL : status;
}
