/* headct phantom: made-up head CTs with known findings. */
#include <argp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/sources.h"
#include "hct/io.h"
#include "imaging/nifti.h"
#include "imaging/phantom.h"
#include "imaging/workers.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/text.h"

static const char doc[] =
    "Writes made-up head CTs (one .nii.gz a scan, int16 HU) and labels.csv, for trying headct without patients' "
    "data.\n\n"
    "A phantom has skull, scalp, brain with folds, ventricles, calcifications and noise, in a random pose and spacing. "
    "Tumor, HCP, Edema, ADRD, IPH, IVH, SDH, EDH and SAH are drawn as shapes; ICH (intracranial haemorrhage) is any of "
    "IPH, IVH, SDH, EDH and SAH. The findings belong to the patient; each is left out of a scan with probability 0.15. "
    "Pose, spacing and noise do not depend on them. "
    "The same seed gives the same files for any number of jobs. A folder with other scans in it is refused; the same "
    "set is "
    "written over.\v"
    "Example:\n"
    "  headct phantom --out phantoms --patients 100 --seed 7\n\n"
    "labels.csv: scan, patient, then a column of 0 and 1 for each finding, as `headct prepare --labels` reads it.";

enum {
    OPT_OUT = 'o',
    OPT_PATIENTS = 'n',
    OPT_SCANS = 'k',
    OPT_SEED = 's',
    OPT_JOBS = 'j',
    OPT_SIZE = 'z',
    OPT_POSE = 'P',
    OPT_PREVALENCE = 'p',
    OPT_NOISE = 'N',
    OPT_QUIET = 'q'
};

static const struct argp_option options[] = {
    {"out", OPT_OUT, "DIR", 0, "folder to write to; made where it is missing", 0},
    {"patients", OPT_PATIENTS, "N", 0, "number of patients (default 20)", 0},
    {"scans-per-patient", OPT_SCANS, "K or A-B", 0, "scans of each patient, or a range to draw from (default 1-3)", 0},
    {"seed", OPT_SEED, "S", 0, "seed of everything random (default 0)", 0},
    {"size", OPT_SIZE, "SIZE", 0,
     "voxels of about: tiny 3.5 x 3.5 x 6 mm, small 2 x 2 x 4 mm (default), full 0.5 x 0.5 x 0.6 to 5 mm", 0},
    {"pose", OPT_POSE, "F", 0, "how far heads are moved and turned: 1 (default) is up to 8 mm and 14 degrees", 0},
    {"noise", OPT_NOISE, "HU or A-B", 0,
     "standard deviation of each voxel's noise, or a range to draw each scan's from (default 2-7)", 0},
    {"prevalence", OPT_PREVALENCE, "P", 0, "probability of each finding in a patient (default 0.2)", 0},
    {"jobs", OPT_JOBS, "J", 0, "threads (default: one a CPU)", 0},
    {"quiet", OPT_QUIET, NULL, 0, "no progress line", 0},
    {0},
};

typedef struct settings {
    const char *out;
    int64_t patients, scans_min, scans_max, jobs;
    phantom_set set;
    int quiet;
} settings;

enum { NUMBER = 24 };

