/* Rows of predictions. */
#include "inference/prediction_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "evaluation/predictions.h"
#include "support/csv.h"
#include "support/measure.h"

void prediction_hashes(const prediction_table *t, json_out *j) {
    const classifiers *set = t->set;
    json_text(j, "weights_sha256", set->weights);
    json_text(j, "recipe_sha256", set->recipe);
    json_text(j, "preprocessing_sha256", t->preprocessing);
    json_text(j, "identifiers", t->naming);
    if (set->precision) json_text(j, "precision", precision_name(set->precision));
    if (set->n < 2) return;
    json_object(j, "models");
    for (size_t i = 0; i < set->n; i++) {
        json_object(j, set->item[i].info.task[0]);
        json_text(j, "weights_sha256", set->item[i].weights);
        json_text(j, "recipe_sha256", set->item[i].info.recipe);
        json_end(j);
    }
    json_end(j);
}

char *prediction_origin(const prediction_table *t, const char *path, hct_err *err) {
    json_out origin = {.pretty = true};
    json_object(&origin, NULL);
    json_text(&origin, "format", "headct-predictions/1");
    prediction_hashes(t, &origin);
    json_end(&origin);
    return json_take(&origin, path, err);
}

hct_status prediction_check(const prediction_table *t, const cohort_scan *s, const double *p, hct_err *err) {
    for (int k = 0; k < t->set->n_tasks; k++)
        if (!isfinite(p[k]))
            return hct_fail(err, HCT_EINVAL, "%s: scan '%s': task '%s' comes out as %g; the weights are damaged",
                            t->set->path[k], s->id, t->set->task[k], p[k]);
    return HCT_OK;
}

void prediction_row(const prediction_table *t, const cohort_scan *s, const double *p, text_buffer *rows) {
    char number[32];
    text_buffer above = {0};
    const int n_tasks = t->set->n_tasks;
    csv_add(rows, 0, s->id);
    csv_add(rows, 1, s->patient);
    csv_add(rows, 2, s->split);
    for (int k = 0; k < n_tasks; k++) csv_add(rows, PREDICTION_TASKS, p ? text_of_double(p[k], number) : "");
    csv_add(rows, 3, p ? s->input : "");
    csv_add(rows, 3, p ? "" : s->reason);
    const char *const names[] = {s->names.path, s->names.study_uid, s->names.series_uid, s->names.accession};
    for (int k = 0; t->clear && k < 4; k++) csv_add(rows, 3, names[k]);
    csv_add(rows, 3, measure_utc(number));
    csv_add(rows, 3, HEADCT_VERSION);
    for (int k = 0; t->chosen->path && k < n_tasks; k++) {
        const double at = t->chosen->at[k];
        csv_add(rows, 3, isnan(at) ? "" : text_of_double(at, number));
        if (p && prediction_is_above(t, p, k))
            text_printf(&above, "%s%s", text_length(&above) ? ";" : "", t->set->task[k]);
    }
    if (text_check(&above, "a row", NULL) < 0) text_fail(rows);
    if (t->chosen->path) csv_add(rows, 3, text_so_far(&above));
    text_free(&above);
    text_add(rows, "\n", 1);
}

void prediction_header(const prediction_table *t, text_buffer *header) {
    csv_add(header, 0, "scan");
    csv_add(header, 1, "patient");
    csv_add(header, 2, "split");
    for (int k = 0; k < t->set->n_tasks; k++) csv_add(header, PREDICTION_TASKS, t->set->task[k]);
    csv_add(header, 3, PREDICTIONS_INPUT);
    csv_add(header, 3, PREDICTIONS_REFUSED);
    for (const char *const *name = predictions_names; t->clear && *name; name++) csv_add(header, 3, *name);
    csv_add(header, 3, PREDICTIONS_TIME);
    csv_add(header, 3, PREDICTIONS_VERSION);
    for (int k = 0; t->chosen->path && k < t->set->n_tasks; k++) {
        char name[MODEL_NAME + sizeof PREDICTIONS_THRESHOLD];
        snprintf(name, sizeof name, PREDICTIONS_THRESHOLD "%s", t->set->task[k]);
        csv_add(header, 3, name);
    }
    if (t->chosen->path) csv_add(header, 3, PREDICTIONS_ABOVE);
    text_add(header, "\n", 1);
}
