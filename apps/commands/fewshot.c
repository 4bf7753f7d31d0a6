/* headct fewshot: how far a few examples go. */
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "commands/recipe_args.h"
#include "fewshot/fewshot_run.h"
#include "run/recipe_encoder.h"

static const char doc[] =
    "Few-shot evaluation: K positives and as many negatives are drawn from the training split, --draws times, and "
    "classify the test split; the same with every "
    "training scan stands beside them (k 'all'). Methods on frozen features: knn (5 nearest by cosine), simpleshot "
    "(nearest class mean, CL2N), protonet "
    "(softmax over distances to class means; with --episodes after training by episodes), linear (a probe); and "
    "finetune (encoder and head, a model for each "
    "draw). With --embeddings FILE the frozen features are those that another program made. The draws are the same for "
    "all of them. A K above a task's positives or negatives is left out, and said "
    "so.\n\n"
    "One recipe serves all: its probe section the frozen features, its finetune section fine-tuning, optim and train "
    "both. By default a recipe of method "
    "probe runs the methods on frozen features, one of method finetune that one.\n\n"
    "The folder gets fewshot.csv (AUC and average precision, mean and 2.5 and 97.5 percentiles over draws) and "
    "fewshot_draws.csv. SIGTERM, SIGINT and SIGUSR1 "
    "end it with status 75; with --resume, and the same options, it does what is missing.\v"
    "Examples:\n"
    "  headct fewshot --recipe recipes/probe.yaml --data data --weights runs/mae/weights.safetensors --run "
    "runs/fewshot\n"
    "  headct fewshot --recipe recipes/probe.yaml --data data --weights w.safetensors --k 8,16 --methods knn,linear "
    "--knn-temperature 0.07 --run runs/few\n"
    "  headct fewshot --recipe recipes/finetune.yaml --data data --weights w.safetensors --run runs/few-tuned\n"
    "  headct fewshot --recipe recipes/probe.yaml --data data --embeddings google.jsonl --run runs/few-google\n"
    "  headct fewshot --resume --run runs/few-tuned";

enum {
    OPT_WEIGHTS = 'w',
    OPT_K = 'k',
    OPT_METHODS = 'm',
    OPT_DRAWS = 256,
    OPT_NEIGHBOURS,
    OPT_TEMPERATURE,
    OPT_FORM,
    OPT_EPISODES,
    OPT_SHOTS,
    OPT_QUERIES
};

static const struct argp_option options[] = {
    {"weights", OPT_WEIGHTS, "FILE", 0, "the encoder; same as --set probe.weights=FILE --set finetune.weights=FILE", 0},
    {"k", OPT_K, "K,...", 0, "positives, and as many negatives (default 8,16,32,64,128,256)", 0},
    {"methods", OPT_METHODS, "NAME,...", 0,
     "of knn, simpleshot, protonet, linear, finetune (default: by the recipe's method)", 0},
    {"draws", OPT_DRAWS, "N", 0, "draws of each K (default 5)", 0},
    {"neighbours", OPT_NEIGHBOURS, "N", 0, "of knn (default 5, at most 2K)", 0},
    {"knn-temperature", OPT_TEMPERATURE, "T", 0,
     "votes weighted by exp(similarity / T), as DINO's evaluation with 0.07 (default: plain votes)", 0},
    {"simpleshot", OPT_FORM, "FORM", 0, "UN, L2N or CL2N (default)", 0},
    {"episodes", OPT_EPISODES, "N", 0,
     "of protonet: train a linear map of the features by N episodes of the draw's examples (default 0: features as "
     "they are)",
     0},
    {"episode-shots", OPT_SHOTS, "S", 0, "supports of each class in an episode (default 5, at most half the examples)",
     0},
    {"episode-queries", OPT_QUERIES, "Q", 0, "queries of each class in an episode (default 15, at most the rest)", 0},
    {0},
};

typedef struct settings {
    recipe_args common;
    fewshot_options o;
    const char *weights;
} settings;

static void parse_list(settings *s, struct argp_state *state, const char *arg) {
    char part[64];
    s->o.n_k = 0;
    for (const char *c = arg; *c;) {
        size_t n = strcspn(c, ",");
        snprintf(part, sizeof part, "%.*s", (int)n, c);
        if (s->o.n_k == FEWSHOT_KS) argp_error(state, "--k: at most %d numbers", FEWSHOT_KS);
        if (!text_int64(part, &s->o.k[s->o.n_k]) || s->o.k[s->o.n_k] < 1)
            argp_error(state, "--k %s: whole numbers of 1 or more are needed", arg);
        s->o.n_k++;
        c += n + (c[n] == ',');
    }
    if (!s->o.n_k) argp_error(state, "--k: a number is needed");
}

