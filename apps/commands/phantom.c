/* headct phantom: made-up head CTs with known findings. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/phantoms.h"
#include "support/text.h"

static const char doc[] =
    "Writes made-up head CTs (one .nii.gz a scan, int16 HU) and labels.csv, for trying headct without patients' "
    "data.\n\n"
    "A phantom has skull, scalp, brain with folds, ventricles and noise, in a random pose and spacing, and much that "
    "looks like a finding and is none: calcifications, dense sinuses, old infarcts, cysts, scalp haematomas, the wide "
    "folds of age, shading (--plain: none of that). "
    "Tumor, HCP, Edema, ADRD, IPH, IVH, SDH, EDH and SAH are drawn as shapes; ICH (intracranial haemorrhage) is any of "
    "IPH, IVH, SDH, EDH and SAH. The findings belong to the patient; each is left out of a scan with probability 0.15. "
    "Pose, spacing, noise and what is harmless do not depend on them. "
    "The same seed gives the same files for any number of jobs. A folder with other scans in it is refused; the same "
    "set is "
    "written over.\v"
    "Examples:\n"
    "  headct phantom --out phantoms --patients 100 --seed 7\n"
    "  headct phantom --out easy --pose 0 --findings IPH,SDH --larger 0.3 --brighter 15 --masks IPH,SDH\n\n"
    "labels.csv: scan, patient, then a column of 0 and 1 for each finding, as `headct prepare --labels` reads it.";

enum {
    OPT_OUT = 'o',
    OPT_PATIENTS = 'n',
    OPT_SCANS = 256,
    OPT_SEED = 'S',
    OPT_JOBS = 'j',
    OPT_SIZE = 260,
    OPT_POSE = 258,
    OPT_PREVALENCE = 257,
    OPT_NOISE = 259,
    OPT_FINDINGS = 261,
    OPT_HEADS,
    OPT_PLAIN,
    OPT_CQ500,
    OPT_LARGER,
    OPT_BRIGHTER,
    OPT_MASKS,
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
    {"heads", OPT_HEADS, "F", 0,
     "how much heads differ in size, bone and shading: 1 (default) is size by up to 10% either way, 0 not at all", 0},
    {"plain", OPT_PLAIN, NULL, 0, "heads without anything that looks like a finding and is none, as of headct 0.1", 0},
    {"noise", OPT_NOISE, "HU or A-B", 0,
     "standard deviation of each voxel's noise, or a range to draw each scan's from (default 2-7)", 0},
    {"prevalence", OPT_PREVALENCE, "P", 0, "probability of each finding in a patient (default 0.2)", 0},
    {"findings", OPT_FINDINGS, "A,B,...", 0, "only these are ever drawn (default: all)", 0},
    {"cq500", OPT_CQ500, NULL, 0,
     "also columns BleedLocation-Left, BleedLocation-Right, MidlineShift (4 mm and more) and MassEffect, as of CQ500; "
     "not with --plain",
     0},
    {"larger", OPT_LARGER, "F", 0, "IPH longer along each axis, SDH thicker by this share (default 0)", 0},
    {"brighter", OPT_BRIGHTER, "HU", 0, "added to all blood (default 0)", 0},
    {"masks", OPT_MASKS, "A,B,...", 0,
     "also write DIR-masks/SCAN_FINDING.nii.gz of these bleeds where a scan has them, and DIR-masks/SCAN_brain.nii.gz",
     0},
    {"jobs", OPT_JOBS, "J", 0, "threads (default: one a CPU)", 0},
    {"quiet", OPT_QUIET, NULL, 0, "no progress line", 0},
    {0},
};

typedef struct settings {
    phantoms_options o;
    int quiet, heads; /* heads: it was given */
} settings;

enum { NUMBER = 24 };

/* Parts A-B: A into low, B is what comes back; both are the whole text where there is no dash. */
static const char *range_of(const char *text, char low[NUMBER]) {
    const char *dash = strchr(text, '-');
    snprintf(low, NUMBER, "%.*s", dash ? (int)(dash - text) : NUMBER - 1, text);
    return dash ? dash + 1 : text;
}

