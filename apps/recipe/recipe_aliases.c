/* Other names that people know keys by. */
#include <string.h>

#include "recipe/recipe_keys.h"

const recipe_alias recipe_aliases[] = {
    {"optim", "learning_rate", "optim.lr"},
    {"optim", "batch_size", "optim.batch"},
    {"optim", "wd", "optim.weight_decay"},
    {"optim", "optimizer", "optim.name"},
    {"optim", "grad_accumulation", "optim.accumulate"},
    {"optim", "clip_grad", "optim.clip"},
    {"train", "amp", "train.precision"}, /* true and false are bf16 and f32 */
    {"train", "num_workers", "train.workers"},
    {"data", "image_size", "data.image"},
    {"model", "patch_size", "model.patch"},
    {"model", "embed_dim", "model.width"},
    {"model", "hidden_size", "model.width"},
    {"model", "num_heads", "model.heads"},
    {"model", "num_layers", "model.depth"},
    {"model", "mlp_dim", "model.mlp"},
    {"dino", "out_dim", "dino.prototypes"},
    {"", "batch_size", "optim.batch"},
    {"", "learning_rate", "optim.lr"},
    {"", "lr", "optim.lr"},
    {"", "epochs", "optim.epochs"},
};

_Static_assert(sizeof recipe_aliases / sizeof *recipe_aliases <= RECIPE_ALIASES, "raw recipes must hold all aliases");
const size_t recipe_alias_count = sizeof recipe_aliases / sizeof *recipe_aliases;

const recipe_key *recipe_alias_find(const char *path, size_t n) {
    char name[128];
    for (size_t i = 0; i < recipe_alias_count; i++) {
        const recipe_alias *a = &recipe_aliases[i];
        snprintf(name, sizeof name, "%s%s%s", a->section, *a->section ? "." : "", a->key);
        if (strlen(name) == n && !memcmp(name, path, n)) return recipe_key_find(a->of, strlen(a->of));
    }
    return NULL;
}

const char *recipe_alias_value(const recipe_key *k, const char *text) {
    if (strcmp(k->key, "precision") != 0) return text;
    return !strcmp(text, "true") ? "bf16" : !strcmp(text, "false") ? "f32" : text;
}
