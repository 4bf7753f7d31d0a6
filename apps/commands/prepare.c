/* headct prepare: scans on disk to a dataset. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/prepare.h"
#include "hct/log.h"
#include "labelling/layout.h"
#include "labelling/public.h"
#include "qc/qc.h"
#include "support/stop.h"
#include "support/text.h"

static const char doc[] =
    "Prepares head CTs for training and prediction: RAS orientation, 1 mm voxels (cubic spline), int16 HU, padded or "
    "cropped to 224^3, one DATASET/scans/ID.nii.gz each, and an index DATASET/index.sqlite.\n\n"
    "Folders, CDs, zip and tar files are searched as deep as they go. A scan is a NIfTI file (.nii, .nii.gz) or a "
    "series of DICOM slices, told by what the files say, not by where they lie; slices are resampled at their true "
    "positions. Each series is judged in one order of checks; --filters chooses which are wanted. Every file found is "
    "in "
    "the index under one heading: 'headct dataset why DATASET NAME' tells it. DATASET/qc.html shows every scan (of "
    "shards: "
    "headct qc DATASET, when all are done).\n\n"
    "A scan's ID is its path below the folder given, without ending, '/' turned into '_'; of a series its folder, with "
    "'_sN' (its number) where the folder holds several. IDs stay the same on the next run. Patients are told apart by "
    "PatientID, kept as a keyed hash; dates are shifted by a number of days of the patient's: docs/privacy.md.\n\n"
    "Scans that cannot be read or used are left out, listed with their reason here and in the index, and the exit "
    "status is 3; scouts, dose pages and the like are listed and no fault. A full disk ends the run with status 1; "
    "what "
    "was prepared stays. SIGINT and SIGTERM stop it after the scans in work, with status 75. "
    "Running the same command again does only what is missing or has changed.\v"
    "Examples:\n"
    "  headct prepare --in phantoms --out data --labels phantoms/labels.csv\n"
    "  headct prepare --in a.nii.gz --in cd.zip --in archive --out data --jobs 8\n"
    "  headct prepare --in archive --out data --filters nyu --center head\n"
    "  headct prepare --in scans --out data --for hlip\n"
    "  headct prepare --in archive --out data --labels reads.csv --id-column file --patient-column mrn --label "
    "ICH,SDH\n"
    "  headct prepare --in stage_2_train --out rsna --layout rsna --labels stage_2_train.csv --fix-rsna-wrap\n"
    "  headct prepare --in ct-ich --out data --layout ct-ich --labels ct-ich/hemorrhage_diagnosis_raw_ct.csv\n"
    "  headct prepare --in scans --out data --shard $SLURM_ARRAY_TASK_ID/16      (sbatch --array=1-16)\n\n"
    "The CSV of --labels has the columns scan, patient, and one for each label: 1, 0, or empty for not known. A scan "
    "is "
    "told by its ID, by its path or an ending of it that no other scan has, or by its SeriesInstanceUID; columns age "
    "and "
    "sex become tags. Rows without a scan are counted and shown. Without the CSV a NIfTI file counts as its own "
    "patient.";

enum {
    OPT_IN = 'i',
    OPT_OUT = 'o',
    OPT_LABELS = 'l',
    OPT_LABEL = 'L',
    OPT_JOBS = 'j',
    OPT_SHARD = 256,
    OPT_FILTERS,
    OPT_KEY,
    OPT_ID,
    OPT_CENTER,
    OPT_MONAI,
    OPT_WRAP,
    OPT_STRICT,
    OPT_DCM2NIIX,
    OPT_CLEAR_DATES,
    OPT_PARTIAL,
    OPT_LAYOUT,
    OPT_ONE,
    OPT_UNCERTAIN,
    OPT_FOR,
    OPT_ID_COLUMN,
    OPT_PATIENT_COLUMN,
    OPT_EXACT = 'x',
    OPT_QUIET = 'q'
};

static const struct argp_option options[] = {
    {"in", OPT_IN, "DIR|FILE", 0, "where scans are; may be given several times, further names may follow it", 0},
    {"out", OPT_OUT, "DATASET", 0, "the dataset's folder; made where it is missing", 0},
    {"labels", OPT_LABELS, "CSV", 0, "patients and labels of the scans", 0},
    {"layout", OPT_LAYOUT, "NAME|FILE", 0,
     "the inputs are a public set: rsna (--labels stage_2_train.csv), cq500 (--labels reads.csv), ct-ich, bhsd, "
     "instance22, sinoct, johns-hopkins, or a YAML file of the form of recipes/layouts",
     0},
    {"label", OPT_LABEL, "A,B,...", 0, "take only these columns of the CSV as labels; may be given several times", 0},
    {"id-column", OPT_ID_COLUMN, "NAME", 0, "the CSV's column of scans (default scan)", 0},
    {"patient-column", OPT_PATIENT_COLUMN, "NAME", 0,
     "the CSV's column of patients (default patient); -: it has none, and scans keep theirs", 0},
    {"uncertain", OPT_UNCERTAIN, "AS", 0, "what a label of -1 counts as: 0, 1 or empty (default: it is refused)", 0},
    {"partial", OPT_PARTIAL, NULL, 0, "rows of --labels without a scan are expected: no warning", 0},
    {"for", OPT_FOR, "ENCODER", 0,
     "also make the volumes that this encoder takes, DATASET/forms/ENCODER/ID.nii.gz, from the same scans: merlin, "
     "ct-fm, hlip",
     0},
    {"filters", OPT_FILTERS, "NAME|FILE", 0,
     "which series are wanted: any-head-ct (default), nyu, none, or a YAML file of the keys of recipes/filters", 0},
    {"one-per-study", OPT_ONE, "HOW", 0,
     "keep one series of each study: thin, thick or soft (by kernel); default: all that fit", 0},
    {"strict", OPT_STRICT, NULL, 0,
     "refuse scans whose values cannot be Hounsfield units, and rows of --labels without a scan, instead of warning",
     0},
    {"fix-rsna-wrap", OPT_WRAP, NULL, 0, "mend 12-bit values that wrapped (RSNA 2019), and count them", 0},
    {"center", OPT_CENTER, "WHERE", 0,
     "what is cut out about: image (the middle of the field of view, as in the paper; default) or head", 0},
    {"like-monai", OPT_MONAI, NULL, 0, "do not raise padding below -1024 HU before the spline, as in the paper's code",
     0},
    {"like-dcm2niix", OPT_DCM2NIIX, NULL, 0, "read DICOM folders through dcm2niix, for comparison", 0},
    {"id", OPT_ID, "HOW", 0, "IDs of DICOM series: path (default), or uid: a keyed hash of study and series", 0},
    {"key", OPT_KEY, "FILE", 0,
     "key of patients and dates (default: $XDG_CONFIG_HOME/headct/key, made where it is missing); never in DATASET", 0},
    {"clear-dates", OPT_CLEAR_DATES, NULL, 0, "keep study dates as they are, instead of shifting them by patient", 0},
    {"jobs", OPT_JOBS, "J", 0, "threads (default: one a CPU); each needs about 1 GiB for a thin-sliced scan", 0},
    {"shard", OPT_SHARD, "I/N", 0,
     "only every N-th scan, from the I-th on (I from 1); all shards may run at once on one dataset", 0},
    {"exact", OPT_EXACT, NULL, 0, "keep float32 instead of int16", 0},
    {"quiet", OPT_QUIET, NULL, 0, "no progress line", 0},
    {0},
};

enum { PREPARE_COLUMNS = 256 };

typedef struct settings {
    prepare_options o;
    public_layout layout;
    layout form; /* of a YAML file, where its path is not NULL */
    const char *form_name;
    const char *table;   /* of the layout */
    const char **inputs; /* as many as there are arguments fit */
    const char *columns[PREPARE_COLUMNS];
} settings;

