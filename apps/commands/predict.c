/* headct predict: probabilities of scans. */
#include <stdio.h>

#include "commands/cohort_args.h"
#include "commands/command.h"
#include "inference/predict.h"
#include "support/stop.h"

static const char doc[] =
    "Prints the probability of each label (task) for each scan, by the classifier of a run of "
    "headct probe or headct finetune; of a "
    "run with a model a task, by all of them, in one row.\n\n"
    "A SCAN is a NIfTI file in HU, or a DICOM file, folder, CD, zip or tar file, searched as deep as it goes: "
    "each series that --filters keep is a scan, and each that is left out is named with its "
    "reason. With "
    "--out the rows go to a CSV keyed by scan and patient, one batch at a time: run the same "
    "command again and it does only what is missing. "
    "FILE.json beside it says which weights (of each model), recipe and preparation made the "
    "rows; rows of other weights are refused. Scans that cannot be read are "
    "listed with their reason, and the exit status is 3. --dicom-sr writes a DICOM structured report of each study "
    "(scores, model, thresholds, which images were read) for a PACS. This is no medical device.\v"
    "Examples:\n"
    "  headct predict --run runs/probe scan.nii.gz\n"
    "  headct predict --run runs/probe --json scan.nii.gz ct_folder\n"
    "  headct predict --run runs/finetune --data data --split test --out test.csv\n"
    "  headct predict --run runs/probe --precision int8 scan.nii.gz\n"
    "  headct predict --weights runs/finetune/IPH/weights.safetensors scan.nii.gz\n"
    "  headct predict --run runs/finetune study_folder --out table.csv --dicom-sr reports";

enum { OPT_RUN = 256, OPT_JSON, OPT_THRESHOLDS, OPT_SR, OPT_OUT = 'o' };

static const struct argp_option options[] = {
    {"run", OPT_RUN, "RUN", 0,
     "folder of a run: RUN/weights.safetensors, or with a model a task RUN/TASK/weights.safetensors of each", 0},
    {"json", OPT_JSON, NULL, 0, "one JSON object a scan, with the SHA-256 of weights, recipe, preparation and input",
     0},
    {"out", OPT_OUT, "FILE.csv", 0, "write to a CSV, resumable, instead of standard output", 0},
    {"thresholds", OPT_THRESHOLDS, "FILE", 0,
     "operating_points.csv of 'headct evaluate --operating': what reaches its threshold is said (default: the run's "
     "own, "
     "where it is there; of several rules for a task the first)",
     0},
    {"dicom-sr", OPT_SR, "DIR", 0,
     "write a DICOM structured report (Comprehensive 3D SR, TID 1500) of each study there; it names the patient as the "
     "images do",
     0},
    {0},
};

typedef struct settings {
    cohort_args common;
    const char *run, *out, *thresholds, *reports;
    int json;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_RUN: s->run = arg; break;
    case OPT_JSON: s->json = 1; break;
    case OPT_OUT: s->out = arg; break;
    case OPT_THRESHOLDS: s->thresholds = arg; break;
    case OPT_SR: s->reports = arg; break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END:
        if (!s->run == !s->common.weights) argp_error(state, "one of --run RUN and --weights FILE is needed");
        if (s->json && s->out) argp_error(state, "--json prints, --out writes a CSV; give one of them");
        if (s->reports && s->common.data)
            argp_error(state, "--dicom-sr needs the DICOM files themselves: SCAN..., not --data");
        cohort_args_check(&s->common, state);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_predict(int argc, char **argv) {
    settings s = {0};
    const struct argp_child children[] = {{&cohort_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse,    "--run RUN SCAN...\n--run RUN --data DATASET --out FILE.csv",
                              doc,     children, NULL,
                              NULL};
    command_parse(&argp, argc, argv, &s);
    predict_options o = {.weights = s.common.weights,
                         .run = s.run,
                         .device = s.common.device,
                         .precision = s.common.precision,
                         .out = s.out,
                         .json = s.json,
                         .thresholds = s.thresholds,
                         .reports = s.reports,
                         .print = stdout,
                         .progress = s.common.quiet || !s.out ? NULL : stderr};
    hct_err err = {0, ""};
    cohort c = {0};
    size_t kept = 0;
    report_count reports = {0};
    if (s.out) stop_listen();
    hct_status st = cohort_from_args(&s.common, &c, &err);
    if (st == HCT_OK) st = predict_run(&o, &c, &kept, &reports, &err);
    int status = cohort_report("headct predict", &c, s.out, kept, st, &err);
    if (st == HCT_OK && s.reports)
        fprintf(s.out ? stdout : stderr, "%s: %zu reports new, %zu there before, %zu scans are no DICOM series\n",
                s.reports, reports.written, reports.there, reports.no_dicom);
    cohort_free(&c);
    cohort_args_free(&s.common);
    return status;
}
