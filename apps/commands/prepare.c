/* headct prepare: scans on disk to a dataset. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/prepare.h"
#include "hct/log.h"
#include "support/stop.h"
#include "support/text.h"

static const char doc[] =
    "Prepares head CTs for training and prediction: RAS orientation, 1 mm voxels (cubic spline), int16 HU, padded or "
    "cropped "
    "to 224^3, one DATASET/scans/ID.nii.gz each, and an index DATASET/index.sqlite.\n\n"
    "A scan is a NIfTI file (.nii, .nii.gz) or a folder of DICOM files of one series (needs dcm2niix; "
    "whatever else lies in it is not looked at). Other folders are searched for them, but for the prepared scans of "
    "datasets. A scan's ID is its path below the folder given, without ending, '/' turned into '_'.\n\n"
    "Scans that cannot be read are left out, listed with their reason here and in the index, and the exit status is 3. "
    "A full disk, or a folder of DICOM files without dcm2niix, ends the run with status 1; what was prepared stays. "
    "SIGINT and SIGTERM stop it after the scans in work, with status 75. "
    "Running the same command again does only what is missing or has changed.\v"
    "Examples:\n"
    "  headct prepare --in phantoms --out data --labels phantoms/labels.csv\n"
    "  headct prepare --in a.nii.gz --in ct_folder --out data --jobs 8\n"
    "  headct prepare --in scans --out data --shard $SLURM_ARRAY_TASK_ID/16      (sbatch --array=1-16)\n\n"
    "The CSV of --labels has the columns scan (the ID), patient, and one for each label: 1, 0, or empty for not known. "
    "Without it every scan counts as its own patient.";

enum {
    OPT_IN = 'i',
    OPT_OUT = 'o',
    OPT_LABELS = 'l',
    OPT_LABEL = 'L',
    OPT_JOBS = 'j',
    OPT_SHARD = 256,
    OPT_EXACT = 'x',
    OPT_QUIET = 'q'
};

static const struct argp_option options[] = {
    {"in", OPT_IN, "DIR|FILE", 0, "where scans are; may be given several times, further names may follow it", 0},
    {"out", OPT_OUT, "DATASET", 0, "the dataset's folder; made where it is missing", 0},
    {"labels", OPT_LABELS, "CSV", 0, "patients and labels of the scans", 0},
    {"label", OPT_LABEL, "COLUMN", 0, "take only this column of the CSV as a label; may be given several times", 0},
    {"jobs", OPT_JOBS, "J", 0, "threads (default: one a CPU); each needs about 1 GiB for a thin-sliced scan", 0},
    {"shard", OPT_SHARD, "I/N", 0,
     "only every N-th scan, from the I-th on (I from 1); all shards may run at once on one dataset", 0},
    {"exact", OPT_EXACT, NULL, 0, "keep float32 instead of int16", 0},
    {"quiet", OPT_QUIET, NULL, 0, "no progress line", 0},
    {0},
};

typedef struct settings {
    prepare_options o;
    const char **inputs, **columns; /* as many as there are arguments fit */
} settings;

static int64_t whole(struct argp_state *state, const char *what, const char *text, int64_t low, int64_t high) {
    int64_t v;
    if (!text_int64(text, &v) || v < low || v > high)
        argp_error(state, "%s '%s': a whole number from %lld to %lld is needed", what, text, (long long)low,
                   (long long)high);
    return v;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_IN:
    case ARGP_KEY_ARG: s->inputs[s->o.n_inputs++] = arg; break;
    case OPT_OUT: s->o.dataset = arg; break;
    case OPT_LABELS: s->o.labels = arg; break;
    case OPT_LABEL: s->columns[s->o.n_label_columns++] = arg; break;
    case OPT_JOBS: s->o.jobs = (int)whole(state, "--jobs", arg, 1, 1024); break;
    case OPT_EXACT: s->o.exact = 1; break;
    case OPT_QUIET: s->o.progress = NULL; break;
    case OPT_SHARD: {
        int64_t first, step;
        argument_shard(state, arg, &first, &step);
        s->o.shard = (int)first + 1;
        s->o.shards = (int)step;
        break;
    }
    case ARGP_KEY_END:
        if (s->o.n_inputs == 0) argp_error(state, "--in DIR or FILE is missing");
        if (!s->o.dataset || !*s->o.dataset) argp_error(state, "--out DATASET is missing");
        if (s->o.n_label_columns && !s->o.labels) argp_error(state, "--label needs --labels CSV");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_prepare(int argc, char **argv) {
    settings s = {.o = {.shard = 1, .shards = 1, .progress = stderr}};
    const struct argp argp = {options, parse, "--in DIR|FILE... --out DATASET", doc, NULL, NULL, NULL};
    s.o.inputs = s.inputs = calloc((size_t)argc, sizeof *s.inputs);
    s.o.label_columns = s.columns = calloc((size_t)argc, sizeof *s.columns);
    hct_err err = {0};
    if (!s.inputs || !s.columns)
        return command_end(argv[0], hct_fail(&err, HCT_ENOMEM, "out of memory for %d arguments", argc), &err);
    command_parse(&argp, argc, argv, &s);
    prepare_result r;
    stop_listen();
    hct_status status = prepare_dataset(&s.o, &r, &err);
    if (r.left_out) hct_log(HCT_LOG_WARNING, "headct prepare: left out, prepared already: %s", r.left_out);
    for (size_t i = 0; i < r.n_refused; i++)
        hct_log(HCT_LOG_WARNING, "headct prepare: refused scan '%s': %s", r.refused[i].id, r.refused[i].reason);
    int exit_status = command_end(argv[0], status, &err);
    if (status == HCT_OK && r.n_refused) exit_status = EXIT_PARTIAL;
    if (status == HCT_OK)
        printf("%s: %zu prepared, %zu unchanged, %zu refused\n", s.o.dataset, r.prepared, r.unchanged, r.n_refused);
    prepare_free(&r);
    free(s.inputs);
    free(s.columns);
    return exit_status;
}
