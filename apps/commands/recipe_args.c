/* The options of commands that take a recipe. */
#include "commands/recipe_args.h"

#include <stdlib.h>

#include "pretrain/method.h"
#include "support/paths.h"

static const struct argp_option options[] = {
    {"recipe", 'r', "RECIPE", 0, "YAML file, or the name of a recipe that came with headct: mae, dino, probe, ...", 0},
    {"set", 's', "KEY=VALUE", 0, "set one key of the recipe, as in --set optim.lr=1e-4; may be given several times", 0},
    {"data", 'd', "DATASET", 0, "same as --set data.dataset=DATASET", 0},
    {"device", 'D', "NAME", 0,
     "same as --set train.device=NAME: cpu, or another backend that 'headct backends' lists (default: $HEADCT_DEVICE, "
     "else cpu)",
     0},
    {"seed", 'S', "N", 0, "same as --set seed=N", 0},
    {0},
};
static const struct argp_option run_options[] = {
    {"run", 'o', "DIR", 0, "the run's folder: checkpoints, metrics.jsonl, TensorBoard events", 0},
    {"quiet", 'q', NULL, 0, "no progress line", 0},
    {0},
};
static const struct argp_option resume_options[] = {
    {"resume", 'R', NULL, 0, "continue the run in --run from its last checkpoint, with its own recipe", 0},
    {0},
};

enum { OPT_EMBEDDINGS = 1000, OPT_EMBEDDING_IDS };

static const struct argp_option embeddings_options[] = {
    {"embeddings", OPT_EMBEDDINGS, "FILE", 0,
     "embeddings made elsewhere in place of an encoder's: safetensors, .npy, .npz, CSV, JSON lines; same as --set "
     "probe.features=embeddings --set probe.embeddings=FILE",
     0},
    {"embedding-ids", OPT_EMBEDDING_IDS, "FILE", 0,
     "the scans' ids in the order of its rows, where the file of embeddings has none: one a line, a CSV with a column "
     "scan, or a JSON list (default: the file's name with .ids)",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    recipe_args *a = state->input;
    switch (key) {
    case 'r': a->recipe_file = arg; break;
    case 'o': a->run = arg; break;
    case 'd': a->data = arg; break;
    case 'D': a->device = arg; break;
    case 'S': a->seed = arg; break;
    case 'R': a->resume = 1; break;
    case 'q': a->quiet = 1; break;
    case OPT_EMBEDDINGS: a->embeddings = arg; break;
    case OPT_EMBEDDING_IDS: a->embedding_ids = arg; break;
    case 's': {
        const char **more = realloc(a->sets, (a->n_sets + 1) * sizeof *more);
        if (!more) argp_failure(state, 1, 0, "out of memory");
        a->sets = more;
        a->sets[a->n_sets++] = arg;
        break;
    }
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* With the options of a smaller set as a child. */
static error_t parse_around(int key, char *arg, struct argp_state *state) {
    if (key != ARGP_KEY_INIT) return parse(key, arg, state);
    state->child_inputs[0] = state->input;
    return 0;
}

const struct argp recipe_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
static const struct argp_child of_run[] = {{&recipe_argp, 0, NULL, 0}, {0}};
const struct argp recipe_run_argp = {run_options, parse_around, NULL, NULL, of_run, NULL, NULL};
static const struct argp_child of_resume[] = {{&recipe_run_argp, 0, NULL, 0}, {0}};
const struct argp recipe_resume_argp = {resume_options, parse_around, NULL, NULL, of_resume, NULL, NULL};
static const struct argp_child of_embeddings[] = {{&recipe_resume_argp, 0, NULL, 0}, {0}};
const struct argp recipe_embeddings_argp = {embeddings_options, parse_around, NULL, NULL, of_embeddings, NULL, NULL};

void recipe_args_need(struct argp_state *state, const recipe_args *a, int resumable) {
    if (!a->run) argp_error(state, "--run DIR is missing");
    if (!a->recipe_file && !(resumable && a->resume))
        argp_error(state, "--recipe FILE is missing%s", resumable ? " (or --resume)" : "");
}

hct_status recipe_from_args(const recipe_args *a, recipe *ret, hct_err *err) {
    *ret = recipe_default();
    hct_status st = HCT_OK;
    if (a->resume) {
        char *own = a->run ? path_join(a->run, "recipe.yaml") : NULL;
        if (!own) return hct_fail(err, HCT_EINVAL, "--resume needs --run DIR");
        if (a->recipe_file) {
            free(own);
            return hct_fail(err, HCT_EINVAL, "--resume takes the recipe that lies in --run; leave --recipe out");
        }
        st = recipe_load(own, ret, err);
        free(own);
    } else if (a->recipe_file) {
        char *path = recipe_find(a->recipe_file);
        st = path ? recipe_load(path, ret, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        free(path);
    }
    if (st == HCT_OK) st = recipe_set_key(ret, "data.dataset", a->data, err);
    if (st == HCT_OK) st = recipe_set_key(ret, "train.device", a->device, err);
    if (st == HCT_OK) st = recipe_set_key(ret, "seed", a->seed, err);
    if (st == HCT_OK && a->embeddings) st = recipe_set_key(ret, "probe.features", "embeddings", err);
    if (st == HCT_OK) st = recipe_set_key(ret, "probe.embeddings", a->embeddings, err);
    if (st == HCT_OK) st = recipe_set_key(ret, "probe.embedding_ids", a->embedding_ids, err);
    for (size_t i = 0; st == HCT_OK && i < a->n_sets; i++) st = recipe_set(ret, a->sets[i], err);
    if (st == HCT_OK) st = recipe_check(ret, err);
    return st == HCT_OK ? method_check_recipe(ret, err) : st;
}

void recipe_args_free(recipe_args *a) { free(a->sets); }
