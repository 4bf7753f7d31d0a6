/* headct report: an HTML page of run folders. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/command.h"
#include "hct/log.h"
#include "report/overview.h"
#include "report/paper.h"
#include "report/run_report.h"
#include "report/view.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

static const char doc[] =
    "One HTML file of one run or several: loss curves, metrics with intervals, every figure in RUN/figures, the "
    "recipe. "
    "Plots and pictures are inside the file, so it can be mailed.\v"
    "A folder that headct evaluate wrote makes a page, too. Of several runs those that cannot be shown are named, on "
    "the "
    "page and on standard error, and the exit status is 3.\n\n"
    "Examples:\n"
    "  headct report runs/probe\n"
    "  headct report runs/pretrain runs/probe runs/random --out compare.html --title \"Pre-trained or random\"\n"
    "  headct report --paper runs/* --out paper.html\n"
    "  headct report runs/probe --view data/scans/s1.nii.gz:maps/s1_IPH_gradient.nii.gz\n"
    "  headct report runs/probe runs/random --better runs/probe:runs/random --need 1\n"
    "  headct report runs/mae --picture runs/mae/reconstruction.png:'What it fills in' --lead 'First try.'";

enum {
    OPT_OUT = 'o',
    OPT_TITLE = 256,
    OPT_BETTER = 257,
    OPT_NEED = 258,
    OPT_VIEW,
    OPT_PAPER,
    OPT_LEAD,
    OPT_PICTURE,
    OPT_TABLE
};

static const struct argp_option options[] = {
    {"out", OPT_OUT, "FILE", 0, "where to write it (default: RUN/report.html of the first run)", 0},
    {"title", OPT_TITLE, "TEXT", 0, "the page's title (default: the runs' names)", 0},
    {"better", OPT_BETTER, "A:B", 0,
     "say whether run A's macro AUC is above run B's with 95% intervals that do not overlap; may be given several "
     "times",
     0},
    {"need", OPT_NEED, "N", 0, "end with status 1 (the page is written) where fewer than N of these hold (default 0)",
     0},
    {"paper", OPT_PAPER, NULL, 0,
     "lay out the paper's Figures 1e to 1g, 2, 3, 4 and supplementary 1 to 14 of these runs, and say what is missing",
     0},
    {"view", OPT_VIEW, "SCAN[:MAP]", 0,
     "a viewer of a scan (NIfTI file or DICOM folder), a map of headct explain over it; may be given several times, "
     "about 2 MB of the page each",
     0},
    {"lead", OPT_LEAD, "TEXT", 0, "a sentence of your own below the title", 0},
    {"picture", OPT_PICTURE, "FILE[:CAPTION]", 0,
     "a PNG or SVG of your own on the first screen; may be given several times", 0},
    {"table", OPT_TABLE, "FILE[:CAPTION]", 0, "a table of your own (CSV) on the first screen", 0},
    {0},
};

enum { PAIRS = 64, VIEWS = 8, PICTURES = 8 };
typedef struct settings {
    const char *out, *title;
    char *pair[PAIRS][2];
    int n_pairs;
    int64_t need;
    const char *scan[VIEWS], *map[VIEWS];
    int n_views;
    bool paper;
    const char *lead, *table[2], *picture[PICTURES][2]; /* files and captions */
    int n_pictures;
    char **runs;
    int n_runs;
} settings;

