/* headct predict: probabilities of scans. */
#include <stdio.h>
#include <stdlib.h>

#include "commands/arguments.h"
#include "commands/cohort_args.h"
#include "commands/command.h"
#include "dicomweb/dicomweb.h"
#include "inference/predict.h"
#include "support/private_folder.h"
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
    "  headct predict --run runs/finetune study_folder --out table.csv --dicom-sr reports\n"
    "  headct predict --run runs/finetune --dicomweb https://pacs.example/dicom-web --study 1.2.3.4 --dicomweb-token "
    "token";

enum { OPT_RUN = 256, OPT_JSON, OPT_THRESHOLDS, OPT_SR, OPT_DICOMWEB, OPT_STUDY, OPT_TOKEN, OPT_MB, OPT_OUT = 'o' };

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
    {"dicomweb", OPT_DICOMWEB, "URL", 0,
     "predict the CT series of a study of this DICOMweb server (QIDO-RS, WADO-RS) instead of SCAN...", 0},
    {"study", OPT_STUDY, "UID", 0, "its StudyInstanceUID", 0},
    {"dicomweb-token", OPT_TOKEN, "FILE", 0, "send this file's first line as a bearer token (https, or this machine)",
     0},
    {"max-mb", OPT_MB, "N", 0, "a study's most megabytes (default 4096)", 0},
    {0},
};

typedef struct settings {
    cohort_args common;
    const char *run, *out, *thresholds, *reports;
    int json;
    dicomweb_options web;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_RUN: s->run = arg; break;
    case OPT_JSON: s->json = 1; break;
    case OPT_OUT: s->out = arg; break;
    case OPT_THRESHOLDS: s->thresholds = arg; break;
    case OPT_SR: s->reports = arg; break;
    case OPT_DICOMWEB: s->web.url = arg; break;
    case OPT_STUDY: s->web.study = arg; break;
    case OPT_TOKEN: s->web.token_file = arg; break;
    case OPT_MB: s->web.max_mb = argument_whole(state, "max-mb", arg, 1, 1 << 20); break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END:
        if (!s->run == !s->common.weights) argp_error(state, "one of --run RUN and --weights FILE is needed");
        if (s->json && s->out) argp_error(state, "--json prints, --out writes a CSV; give one of them");
        if (s->reports && s->common.data)
            argp_error(state, "--dicom-sr needs the DICOM files themselves: SCAN..., not --data");
        if (!s->web.url != !s->web.study) argp_error(state, "--dicomweb URL and --study UID go together");
        if (s->web.token_file && !s->web.url) argp_error(state, "--dicomweb-token needs --dicomweb URL");
        if (s->web.url && (s->common.n_scans || s->common.data || s->common.identifiers))
            argp_error(state, "--dicomweb excludes SCAN..., --data and --identifiers: it names scans by their series");
        if (!s->web.url) cohort_args_check(&s->common, state);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The study's files into a folder, and the scans among them, called by their series. */
static hct_status cohort_of_study(const settings *s, const char *folder, cohort *ret, hct_err *err) {
#ifdef HAVE_CURL
    dicomweb_series series;
    hct_status st = dicomweb_fetch(&s->web, folder, &series, err);
    if (st == HCT_OK) st = cohort_of_files(&folder, 1, s->common.filters, ret, err);
    if (st == HCT_OK) st = cohort_name_by_series(ret, s->web.study, err);
    for (size_t i = 0; st == HCT_OK && i < ret->n; i++) { /* where it is to be found, not where it lies now */
        char *path = NULL;
        if (asprintf(&path, "%s/studies/%s/series/%s", s->web.url, s->web.study, ret->scans[i].names.series_uid) < 0)
            st = hct_fail(err, HCT_ENOMEM, "out of memory for a place");
        else {
            free(ret->scans[i].names.path);
            ret->scans[i].names.path = path;
        }
    }
    free(series.uid);
    return st;
#else
    (void)s, (void)folder, (void)ret;
    return hct_fail(err, HCT_EINVAL,
                    "--dicomweb: this headct was built without libcurl (Debian: libcurl4-openssl-dev)");
#endif
}

int command_predict(int argc, char **argv) {
    settings s = {.web = {.max_mb = 4096, .patience = 60}};
    const struct argp_child children[] = {{&cohort_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "--run RUN SCAN...\n--run RUN --data DATASET --out FILE.csv\n--run RUN --dicomweb URL --study UID",
        doc,
        children,
        NULL,
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
    if (s.out || s.web.url) stop_listen();
    char *folder = s.web.url ? private_folder("fetch", false, &err) : NULL;
    hct_status st = !s.web.url ? cohort_from_args(&s.common, &c, &err)
                    : folder   ? cohort_of_study(&s, folder, &c, &err)
                               : err.code;
    if (st == HCT_OK) st = predict_run(&o, &c, &kept, &reports, &err);
    int status = cohort_report("headct predict", &c, s.out, kept, st, &err);
    if (st == HCT_OK && s.reports)
        fprintf(s.out ? stdout : stderr, "%s: %zu reports new, %zu there before, %zu scans are no DICOM series\n",
                s.reports, reports.written, reports.there, reports.no_dicom);
    cohort_free(&c);
    private_folder_remove(folder);
    cohort_args_free(&s.common);
    return status;
}
