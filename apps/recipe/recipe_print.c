/* Recipes for people: every key with its sentence, range and default; what differs between two; where recipes lie. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hct/nearest.h"
#include "recipe/recipe_keys.h"
#include "support/paths.h"

/* Sections and keys that belong to one method; all others are everyone's. */
static bool belongs(const recipe_key *k, const char *method) {
    static const struct {
        const char *section, *key, *method; /* key NULL: the whole section */
    } of[] = {
        {"model.decoder", NULL, "mae"}, {"model", "mask_ratio", "mae"},
        {"model", "norm_pix", "mae"},   {"model", "loss", "mae"},
        {"dino", NULL, "dino"},         {"probe", NULL, "probe"},
        {"finetune", NULL, "finetune"}, {"model.resnet", NULL, "finetune"},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (!strcmp(k->section, of[i].section) && (!of[i].key || !strcmp(k->key, of[i].key)))
            return !strcmp(of[i].method, method);
    if (!strcmp(k->section, "model") && !strcmp(k->key, "weights"))
        return strcmp(method, "probe") != 0 && strcmp(method, "finetune") != 0;
    bool probes = !strcmp(method, "probe"), pretrains = !probes && strcmp(method, "finetune") != 0;
    if (!strcmp(k->section, "views")) return !probes;
    if (!strcmp(k->key, "validation") || !strcmp(k->key, "train") || !strcmp(k->key, "dataset")) return true;
    if (!strcmp(k->section, "data") && (!strcmp(k->key, "test") || !strcmp(k->key, "tasks"))) return !pretrains;
    return true;
}

/* "0 to 1000; default 0.0015", "one of mae, dino; default mae". */
static void put_range(const recipe_key *k, text_buffer *out) {
    char low[32], high[32];
    if (k->words) {
        text_printf(out, "one of ");
        for (const char *c = k->words; *c; c++) {
            if (*c == '|') text_printf(out, ", ");
            else text_add(out, c, 1);
        }
        text_printf(out, "; ");
    } else if (k->kind == KEY_INT || k->kind == KEY_REAL) {
        text_printf(out, "%s to %s; ", text_of_double(k->low, low), text_of_double(k->high, high));
    }
    text_printf(out, "default %s", *k->start ? k->start : "none");
}

void recipe_print(const recipe *r, bool all, text_buffer *out) {
    for (const char *const *s = recipe_sections; *s; s++) {
        int depth = **s ? 1 + (strchr(*s, '.') != NULL) : 0;
        const char *last = strrchr(*s, '.');
        bool begun = false;
        for (size_t i = 0; i < recipe_key_count; i++) {
            const recipe_key *k = &recipe_keys[i];
            if (strcmp(k->section, *s) != 0 || (!all && !belongs(k, r->method))) continue;
            if (depth && !begun) text_printf(out, "%*s%s:\n", 2 * (depth - 1), "", last ? last + 1 : *s);
            begun = true;
            text_printf(out, "%*s# %s (", 2 * depth, "", k->help);
            put_range(k, out);
            text_printf(out, ")\n%*s%s: ", 2 * depth, "", k->key);
            recipe_key_yaml(k, r, out);
            text_add(out, "\n", 1);
        }
    }
}

hct_status recipe_explain(const char *path, text_buffer *out, hct_err *err) {
    char name[128];
    const recipe_key *k = recipe_key_find(path, strlen(path));
    if (!k && (k = recipe_alias_find(path, strlen(path)))) {
        text_add(out, path, strlen(path));
        text_printf(out, " is another name of\n");
    }
    size_t sections = strlen(path), shown = 0;
    for (size_t i = 0; !k && i < recipe_key_count; i++) { /* a section, or the last word of a key */
        const recipe_key *one = &recipe_keys[i];
        if (strcmp(one->key, path) != 0 && (strncmp(one->section, path, sections) != 0 || !sections ||
                                            (one->section[sections] && one->section[sections] != '.')))
            continue;
        text_printf(out, "%s: %s (", recipe_key_path(one, name), one->help);
        put_range(one, out);
        text_printf(out, ")\n");
        shown++;
    }
    if (shown) return HCT_OK;
    if (!k) {
        const recipe_key *near = recipe_key_nearest(path);
        return hct_fail(err, HCT_ENOTFOUND, "no key '%s'%s%s%s", path, near ? "; did you mean '" : "",
                        near ? recipe_key_path(near, name) : "", near ? "'?" : "");
    }
    text_printf(out, "%s: %s (", recipe_key_path(k, name), k->help);
    put_range(k, out);
    text_printf(out, ")\n");
    return HCT_OK;
}

void recipe_difference(const recipe *was, const recipe *now, text_buffer *out) {
    size_t n = 0;
    for (size_t i = 0; i < recipe_key_count; i++) {
        const recipe_key *k = &recipe_keys[i];
        text_buffer a = {0}, b = {0};
        char name[128];
        recipe_key_text(k, was, &a);
        recipe_key_text(k, now, &b);
        if (strcmp(text_so_far(&a), text_so_far(&b)) != 0)
            text_printf(out, "%s%s %s, now %s", n++ ? "; " : "", recipe_key_path(k, name),
                        *text_so_far(&a) ? text_so_far(&a) : "none", *text_so_far(&b) ? text_so_far(&b) : "none");
        text_free(&a);
        text_free(&b);
    }
}

/* The folder of recipes: PREFIX/share/headct/recipes of an installed program, the tree's own of a built one. */
static char *folder_of_recipes(void) {
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 1) return NULL;
    exe[n] = '\0';
    char *folder = path_folder(exe), *found = NULL;
    static const char *const places[] = {"../share/headct/recipes", "../../recipes"};
    for (size_t i = 0; folder && !found && i < 2; i++) {
        found = path_join(folder, places[i]);
        if (found && !path_is_folder(found)) free(found), found = NULL;
    }
    free(folder);
    return found;
}

char *recipe_find(const char *name) {
    char *folder = path_is_file(name) || *name == '/' || *name == '.' ? NULL : folder_of_recipes(), *path = NULL;
    const char *ending = strstr(name, ".yaml") ? "" : ".yaml";
    if (folder && asprintf(&path, "%s/%s%s", folder, name, ending) < 0) path = NULL;
    free(folder);
    if (path && path_is_file(path)) return path;
    free(path);
    return strdup(name);
}