/* FILE[:CAPTION] */
static void split_caption(char *arg, const char *ret[2]) {
    char *colon = strchr(arg, ':');
    if (colon) *colon = 0;
    ret[0] = arg;
    ret[1] = colon ? colon + 1 : "";
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_OUT: s->out = arg; break;
    case OPT_TITLE: s->title = arg; break;
    case OPT_NEED:
        if (!text_int64(arg, &s->need)) argp_error(state, "--need %s: a whole number is needed", arg);
        break;
    case OPT_BETTER: {
        char *colon = strchr(arg, ':');
        if (!colon || s->n_pairs == PAIRS) argp_error(state, "--better %s: two runs are needed, A:B", arg);
        *colon = 0;
        s->pair[s->n_pairs][0] = arg;
        s->pair[s->n_pairs++][1] = colon + 1;
        break;
    }
    case OPT_PAPER: s->paper = true; break;
    case OPT_LEAD: s->lead = arg; break;
    case OPT_TABLE: split_caption(arg, s->table); break;
    case OPT_PICTURE:
        if (s->n_pictures == PICTURES) argp_error(state, "more than %d --picture", PICTURES);
        split_caption(arg, s->picture[s->n_pictures++]);
        break;
    case OPT_VIEW: {
        char *colon = strrchr(arg, ':');
        if (s->n_views == VIEWS) argp_error(state, "more than %d --view", VIEWS);
        s->map[s->n_views] = colon ? colon + 1 : NULL;
        if (colon) *colon = 0;
        s->scan[s->n_views++] = arg;
        break;
    }
    case ARGP_KEY_ARGS:
        s->runs = state->argv + state->next;
        s->n_runs = state->argc - state->next;
        state->next = state->argc;
        break;
    case ARGP_KEY_NO_ARGS: argp_error(state, "RUN is missing"); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The first screen: what the caller has to say. */
static hct_status add_opening(report *r, const settings *s, hct_err *err) {
    if (s->lead) report_lead(r, "%s", s->lead);
    for (int i = 0; i < s->n_pictures; i++) report_figure(r, s->picture[i][0], s->picture[i][1]);
    if (*s->table) {
        csv *t = csv_read(s->table[0], err);
        if (!t) return err->code;
        report_table(r, t->names, t->cells, t->rows, t->columns, s->table[1]);
        csv_free(t);
    }
    if (s->n_pictures || *s->table) report_opening(r);
    return HCT_OK;
}

/* The viewers; those that cannot be made are named on the page. */
static hct_status add_views(report *r, const settings *s, int *ret_left_out, hct_err *err) {
    if (s->n_views) report_heading(r, "Scans");
    for (int i = 0; i < s->n_views; i++) {
        hct_status st = view_add(r, s->scan[i], s->map[i], err);
        if (st == HCT_ENOMEM) return st;
        if (st == HCT_OK) continue;
        report_note(r, "Left out: %s", err->msg);
        hct_log(HCT_LOG_WARNING, "%s", err->msg);
        ++*ret_left_out;
    }
    return HCT_OK;
}

/* PAGE_figures, without the page's ending; the caller's. */
static char *figures_of(const char *page) {
    const char *ending = page ? strrchr(page, '.') : NULL;
    char *folder = NULL;
    if (page && asprintf(&folder, "%.*s_figures",
                         ending && !strchr(ending, '/') ? (int)(ending - page) : (int)strlen(page), page) < 0)
        folder = NULL;
    return folder;
}

int command_report(int argc, char **argv) {
    settings s = {0};
    const struct argp argp = {options, parse, "RUN...", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    hct_status status = HCT_OK;
    size_t drawn = 0, missing = 0;
    report *r = report_new(s.title         ? s.title
                           : s.paper       ? "The paper's figures"
                           : s.n_runs == 1 ? s.runs[0]
                                           : "headct runs");
    char *path = s.out ? path_join("", s.out) : path_join(s.runs[0], "report.html"), *figures = figures_of(path);
    if (!figures) status = hct_fail(&err, HCT_ENOMEM, "out of memory");
    report_subtitle(r, "headct " HEADCT_VERSION); /* no date: the same runs make the same bytes */
    if (status == HCT_OK) status = add_opening(r, &s, &err);
    if (status == HCT_OK && s.paper)
        status = paper_add(r, (const char *const *)s.runs, (size_t)s.n_runs, figures, &drawn, &missing, &err);
    if (status == HCT_OK && s.n_runs > 1 && !s.paper)
        status = run_report_comparison(r, (const char *const *)s.runs, (size_t)s.n_runs, &err);
    if (status == HCT_OK && s.n_runs > 1 && !s.paper)
        status = overview_add(r, (const char *const *)s.runs, (size_t)s.n_runs, figures, &err);
    int better = 0;
    for (int i = 0; i < s.n_pairs && status == HCT_OK; i++) {
        int holds = 0;
        status = run_report_better(r, s.pair[i][0], s.pair[i][1], &holds, &err);
        better += holds;
    }
    int left_out = 0;
    for (int i = 0; i < s.n_runs && status == HCT_OK && !s.paper; i++) {
        status = run_report(r, s.runs[i], &err);
        if (status == HCT_OK || status == HCT_ENOMEM || s.n_runs == 1) continue;
        report_note(r, "Left out: %s", err.msg);
        hct_log(HCT_LOG_WARNING, "%s", err.msg);
        status = ++left_out < s.n_runs ? HCT_OK : status; /* of several, the others are worth a page */
    }
    if (status == HCT_OK && !s.paper)
        status = overview_data(r, (const char *const *)s.runs, (size_t)s.n_runs, figures, &err);
    if (status == HCT_OK) status = add_views(r, &s, &left_out, &err);
    if (status == HCT_OK) status = report_write(r, path, &err);
    else report_discard(r);
    if (status == HCT_OK && s.paper) printf("%zu figures drawn, %zu missing\n", drawn, missing);
    if (status == HCT_OK) puts(path);
    free(path);
    free(figures);
    if (status == HCT_OK && better < s.need)
        status =
            hct_fail(&err, HCT_EINVAL, "%d of %d runs are better with intervals that do not overlap; %lld are needed",
                     better, s.n_pairs, (long long)s.need);
    int ended = command_end(argv[0], status, &err);
    return ended == EXIT_OK && left_out ? EXIT_PARTIAL : ended;
}
