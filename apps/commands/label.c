/* headct label: records of patients to labels of their scans. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands/command.h"
#include "hct/log.h"
#include "labelling/label.h"

static const char doc[] = "Makes labels of a dataset's scans from records: a scan is positive where a diagnosis "
                          "(ICD-10) or a medication of its "
                          "patient falls into the window of days about it. Patients are told by the dataset's key, and "
                          "dates shifted as the scans' "
                          "were. A scan without any record in its window is not known, and not negative. 'headct "
                          "dataset why' shows the records "
                          "behind each positive label.\v"
                          "Examples:\n"
                          "  headct label data --rules nyu --diagnoses dx.csv --medications rx.csv\n"
                          "  headct label data --rules my-rules.yaml --diagnoses dx.csv --dry-run\n"
                          "  headct label data --rules nyu --diff my-rules.yaml --diagnoses dx.csv --out differ.csv\n"
                          "  headct label data --rules nyu --window centered --diagnoses dx.csv\n\n"
                          "Diagnoses: columns patient, date (YYYY-MM-DD), code. Medications: patient, date, name. The "
                          "rules 'nyu' are the paper's ten "
                          "diseases (recipes/labels/nyu.yaml says the form).";

enum {
    OPT_RULES = 256,
    OPT_DIAGNOSES,
    OPT_MEDICATIONS,
    OPT_BRANDS,
    OPT_ICD9,
    OPT_KEY,
    OPT_PATIENT,
    OPT_DATE,
    OPT_CODE,
    OPT_DRY,
    OPT_DIFF,
    OPT_WINDOW,
    OPT_SYSTEM
};

static const struct argp_option options[] = {
    {"rules", OPT_RULES, "NAME|FILE", 0, "rules of the labels: nyu, or a YAML file", 0},
    {"diagnoses", OPT_DIAGNOSES, "CSV", 0, "patient, date, code", 0},
    {"medications", OPT_MEDICATIONS, "CSV", 0, "patient, date, name", 0},
    {"brands", OPT_BRANDS, "CSV", 0, "brand names of medications: columns brand and name", 0},
    {"icd9", OPT_ICD9, "CSV", 0, "codes of ICD-9 and what they are in ICD-10: columns icd9 and icd10", 0},
    {"key", OPT_KEY, "FILE", 0, "the dataset's key (default: $XDG_CONFIG_HOME/headct/key)", 0},
    {"patient-column", OPT_PATIENT, "NAME", 0, "column of the patient's id (default: patient)", 0},
    {"date-column", OPT_DATE, "NAME", 0, "column of the date (default: date)", 0},
    {"code-column", OPT_CODE, "NAME", 0, "column of the diagnosis (default: code)", 0},
    {"code-system-column", OPT_SYSTEM, "NAME", 0,
     "column that says of each diagnosis which codes it is in, ICD-9 or ICD-10: codes that begin with V or E may be "
     "either's",
     0},
    {"window", OPT_WINDOW, "WINDOW", 0,
     "days about the scan instead of the rules': forward (0:90), centered (-45:45), or FIRST:LAST", 0},
    {"diff", OPT_DIFF, "NAME|FILE", 0, "compare with these rules, and write nothing to the dataset", 0},
    {"out", 'o', "CSV", 0, "with --diff: the scans and labels that differ", 0},
    {"dry-run", OPT_DRY, NULL, 0, "count, and write nothing", 0},
    {0},
};

typedef struct settings {
    label_options o;
    const char *other, *out;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    label_options *o = &s->o;
    switch (key) {
    case OPT_RULES: o->rules = arg; break;
    case OPT_DIAGNOSES: o->diagnoses = arg; break;
    case OPT_MEDICATIONS: o->medications = arg; break;
    case OPT_BRANDS: o->brands = arg; break;
    case OPT_ICD9: o->icd9 = arg; break;
    case OPT_KEY: o->key = arg; break;
    case OPT_PATIENT: o->patient_column = arg; break;
    case OPT_DATE: o->date_column = arg; break;
    case OPT_CODE: o->code_column = arg; break;
    case OPT_DRY: o->dry = true; break;
    case OPT_SYSTEM: o->system_column = arg; break;
    case OPT_WINDOW: o->window = arg; break;
    case OPT_DIFF: s->other = arg; break;
    case 'o': s->out = arg; break;
    case ARGP_KEY_ARG:
        if (o->dataset) return ARGP_ERR_UNKNOWN;
        o->dataset = arg;
        break;
    case ARGP_KEY_END:
        if (!o->dataset) argp_error(state, "DATASET is missing");
        if (!o->rules) argp_error(state, "--rules NAME or FILE is missing");
        if (s->out && !s->other) argp_error(state, "--out belongs to --diff");
        if (!o->diagnoses) argp_error(state, "--diagnoses CSV is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static hct_status tell_difference(const settings *s, hct_err *err) {
    text_buffer csv = {0};
    label_differences *d = calloc(1, sizeof *d);
    if (!d) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = label_compare(&s->o, s->other, d, s->out ? &csv : NULL, err);
    if (st == HCT_OK && s->out) st = text_save(&csv, s->out, err);
    if (st == HCT_OK) {
        printf("first: %s, second: %s\n%-12s %10s %10s %10s %12s %12s\n", s->o.rules, s->other, "positive", "by first",
               "by second", "by both", "first alone", "second alone");
        for (int k = 0; k < d->n; k++) {
            const label_difference *one = &d->of[k];
            printf("%-12s %10lld %10lld %10lld %12lld %12lld%s\n", one->name, (long long)one->positive[0],
                   (long long)one->positive[1], (long long)one->both, (long long)one->only[0], (long long)one->only[1],
                   one->in[0] && one->in[1] ? ""
                   : one->in[0]             ? "  (first has it alone)"
                                            : "  (second has it alone)");
        }
        printf("of %lld scans with a date %lld have a record in the first's window, %lld in the second's; nothing was "
               "written to the dataset\n",
               (long long)d->scans, (long long)d->known[0], (long long)d->known[1]);
    }
    text_free(&csv);
    free(d);
    return st;
}

int command_label(int argc, char **argv) {
    settings s = {.other = NULL};
    const struct argp argp = {options, parse, "DATASET --rules NAME --diagnoses CSV", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    label_result r;
    hct_err err = {0};
    if (s.other) return command_end(argv[0], tell_difference(&s, &err), &err);
    hct_status st = label_dataset(&s.o, &r, &err);
    if (st == HCT_OK) {
        printf("%-12s %10s %10s\n", "label", "positive", "negative");
        for (int k = 0; k < r.n; k++)
            printf("%-12s %10lld %10lld\n", r.names[k], (long long)r.positive[k], (long long)(r.known - r.positive[k]));
        printf("%lld of %lld scans have a record in their window, %lld have no date; %lld records, %lld of patients "
               "that the "
               "dataset lacks%s\n",
               (long long)r.known, (long long)r.scans, (long long)r.undated, (long long)r.records,
               (long long)r.unmatched, s.o.dry ? "; nothing was written" : "");
        fflush(stdout);
        if (r.either)
            hct_log(HCT_LOG_WARNING,
                    "headct label: %lld codes begin with V or E8, as codes of ICD-9 may: they were read as ICD-10; "
                    "--code-system-column says which they are",
                    (long long)r.either);
    }
    return command_end(argv[0], st, &err);
}
