/* headct plan: what a recipe will take, before it runs. */
#include "commands/command.h"
#include "commands/recipe_args.h"
#include "planning/plan.h"

static const char doc[] = "Prints memory, work and time of a pre-training recipe from its recorded program, without "
                          "running it. Time is estimated from the rate of matrix "
                          "products measured on this machine now, so it is a lower bound. With --data the number of "
                          "scans, and so of steps, is known.\n\n"
                          "--card NAME also models a step on a card from the calls that the program makes on --device: "
                          "launches and bytes are exact, times rest on the maker's rates and on assumed shares of them "
                          "and are wrong by some tens of per cent; and how work goes with image and patch size.\v"
                          "Examples:\n"
                          "  headct plan recipes/mae.yaml\n"
                          "  headct plan recipes/demo.yaml --data data --set optim.batch=32\n"
                          "  headct plan mae --set train.precision=bf16 --card h200";

enum { OPT_CARD = 256 };

static const struct argp_option options[] = {
    {"card", OPT_CARD, "NAME", 0, "h200, h100, a100, l40s or mi300x", 0},
    {0},
};

typedef struct settings {
    recipe_args common;
    const card *card;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    recipe_args *a = &s->common;
    switch (key) {
    case OPT_CARD:
        if (!(s->card = card_find(arg))) argp_error(state, "--card %s: h200, h100, a100, l40s or mi300x", arg);
        break;
    case ARGP_KEY_INIT: state->child_inputs[0] = a; break;
    case ARGP_KEY_ARG: a->recipe_file = arg; break;
    case ARGP_KEY_END:
        if (!a->recipe_file) argp_error(state, "RECIPE is missing");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_plan(int argc, char **argv) {
    settings s = {0};
    const struct argp_child children[] = {{&recipe_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, "RECIPE", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    hct_err err = {0, ""};
    hct_status st = recipe_from_args(&s.common, &r, &err);
    if (st == HCT_OK) st = plan_print(&r, s.card, stdout, &err);
    recipe_args_free(&s.common);
    return command_end(argv[0], st, &err);
}