static void parse_methods(settings *s, struct argp_state *state, const char *arg) {
    memset(s->o.use, 0, sizeof s->o.use);
    for (const char *c = arg; *c;) {
        size_t n = strcspn(c, ",");
        int m = 0;
        while (m < FEWSHOT_METHODS &&
               (strlen(fewshot_method_names[m]) != n || strncmp(c, fewshot_method_names[m], n) != 0))
            m++;
        if (m == FEWSHOT_METHODS)
            argp_error(state, "--methods: '%.*s' is not one of knn, simpleshot, protonet, linear, finetune", (int)n, c);
        s->o.use[m] = 1;
        c += n + (c[n] == ',');
    }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_WEIGHTS: s->weights = arg; break;
    case OPT_K: parse_list(s, state, arg); break;
    case OPT_METHODS: parse_methods(s, state, arg); break;
    case OPT_DRAWS: s->o.draws = argument_whole(state, "draws", arg, 1, 10000); break;
    case OPT_NEIGHBOURS: s->o.knn.k = (size_t)argument_whole(state, "neighbours", arg, 1, 1000000); break;
    case OPT_EPISODES: s->o.episodes.n = argument_whole(state, "episodes", arg, 0, 1000000000); break;
    case OPT_SHOTS: s->o.episodes.shots = argument_whole(state, "episode-shots", arg, 1, 100000); break;
    case OPT_QUERIES: s->o.episodes.queries = argument_whole(state, "episode-queries", arg, 1, 100000); break;
    case OPT_TEMPERATURE:
        if (!text_double(arg, &s->o.knn.temperature) || !(s->o.knn.temperature > 0))
            argp_error(state, "--knn-temperature %s: a number above 0 is needed", arg);
        break;
    case OPT_FORM:
        if (!arg || (strcmp(arg, "UN") != 0 && strcmp(arg, "L2N") != 0 && strcmp(arg, "CL2N") != 0))
            argp_error(state, "--simpleshot %s: UN, L2N or CL2N is needed", arg ? arg : "");
        s->o.form = !strcmp(arg, "UN") ? FEWSHOT_UN : !strcmp(arg, "L2N") ? FEWSHOT_L2N : FEWSHOT_CL2N;
        break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END: recipe_args_need(state, &s->common, 1); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The encoder stands in one key for frozen features and in another for fine-tuning; either may be given.
 * With embeddings made elsewhere it is fine-tuning's alone. */
static hct_status set_weights(recipe *r, const char *weights, hct_err *err) {
    if (*r->probe.embeddings) return recipe_set_key(r, "finetune.weights", weights, err);
    const char *path = weights ? weights : *r->probe.weights ? r->probe.weights : r->finetune.weights;
    hct_status st = weights || !*r->probe.weights ? recipe_set_key(r, "probe.weights", path, err) : HCT_OK;
    return st == HCT_OK && (weights || !*r->finetune.weights) ? recipe_set_key(r, "finetune.weights", path, err) : st;
}

static void choose_methods(fewshot_options *o, const recipe *r) {
    int any = 0;
    for (int m = 0; m < FEWSHOT_METHODS; m++) any |= o->use[m];
    for (int m = 0; !any && m < FEWSHOT_METHODS; m++) o->use[m] = (m == FEWSHOT_FINETUNE) == recipe_finetunes(r);
}

int command_fewshot(int argc, char **argv) {
    settings s = {.o = {.k = {8, 16, 32, 64, 128, 256},
                        .n_k = 6,
                        .draws = 5,
                        .knn = {.k = 5},
                        .form = FEWSHOT_CL2N,
                        .episodes = {.shots = 5, .queries = 15},
                        .table = stdout}};
    const struct argp_child children[] = {{&recipe_embeddings_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --run DIR", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK) st = set_weights(&r, s.weights, &err);
    if (st == HCT_OK && recipe_pretrains(&r))
        st = hct_fail(&err, HCT_EINVAL, "the recipe's method is neither probe nor finetune");
    if (st == HCT_OK && !s.common.resume) st = recipe_take_encoder(&r, &err);
    s.o.out = s.common.run;
    s.o.resume = s.common.resume;
    s.o.progress = s.common.quiet ? NULL : stderr;
    if (st == HCT_OK) choose_methods(&s.o, &r);
    if (st == HCT_OK) st = fewshot_run(&r, &s.o, &err);
    recipe_args_free(&s.common);
    return command_end(argv[0], st, &err);
}
