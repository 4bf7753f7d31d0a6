/* headct label: records of patients to labels of their scans. */
#include <stdio.h>

#include "commands/command.h"
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
                          "  headct label data --rules my-rules.yaml --diagnoses dx.csv --dry-run\n\n"
                          "Diagnoses: columns patient, date (YYYY-MM-DD), code. Medications: patient, date, name. The "
                          "rules 'nyu' are the paper's ten "
                          "diseases (recipes/labels/nyu.yaml says the form).";

enum { OPT_DIAGNOSES = 256, OPT_MEDICATIONS, OPT_BRANDS, OPT_ICD9, OPT_KEY, OPT_PATIENT, OPT_DATE, OPT_CODE, OPT_DRY };

static const struct argp_option options[] = {
    {"rules", 'r', "NAME|FILE", 0, "rules of the labels: nyu, or a YAML file", 0},
    {"diagnoses", OPT_DIAGNOSES, "CSV", 0, "patient, date, code", 0},
    {"medications", OPT_MEDICATIONS, "CSV", 0, "patient, date, name", 0},
    {"brands", OPT_BRANDS, "CSV", 0, "brand names of medications: columns brand and name", 0},
    {"icd9", OPT_ICD9, "CSV", 0, "codes of ICD-9 and what they are in ICD-10: columns icd9 and icd10", 0},
    {"key", OPT_KEY, "FILE", 0, "the dataset's key (default: $XDG_CONFIG_HOME/headct/key)", 0},
    {"patient-column", OPT_PATIENT, "NAME", 0, "column of the patient's id (default: patient)", 0},
    {"date-column", OPT_DATE, "NAME", 0, "column of the date (default: date)", 0},
    {"code-column", OPT_CODE, "NAME", 0, "column of the diagnosis (default: code)", 0},
    {"dry-run", OPT_DRY, NULL, 0, "count, and write nothing", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    label_options *o = state->input;
    switch (key) {
    case 'r': o->rules = arg; break;
    case OPT_DIAGNOSES: o->diagnoses = arg; break;
    case OPT_MEDICATIONS: o->medications = arg; break;
    case OPT_BRANDS: o->brands = arg; break;
    case OPT_ICD9: o->icd9 = arg; break;
    case OPT_KEY: o->key = arg; break;
    case OPT_PATIENT: o->patient_column = arg; break;
    case OPT_DATE: o->date_column = arg; break;
    case OPT_CODE: o->code_column = arg; break;
    case OPT_DRY: o->dry = true; break;
    case ARGP_KEY_ARG:
        if (o->dataset) return ARGP_ERR_UNKNOWN;
        o->dataset = arg;
        break;
    case ARGP_KEY_END:
        if (!o->dataset) argp_error(state, "DATASET is missing");
        if (!o->rules) argp_error(state, "--rules NAME or FILE is missing");
        if (!o->diagnoses) argp_error(state, "--diagnoses CSV is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_label(int argc, char **argv) {
    label_options o = {0};
    const struct argp argp = {options, parse, "DATASET --rules NAME --diagnoses CSV", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    label_result r;
    hct_err err = {0};
    hct_status st = label_dataset(&o, &r, &err);
    if (st == HCT_OK) {
        printf("%-12s %10s %10s\n", "label", "positive", "negative");
        for (int k = 0; k < r.n; k++)
            printf("%-12s %10lld %10lld\n", r.names[k], (long long)r.positive[k], (long long)(r.known - r.positive[k]));
        printf("%lld of %lld scans have a record in their window, %lld have no date; %lld records, %lld of patients "
               "that the "
               "dataset lacks%s\n",
               (long long)r.known, (long long)r.scans, (long long)r.undated, (long long)r.records,
               (long long)r.unmatched, o.dry ? "; nothing was written" : "");
    }
    return command_end(argv[0], st, &err);
}
