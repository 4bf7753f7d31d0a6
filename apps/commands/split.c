/* headct split: a dataset's patients into train, val and test. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "dataset/dataset.h"
#include "dataset/split.h"
#include "hct/log.h"
#include "support/text.h"

static const char doc[] =
    "Deals the patients of a dataset into the splits train, val and test, or into folds: no patient's scans fall in "
    "two "
    "parts. The split is stored in the dataset's index, replacing an earlier one. It depends on the seed and the "
    "patients' names, and with --stratify on their labels.\v"
    "Examples:\n"
    "  headct split data --ratios 8:1:1 --seed 0\n"
    "  headct split cq500 --stratify EDH,IVH\n"
    "  headct split data --folds 5          (then --set data.train=fold1+fold2+fold3 data.validation=fold4 ...)\n"
    "  headct split data --keep\n"
    "  headct split cq500 --from published.csv --id-column name\n"
    "  headct split labelled --from pretraining\n\n"
    "--from takes a table, with a column of scans, series, studies or patients and one of parts (split, set or fold), "
    "or "
    "another dataset, whose split is kept for the patients and scans that both have. Who is in neither has no part, is "
    "counted, and can be dealt one by --keep --ratios.\n\n"
    "Prints scans and patients of each part and, for each label, positive scans / scans whose label is known; parts "
    "without a positive of some label are named. docs/splits.md tells more.";

enum {
    OPT_RATIOS = 256,
    OPT_SEED = 'S',
    OPT_COPIES = 257,
    OPT_KEEP = 258,
    OPT_FOLDS,
    OPT_STRATIFY,
    OPT_FROM,
    OPT_ID,
    OPT_KEY
};

static const struct argp_option options[] = {
    {"ratios", OPT_RATIOS, "A:B:C", 0, "proportions of train, val and test (default 8:1:1)", 0},
    {"folds", OPT_FOLDS, "K", 0, "K equal parts fold1 ... foldK instead", 0},
    {"seed", OPT_SEED, "S", 0, "seed of the order of patients (default 0)", 0},
    {"stratify", OPT_STRATIFY, "A,B,...|all", 0,
     "spread patients with positives of these labels evenly over the parts, the rarest first", 0},
    {"from", OPT_FROM, "FILE|DATASET", 0, "take the split that a table or another dataset has", 0},
    {"id-column", OPT_ID, "NAME", 0, "of --from's table (default: scan, name, series, study, patient or id)", 0},
    {"key", OPT_KEY, "FILE", 0, "of the dataset, for PatientIDs and UIDs in --from's table (default: the usual one)",
     0},
    {"keep", OPT_KEEP, NULL, 0,
     "give only patients that have no part yet one, by the rule of the split, and move nobody: after scans were added "
     "to "
     "a dataset in use",
     0},
    {"allow-copies", OPT_COPIES, NULL, 0, "split though the same bytes are scans of two patients", 0},
    {0},
};

typedef struct settings {
    const char *dataset;
    split_rule rule;
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
        if (parse_ratios(arg, s->rule.ratios) < 0)
            argp_error(state, "--ratios %s: three numbers such as 8:1:1 are needed", arg);
        s->rule.given = true;
        break;
    case OPT_FOLDS:
        s->rule.folds = argument_whole(state, "folds", arg, 2, SPLIT_FOLDS);
        s->rule.given = true;
        break;
    case OPT_STRATIFY: s->rule.stratify = arg; break;
    case OPT_FROM: s->rule.from = arg; break;
    case OPT_ID: s->rule.id_column = arg; break;
    case OPT_KEY: s->rule.key = arg; break;
    case OPT_KEEP: s->rule.keep = true; break;
    case OPT_COPIES: s->rule.allow_copies = true; break;
    case OPT_SEED:
        s->rule.seed = argument_whole(state, "seed", arg, 0, INT64_MAX);
        s->rule.given = true;
        break;
    case ARGP_KEY_ARG:
        if (s->dataset) argp_error(state, "one DATASET at a time, not also '%s'", arg);
        s->dataset = arg;
        break;
    case ARGP_KEY_END:
        if (!s->dataset) argp_error(state, "DATASET is missing");
        if (s->rule.from && (s->rule.given || s->rule.stratify))
            argp_error(state, "--from takes a split that is there; leave --ratios, --folds, --seed and --stratify out");
        if (s->rule.keep && s->rule.stratify)
            argp_error(state, "--keep deals patients one by one, and so not evenly: leave --stratify out");
        if ((s->rule.id_column || s->rule.key) && !s->rule.from)
            argp_error(state, "--id-column and --key belong to --from");
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

typedef struct part_counts {
    char name[32];
    size_t *scans, n;
} part_counts;

static int by_part(const void *a, const void *b) {
    const char *x = ((const part_counts *)a)->name, *y = ((const part_counts *)b)->name;
    int places[2] = {SPLITS, SPLITS};
    for (int p = 0; p < SPLITS; p++) {
        if (!strcmp(x, split_names[p])) places[0] = p;
        if (!strcmp(y, split_names[p])) places[1] = p;
    }
    return places[0] != places[1] ? places[0] - places[1] : strverscmp(x, y);
}

/* The parts that there are, in their order; of train, val and test all three. */
static hct_status read_parts(const dataset *d, part_counts *parts, size_t *ret_n, hct_err *err) {
    size_t n = 0;
    bool usual = false;
    for (size_t i = 0; i < d->n; i++) {
        const char *name = d->scans[i].split;
        size_t k = 0;
        while (name && k < n && strcmp(parts[k].name, name) != 0) k++;
        if (!name || k < n || n == SPLIT_FOLDS + SPLITS) continue;
        snprintf(parts[n++].name, sizeof parts->name, "%s", name);
        for (int p = 0; p < SPLITS; p++) usual |= !strcmp(name, split_names[p]);
    }
    for (int p = 0; usual && p < SPLITS; p++) {
        size_t k = 0;
        while (k < n && strcmp(parts[k].name, split_names[p]) != 0) k++;
        if (k == n) snprintf(parts[n++].name, sizeof parts->name, "%s", split_names[p]);
    }
    qsort(parts, n, sizeof *parts, by_part);
    hct_status s = HCT_OK;
    for (size_t p = 0; p < n && s == HCT_OK; p++)
        s = dataset_split(d, parts[p].name, &parts[p].scans, &parts[p].n, err);
    *ret_n = n;
    return s;
}

