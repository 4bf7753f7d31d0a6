/* Predictions of many scans: a table that grows row by row. */
#include "inference/predict.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inference/prediction_rows.h"
#include "support/device.h"
#include "support/json_out.h"
#include "support/measure.h"
#include "support/paths.h"
#include "support/row_file.h"

typedef struct predicting {
    const predict_options *o;
    cohort *c;
    classifiers set;
    row_file *rows;
    size_t *todo, n_todo;
    thresholds chosen;
    prediction_table table;
    double *known; /* for reports: [c->n, n_tasks], NAN of scans without; else NULL */
} predicting;

/* Thresholds, and what reaches them. */
static void add_thresholds(const predicting *q, const double *p, json_out *j) {
    if (!q->chosen.path) return;
    json_object(j, "thresholds");
    for (int k = 0; k < q->set.n_tasks; k++)
        if (isfinite(q->chosen.at[k])) json_number(j, q->set.task[k], q->chosen.at[k]);
    json_end(j);
    json_array(j, "above");
    for (int k = 0; k < q->set.n_tasks; k++)
        if (prediction_is_above(&q->table, p, k)) json_text(j, NULL, q->set.task[k]);
    json_end(j);
}

static hct_status print_json(const predicting *q, const cohort_scan *s, const double *p, hct_err *err) {
    json_out j = {0};
    char when[32];
    json_object(&j, NULL);
    json_text(&j, "scan", s->id);
    json_text(&j, "patient", s->patient);
    if (q->c->clear) {
        json_text(&j, "file", s->names.path);
        json_text(&j, "study_uid", s->names.study_uid);
        json_text(&j, "series_uid", s->names.series_uid);
        json_text(&j, "accession_number", s->names.accession);
    }
    json_object(&j, "probabilities");
    for (int k = 0; k < q->set.n_tasks; k++) json_number(&j, q->set.task[k], p[k]);
    json_end(&j);
    add_thresholds(q, p, &j);
    prediction_hashes(&q->table, &j);
    json_text(&j, "input_sha256", s->input);
    json_text(&j, "time", measure_utc(when));
    json_text(&j, "version", HEADCT_VERSION);
    json_end(&j);
    char *text = json_take(&j, s->path, err);
    if (!text) return HCT_ENOMEM;
    fprintf(q->o->print, "%s\n", text);
    free(text);
    return HCT_OK;
}

static void print_text(const predicting *q, const cohort_scan *s, const double *p) {
    int longest = 0;
    for (int k = 0; k < q->set.n_tasks; k++)
        if ((int)strlen(q->set.task[k]) > longest) longest = (int)strlen(q->set.task[k]);
    fprintf(q->o->print, "%s\n", s->id);
    for (int k = 0; k < q->set.n_tasks; k++) {
        fprintf(q->o->print, "  %-*s  %.4f", longest, q->set.task[k], p[k]);
        if (prediction_is_above(&q->table, p, k)) fprintf(q->o->print, "  reaches %.4f", q->chosen.at[k]);
        fprintf(q->o->print, "\n");
    }
}

/* Those that were left out stand at the table's end. */
static hct_status add_refused(const predicting *q, hct_err *err) {
    text_buffer rows = {0};
    for (size_t i = 0; i < q->c->n; i++)
        if (q->c->scans[i].reason) prediction_row(&q->table, &q->c->scans[i], NULL, &rows);
    hct_status st = cohort_refused(q->c) ? row_file_add(q->rows, &rows, err) : HCT_OK;
    text_free(&rows);
    return st;
}

static hct_status take(void *context, const size_t *scans, size_t n, const float *cls, const double *probability,
                       hct_err *err) {
    predicting *q = context;
    text_buffer rows = {0};
    hct_status st = HCT_OK;
    (void)cls;
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        const cohort_scan *s = &q->c->scans[scans[i]];
        const double *p = probability + i * (size_t)q->set.n_tasks;
        if ((st = prediction_check(&q->table, s, p, err)) < 0) break;
        if (q->known) memcpy(q->known + scans[i] * (size_t)q->set.n_tasks, p, (size_t)q->set.n_tasks * sizeof *p);
        if (q->rows) prediction_row(&q->table, s, p, &rows);
        else if (q->o->json) st = print_json(q, s, p, err);
        else print_text(q, s, p);
    }
    if (st == HCT_OK && q->rows) st = row_file_add(q->rows, &rows, err);
    if (st == HCT_OK && !q->rows && (fflush(q->o->print) != 0 || ferror(q->o->print)))
        st = hct_fail(err, HCT_EIO, "standard output: %s", strerror(errno));
    text_free(&rows);
    return st;
}

/* The probabilities of an older row, for its report. */
static hct_status keep_known(predicting *q, const csv *t, size_t row, size_t scan, hct_err *err) {
    for (int k = 0; k < q->set.n_tasks; k++) {
        const char *cell = csv_cell(t, row, PREDICTION_TASKS + (size_t)k);
        if (!text_double(cell, &q->known[scan * (size_t)q->set.n_tasks + (size_t)k]))
            return hct_fail(err, HCT_EFORMAT, "%s:%d: '%s' is no probability", t->path, t->lines[row], cell);
    }
    snprintf(q->c->scans[scan].input, MODEL_HASH, "%s", csv_cell(t, row, prediction_input_column(&q->table)));
    return HCT_OK;
}

