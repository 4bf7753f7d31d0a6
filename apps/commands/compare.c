/* headct compare: several systems trained on the same scans, held against each other. */
#include <stdio.h>
#include <stdlib.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "comparison/comparison.h"
#include "hct/log.h"
#include "support/text.h"

static const char doc[] =
    "Trains every system of a list on the same scans, splits and tasks, one process a system, and holds all against "
    "each other on the test split: AUC and average precision with intervals, all pairs by permutations and DeLong's "
    "test with Holm's correction, figures.\n\n"
    "SYSTEMS is a YAML file, or the name of one that came with headct: 'comparison' has the paper's systems. A system "
    "has a name, a recipe (probe or finetune), and weights or embeddings; keys of its recipe under set, a note for "
    "the table. A system whose weights or embeddings are not there is named and left out. OUT/NAME is each "
    "system's run; OUT gets systems.csv (what was done of each), models.csv, comparisons.csv, p_matrix.csv, metrics "
    "and figures. Started again, the same command does what is left: a system that is complete is not run again. A "
    "task of a Slurm array takes its --index or --shard; the last one, or a run without them, has the whole "
    "table.\v"
    "Examples:\n"
    "  headct compare comparison --data data --out runs/comparison --set data.tasks=IPH,SDH --jobs 2\n"
    "  headct compare mine.yaml --data data --out runs/mine --shard $SLURM_ARRAY_TASK_ID/6      (sbatch --array=1-6)\n"
    "A file of systems:\n"
    "  systems:\n"
    "    - {name: fm-ct, recipe: finetune, weights: fm-ct.safetensors}\n"
    "    - {name: scratch, recipe: scratch}\n"
    "    - {name: google, recipe: probe, embeddings: google.jsonl, set: [probe.protocol=logistic]}";

enum { OPT_INDEX = 256, OPT_SHARD, OPT_BOOTSTRAP, OPT_PERMUTATIONS, OPT_BY_PATIENT };

static const struct argp_option options[] = {
    {"data", 'd', "DATASET", 0, "prepared dataset with labels and splits", 0},
    {"out", 'o', "DIR", 0, "where runs and tables go", 0},
    {"set", 's', "KEY=VALUE", 0, "a recipe key of every system, after its own; may be given several times", 0},
    {"jobs", 'j', "N", 0, "processes at once (default 1)", 0},
    {"index", OPT_INDEX, "I", 0, "run this system alone, from 0", 0},
    {"shard", OPT_SHARD, "I/N", 0, "run only every N-th system, from the I-th on (I from 1)", 0},
    {"bootstrap", OPT_BOOTSTRAP, "N", 0, "resamples of the intervals (default 100, as the paper)", 0},
    {"permutations", OPT_PERMUTATIONS, "N", 0, "of the paired tests (default 1000, as the paper)", 0},
    {"by-patient", OPT_BY_PATIENT, NULL, 0, "resample patients, not scans", 0},
    {"seed", 'S', "S", 0, "of resamples and permutations (default 0); a recipe's own is --set seed=S", 0},
    {"quiet", 'q', NULL, 0, "no progress", 0},
    {0},
};

typedef struct settings {
    comparison_options o;
    const char **sets;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    comparison_options *o = &s->o;
    switch (key) {
    case ARGP_KEY_ARG:
        if (o->systems) argp_error(state, "one SYSTEMS is needed, not '%s' too", arg);
        o->systems = arg;
        break;
    case 'd': o->data = arg; break;
    case 'o': o->out = arg; break;
    case 's': {
        const char **more = realloc(s->sets, (o->n_sets + 1) * sizeof *more);
        if (!more) argp_failure(state, 1, 0, "out of memory");
        s->sets = more;
        s->sets[o->n_sets++] = arg;
        o->sets = s->sets;
        break;
    }
    case 'j': o->jobs = argument_whole(state, "jobs", arg, 1, 1024); break;
    case OPT_INDEX:
        if (!text_int64(arg, &o->first) || o->first < 0)
            argp_error(state, "--index %s: a whole number of 0 or more is needed", arg);
        o->step = 0;
        break;
    case OPT_SHARD: argument_shard(state, arg, &o->first, &o->step); break;
    case OPT_BOOTSTRAP: o->resamples = argument_whole(state, "bootstrap", arg, 0, 1000000); break;
    case OPT_PERMUTATIONS: o->permutations = argument_whole(state, "permutations", arg, 1, 10000000); break;
    case OPT_BY_PATIENT: o->by_patient = 1; break;
    case 'S': o->seed = argument_whole(state, "seed", arg, 0, INT64_MAX); break;
    case 'q': o->progress = NULL; break;
    case ARGP_KEY_END:
        if (!o->systems || !o->data || !o->out) argp_error(state, "SYSTEMS, --data DATASET and --out DIR are needed");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_compare(int argc, char **argv) {
    settings s = {.o = {.jobs = 1, .step = 1, .resamples = 100, .permutations = 1000, .progress = stderr}};
    const struct argp argp = {options, parse, "SYSTEMS --data DATASET --out DIR", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0};
    size_t failed = 0;
    int status = command_end(argv[0], comparison_run(&s.o, stdout, &failed, &err), &err);
    if (failed)
        hct_log(HCT_LOG_WARNING, "headct compare: %zu systems failed; each said why above. Run the same command again",
                failed);
    free(s.sets);
    return status == EXIT_OK && failed ? EXIT_ERROR : status;
}
