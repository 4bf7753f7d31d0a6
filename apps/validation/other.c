/* Predictions of a run on another dataset; the scans and patients that it knows from training are left out. */
#include "validation/other.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hct/log.h"
#include "inference/predict.h"
#include "run/training_scans.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/stop.h"

static hct_status out_of_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "out of memory for scans"); }

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static size_t count_patients(const cohort *c, const training_match *of, const char **names) {
    size_t n = 0, patients = 0;
    for (size_t i = 0; i < c->n; i++)
        if (of[c->scans[i].at]) names[n++] = c->scans[i].patient;
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++) patients += i == 0 || strcmp(names[i - 1], names[i]) != 0;
    return patients;
}

/* OUT/left_out.csv; where nothing is left out, none is there. */
static hct_status write_left_out(const cohort *c, const training_match *of, size_t n, const char *out, hct_err *err) {
    char *path = path_join(out, "left_out.csv");
    hct_outfile *f = path && n ? hct_outfile_open(path, err) : NULL;
    hct_status st = f || (path && !n) ? HCT_OK : path ? err->code : out_of_memory(err);
    if (path && !n) unlink(path);
    if (f) {
        hct_outfile_printf(f, "scan,patient,split,trained_on\n");
        for (size_t i = 0; i < c->n; i++) {
            const cohort_scan *s = &c->scans[i];
            if (!of[s->at]) continue;
            csv_put(f, 0, s->id);
            csv_put(f, 1, s->patient);
            csv_put(f, 2, s->split);
            csv_put(f, 3, training_match_words[of[s->at]]);
            csv_end_row(f);
        }
        st = hct_outfile_close(f, err);
    }
    free(path);
    return st;
}

static hct_status leave_out(const validation_options *o, cohort *c, FILE *table, hct_err *err) {
    training_matches m = {0};
    const char **names = malloc((c->n + 1) * sizeof *names);
    bool *keep = calloc(c->data->n + 1, sizeof *keep);
    size_t counts[TRAINING_MATCHES] = {0};
    hct_status st = names && keep ? training_scans_match(o->run, c->data, &m, err) : out_of_memory(err);
    for (size_t i = 0; st == HCT_OK && i < c->n; i++) counts[m.of[c->scans[i].at]]++;
    size_t n = counts[TRAINING_SCAN] + counts[TRAINING_PATIENT],
           patients = st == HCT_OK ? count_patients(c, m.of, names) : 0;
    if (st == HCT_OK && m.unknown)
        hct_log(HCT_LOG_WARNING, "%s: nothing tells which scans this was trained on; none of them is left out",
                m.unknown);
    if (st == HCT_OK && m.same_names)
        hct_log(
            HCT_LOG_WARNING,
            "%zu patients have the name of a patient of another dataset that the run was trained on, and no scan in "
            "common with it: they are taken for others",
            m.same_names);
    for (size_t i = 0; st == HCT_OK && i < c->data->n; i++) keep[i] = o->include_training || !m.of[i];
    if (st == HCT_OK && n == c->n && !o->include_training)
        st = hct_fail(err, HCT_EINVAL,
                      "%s: the run was trained on all of the %zu scans, or on their patients: take another dataset or "
                      "split, or --include-training",
                      o->data, n);
    if (st == HCT_OK) st = write_left_out(c, m.of, o->include_training ? 0 : n, o->out, err);
    if (st == HCT_OK && n && table)
        fprintf(table,
                "%zu of %zu scans, of %zu patients, %s: %zu that the run was trained on, %zu of its patients%s\n\n", n,
                c->n, patients, o->include_training ? "are no test" : "are left out", counts[TRAINING_SCAN],
                counts[TRAINING_PATIENT], o->include_training ? "" : " (left_out.csv; --include-training takes them)");
    if (st == HCT_OK && n && o->include_training)
        hct_log(HCT_LOG_WARNING, "%zu of %zu scans were trained on, or their patients: the figures flatter the model",
                n, c->n);
    if (st == HCT_OK && n && !o->include_training) st = cohort_keep(c, keep, err);
    training_matches_free(&m);
    free(names);
    free(keep);
    return st;
}

static hct_status keep_ids(const cohort *c, other_cohort *ret, hct_err *err) {
    if (!(ret->id = calloc(c->n + 1, sizeof *ret->id))) return out_of_memory(err);
    for (size_t i = 0; i < c->n; i++)
        if (!(ret->id[ret->n++] = strdup(c->scans[c->by_id[i]].id))) return out_of_memory(err);
    return HCT_OK;
}

hct_status other_predict(const validation_options *o, const char *path, FILE *table, other_cohort *ret, hct_err *err) {
    cohort c = {0};
    size_t kept;
    *ret = (other_cohort){0};
    stop_listen();
    hct_status st = path_make_folders(o->out, err);
    if (st == HCT_OK) st = cohort_of_dataset(o->data, o->split ? o->split : "all", &c, err);
    if (st == HCT_OK) st = leave_out(o, &c, table, err);
    if (st == HCT_OK) st = predict_run(&(predict_options){.run = o->run, .out = path}, &c, &kept, NULL, err);
    ret->refused = cohort_tell_refused(&c);
    if (st == HCT_OK) st = keep_ids(&c, ret, err);
    cohort_free(&c);
    return st;
}

hct_status other_keep(const other_cohort *c, predictions *p, hct_err *err) {
    bool *keep = malloc((p->n + 1) * sizeof *keep);
    if (!keep) return out_of_memory(err);
    for (size_t i = 0; i < p->n; i++) keep[i] = bsearch(&p->scan[i], c->id, c->n, sizeof *c->id, by_text) != NULL;
    predictions_keep(p, keep);
    free(keep);
    return HCT_OK;
}

void other_free(other_cohort *c) {
    for (size_t i = 0; i < c->n; i++) free(c->id[i]);
    free(c->id);
    *c = (other_cohort){0};
}