static int64_t whole(struct argp_state *state, const char *what, const char *text, int64_t low, int64_t high) {
    int64_t v;
    if (!text_int64(text, &v) || v < low || v > high)
        argp_error(state, "%s '%s': a whole number from %lld to %lld is needed", what, text, (long long)low,
                   (long long)high);
    return v;
}

/* Names with commas between them; arg is cut up. */
static void add_columns(settings *s, char *arg, struct argp_state *state) {
    for (char *at = arg, *end = NULL; at; at = end) {
        end = strchr(at, ',');
        if (end) *end++ = 0;
        if (!*at) argp_error(state, "--label: a name is empty");
        if (s->o.form.n_wanted == PREPARE_COLUMNS) argp_error(state, "more than %d --label", PREPARE_COLUMNS);
        s->columns[s->o.form.n_wanted++] = at;
    }
}

/* 0 for the first word, 1 for the second. */
static int choice(struct argp_state *state, const char *option, const char *text, const char *first,
                  const char *second) {
    if (strcmp(text, first) != 0 && strcmp(text, second) != 0)
        argp_error(state, "%s '%s': %s or %s is needed", option, text, first, second);
    return strcmp(text, second) == 0;
}

/* Refusals, one line each, and how many there are of each reason. */
static void tell(const prepare_result *r, const char *dataset) {
    enum { SHOWN = 200 };
    for (size_t i = 0; i < r->n_unread; i++) hct_log(HCT_LOG_WARNING, "headct prepare: not read: %s", r->unread[i]);
    if (r->files.of[PILE_UNREAD] > r->n_unread)
        hct_log(HCT_LOG_WARNING, "headct prepare: not read: %llu more files",
                (unsigned long long)(r->files.of[PILE_UNREAD] - r->n_unread));
    for (size_t i = 0; i < r->n_refused && i < SHOWN; i++)
        hct_log(HCT_LOG_WARNING, "headct prepare: %s scan '%s': %s", r->refused[i].expected ? "left out" : "refused",
                r->refused[i].id, r->refused[i].reason);
    if (r->n_refused > SHOWN)
        hct_log(HCT_LOG_WARNING, "headct prepare: and %zu more: headct dataset refused %s", r->n_refused - SHOWN,
                dataset);
    for (size_t i = 0; i < r->n_warned && i < PREPARE_TOLD; i++)
        hct_log(HCT_LOG_WARNING, "headct prepare: warning: %s", r->warned[i]);
    if (r->n_warned > PREPARE_TOLD)
        hct_log(HCT_LOG_WARNING, "headct prepare: warning: and %zu more: %s/qc.html", r->n_warned - PREPARE_TOLD,
                dataset);
    const char *words[64];
    size_t counts[64], n = 0;
    for (size_t i = 0; i < r->n_refused; i++) {
        size_t k = 0;
        while (k < n && strcmp(words[k], r->refused[i].word) != 0) k++;
        if (k == 64) continue;
        if (k == n) words[n] = r->refused[i].word, counts[n++] = 0;
        counts[k]++;
    }
    if (!n) return;
    printf("left out:");
    for (size_t k = 0; k < n; k++) printf("%s %zu %s", k ? "," : "", counts[k], words[k]);
    printf("\n");
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_IN:
    case ARGP_KEY_ARG: s->inputs[s->o.n_inputs++] = arg; break;
    case OPT_OUT: s->o.dataset = arg; break;
    case OPT_LABELS: s->o.labels = arg; break;
    case OPT_LABEL: add_columns(s, arg, state); break;
    case OPT_ID_COLUMN: s->o.form.id = arg; break;
    case OPT_PATIENT_COLUMN: s->o.form.patient = arg; break;
    case OPT_JOBS: s->o.jobs = (int)whole(state, "--jobs", arg, 1, 1024); break;
    case OPT_EXACT: s->o.how.scan.exact = 1; break;
    case OPT_FILTERS: s->o.filters = arg; break;
    case OPT_KEY: s->o.key = arg; break;
    case OPT_ID: s->o.ids_by_uid = choice(state, "--id", arg, "path", "uid"); break;
    case OPT_CENTER: s->o.how.scan.center_head = choice(state, "--center", arg, "image", "head"); break;
    case OPT_MONAI: s->o.how.scan.like_monai = 1; break;
    case OPT_WRAP: s->o.how.scan.unwrap = 1; break;
    case OPT_ONE:
        if (!study_choice_find(arg, &s->o.one_per_study))
            argp_error(state, "--one-per-study '%s': thin, thick or soft is needed", arg);
        break;
    case OPT_FOR:
        if (!(s->o.volumes = form_find(arg))) argp_error(state, "--for '%s': %s are known", arg, form_names());
        break;
    case OPT_STRICT: s->o.strict = true; break;
    case OPT_DCM2NIIX: s->o.how.like_dcm2niix = true; break;
    case OPT_CLEAR_DATES: s->o.clear_dates = true; break;
    case OPT_UNCERTAIN:
        s->o.form.uncertain = strcmp(arg, "empty") == 0                     ? UNCERTAIN_UNKNOWN
                              : choice(state, "--uncertain", arg, "0", "1") ? UNCERTAIN_PRESENT
                                                                            : UNCERTAIN_ABSENT;
        break;
    case OPT_LAYOUT: s->form_name = public_layout_find(arg, &s->layout) ? NULL : arg; break;
    case OPT_PARTIAL: s->o.partial = true; break;
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
        if (s->layout != LAYOUT_NONE && !s->o.labels) argp_error(state, "--layout needs --labels CSV");
        if (s->layout != LAYOUT_NONE || s->form_name) {
            s->table = s->o.labels;
            s->o.labels = NULL;
            if (s->o.form.n_wanted) argp_error(state, "--label chooses columns of a table of scans, not of --layout's");
        }
        if (s->o.form.n_wanted && !s->o.labels) argp_error(state, "--label needs --labels CSV");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static hct_status label_by_layout(const settings *s, hct_err *err) {
    public_result r;
    hct_status st = public_label(s->o.dataset, s->layout, s->table, &r, err);
    if (st < 0) return st;
    printf("labels:");
    for (int k = 0; k < r.n; k++) printf("%s %s %lld", k ? "," : "", r.names[k], (long long)r.positive[k]);
    printf("; %lld scans labelled, %lld lack the labels of some slices, %lld have none; of %lld rows %lld repeat "
           "others, %lld "
           "slices or studies are not here\n",
           (long long)r.labelled, (long long)r.incomplete, (long long)r.without, (long long)r.rows,
           (long long)r.repeated, (long long)r.unused);
    return HCT_OK;
}

static bool wants(void *context, const char *relative) { return layout_wants(context, relative); }

static hct_status open_form(settings *s, hct_err *err) {
    if (!s->form_name) return HCT_OK;
    hct_status st = layout_read(s->form_name, &s->form, err);
    if (st == HCT_OK && s->form.n && s->form.has_table && !s->table)
        st = hct_fail(err, HCT_EINVAL, "--layout %s: its labels are of a table: name it with --labels CSV",
                      s->form_name);
    s->o.wanted = wants;
    s->o.wanted_context = &s->form;
    return st;
}

static hct_status label_by_form(const settings *s, hct_err *err) {
    layout_result r;
    hct_status st = layout_label(s->o.dataset, &s->form, s->table, s->o.inputs, s->o.n_inputs, &r, err);
    if (st < 0) return st;
    printf("labels:");
    for (int k = 0; k < s->form.n; k++)
        printf("%s %s %lld/%lld", k ? "," : "", s->form.names[k], (long long)r.positive[k], (long long)r.known[k]);
    printf("%s %lld scans labelled, %lld have none; of %lld rows %lld are of no scan here\n", s->form.n ? ";" : "",
           (long long)r.labelled, (long long)r.without, (long long)r.rows, (long long)r.unused);
    return HCT_OK;
}

int command_prepare(int argc, char **argv) {
    settings s = {.o = {.shard = 1, .shards = 1, .progress = stderr, .made = qc_picture, .left_out = qc_slice}};
    const struct argp argp = {options, parse, "--in DIR|FILE... --out DATASET", doc, NULL, NULL, NULL};
    s.o.inputs = s.inputs = calloc((size_t)argc, sizeof *s.inputs);
    s.o.form.wanted = s.columns;
    hct_err err = {0};
    if (!s.inputs)
        return command_end(argv[0], hct_fail(&err, HCT_ENOMEM, "out of memory for %d arguments", argc), &err);
    command_parse(&argp, argc, argv, &s);
    prepare_result r;
    stop_listen();
    hct_status status = open_form(&s, &err);
    if (status < 0) {
        layout_free(&s.form);
        free(s.inputs);
        return command_end(argv[0], status, &err);
    }
    status = prepare_dataset(&s.o, &r, &err);
    if (r.left_out) hct_log(HCT_LOG_WARNING, "headct prepare: left out, prepared already: %s", r.left_out);
    if (r.made_key)
        hct_log(
            HCT_LOG_WARNING,
            "headct prepare: made a key, %s: keep a copy of it; without it the dataset's patients cannot be told again",
            r.made_key);
    const label_matches *m = &r.matches;
    if (status == HCT_OK && m->n_missing && !s.o.partial)
        hct_log(HCT_LOG_WARNING,
                "headct prepare: %s: %zu rows have no scan, neither among the inputs nor in the dataset: %s",
                s.o.labels, m->n_missing, m->missing);
    if (status == HCT_OK && s.o.labels)
        printf("labels: %zu rows told by ID, %zu by path, %zu by SeriesInstanceUID; %zu have no scan\n", m->by_id,
               m->by_path, m->by_series, m->n_missing);
    if (status == HCT_OK && r.n_gone)
        hct_log(
            HCT_LOG_WARNING,
            "headct prepare: the sources of %zu scans are gone, which stay in the dataset and are trained on: %s%s: "
            "headct dataset remove %s ID takes one out",
            r.n_gone, r.gone, r.n_gone > 10 ? " and others" : "", s.o.dataset);
    if (r.without_split)
        hct_log(
            HCT_LOG_WARNING,
            "headct prepare: %lld scans are of patients without a split, and will not be trained on: headct split %s "
            "--keep deals these, and moves nobody",
            (long long)r.without_split, s.o.dataset);
    size_t refused = r.n_unread;
    for (size_t i = 0; i < r.n_refused; i++) refused += !r.refused[i].expected;
    if (status == HCT_OK && s.form_name) status = label_by_form(&s, &err);
    else if (status == HCT_OK && s.table) status = label_by_layout(&s, &err);
    int exit_status = command_end(argv[0], status, &err);
    if (status == HCT_OK && (refused || (r.n_refused && !(r.prepared + r.unchanged)))) exit_status = EXIT_PARTIAL;
    tell(&r, s.o.dataset);
    if (status == HCT_OK && s.o.shards == 1) { /* of several shards the last page would be read while others write */
        status = qc_page(s.o.dataset, NULL, &err);
        if (status < 0) exit_status = command_end(argv[0], status, &err);
    }
    if (status == HCT_OK)
        printf("%s: %zu prepared, %zu unchanged, %zu refused\n", s.o.dataset, r.prepared, r.unchanged, r.n_refused);
    if (status == HCT_OK && s.o.volumes)
        printf("%s: %zu volumes made for %s\n", s.o.dataset, r.formed, s.o.volumes->name);
    prepare_free(&r);
    free(s.inputs);
    layout_free(&s.form);
    return exit_status;
}