/* Says at once which parts cannot tell anything of a label. */
static void tell_without(const char *label, const part_counts *parts, const size_t *positive, size_t n) {
    char names[400] = "";
    size_t length = 0;
    for (size_t p = 0; p < n && length + 40 < sizeof names; p++)
        if (parts[p].n && !positive[p])
            length +=
                (size_t)snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "", parts[p].name);
    if (length) hct_log(HCT_LOG_WARNING, "headct split: no positive of %s in %s", label, names);
}

static hct_status print_counts(const dataset *d, hct_err *err) {
    part_counts parts[SPLIT_FOLDS + SPLITS] = {{.n = 0}};
    size_t n = 0, positive[SPLIT_FOLDS + SPLITS];
    hct_status s = read_parts(d, parts, &n, err);
    if (s == HCT_OK) {
        printf("%-16s", "");
        for (size_t p = 0; p < n; p++) printf(" %15s", parts[p].name);
        printf("\n%-16s", "patients");
        for (size_t p = 0; p < n; p++) printf(" %15zu", count_patients(d, parts[p].scans, parts[p].n));
        printf("\n%-16s", "scans");
        for (size_t p = 0; p < n; p++) printf(" %15zu", parts[p].n);
        putchar('\n');
        for (size_t l = 0; l < d->n_labels; l++) {
            printf("%-16s", d->label_names[l]);
            for (size_t p = 0; p < n; p++) {
                size_t known = 0;
                positive[p] = 0;
                for (size_t i = 0; i < parts[p].n; i++) {
                    int8_t v = d->labels[parts[p].scans[i] * d->n_labels + l];
                    positive[p] += v == 1;
                    known += v >= 0;
                }
                char cell[48];
                snprintf(cell, sizeof cell, "%zu/%zu", positive[p], known);
                printf(" %15s", cell);
            }
            putchar('\n');
            fflush(stdout);
            tell_without(d->label_names[l], parts, positive, n);
        }
    }
    for (size_t p = 0; p < n; p++) free(parts[p].scans);
    return s;
}

/* Scans of patients without a part are trained on by nobody. */
static void tell_unplaced(const dataset *d) {
    char names[300] = "";
    size_t n = 0, length = 0;
    for (size_t i = 0; i < d->n; i++)
        if (!d->scans[i].split && n++ < 10 && length + 80 < sizeof names)
            length += (size_t)snprintf(names + length, sizeof names - length, "%s'%.60s'", length ? ", " : "",
                                       d->scans[i].id);
    if (n)
        hct_log(HCT_LOG_WARNING,
                "headct split: %zu scans are in no part: %s%s: --keep --ratios A:B:C deals their patients", n, names,
                n > 10 ? " and others" : "");
}

int command_split(int argc, char **argv) {
    settings s = {.rule = {.ratios = {8, 1, 1}}};
    const struct argp argp = {options, parse, "DATASET", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    split_result r;
    hct_status status = split_dataset(s.dataset, &s.rule, &r, &err);
    if (status == HCT_OK && s.rule.keep) printf("%zu patients were new\n", r.placed);
    if (status == HCT_OK && s.rule.from) printf("%zu patients placed by %s\n", r.placed, s.rule.from);
    if (r.no_scan && status == HCT_OK)
        hct_log(HCT_LOG_WARNING, "headct split: %zu of %zu rows of %s name no scan or patient here: %s%s", r.no_scan,
                r.rows, s.rule.from, r.named, r.no_scan > 10 ? " and others" : "");
    dataset *d = status < 0 ? NULL : dataset_open(s.dataset, &err);
    if (status == HCT_OK) status = d ? print_counts(d, &err) : err.code;
    if (status == HCT_OK) tell_unplaced(d);
    dataset_close(d);
    return command_end(argv[0], status, &err);
}