/* Parts A-B: A into low, B is what comes back; both are the whole text where there is no dash. */
static const char *range_of(const char *text, char low[NUMBER]) {
    const char *dash = strchr(text, '-');
    snprintf(low, NUMBER, "%.*s", dash ? (int)(dash - text) : NUMBER - 1, text);
    return dash ? dash + 1 : text;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    static const char *const sizes[] = {"tiny", "small", "full"};
    switch (key) {
    case OPT_OUT: s->out = arg; break;
    case OPT_PATIENTS: s->patients = argument_whole(state, "patients", arg, 1, 1000000); break;
    case OPT_SEED: s->set.seed = (uint64_t)argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case OPT_JOBS: s->jobs = argument_whole(state, "jobs", arg, 1, 1024); break;
    case OPT_QUIET: s->quiet = 1; break;
    case OPT_SCANS: {
        char low[NUMBER];
        const char *high = range_of(arg, low);
        s->scans_min = argument_whole(state, "scans-per-patient", low, 1, 1000);
        s->scans_max = argument_whole(state, "scans-per-patient", high, s->scans_min, 1000);
        break;
    }
    case OPT_POSE:
        if (!text_double(arg, &s->set.pose) || !(s->set.pose >= 0 && s->set.pose <= 1))
            argp_error(state, "--pose %s: a number from 0 to 1 is needed", arg);
        break;
    case OPT_NOISE: {
        char low[NUMBER];
        const char *high = range_of(arg, low);
        double *a = &s->set.noise_min, *b = &s->set.noise_max;
        if (!text_double(low, a) || !text_double(high, b) || !(*a >= 0 && *a <= *b && *b <= 1000))
            argp_error(state, "--noise %s: HU from 0 to 1000 are needed, or a range such as 2-7", arg);
        break;
    }
    case OPT_PREVALENCE:
        if (!text_double(arg, &s->set.prevalence) || !(s->set.prevalence >= 0 && s->set.prevalence <= 1))
            argp_error(state, "--prevalence %s: a number from 0 to 1 is needed", arg);
        break;
    case OPT_SIZE:
        for (s->set.size = PHANTOM_TINY; strcmp(sizes[s->set.size], arg) != 0; s->set.size++)
            if (s->set.size == PHANTOM_FULL) argp_error(state, "--size %s: tiny, small or full is needed", arg);
        break;
    case ARGP_KEY_ARG: return ARGP_ERR_UNKNOWN;
    case ARGP_KEY_END:
        if (!s->out || !*s->out) argp_error(state, "--out DIR is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* One scan to write: which, and the labels that came out. */
typedef struct item {
    int64_t patient, scan;
    int present[FINDINGS];
} item;

typedef struct batch {
    const settings *set;
    item *items;
    pthread_mutex_t lock; /* guards progress */
    progress progress;
    int64_t done;
} batch;

static void scan_name(const item *it, char ret[48]) {
    snprintf(ret, 48, "p%04lld_s%lld", (long long)it->patient + 1, (long long)it->scan + 1);
}

static hct_status write_one(void *context, int64_t i, hct_err *err) {
    batch *b = context;
    item *it = &b->items[i];
    phantom p;
    volume v;
    char name[48], path[4096];
    phantom_draw(&p, &b->set->set, (uint64_t)it->patient, (uint64_t)it->scan);
    memcpy(it->present, p.present, sizeof it->present);
    scan_name(it, name);
    snprintf(path, sizeof path, "%s/%s.nii.gz", b->set->out, name);
    hct_status s = phantom_render(&p, &v, err);
    if (s == HCT_OK) s = nifti_write(path, &v, 1, err);
    volume_free(&v);
    pthread_mutex_lock(&b->lock);
    progress_show(&b->progress, ++b->done, "");
    pthread_mutex_unlock(&b->lock);
    return s;
}

static hct_status write_labels(const settings *s, const item *items, int64_t n, hct_err *err) {
    char path[4096], name[48];
    snprintf(path, sizeof path, "%s/labels.csv", s->out);
    hct_outfile *f = hct_outfile_open(path, err);
    csv_put(f, 0, "scan");
    csv_put(f, 1, "patient");
    for (int k = 0; k < FINDINGS; k++) csv_put(f, (size_t)k + 2, finding_names[k]);
    csv_end_row(f);
    for (int64_t i = 0; i < n; i++) {
        scan_name(&items[i], name);
        csv_put(f, 0, name);
        name[strcspn(name, "_")] = 0;
        csv_put(f, 1, name);
        for (int k = 0; k < FINDINGS; k++) csv_put(f, (size_t)k + 2, items[i].present[k] ? "1" : "0");
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
}

static int64_t scans_of(const settings *s, int64_t patient) {
    return phantom_scans(s->set.seed, (uint64_t)patient, s->scans_min, s->scans_max);
}

static int is_of_set(const settings *s, const char *file) {
    long long patient, scan;
    char name[48], whole[64];
    if (sscanf(file, "p%lld_s%lld", &patient, &scan) != 2 || patient < 1 || patient > s->patients) return 0;
    if (scan < 1 || scan > scans_of(s, patient - 1)) return 0;
    scan_name(&(item){.patient = patient - 1, .scan = scan - 1}, name);
    snprintf(whole, sizeof whole, "%s.nii.gz", name);
    return strcmp(file, whole) == 0;
}

/* Makes the folder. Scans that are there may only be those that will be written over: labels.csv will not know of
 * others. It is written last, so an older one goes first: it must not stand beside scans that it does not tell of. */
static hct_status open_folder(const settings *s, hct_err *err) {
    char **names = NULL, strange[256] = "", *labels = path_join(s->out, "labels.csv");
    size_t n = 0, strangers = 0;
    hct_status status = labels ? path_make_folders(s->out, err) : hct_fail(err, HCT_ENOMEM, "no memory");
    if (status == HCT_OK) status = path_list(s->out, "", &names, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (source_is_volume(names[i]) && !is_of_set(s, names[i]) && !strangers++)
            snprintf(strange, sizeof strange, "%s", names[i]);
        free(names[i]);
    }
    free(names);
    if (strangers)
        status = hct_fail(err, HCT_EINVAL,
                          "%s: %zu scans are there that are not of this set (%s, for one) and would have no labels: "
                          "name another folder, or remove them",
                          s->out, strangers, strange);
    if (status == HCT_OK) hct_leftovers_remove(s->out);
    if (status == HCT_OK) unlink(labels);
    free(labels);
    return status;
}

int command_phantom(int argc, char **argv) {
    settings s = {.patients = 20, .scans_min = 1, .scans_max = 3, .set = phantom_usual};
    const struct argp argp = {options, parse, "--out DIR", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    int64_t n = 0;
    for (int64_t p = 0; p < s.patients; p++) n += scans_of(&s, p);
    batch b = {.set = &s, .items = calloc((size_t)n, sizeof *b.items)};
    hct_status status =
        b.items ? open_folder(&s, &err) : hct_fail(&err, HCT_ENOMEM, "no memory for %lld scans", (long long)n);
    if (status == HCT_OK) {
        for (int64_t p = 0, i = 0; p < s.patients; p++)
            for (int64_t k = 0; k < scans_of(&s, p); k++) b.items[i++] = (item){.patient = p, .scan = k};
        pthread_mutex_init(&b.lock, NULL);
        b.progress = progress_begin(s.quiet ? NULL : stderr, "scan", 0, n, "scans", 1);
        status = workers_run((int)s.jobs, n, write_one, &b, &err);
        if (status == HCT_OK) progress_end(&b.progress, "");
        else progress_break(&b.progress);
        pthread_mutex_destroy(&b.lock);
    }
    if (status == HCT_OK) status = write_labels(&s, b.items, n, &err);
    free(b.items);
    if (status == HCT_OK)
        printf("%lld scans of %lld patients and labels.csv in %s\n", (long long)n, (long long)s.patients, s.out);
    return command_end(argv[0], status, &err);
}
