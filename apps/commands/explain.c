/* headct explain: where a model looks. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "explain/distances.h"
#include "explain/explain.h"
#include "support/stop.h"

static const char doc[] =
    "Maps of what a model looks at in a scan, and of what its answer rests on: as NIfTI files on the scan's own "
    "voxels, "
    "which any viewer lays over it, and as pictures of three planes through the peak.\v"
    "Methods: class (the class token's attention in the last layer), rollout (attention through all layers), distance "
    "(how far attention reaches, in mm); for a --task of a classifier also gradient (attention times its gradient), "
    "input (gradient times input, of each voxel) and occlusion (how far the answer falls where a patch is black: a run "
    "of the model "
    "for each patch). Without --method all that the model allows but occlusion.\n\n"
    "A map is no proof: a method that shows nothing looks as convincing as one that does. Compare with occlusion, and "
    "where you know the lesion give its mask: then explain.csv says which share of the top 1% of the map lies in it "
    "beside the lesion's share of the brain, and lesions.csv the mean of many scans with the ratio's interval: 1 is "
    "what a "
    "map gives that knows nothing. --randomise shows what this model's maps are worth without its training.\n\n"
    "Writes OUT/SCAN_TASK_METHOD.nii.gz and .png, and OUT/explain.csv. Scans that cannot be read are listed with their "
    "reason, and the exit status is 3.\n\n"
    "Examples:\n"
    "  headct explain --run runs/finetune --task IPH scan.nii.gz --out maps\n"
    "  headct explain --weights runs/mae/weights.safetensors dicom_folder --method rollout --out maps\n"
    "  headct explain --run runs/finetune --task IPH scan.nii.gz --lesion mask.nii.gz --method occlusion --out maps\n"
    "  headct explain --distances --weights runs/dino/weights.safetensors --run runs/finetune scan.nii.gz --out "
    "attention\n"
    "  headct explain --run runs/easy --task SDH easy/p*.nii.gz --masks easy-masks --table-only --out maps";

enum {
    OPT_TASK = 't',
    OPT_OUT = 'o',
    OPT_RUN = 256,
    OPT_METHOD,
    OPT_LESION,
    OPT_BRAIN,
    OPT_MASKS,
    OPT_RANDOMISE,
    OPT_TABLE_ONLY,
    OPT_SC,
    OPT_DISTANCES
};

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "weights file", 0},
    {"run", OPT_RUN, "RUN", 0, "a run's weights instead; where it has a model a task, that of --task", 0},
    {"task", OPT_TASK, "NAME", 0, "a task of the classifier", 0},
    {"method", OPT_METHOD, "NAME", 0,
     "class, rollout, distance, gradient, input or occlusion; may be given several times", 0},
    {"lesion", OPT_LESION, "MASK", 0, "NIfTI mask of the lesion on the voxels of the one SCAN", 0},
    {"brain", OPT_BRAIN, "MASK", 0, "and of the brain (default: voxels of 0 to 100 HU)", 0},
    {"masks", OPT_MASKS, "DIR", 0,
     "masks of many scans: DIR/SCAN_TASK.nii.gz, and DIR/SCAN_brain.nii.gz where it is there; a scan without one has "
     "no lesion",
     0},
    {"randomise", OPT_RANDOMISE, "SEED", 0,
     "draw the model's weights anew for each scan, from SEED on: what maps look like that can show nothing", 0},
    {"table-only", OPT_TABLE_ONLY, NULL, 0, "write explain.csv and lesions.csv, no maps and pictures", 0},
    {"dicom-sc", OPT_SC, "DIR", 0,
     "also write the pictures of DICOM folders there, as DICOM secondary captures, which name the patient as the "
     "images do",
     0},
    {"distances", OPT_DISTANCES, NULL, 0,
     "instead of maps: how far attention reaches in --weights (before) and in --run (after), a column a model or task, "
     "and what each head looks at",
     0},
    {"out", OPT_OUT, "DIR", 0, "where maps and pictures go", 0},
    {"device", 'D', "NAME", 0,
     "cpu, or another backend that 'headct backends' lists (default: $HEADCT_DEVICE, else cpu)", 0},
    {"quiet", 'q', NULL, 0, "no progress line", 0},
    {0},
};

typedef struct settings {
    explain_options o;
    bool distances;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *all = state->input;
    explain_options *s = &all->o;
    switch (key) {
    case 'w': s->weights = arg; break;
    case OPT_RUN: s->run = arg; break;
    case OPT_TASK: s->task = arg; break;
    case OPT_METHOD: {
        int m = saliency_find(arg);
        if (m < 0) argp_error(state, "--method %s: class, rollout, distance, gradient, input or occlusion", arg);
        s->method[m] = 1;
        break;
    }
    case OPT_LESION: s->lesion = arg; break;
    case OPT_BRAIN: s->brain = arg; break;
    case OPT_MASKS: s->masks = arg; break;
    case OPT_RANDOMISE: s->randomise = argument_whole(state, "randomise", arg, 0, INT64_MAX); break;
    case OPT_DISTANCES: all->distances = true; break;
    case OPT_TABLE_ONLY: s->table_only = true; break;
    case OPT_SC: s->captures = arg; break;
    case OPT_OUT: s->out = arg; break;
    case 'D': s->device = arg; break;
    case 'q': s->progress = NULL; break;
    case ARGP_KEY_ARGS:
        s->scans = (const char **)(state->argv + state->next);
        s->n_scans = (size_t)(state->argc - state->next);
        state->next = state->argc;
        break;
    case ARGP_KEY_END:
        if (all->distances ? !s->weights && !s->run : !s->weights == !s->run)
            argp_error(state, "%s--weights FILE or --run RUN is needed", all->distances ? "" : "either ");
        if (!s->n_scans) argp_error(state, "SCAN is missing");
        if (!s->out) argp_error(state, "--out DIR is missing");
        if ((s->lesion || s->brain) && s->n_scans != 1) argp_error(state, "masks are of one SCAN");
        if (s->masks && (s->lesion || s->brain)) argp_error(state, "--masks excludes --lesion and --brain");
        if (s->masks && !s->task) argp_error(state, "--masks needs --task");
        if (s->captures && s->table_only)
            argp_error(state, "--dicom-sc takes the pictures that --table-only leaves out");
        if (s->brain && !s->lesion) argp_error(state, "--brain belongs to --lesion");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_explain(int argc, char **argv) {
    settings s = {.o = {.progress = stderr, .randomise = -1}};
    const struct argp argp = {options, parse, "SCAN...", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    hct_err err = {0, ""};
    size_t refused = 0;
    stop_listen();
    const distances_options d = {s.o.weights, s.o.run, s.o.device, s.o.out, s.o.scans, s.o.n_scans};
    hct_status done =
        s.distances ? distances_run(&d, stdout, &refused, &err) : explain_run(&s.o, stdout, &refused, &err);
    int status = command_end(argv[0], done, &err);
    return status == EXIT_OK && refused ? EXIT_PARTIAL : status;
}
