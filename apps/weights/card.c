/* A model card: what the weights tell of themselves, and what their run and dataset tell of them. */
#include "weights/card.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "evaluation/predictions.h"
#include "support/markdown.h"
#include "support/paths.h"
#include "run/fraction.h"
#include "recipe/recipe.h"
#include "run/runlog.h"

/* What is not there is left out, as the header says; what cannot be read is an error. */
static hct_status may_be_absent(hct_status st, const hct_err *why, hct_err *err) {
    return st == HCT_OK || st == HCT_ENOTFOUND ? HCT_OK : hct_fail(err, st, "%s", why->msg);
}

/* RUN/name between fences, where it is there. */
static hct_status quote(text_buffer *f, const char *run, const char *name, const char *title, const char *language,
                        hct_err *err) {
    char *path = path_join(run, name), *text = NULL;
    hct_err why;
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = path_is_file(path) ? hct_read_file(path, &text, NULL, &why) : HCT_OK;
    if (st == HCT_OK && text) {
        text_printf(f, "\n## %s\n\n", title);
        markdown_block(f, language, text);
    }
    free(text);
    free(path);
    return may_be_absent(st, &why, err);
}

static void put_encoder(text_buffer *f, const encoder *e) {
    text_printf(f, "| encoder | %s:", e->kind->name);
    for (const model_field *k = e->kind->fields; k->name; k++)
        text_printf(f, "%s %s %g", k == e->kind->fields ? "" : ",", k->name, field_get(k, e->own));
    text_printf(f, " |\n");
}

static void put_input(text_buffer *f, const input_spec *s) {
    const double mm[3] = {(double)s->crop[0] * s->spacing[0], (double)s->crop[1] * s->spacing[1],
                          (double)s->crop[2] * s->spacing[2]};
    text_printf(f, "| input | %d channels, %lld x %lld x %lld voxels, the middle %g x %g x %g mm |\n", s->n_windows,
                (long long)s->size[0], (long long)s->size[1], (long long)s->size[2], mm[0], mm[1], mm[2]);
    text_printf(f, "| HU windows (centre, width) |");
    for (int i = 0; i < s->n_windows; i++)
        text_printf(f, "%s %g, %g", i ? ";" : "", s->window[i].centre, s->window[i].width);
    text_printf(f, " |\n");
}

static void put_model(text_buffer *f, const card *c) {
    const model_info *info = c->info;
    text_printf(f, "| | |\n|---|---|\n| tensors | %zu |\n", c->tensors);
    put_input(f, &info->encoder.input);
    put_encoder(f, &info->encoder);
    if (c->which)
        text_printf(f, "| of a %s checkpoint | the %s's encoder%s |\n", info->pretext.kind->name, c->which,
                    strcmp(c->which, "teacher") ? "" : " (moving average of the student)");
    if (info->n_tasks) text_printf(f, "| tasks |");
    for (int i = 0; i < info->n_tasks; i++) {
        text_printf(f, " ");
        markdown_text(f, info->task[i]);
    }
    if (info->n_tasks) text_printf(f, " |\n");
    const struct {
        const char *what, *hash;
    } hashes[] = {
        {"recipe", info->recipe},
        {"preparation", info->preprocessing},
        {"training data", info->data},
        {"encoder's weights", info->parent},
    };
    for (int i = 0; i < 4; i++) {
        if (!*hashes[i].hash) continue;
        text_printf(f, "| SHA-256 of the %s | ", hashes[i].what);
        markdown_code(f, hashes[i].hash);
        text_printf(f, " |\n");
    }
}

/* ---- data ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static hct_status count_patients(const dataset *d, const size_t *scan, size_t n, size_t *ret, hct_err *err) {
    const char **name = malloc((n + 1) * sizeof *name);
    if (!name) return hct_fail(err, HCT_ENOMEM, "out of memory");
    *ret = 0;
    for (size_t i = 0; i < n; i++) name[i] = d->scans[scan[i]].patient;
    if (n) qsort(name, n, sizeof *name, by_text);
    for (size_t i = 0; i < n; i++) *ret += !i || strcmp(name[i - 1], name[i]) != 0;
    free(name);
    return HCT_OK;
}

typedef struct part {
    const char *name;
    size_t *scan, n;
} part;

static hct_status put_parts(text_buffer *f, const dataset *d, const recipe *r, const part *parts, hct_err *err) {
    text_printf(f, "\n## Data\n\n");
    markdown_code(f, r->data.dataset);
    text_printf(f, "%s\n\n| split | scans | patients |\n|---|---|---|\n",
                r->data.fraction < 1 ? ", a share of the training split's patients (data.fraction)"
                : r->data.patients   ? ", some of the training split's patients (data.patients)"
                                     : "");
    hct_status st = HCT_OK;
    for (int p = 0; st == HCT_OK && p < 3; p++) {
        size_t patients = 0;
        st = count_patients(d, parts[p].scan, parts[p].n, &patients, err);
        text_printf(f, "| ");
        markdown_text(f, parts[p].name);
        if (st == HCT_OK) text_printf(f, " | %zu | %zu |\n", parts[p].n, patients);
    }
    return st;
}

static void put_count(text_buffer *f, const char *task, const char *part, size_t known, size_t positive) {
    text_printf(f, "| ");
    markdown_text(f, task);
    text_printf(f, " | ");
    markdown_text(f, part);
    text_printf(f, " | %zu | %zu |\n", known, positive);
}

static void put_labels(text_buffer *f, const dataset *d, const model_info *info, const part *parts) {
    if (info->n_tasks) text_printf(f, "\n| task | split | scans with a label | positives |\n|---|---|---|---|\n");
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
            put_count(f, info->task[k], parts[p].name, known, positive);
        }
    }
}

/* Counts of the dataset itself; *ret_is_there 0 where it is not at hand, or no longer what the weights were trained
 * on. */
