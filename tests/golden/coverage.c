/* Every folder and case below the golden folder is known: has code that tests it, or is skipped here by name until
 * it has. A family that this set lacks is skipped by name. A family nobody knows, a family without a case, or no
 * case at all is a failure; so is a safetensors file that does not pass the reader's checks. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "tap.h"

/* family: a sub-folder. program: its test in this folder (PROGRAMS, from meson.build, lists those that are built).
 * missing: cases that have no code yet (NULL: none). */
static const struct {
    const char *family, *program;
    bool (*missing)(const cJSON *json);
} families[] = {
    {"vit_tiny", "vit", NULL},
    {"vit_base", "vit", NULL},
    {"mae_tiny", "mae", NULL},
    {"dino_tiny", "dino", NULL},
    {"probes", "probes", NULL},
    {"schedules", "schedules", NULL},
    {"preprocess", "preprocess", NULL},
    {"augment", "augment", NULL},
    {"metrics", "metrics", NULL},
    {"checkpoint", "checkpoint", NULL},
    {"tsne_attention", "tsne_attention", NULL},
};

static bool is_built(const char *program) {
    char key[64];
    snprintf(key, sizeof key, " %s ", program ? program : "");
    return program && strstr(" " PROGRAMS " ", key);
}

static void walk_family(size_t k, size_t *cases) {
    golden_case *c;
    size_t i = 0;
    for (; (c = golden_open(families[k].family, i)); golden_close(c), i++) {
        if ((families[k].missing && families[k].missing(c->json)) || !is_built(families[k].program))
            golden_skip(c, "no code yet");
        else tap_ok(1, "%s/%s: run by the golden test '%s'", c->family, c->name, families[k].program);
    }
    *cases += i;
}

static void open_all_tensors(const char *folder) {
    DIR *d = opendir(folder);
    if (!d) return;
    size_t n = 0;
    char path[1024];
    for (struct dirent *e; (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".safetensors") != 0) continue;
        hct_err err = {0};
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        hct_st_file *f = hct_st_open(path, &err);
        n++;
        if (!f) tap_ok(0, "%s", err.msg);
        hct_st_close(f);
    }
    closedir(d);
    tap_note("%s: %zu safetensors files pass the reader's checks", folder, n);
}

int main(void) {
    if (!golden_begin()) return tap_done();
    struct dirent **list = NULL;
    int n = scandir(golden_folder(), &list, NULL, alphasort);
    size_t cases = 0, count = sizeof families / sizeof *families;
    for (size_t k = 0; k < count; k++) walk_family(k, &cases);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", golden_folder(), name);
        DIR *d = name[0] == '.' ? NULL : opendir(path);
        if (d) {
            size_t k = 0;
            while (k < count && strcmp(families[k].family, name) != 0) k++;
            tap_ok(k < count, "family '%s' is known", name);
            open_all_tensors(path);
            closedir(d);
        }
        free(list[i]);
    }
    free(list);
    tap_ok(cases > 0, "the golden folder holds %zu cases", cases);
    return tap_done();
}
