#include "weights/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/predictions.h"
#include "hct/io.h"
#include "models/weights.h"
#include "pickle/torch_write.h"
#include "support/paths.h"

static char *folder_of(const char *path) {
    const char *base = path_base(path);
    return base == path ? strdup(".") : strndup(path, (size_t)(base - path));
}

/* RUN/name between fences, where it is there. */
static void quote(hct_outfile *f, const char *run, const char *name, const char *title, const char *language) {
    char *path = path_join(run, name), *text = NULL;
    hct_err none;
    if (path && path_is_file(path) && hct_read_file(path, &text, NULL, &none) == HCT_OK) hct_outfile_printf(f, "\n## %s\n\n```%s\n%s```\n", title, language, text);
    free(text);
    free(path);
}

static void counts(hct_outfile *f, const char *run) {
    char *path = path_join(run, "predictions.csv");
    predictions p = {0};
    hct_err none;
    static const char *const parts[] = {"train", "val", "test"};
    if (path && path_is_file(path) && predictions_read(path, NULL, &p, &none) == HCT_OK) {
        hct_outfile_printf(f, "\n## Data\n\n| task | part | scans with a label | positives |\n|---|---|---|---|\n");
        for (size_t k = 0; k < p.n_tasks; k++)
            for (int part = 0; part < 3; part++) {
                size_t known = 0, positive = 0;
                for (size_t i = 0; i < p.n; i++) {
                    int8_t l = p.label[i * p.n_tasks + k];
                    if (l < 0 || strcmp(p.split[i], parts[part]) != 0) continue;
                    known++;
                    positive += l == 1;
                }
                hct_outfile_printf(f, "| %s | %s | %zu | %zu |\n", p.task[k], parts[part], known, positive);
            }
        predictions_free(&p);
    }
    free(path);
}

static hct_status write_card(const export_options *o, const model_info *info, size_t tensors, hct_err *err) {
    const vit_config *c = &info->mae.encoder;
    char *own = o->run ? strdup(o->run) : folder_of(o->weights);
    hct_outfile *f = own ? hct_outfile_open(o->card, err) : NULL;
    if (!f) {
        free(own);
        return own ? err->code : hct_fail(err, HCT_ENOMEM, "out of memory");
    }
    hct_outfile_printf(f, "# %s\n\nWritten by headct export from `%s`. Research software, not a medical device.\n\n", path_base(o->out), path_base(o->weights));
    hct_outfile_printf(f, "| | |\n|---|---|\n| tensors | %zu |\n| input | %lld channels, %lld^3 voxels, the middle %lld mm |\n| encoder | width %lld, depth %lld, heads %lld, MLP %lld, patch %lld, registers %lld |\n",
                       tensors, (long long)c->channels, (long long)c->image, (long long)info->crop, (long long)c->width, (long long)c->depth, (long long)c->heads,
                       (long long)c->mlp, (long long)c->patch, (long long)c->registers);
    hct_outfile_printf(f, "| HU windows (centre, width) |");
    for (int i = 0; i < info->n_windows; i++) hct_outfile_printf(f, "%s %g, %g", i ? ";" : "", info->window[i].centre, info->window[i].width);
    hct_outfile_printf(f, " |\n");
    if (info->n_tasks) hct_outfile_printf(f, "| tasks |");
    for (int i = 0; i < info->n_tasks; i++) hct_outfile_printf(f, " %s", info->task[i]);
    if (info->n_tasks) hct_outfile_printf(f, " |\n");
    const struct { const char *what, *hash; } hashes[] = {{"recipe", info->recipe}, {"preparation", info->preprocessing}, {"training data", info->data}, {"encoder's weights", info->parent}};
    for (int i = 0; i < 4; i++)
        if (*hashes[i].hash) hct_outfile_printf(f, "| SHA-256 of the %s | `%s` |\n", hashes[i].what, hashes[i].hash);
    counts(f, own);
    quote(f, own, "metrics.csv", "Metrics", "");
    quote(f, own, "recipe.yaml", "Recipe", "yaml");
    free(own);
    return hct_outfile_close(f, err);
}

hct_status export_run(const export_options *o, hct_err *err) {
    hct_st_file *f = hct_st_open(o->weights, err);
    if (!f) return err->code;
    model_info info;
    hct_status st = weights_info(f, o->weights, &info, err);
    size_t n = 0;
    hct_st_entry *entries = st == HCT_OK ? calloc(hct_st_count(f) + 1, sizeof *entries) : NULL;
    if (st == HCT_OK && !entries) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < hct_st_count(f); i++) { /* a checkpoint's optimiser state stays behind */
        const hct_st_entry *e = hct_st_at(f, i);
        if (strncmp(e->name, "optimizer.", 10) != 0) entries[n++] = *e;
    }
    if (st == HCT_OK) {
        const hct_st_pair meta[] = {{"headct", hct_st_meta(f, "headct")}, {"format", o->torch ? "headct-weights/1" : hct_st_meta(f, "format")}};
        st = o->torch ? torch_write(o->out, entries, n, meta, 2, err) : hct_st_write(o->out, entries, n, meta, 2, err);
    }
    if (st == HCT_OK && o->card) st = write_card(o, &info, n, err);
    free(entries);
    hct_st_close(f);
    return st;
}
