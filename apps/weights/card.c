#include "weights/card.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "evaluation/predictions.h"
#include "hct/io.h"
#include "support/paths.h"
#include "training/fraction.h"
#include "training/recipe.h"
#include "training/runlog.h"

/* RUN/name between fences, where it is there. */
static void quote(hct_outfile *f, const char *run, const char *name, const char *title, const char *language) {
    char *path = path_join(run, name), *text = NULL;
    hct_err none;
    if (path && path_is_file(path) && hct_read_file(path, &text, NULL, &none) == HCT_OK)
        hct_outfile_printf(f, "\n## %s\n\n```%s\n%s```\n", title, language, text);
    free(text);
    free(path);
}

static void put_model(hct_outfile *f, const card *c) {
    const model_info *info = c->info;
    const vit_config *v = &info->mae.encoder;
    hct_outfile_printf(f,
                       "| | |\n|---|---|\n| tensors | %zu |\n| input | %lld channels, %lld^3 voxels, the middle %lld "
                       "mm |\n| encoder | width %lld, depth %lld, heads %lld, MLP %lld, patch %lld, registers %lld |\n",
                       c->tensors, (long long)v->channels, (long long)v->image, (long long)info->crop,
                       (long long)v->width, (long long)v->depth, (long long)v->heads, (long long)v->mlp,
                       (long long)v->patch, (long long)v->registers);
    hct_outfile_printf(f, "| HU windows (centre, width) |");
    for (int i = 0; i < info->n_windows; i++)
        hct_outfile_printf(f, "%s %g, %g", i ? ";" : "", info->window[i].centre, info->window[i].width);
    hct_outfile_printf(f, " |\n");
    if (c->which)
        hct_outfile_printf(f, "| of a DINO checkpoint | the %s's encoder%s |\n", c->which,
                           strcmp(c->which, "teacher") ? "" : " (moving average of the student)");
    if (info->n_tasks) hct_outfile_printf(f, "| tasks |");
    for (int i = 0; i < info->n_tasks; i++) hct_outfile_printf(f, " %s", info->task[i]);
    if (info->n_tasks) hct_outfile_printf(f, " |\n");
    const struct {
        const char *what, *hash;
    } hashes[] = {
        {"recipe", info->recipe},
        {"preparation", info->preprocessing},
        {"training data", info->data},
        {"encoder's weights", info->parent},
    };
    for (int i = 0; i < 4; i++)
        if (*hashes[i].hash) hct_outfile_printf(f, "| SHA-256 of the %s | `%s` |\n", hashes[i].what, hashes[i].hash);
}

/* ---- data ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static size_t patients_of(const dataset *d, const size_t *scan, size_t n) {
    const char **name = malloc((n + 1) * sizeof *name);
    size_t count = 0;
    for (size_t i = 0; name && i < n; i++) name[i] = d->scans[scan[i]].patient;
    if (name && n) qsort(name, n, sizeof *name, by_text);
    for (size_t i = 0; name && i < n; i++) count += !i || strcmp(name[i - 1], name[i]) != 0;
    free(name);
    return count;
}

typedef struct part {
    const char *name;
    size_t *scan, n;
} part;

static void put_parts(hct_outfile *f, const dataset *d, const recipe *r, const part *parts) {
    hct_outfile_printf(f, "\n## Data\n\n`%s`%s\n\n| part | scans | patients |\n|---|---|---|\n", r->data.dataset,
                       r->data.fraction < 1 ? ", a share of the training part's patients (data.fraction)" : "");
    for (int p = 0; p < 3; p++)
        hct_outfile_printf(f, "| %s | %zu | %zu |\n", parts[p].name, parts[p].n,
                           patients_of(d, parts[p].scan, parts[p].n));
}

static void put_labels(hct_outfile *f, const dataset *d, const model_info *info, const part *parts) {
    if (info->n_tasks) hct_outfile_printf(f, "\n| task | part | scans with a label | positives |\n|---|---|---|---|\n");
    for (int k = 0; k < info->n_tasks; k++) {
        hct_err none;
        int64_t column = dataset_label(d, info->task[k], &none);
        for (int p = 0; column >= 0 && p < 3; p++) {
            size_t known = 0, positive = 0;
            for (size_t i = 0; i < parts[p].n; i++) {
                int8_t l = d->labels[parts[p].scan[i] * d->n_labels + (size_t)column];
                known += l >= 0;
                positive += l == 1;
            }
            hct_outfile_printf(f, "| %s | %s | %zu | %zu |\n", info->task[k], parts[p].name, known, positive);
        }
    }
}

/* Counts of the dataset itself; 0 where it is not at hand, or no longer what the weights were trained on. */
static int put_dataset(hct_outfile *f, const card *c) {
    char *path = path_join(c->run, "recipe.yaml"), hash[MODEL_HASH] = "";
    recipe r = recipe_default();
    hct_err none;
    int good =
        path && path_is_file(path) && recipe_load(path, &r, &none) == HCT_OK && *r.data.dataset && *c->info->data;
    dataset *d = good ? dataset_open(r.data.dataset, &none) : NULL;
    part parts[3] = {{r.data.train, NULL, 0}, {r.data.validation, NULL, 0}, {r.data.test, NULL, 0}};
    good = d && training_part(d, &r, &parts->scan, &parts->n, &none) == HCT_OK;
    for (int p = 1; good && p < 3; p++)
        good = dataset_part(d, parts[p].name, &parts[p].scan, &parts[p].n, &none) == HCT_OK;
    good = good && dataset_hash(d, parts->scan, parts->n, hash, &none) == HCT_OK && !strcmp(hash, c->info->data);
    if (good) {
        put_parts(f, d, &r, parts);
        put_labels(f, d, c->info, parts);
    }
    for (int p = 0; p < 3; p++) free(parts[p].scan);
    dataset_close(d);
    free(path);
    return good;
}