static hct_status put_dataset(text_buffer *f, const card *c, int *ret_is_there, hct_err *err) {
    char *path = path_join(c->run, "recipe.yaml"), hash[MODEL_HASH] = "";
    recipe r = recipe_default();
    hct_err why;
    dataset *d = NULL;
    part parts[3] = {{r.data.train, NULL, 0}, {r.data.validation, NULL, 0}, {r.data.test, NULL, 0}};
    *ret_is_there = 0;
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = path_is_file(path) && *c->info->data ? recipe_load(path, &r, &why) : HCT_ENOTFOUND;
    if (st == HCT_OK && !*r.data.dataset) st = HCT_ENOTFOUND;
    if (st == HCT_OK && !(d = dataset_open(r.data.dataset, &why))) st = why.code;
    if (st == HCT_OK) st = training_split(d, &r, &parts->scan, &parts->n, &why);
    for (int p = 1; st == HCT_OK && p < 3; p++) st = dataset_split(d, parts[p].name, &parts[p].scan, &parts[p].n, &why);
    if (st == HCT_OK) st = dataset_hash(d, parts->scan, parts->n, hash, &why);
    if (st == HCT_OK && !strcmp(hash, c->info->data)) {
        *ret_is_there = 1;
        st = put_parts(f, d, &r, parts, &why);
        put_labels(f, d, c->info, parts);
    }
    for (int p = 0; p < 3; p++) free(parts[p].scan);
    dataset_close(d);
    free(path);
    return may_be_absent(st, &why, err);
}

static hct_status put_predictions(text_buffer *f, const card *c, hct_err *err) {
    static const char *const parts[] = {"train", "val", "test"};
    char *path = path_join(c->run, "predictions.csv");
    predictions p = {0};
    hct_err why;
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_status st = path_is_file(path) ? predictions_read(path, NULL, &p, &why) : HCT_ENOTFOUND;
    free(path);
    if (st < 0) return may_be_absent(st, &why, err);
    text_printf(f,
                "\n## Data\n\nAs far as the run's predictions tell; the dataset is not at hand, or has changed since."
                "\n\n| task | split | scans with a label | positives |\n|---|---|---|---|\n");
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
            if (rows) put_count(f, p.task[k], parts[part], known, positive);
        }
    predictions_free(&p);
    return HCT_OK;
}

/* ---- training ---- */

static hct_status put_curve(text_buffer *f, const card *c, const char *phase, const char *key, const char *what,
                            int *begun, hct_err *err) {
    double *steps, *values;
    size_t n, best = 0;
    hct_err why;
    hct_status st = runlog_read(c->run, phase, key, &steps, &values, &n, &why);
    if (st < 0) return may_be_absent(st, &why, err);
    int highest = !strcmp(key, "auc");
    for (size_t i = 1; i < n; i++)
        if (highest ? values[i] > values[best] : values[i] < values[best]) best = i;
    if (n && !*begun) text_printf(f, "\n## Training\n\n| | last | at step | best | at step |\n|---|---|---|---|---|\n");
    if (n)
        text_printf(f, "| %s | %.5g | %.0f | %.5g | %.0f |\n", what, values[n - 1], steps[n - 1], values[best],
                    steps[best]);
    *begun |= n > 0;
    free(steps);
    free(values);
    return HCT_OK;
}

hct_status card_write(const card *c, hct_err *err) {
    text_buffer f = {0};
    int begun = 0, is_there = 0;
    text_printf(&f, "# ");
    markdown_text(&f, c->name);
    text_printf(&f, "\n\nWritten by headct export from ");
    markdown_code(&f, path_base(c->weights));
    text_printf(&f, ". Research software, not a medical device.\n\n");
    put_model(&f, c);
    hct_status st = put_dataset(&f, c, &is_there, err);
    if (st == HCT_OK && !is_there) st = put_predictions(&f, c, err);
    if (st == HCT_OK) st = put_curve(&f, c, "train", "loss", "training loss", &begun, err);
    if (st == HCT_OK) st = put_curve(&f, c, "validation", "loss", "validation loss", &begun, err);
    if (st == HCT_OK) st = put_curve(&f, c, "validation", "auc", "validation AUC", &begun, err);
    if (st == HCT_OK) st = quote(&f, c->run, "metrics.csv", "Metrics", "", err);
    if (st == HCT_OK) st = quote(&f, c->run, "recipe.yaml", "Recipe", "yaml", err);
    if (st == HCT_OK) st = text_save(&f, c->path, err);
    text_free(&f);
    return st;
}
