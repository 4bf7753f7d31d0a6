/* headct watch: works off a folder that a DICOM receiver fills. */
#include <stdio.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "support/stop.h"
#include "watch/watch.h"

static const char doc[] =
    "Predicts each series that arrives in FOLDER, which a DICOM receiver fills, once: a series (or a NIfTI file) is "
    "read "
    "when none of its files has changed for --settle seconds, and becomes a row of --out, as headct predict writes "
    "them, "
    "and with --dicom-sr a structured report. The table is what is remembered: ended or killed, the same command goes "
    "on. "
    "Files that come to a series after that are told of and not read; take its row out of the table to have it done "
    "again.\n\n"
    "Standard output gets a JSON line an event, which names no scan, UID or path. SIGTERM finishes the series at hand, "
    "status 0. docs/watch.md has a receiver (DCMTK's storescp) and a systemd unit. This is no medical device.\v"
    "Examples:\n"
    "  headct watch incoming --run runs/finetune --out predictions.csv --dicom-sr reports\n"
    "  headct watch incoming --run runs/finetune --out predictions.csv --once --settle 0";

enum { OPT_RUN = 256, OPT_THRESHOLDS, OPT_FILTERS, OPT_SR, OPT_METRICS, OPT_SETTLE, OPT_POLL, OPT_ONCE };

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "a classifier's weights", 0},
    {"run", OPT_RUN, "RUN", 0, "a run's classifiers, instead of --weights", 0},
    {"out", 'o', "FILE.csv", 0, "the table, which grows by a row a series", 0},
    {"dicom-sr", OPT_SR, "DIR", 0, "write a DICOM structured report of each series there", 0},
    {"thresholds", OPT_THRESHOLDS, "FILE", 0, "as headct predict takes them (default: the run's own)", 0},
    {"filters", OPT_FILTERS, "NAME|FILE", 0, "which series are scans: any-head-ct (default), nyu, none, or a file", 0},
    {"settle", OPT_SETTLE, "SECONDS", 0,
     "a series is complete when nothing of it has changed for that long (default 30)", 0},
    {"poll", OPT_POLL, "SECONDS", 0, "look for new files that often (default 5)", 0},
    {"metrics", OPT_METRICS, "FILE", 0, "counts as Prometheus reads them, written anew at each look", 0},
    {"once", OPT_ONCE, NULL, 0, "do what is complete now, then end", 0},
    {"device", 'D', "NAME", 0,
     "cpu, or another backend that 'headct backends' lists (default: $HEADCT_DEVICE, else cpu)", 0},
    {"quiet", 'q', NULL, 0, "no line an event", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    watch_options *o = state->input;
    switch (key) {
    case 'w': o->weights = arg; break;
    case OPT_RUN: o->run = arg; break;
    case 'o': o->out = arg; break;
    case OPT_SR: o->reports = arg; break;
    case OPT_THRESHOLDS: o->thresholds = arg; break;
    case OPT_FILTERS: o->filters = arg; break;
    case OPT_SETTLE: o->settle = argument_whole(state, "settle", arg, 0, 86400); break;
    case OPT_POLL: o->poll = argument_whole(state, "poll", arg, 1, 86400); break;
    case OPT_METRICS: o->metrics = arg; break;
    case OPT_ONCE: o->once = true; break;
    case 'D': o->device = arg; break;
    case 'q': o->log = NULL; break;
    case ARGP_KEY_ARG:
        if (o->folder) argp_error(state, "one FOLDER at a time");
        o->folder = arg;
        break;
    case ARGP_KEY_END:
        if (!o->folder) argp_error(state, "FOLDER is missing");
        if (!o->run == !o->weights) argp_error(state, "one of --run RUN and --weights FILE is needed");
        if (!o->out) argp_error(state, "--out FILE.csv is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_watch(int argc, char **argv) {
    watch_options o = {.settle = 30, .poll = 5, .log = stdout};
    const struct argp argp = {options, parse, "FOLDER --run RUN --out FILE.csv", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0, ""};
    size_t refused = 0;
    stop_listen();
    int status = command_end(argv[0], watch_run(&o, &refused, &err), &err);
    return status == EXIT_OK && o.once && refused ? EXIT_PARTIAL : status;
}
