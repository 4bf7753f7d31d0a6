/* Scans of one study to one report. */
#include "inference/reports.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/component.h"
#include "dicom/sr.h"
#include "support/paths.h"

typedef struct told {
    sr_task task[MODEL_TASKS];
    sr_facts facts;
} told;

static void tell(const classifiers *c, const thresholds *t, const char *preprocessing, const char *model, told *ret) {
    int k = 0;
    for (size_t i = 0; i < c->n; i++)
        for (int j = 0; j < c->item[i].info.n_tasks && k < c->n_tasks; j++, k++)
            ret->task[k] = (sr_task){c->task[k], t ? t->at[k] : NAN, c->item[i].weights};
    ret->facts = (sr_facts){model, c->weights, preprocessing, c->recipe, ret->task, c->n_tasks};
}

hct_status reports_check(const classifiers *c, const char *model, const char *folder, hct_err *err) {
    const hct_dicom_writer *writer;
    told all;
    hct_err lacks = {0};
    if (dicom_writer_component(&writer, &lacks) < 0)
        return hct_fail(err, lacks.code, "--dicom-sr: writing DICOM %s", lacks.msg);
    tell(c, NULL, "", model, &all);
    sr *r = sr_new(&all.facts, err);
    if (!r) return err ? err->code : HCT_EINVAL;
    sr_free(r);
    return path_make_folders(folder, err);
}

/* A series into the report; its input must be what the probabilities were made from. */
static hct_status add_scan(cohort *c, size_t i, sr *r, const double *probability, const char *out, hct_err *err) {
    cohort_scan *s = &c->scans[i];
    char hash[MODEL_HASH];
    candidate *found = cohort_files_find(c->files, s->found, err);
    if (!found) return err ? err->code : HCT_EIO;
    const candidate_list *l = &c->files->candidates;
    hct_status st = candidate_hash(l, found, hash, err);
    if (st == HCT_OK) st = cohort_same_input(c, i, hash, out ? out : "the table", err);
    return st == HCT_OK ? sr_add(r, l->files, found->series, probability, hash, err) : st;
}

/* All scans of the study of scan `first`; marks them in done. */
static hct_status write_study(cohort *scans, size_t first, const sr_facts *facts, const double *probability,
                              const char *folder, const char *out, char *done, report_count *io, hct_err *err) {
    sr *r = sr_new(facts, err);
    bool written = false;
    hct_status st = r ? HCT_OK : err ? err->code : HCT_ENOMEM;
    const size_t n_tasks = (size_t)facts->n_tasks;
    for (size_t i = first; st == HCT_OK && i < scans->n; i++) {
        const cohort_scan *s = &scans->scans[i];
        if (done[i] || !s->study || strcmp(s->study, scans->scans[first].study) != 0) continue;
        done[i] = 1;
        if (!isnan(probability[i * n_tasks])) st = add_scan(scans, i, r, probability + i * n_tasks, out, err);
    }
    if (st == HCT_OK) st = sr_write(r, folder, &written, err);
    io->written += written;
    io->there += st == HCT_OK && !written;
    sr_free(r);
    return st;
}

hct_status reports_write(cohort *scans, const classifiers *c, const thresholds *t, const double *probability,
                         const char *model, const char *folder, const char *out, report_count *ret, hct_err *err) {
    told all;
    char *done = calloc(scans->n + 1, 1);
    hct_status st = done ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for reports");
    *ret = (report_count){0};
    tell(c, t, scans->preprocessing, model, &all);
    for (size_t i = 0; st == HCT_OK && i < scans->n; i++) {
        if (done[i] || isnan(probability[i * (size_t)c->n_tasks])) continue;
        if (!scans->scans[i].study) ret->no_dicom++;
        else st = write_study(scans, i, &all.facts, probability, folder, out, done, ret, err);
    }
    free(done);
    return st;
}