/* Opens the CSV; its scans are marked in done. */
static hct_status open_rows(predicting *q, char *done, size_t *ret_kept, hct_err *err) {
    text_buffer header = {0};
    prediction_header(&q->table, &header);
    char *text = prediction_origin(&q->table, q->o->out, err);
    const char *first = text ? text_get(&header, q->o->out, err) : NULL;
    csv *old = NULL;
    hct_status st = first ? HCT_OK : HCT_ENOMEM;
    if (st == HCT_OK && !(q->rows = row_file_open(q->o->out, first, text, &old, err))) st = err->code;
    const size_t input = prediction_input_column(&q->table), refused = input + 1;
    for (size_t i = 0; st == HCT_OK && i < old->rows; i++) {
        if (*csv_cell(old, i, refused)) { /* and so are all rows below: they are tried again */
            st = row_file_cut(q->rows, i, err);
            break;
        }
        int64_t at = cohort_find(q->c, csv_cell(old, i, 0));
        if (at < 0) continue;
        st = cohort_same_input(q->c, (size_t)at, csv_cell(old, i, input), q->o->out, err);
        *ret_kept += !done[at];
        done[at] = 1;
        if (st == HCT_OK && q->known) st = keep_known(q, old, i, (size_t)at, err);
    }
    csv_free(old);
    text_free(&header);
    free(text);
    return st;
}

static hct_status open_todo(predicting *q, size_t *ret_kept, hct_err *err) {
    char *done = calloc(q->c->n + 1, 1);
    q->todo = malloc((q->c->n + 1) * sizeof *q->todo);
    hct_status st = done && q->todo ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for the list of scans");
    if (st == HCT_OK && q->o->out) st = open_rows(q, done, ret_kept, err);
    for (size_t i = 0; st == HCT_OK && i < q->c->n; i++)
        if (!done[i] && !q->c->scans[i].reason) q->todo[q->n_todo++] = i;
    free(done);
    return st;
}

static const char *model_name(const predict_options *o) {
    return o->model ? o->model : path_base(o->weights ? o->weights : o->run);
}

/* Reports are wanted: whether they can be, before anything is predicted. */
static hct_status prepare_reports(predicting *q, hct_err *err) {
    const size_t n = (q->c->n + 1) * (size_t)q->set.n_tasks;
    if (q->c->data)
        return hct_fail(err, HCT_EINVAL, "reports need the DICOM files themselves: give SCAN..., not --data");
    hct_status st = reports_check(&q->set, model_name(q->o), q->o->reports, err);
    if (st == HCT_OK && !(q->known = malloc(n * sizeof *q->known)))
        st = hct_fail(err, HCT_ENOMEM, "out of memory for reports");
    for (size_t i = 0; st == HCT_OK && i < n; i++) q->known[i] = NAN;
    return st;
}

hct_status predict_run(const predict_options *o, cohort *c, size_t *ret_kept, report_count *ret_reports, hct_err *err) {
    predicting q = {.o = o, .c = c};
    report_count reports = {0};
    *ret_kept = 0;
    hct_dev *dev = device_open(o->device, err);
    hct_status st = dev ? classifiers_open(dev, o->weights, o->run, o->precision, &q.set, err) : err->code;
    if (st == HCT_OK) st = thresholds_read(o->thresholds, o->run, &q.set, &q.chosen, err);
    if (st == HCT_OK && o->reports) st = prepare_reports(&q, err);
    if (st == HCT_OK) st = form_preparation(&q.set.item->info.encoder.input, c->preprocessing, err); /* of all alike */
    q.table = (prediction_table){&q.set, &q.chosen, c->preprocessing, cohort_naming(c), c->clear};
    for (size_t i = 0; st == HCT_OK && i < q.set.n; i++)
        weights_warn_preparation(q.set.item[i].path, &q.set.item[i].info, c->preprocessing);
    if (st == HCT_OK) st = open_todo(&q, ret_kept, err);
    if (st == HCT_OK && q.n_todo) st = classifiers_compile(&q.set, cohort_batch(c), (int64_t)q.n_todo, err);
    if (st == HCT_OK && q.n_todo)
        st = cohort_run(c, q.set.embedder, q.set.n, q.todo, q.n_todo, &(cohort_sink){&q, take}, o->progress, err);
    if (st == HCT_OK && q.rows) st = add_refused(&q, err);
    if (st == HCT_OK && o->reports)
        st = reports_write(c, &q.set, &q.chosen, q.known, model_name(o), o->reports, o->out, &reports, err);
    if (ret_reports) *ret_reports = reports;
    free(q.known);
    thresholds_free(&q.chosen);
    classifiers_free(&q.set);
    row_file_close(q.rows);
    free(q.todo);
    device_close(dev);
    return st;
}