static void put_predictions(hct_outfile *f, const card *c) {
    char *path = path_join(c->run, "predictions.csv");
    predictions p = {0};
    hct_err none;
    static const char *const parts[] = {"train", "val", "test"};
    if (path && path_is_file(path) && predictions_read(path, NULL, &p, &none) == HCT_OK) {
        hct_outfile_printf(f,
                           "\n## Data\n\nAs far as the run's predictions tell; the dataset is not at hand, or has "
                           "changed since.\n\n| task | part | scans with a label | positives |\n|---|---|---|---|\n");
        for (size_t k = 0; k < p.n_tasks; k++)
            for (int part = 0; part < 3; part++) {
                size_t known = 0, positive = 0, rows = 0;
                for (size_t i = 0; i < p.n; i++) {
                    int8_t l = p.label[i * p.n_tasks + k];
                    if (strcmp(p.split[i], parts[part]) != 0) continue;
                    rows++;
                    known += l >= 0;
                    positive += l == 1;
                }
                if (rows) hct_outfile_printf(f, "| %s | %s | %zu | %zu |\n", p.task[k], parts[part], known, positive);
            }
        predictions_free(&p);
    }
    free(path);
}

/* ---- training ---- */

static void put_curve(hct_outfile *f, const card *c, const char *phase, const char *key, const char *what, int *begun) {
    double *steps, *values;
    size_t n, best = 0;
    hct_err none;
    if (runlog_read(c->run, phase, key, &steps, &values, &n, &none) < 0) return;
    int highest = !strcmp(key, "auc");
    for (size_t i = 1; i < n; i++)
        if (highest ? values[i] > values[best] : values[i] < values[best]) best = i;
    if (n && !*begun)
        hct_outfile_printf(f, "\n## Training\n\n| | last | at step | best | at step |\n|---|---|---|---|---|\n");
    if (n)
        hct_outfile_printf(f, "| %s | %.5g | %.0f | %.5g | %.0f |\n", what, values[n - 1], steps[n - 1], values[best],
                           steps[best]);
    *begun |= n > 0;
    free(steps);
    free(values);
}

hct_status card_write(const card *c, hct_err *err) {
    hct_outfile *f = hct_outfile_open(c->path, err);
    int begun = 0;
    if (!f) return err ? err->code : HCT_EIO;
    hct_outfile_printf(f, "# %s\n\nWritten by headct export from `%s`. Research software, not a medical device.\n\n",
                       c->name, path_base(c->weights));
    put_model(f, c);
    if (!put_dataset(f, c)) put_predictions(f, c);
    put_curve(f, c, "train", "loss", "training loss", &begun);
    put_curve(f, c, "validation", "loss", "validation loss", &begun);
    put_curve(f, c, "validation", "auc", "validation AUC", &begun);
    quote(f, c->run, "metrics.csv", "Metrics", "");
    quote(f, c->run, "recipe.yaml", "Recipe", "yaml");
    return hct_outfile_close(f, err);
}