/* Findings of a list as bits. */
static unsigned findings_of(struct argp_state *state, const char *option, const char *list) {
    unsigned bits = 0;
    for (const char *c = list; *c;) {
        size_t n = strcspn(c, ",");
        int f = 0;
        while (f < FINDINGS && (strncmp(finding_names[f], c, n) != 0 || finding_names[f][n])) f++;
        if (f == FINDINGS || f == ICH)
            argp_error(state, "--%s %s: names of Tumor, HCP, Edema, ADRD, IPH, IVH, SDH, EDH, SAH are needed", option,
                       list);
        bits |= 1u << f;
        c += n + (c[n] == ',');
    }
    return bits;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    static const char *const sizes[] = {"tiny", "small", "full"};
    switch (key) {
    case OPT_OUT: s->o.out = arg; break;
    case OPT_PATIENTS: s->o.patients = argument_whole(state, "patients", arg, 1, 1000000); break;
    case OPT_SEED: s->o.set.seed = (uint64_t)argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case OPT_JOBS: s->o.jobs = argument_whole(state, "jobs", arg, 1, 1024); break;
    case OPT_QUIET: s->quiet = 1; break;
    case OPT_SCANS: {
        char low[NUMBER];
        const char *high = range_of(arg, low);
        s->o.scans_min = argument_whole(state, "scans-per-patient", low, 1, 1000);
        s->o.scans_max = argument_whole(state, "scans-per-patient", high, s->o.scans_min, 1000);
        break;
    }
    case OPT_POSE:
        if (!text_double(arg, &s->o.set.pose) || !(s->o.set.pose >= 0 && s->o.set.pose <= 1))
            argp_error(state, "--pose %s: a number from 0 to 1 is needed", arg);
        break;
    case OPT_HEADS:
        if (!text_double(arg, &s->o.set.heads) || !(s->o.set.heads >= 0 && s->o.set.heads <= 1))
            argp_error(state, "--heads %s: a number from 0 to 1 is needed", arg);
        s->heads = 1;
        break;
    case OPT_PLAIN: s->o.set.plain = 1; break;
    case OPT_CQ500: s->o.readings = 1; break;
    case OPT_NOISE: {
        char low[NUMBER];
        const char *high = range_of(arg, low);
        double *a = &s->o.set.noise_min, *b = &s->o.set.noise_max;
        if (!text_double(low, a) || !text_double(high, b) || !(*a >= 0 && *a <= *b && *b <= 1000))
            argp_error(state, "--noise %s: HU from 0 to 1000 are needed, or a range such as 2-7", arg);
        break;
    }
    case OPT_PREVALENCE:
        if (!text_double(arg, &s->o.set.prevalence) || !(s->o.set.prevalence >= 0 && s->o.set.prevalence <= 1))
            argp_error(state, "--prevalence %s: a number from 0 to 1 is needed", arg);
        break;
    case OPT_FINDINGS: s->o.set.only = findings_of(state, "findings", arg); break;
    case OPT_LARGER:
        if (!text_double(arg, &s->o.set.larger) || !(s->o.set.larger >= 0 && s->o.set.larger <= 1))
            argp_error(state, "--larger %s: a number from 0 to 1 is needed", arg);
        break;
    case OPT_BRIGHTER:
        if (!text_double(arg, &s->o.set.brighter_hu) || !(s->o.set.brighter_hu >= 0 && s->o.set.brighter_hu <= 1000))
            argp_error(state, "--brighter %s: HU from 0 to 1000 are needed", arg);
        break;
    case OPT_MASKS:
        s->o.masks = findings_of(state, "masks", arg);
        if (s->o.masks & (1u << TUMOR | 1u << HCP | 1u << EDEMA | 1u << ADRD))
            argp_error(state, "--masks %s: masks are of bleeds alone: IPH, IVH, SDH, EDH, SAH", arg);
        break;
    case OPT_SIZE:
        for (s->o.set.size = PHANTOM_TINY; strcmp(sizes[s->o.set.size], arg) != 0; s->o.set.size++)
            if (s->o.set.size == PHANTOM_FULL) argp_error(state, "--size %s: tiny, small or full is needed", arg);
        break;
    case ARGP_KEY_ARG: return ARGP_ERR_UNKNOWN;
    case ARGP_KEY_END:
        if (!s->o.out || !*s->o.out) argp_error(state, "--out DIR is missing");
        if (s->o.set.plain && s->o.readings)
            argp_error(state, "--cq500: plain heads have no masses that push; leave out --plain");
        if (s->o.set.plain && s->heads) argp_error(state, "--heads: plain heads differ as they do; leave out --plain");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_phantom(int argc, char **argv) {
    settings s = {.o = {.patients = 20, .scans_min = 1, .scans_max = 3, .set = phantom_usual}};
    const struct argp argp = {options, parse, "--out DIR", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    int64_t n = 0;
    hct_status status = phantoms_write(&s.o, s.quiet ? NULL : stderr, &n, &err);
    if (status == HCT_OK)
        printf("%lld scans of %lld patients and labels.csv in %s\n", (long long)n, (long long)s.o.patients, s.o.out);
    return command_end(argv[0], status, &err);
}
