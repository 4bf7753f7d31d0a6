/* headct fewshot: how far a few examples go. */
#include <stdio.h>
#include <string.h>

#include "commands/command.h"
#include "commands/recipe_args.h"
#include "training/fewshot_run.h"

static const char doc[] =
    "Few-shot evaluation on frozen features: K positives and as many negatives are drawn from the training part, --draws times, and classify the test "
    "part; the same with every training scan stands beside them (k 'all'). Methods: knn (5 nearest by cosine), simpleshot (nearest class mean, CL2N), "
    "protonet (softmax over distances to class means), linear (a probe by the recipe). A K above a task's positives or negatives is left out, and said so.\n\n"
    "The folder gets fewshot.csv (AUC and average precision, mean and 2.5 and 97.5 percentiles over draws) and fewshot_draws.csv.\v"
    "Examples:\n"
    "  headct fewshot --recipe recipes/probe.yaml --data data --weights runs/mae/weights.safetensors --run runs/fewshot\n"
    "  headct fewshot --recipe recipes/probe.yaml --data data --weights w.safetensors --k 8,16 --methods knn,linear --knn-temperature 0.07 --run runs/few";

enum { OPT_WEIGHTS = 'w', OPT_K = 'k', OPT_METHODS = 'm', OPT_DRAWS = 256, OPT_NEIGHBOURS, OPT_TEMPERATURE, OPT_FORM };

static const struct argp_option options[] = {
    {"weights", OPT_WEIGHTS, "FILE", 0, "same as --set probe.weights=FILE", 0},
    {"k", OPT_K, "K,...", 0, "positives, and as many negatives (default 8,16,32,64,128,256)", 0},
    {"methods", OPT_METHODS, "NAME,...", 0, "of knn, simpleshot, protonet, linear (default: all)", 0},
    {"draws", OPT_DRAWS, "N", 0, "draws of each K (default 5)", 0},
    {"neighbours", OPT_NEIGHBOURS, "N", 0, "of knn (default 5, at most 2K)", 0},
    {"knn-temperature", OPT_TEMPERATURE, "T", 0, "votes weighted by exp(similarity / T), as DINO's evaluation with 0.07 (default: plain votes)", 0},
    {"simpleshot", OPT_FORM, "FORM", 0, "UN, L2N or CL2N (default)", 0},
    {0}};

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
        if (!text_int64(part, &s->o.k[s->o.n_k]) || s->o.k[s->o.n_k] < 1) argp_error(state, "--k %s: whole numbers of 1 or more are needed", arg);
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
        while (m < FEWSHOT_METHODS && (strlen(fewshot_method_names[m]) != n || strncmp(c, fewshot_method_names[m], n) != 0)) m++;
        if (n == 8 && !strncmp(c, "finetune", n)) argp_error(state, "--methods finetune: is not available here yet; use knn, simpleshot, protonet or linear");
        if (m == FEWSHOT_METHODS) argp_error(state, "--methods: '%.*s' is not one of knn, simpleshot, protonet, linear", (int)n, c);
        s->o.use[m] = 1;
        c += n + (c[n] == ',');
    }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    int64_t v;
    switch (key) {
    case OPT_WEIGHTS: s->weights = arg; break;
    case OPT_K: parse_list(s, state, arg); break;
    case OPT_METHODS: parse_methods(s, state, arg); break;
    case OPT_DRAWS:
        if (!text_int64(arg, &s->o.draws) || s->o.draws < 1 || s->o.draws > 10000) argp_error(state, "--draws %s: a whole number from 1 to 10000 is needed", arg);
        break;
    case OPT_NEIGHBOURS:
        if (!text_int64(arg, &v) || v < 1) argp_error(state, "--neighbours %s: a whole number of 1 or more is needed", arg);
        s->o.knn.k = (size_t)v;
        break;
    case OPT_TEMPERATURE:
        if (!text_double(arg, &s->o.knn.temperature) || !(s->o.knn.temperature > 0)) argp_error(state, "--knn-temperature %s: a number above 0 is needed", arg);
        break;
    case OPT_FORM:
        if (!arg || (strcmp(arg, "UN") != 0 && strcmp(arg, "L2N") != 0 && strcmp(arg, "CL2N") != 0))
            argp_error(state, "--simpleshot %s: UN, L2N or CL2N is needed", arg ? arg : "");
        s->o.form = !strcmp(arg, "UN") ? FEWSHOT_UN : !strcmp(arg, "L2N") ? FEWSHOT_L2N : FEWSHOT_CL2N;
        break;
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case ARGP_KEY_END:
        if (!s->common.run) argp_error(state, "--run DIR is missing");
        if (!s->common.recipe_file) argp_error(state, "--recipe FILE is missing");
        if (s->common.resume) argp_error(state, "few-shot evaluation takes seconds and is not resumed; run it again");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_fewshot(int argc, char **argv) {
    settings s = {.o = {.k = {8, 16, 32, 64, 128, 256}, .n_k = 6, .draws = 5, .use = {1, 1, 1, 1}, .knn = {.k = 5}, .form = FEWSHOT_CL2N, .table = stdout}};
    const struct argp_child children[] = {{&recipe_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "--recipe FILE --run DIR", doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &s);
    recipe r;
    hct_err err = {0, ""};
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK && s.weights) {
        char text[RECIPE_TEXT + 32];
        snprintf(text, sizeof text, "probe.weights=%s", s.weights);
        st = recipe_set(&r, text, &err);
    }
    if (st == HCT_OK && r.method != METHOD_PROBE) st = hct_fail(&err, HCT_EINVAL, "the recipe's method is not probe");
    s.o.out = s.common.run;
    s.o.progress = s.common.quiet ? NULL : stderr;
    if (st == HCT_OK) st = fewshot_run(&r, &s.o, &err);
    if (st < 0) fprintf(stderr, "headct fewshot: %s\n", err.msg);
    recipe_args_free(&s.common);
    return st < 0 ? EXIT_ERROR : EXIT_OK;
}
