/* headct plan: what a recipe will take, before it runs. */
#include "commands/command.h"
#include "commands/recipe_args.h"
#include "planning/plan.h"

static const char doc[] = "Prints memory, work and time of a pre-training recipe from its recorded program, without "
                          "running it. Time is estimated from the rate of matrix "
                          "products measured on this machine now, so it is a lower bound. With --data the number of "
                          "scans, and so of steps, is known.\v"
                          "Examples:\n"
                          "  headct plan recipes/mae.yaml\n"
                          "  headct plan recipes/demo.yaml --data data --set optim.batch=32";

static error_t parse(int key, char *arg, struct argp_state *state) {
    recipe_args *a = state->input;
    switch (key) {
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
    recipe_args a = {0};
    const struct argp_child children[] = {{&recipe_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {NULL, parse, "RECIPE", doc, children, NULL, NULL};
    command_parse(&argp, argc, argv, &a);
    recipe r;
    hct_err err = {0, ""};
    hct_status st = recipe_from_args(&a, &r, &err);
    if (st == HCT_OK) st = plan_print(&r, stdout, &err);
    recipe_args_free(&a);
    return command_end(argv[0], st, &err);
}
