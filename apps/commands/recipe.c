/* headct recipe: keys, defaults and recipes, explained and checked. */
#include <stdio.h>
#include <stdlib.h>

#include "commands/command.h"
#include "pretrain/method.h"
#include "recipe/recipe.h"
#include "run/recipe_encoder.h"

static const char doc[] =
    "Prints recipes as YAML, every key below a comment that says what it does, its range and its default; explains a "
    "key; or checks a file.\v"
    "Without KEY: the keys of a method (--method, default mae), with their defaults, or with the values of a recipe "
    "(--recipe). A KEY is written as in --set (optim.lr), or as a section (optim) or a last word (lr) alone. Recipes "
    "are "
    "named by file, or those that came with headct by name.\n\n"
    "Examples:\n"
    "  headct recipe optim.lr\n"
    "  headct recipe --method dino > my-dino.yaml\n"
    "  headct recipe --recipe finetune\n"
    "  headct recipe --check my-dino.yaml";

enum { OPT_METHOD = 256, OPT_CHECK, OPT_ALL };

static const struct argp_option options[] = {
    {"method", OPT_METHOD, "NAME", 0, "mae, dino, probe or finetune", 0},
    {"recipe", 'r', "RECIPE", 0, "this recipe's values instead of the defaults", 0},
    {"check", OPT_CHECK, "RECIPE", 0, "say whether a recipe can be run, and at which learning rate", 0},
    {"all", OPT_ALL, NULL, 0, "print the keys of all methods", 0},
    {0},
};

typedef struct settings {
    const char *key, *method, *recipe, *check;
    int all;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    switch (key) {
    case OPT_METHOD: s->method = arg; break;
    case 'r': s->recipe = arg; break;
    case OPT_CHECK: s->check = arg; break;
    case OPT_ALL: s->all = 1; break;
    case ARGP_KEY_ARG:
        if (s->key) argp_error(state, "one KEY is explained at a time");
        s->key = arg;
        break;
    case ARGP_KEY_END:
        if ((s->key != NULL) + (s->check != NULL) + (s->recipe != NULL || s->method != NULL) > 1)
            argp_error(state, "KEY, --check and --recipe or --method do not go together");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static hct_status load(const char *name, recipe *r, hct_err *err) {
    char *path = recipe_find(name);
    hct_status st = path ? recipe_load(path, r, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    return st;
}

static hct_status check(const char *name, hct_err *err) {
    recipe r = recipe_default();
    hct_status st = load(name, &r, err);
    if (st == HCT_OK) st = recipe_check(&r, err);
    if (st == HCT_OK) st = recipe_take_encoder(&r, err);
    if (st == HCT_OK) st = method_check_recipe(&r, err);
    if (st < 0) return st;
    printf("%s: can be run (method %s)\n", name, r.method);
    const lr_schedule lr = recipe_schedule(&r, 1, 1);
    if (r.optim.scale_lr_by_batch)
        printf("learning rate %g x %lld/256 = %g with one rank (optim.scale_lr_by_batch)\n", r.optim.lr,
               (long long)recipe_effective_batch(&r, 1), lr.base);
    else printf("learning rate %g\n", lr.base);
    return HCT_OK;
}

int command_recipe(int argc, char **argv) {
    settings s = {0};
    const struct argp argp = {options, parse, "[KEY]", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r = recipe_default();
    hct_err err = {0, ""};
    text_buffer text = {0};
    hct_status st = HCT_OK;
    if (s.check) st = check(s.check, &err);
    else if (s.key) st = recipe_explain(s.key, &text, &err);
    else {
        if (s.recipe) st = load(s.recipe, &r, &err);
        if (st == HCT_OK) st = recipe_set_key(&r, "method", s.method, &err);
        if (st == HCT_OK) st = method_check_recipe(&r, &err);
        if (st == HCT_OK) recipe_print(&r, s.all, &text);
    }
    const char *whole = st == HCT_OK ? text_get(&text, "the recipe", &err) : NULL;
    if (whole) fputs(whole, stdout);
    else if (st == HCT_OK) st = HCT_ENOMEM;
    text_free(&text);
    return command_end(argv[0], st, &err);
}
