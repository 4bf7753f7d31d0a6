/* The options that commands with a recipe share. Use as an argp child: {&recipe_argp, 0, NULL, 0} with
 * state->child_inputs[0] pointing to a recipe_args. */
#ifndef COMMANDS_RECIPE_ARGS_H
#define COMMANDS_RECIPE_ARGS_H

#include <argp.h>

#include "recipe/recipe.h"

typedef struct recipe_args {
    const char *recipe_file, *run, *data, *device, *seed;
    const char *embeddings, *embedding_ids; /* of recipe_embeddings_argp */
    const char **sets;                      /* as given */
    size_t n_sets;
    int resume, quiet;
} recipe_args;

extern const struct argp recipe_argp;        /* --recipe, --set, --data, --device, --seed */
extern const struct argp recipe_run_argp;    /* and --run, --quiet */
extern const struct argp recipe_resume_argp; /* and --resume */

extern const struct argp recipe_embeddings_argp; /* and --embeddings, --embedding-ids */

/* For ARGP_KEY_END: --run and --recipe must be there; with --resume, where a command has that, --run alone. */
void recipe_args_need(struct argp_state *, const recipe_args *a, int resumable);
/* The recipe that the options describe: the file (with --resume: RUN/recipe.yaml), then --set, --data, --device,
 * --seed; checked. */
hct_status recipe_from_args(const recipe_args *a, recipe *ret, hct_err *err);
void recipe_args_free(recipe_args *a);

#endif
