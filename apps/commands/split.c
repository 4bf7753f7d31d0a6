/* headct split: a dataset's patients into train, val and test. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/dataset.h"
#include "dataset/split.h"
#include "support/text.h"

static const char doc[] =
    "Deals the patients of a dataset into the splits train, val and test: no patient's scans fall in two splits. The "
    "split is stored in "
    "the "
    "dataset's index, replacing an earlier one. It depends on the seed and the patients' names only.\v"
    "Examples:\n"
    "  headct split data --ratios 8:1:1 --seed 0\n"
    "  headct split data --keep\n\n"
    "Prints scans and patients of each split and, for each label, positive scans / scans whose label is known.";

enum { OPT_RATIOS = 256, OPT_SEED = 'S', OPT_COPIES = 257, OPT_KEEP = 258 };

static const struct argp_option options[] = {
    {"ratios", OPT_RATIOS, "A:B:C", 0, "proportions of train, val and test (default 8:1:1)", 0},
    {"seed", OPT_SEED, "S", 0, "seed of the order of patients (default 0)", 0},
    {"keep", OPT_KEEP, NULL, 0,
     "deal only patients that have no split yet, and move nobody: after scans were added to a dataset in use", 0},
    {"allow-copies", OPT_COPIES, NULL, 0, "split though the same bytes are scans of two patients", 0},
    {0},
};

typedef struct settings {
    const char *dataset;
    double ratios[SPLITS];
    int64_t seed;
    bool allow_copies, keep;
} settings;

static int parse_ratios(const char *text, double ret[SPLITS]) {
    char part[64];
    double sum = 0;
    for (int p = 0; p < SPLITS; p++) {
        size_t n = strcspn(text, ":");
        if (n >= sizeof part || (p + 1 < SPLITS) != (text[n] == ':')) return -1;
        memcpy(part, text, n);
        part[n] = 0;
        if (!text_double(part, &ret[p]) || !(ret[p] >= 0 && ret[p] < 1e9)) return -1;
        sum += ret[p];
        text += n + 1;
    }
    return sum > 0 ? 0 : -1;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_RATIOS:
        if (parse_ratios(arg, s->ratios) < 0)
            argp_error(state, "--ratios %s: three numbers such as 8:1:1 are needed", arg);
        break;
    case OPT_KEEP: s->keep = true; break;
    case OPT_COPIES: s->allow_copies = true; break;
    case OPT_SEED: s->seed = argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case ARGP_KEY_ARG:
        if (s->dataset) argp_error(state, "one DATASET at a time, not also '%s'", arg);
        s->dataset = arg;
        break;
    case ARGP_KEY_END:
        if (!s->dataset) argp_error(state, "DATASET is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Different patients among the scans of a split; 0 also without memory. */
static size_t count_patients(const dataset *d, const size_t *scans, size_t n) {
    const char **names = malloc((n + 1) * sizeof *names);
    size_t patients = 0;
    for (size_t i = 0; names && i < n; i++) names[i] = d->scans[scans[i]].patient;
    if (names) qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; names && i < n; i++) patients += i == 0 || strcmp(names[i - 1], names[i]) != 0;
    free(names);
    return patients;
}

static hct_status print_counts(const dataset *d, hct_err *err) {
    size_t *scans[SPLITS] = {NULL}, n[SPLITS];
    hct_status s = HCT_OK;
    for (int p = 0; p < SPLITS && s == HCT_OK; p++) s = dataset_split(d, split_names[p], &scans[p], &n[p], err);
    if (s == HCT_OK) {
        printf("%-16s %15s %15s %15s\n%-16s", "", split_names[0], split_names[1], split_names[2], "patients");
        for (int p = 0; p < SPLITS; p++) printf(" %15zu", count_patients(d, scans[p], n[p]));
        printf("\n%-16s %15zu %15zu %15zu\n", "scans", n[0], n[1], n[2]);
        for (size_t l = 0; l < d->n_labels; l++) {
            printf("%-16s", d->label_names[l]);
            for (int p = 0; p < SPLITS; p++) {
                size_t positive = 0, known = 0;
                for (size_t i = 0; i < n[p]; i++) {
                    int8_t v = d->labels[scans[p][i] * d->n_labels + l];
                    positive += v == 1;
                    known += v >= 0;
                }
                char cell[48];
                snprintf(cell, sizeof cell, "%zu/%zu", positive, known);
                printf(" %15s", cell);
            }
            putchar('\n');
        }
    }
    for (int p = 0; p < SPLITS; p++) free(scans[p]);
    return s;
}

int command_split(int argc, char **argv) {
    settings s = {.ratios = {8, 1, 1}};
    const struct argp argp = {options, parse, "DATASET", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    size_t new_patients = 0;
    hct_status status = s.keep ? split_new_patients(s.dataset, s.ratios, s.seed, s.allow_copies, &new_patients, &err)
                               : split_dataset(s.dataset, s.ratios, s.seed, s.allow_copies, &err);
    if (status == HCT_OK && s.keep) printf("%zu patients were new\n", new_patients);
    dataset *d = status < 0 ? NULL : dataset_open(s.dataset, &err);
    if (status == HCT_OK) status = d ? print_counts(d, &err) : err.code;
    dataset_close(d);
    return command_end(argv[0], status, &err);
}
