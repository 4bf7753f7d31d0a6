/* Protocols of linear probes: which one, logistic regression, and what they share. */
#include "probe/protocol.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/ranking.h"
#include "models/probe.h"
#include "probe/logistic.h"
#include "support/stop.h"

static const double C_LOW = 1e-4, C_HIGH = 1e4; /* scikit-learn's LogisticRegressionCV tries these ten */
enum { C_VALUES = 10 };

hct_status probe_by_protocol(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o,
                             params *head, double *score, char chosen[PROBE_CHOSEN], hct_err *err) {
    switch (r->probe.protocol) {
    case PROTOCOL_LOGISTIC: return probe_logistic(r, dev, d, o, head, score, chosen, err);
    case PROTOCOL_CVPR26: return probe_grid(r, dev, d, o, head, score, chosen, err);
    case PROTOCOL_PAPER: break;
    }
    return probe_fit(r, dev, d, o, head, score, chosen, err);
}

const char *probe_protocol_sentence(const recipe *r) {
    switch (r->probe.protocol) {
    case PROTOCOL_LOGISTIC:
        return r->probe.c > 0 ? "logistic: L2-regularised logistic regression to convergence, C as set"
                              : "logistic: L2-regularised logistic regression to convergence, C by validation AUC";
    case PROTOCOL_CVPR26:
        return "cvpr26: the best of 104 linear heads (13 rates x 4 decays x 2 scalings, AdamW, 150 epochs), head and "
               "epoch by validation";
    case PROTOCOL_PAPER: break;
    }
    if (r->probe.kind == PROBE_MIL) return "paper: AB-MIL head, the recipe's optimiser, epoch by validation AUC";
    return r->probe.kind == PROBE_ATTENTIVE ? "paper: attentive head, the recipe's optimiser, epoch by validation AUC"
                                            : "paper: batch norm and a linear layer, the recipe's optimiser, epoch by "
                                              "validation AUC";
}

hct_status probe_rows_of(const probe_data *d, const size_t *row, size_t n, const char *task, const char *split,
                         probe_rows *ret, hct_err *err) {
    *ret = (probe_rows){.row = malloc((n + 1) * sizeof *ret->row), .label = malloc(n + 1)};
    if (!ret->row || !ret->label) return hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (d->label[row[i]] < 0) continue;
        ret->row[ret->n] = row[i];
        ret->label[ret->n++] = d->label[row[i]];
        ret->positives += d->label[row[i]] > 0;
    }
    if (!ret->positives || ret->positives == ret->n)
        return hct_fail(err, HCT_EINVAL, "task '%s': the %s split has %zu positives and %zu negatives; both are needed",
                        task, split, ret->positives, ret->n - ret->positives);
    return HCT_OK;
}

void probe_rows_free(probe_rows *rows) {
    free(rows->row);
    free(rows->label);
    *rows = (probe_rows){0};
}

void probe_moments(const probe_data *d, const probe_rows *rows, double *mean, double *sd) {
    for (size_t j = 0; j < d->width; j++) mean[j] = sd[j] = 0;
    for (size_t i = 0; i < rows->n; i++)
        for (size_t j = 0; j < d->width; j++) mean[j] += (double)d->row[rows->row[i] * d->width + j];
    for (size_t j = 0; j < d->width; j++) mean[j] /= (double)rows->n;
    for (size_t i = 0; i < rows->n; i++)
        for (size_t j = 0; j < d->width; j++) {
            double away = (double)d->row[rows->row[i] * d->width + j] - mean[j];
            sd[j] += away * away;
        }
    for (size_t j = 0; j < d->width; j++) sd[j] = sqrt(sd[j] / (double)rows->n);
}

/* The head's batch norm is made to do nothing (mean 0, variance 1), but for its PROBE_EPS, which the weights undo; the
 * scaling goes into the weights. */
static hct_status set_head(params *head, size_t width, const double *mean, const double *sd, const double *w,
                           const double b[2], hct_err *err) {
    float *zero = calloc(width + 1, sizeof *zero), *one = malloc((width + 1) * sizeof *one),
          *weight = malloc((2 * width + 1) * sizeof *weight);
    hct_status st = zero && one && weight ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    double offset[2] = {b[0], b[1]}, undo = sqrt(1 + PROBE_EPS);
    for (size_t j = 0; st == HCT_OK && j < width; j++) {
        one[j] = 1;
        if (mean) zero[j] = (float)mean[j];
        for (size_t k = 0; k < 2; k++) {
            double scaled = sd ? sd[j] > 0 ? w[k * width + j] / sd[j] : 0 : w[k * width + j];
            weight[k * width + j] = (float)(scaled * undo);
            if (mean) offset[k] += scaled * ((double)zero[j] - mean[j]); /* what float32 drops of the mean */
        }
    }
    if (st == HCT_OK) st = params_set(head, "bn.running_mean", zero, err);
    if (st == HCT_OK) st = params_set(head, "bn.running_var", one, err);
    if (st == HCT_OK) st = params_set(head, "linear.weight", weight, err);
    if (st == HCT_OK) st = params_set(head, "linear.bias", (float[]){(float)offset[0], (float)offset[1]}, err);
    free(zero);
    free(one);
    free(weight);
    return st;
}

hct_status probe_take(hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head, const double *mean,
                      const double *sd, const double *w, const double b[2], double validation_auc, double *score,
                      hct_err *err) {
    hct_status st = set_head(head, d->width, mean, sd, w, b, err);
    if (st == HCT_OK) st = probe_score(dev, d, head, score, err);
    if (st == HCT_OK && o->log && o->resume) st = runlog_cut(o->log, o->task, 0, err);
    if (st == HCT_OK && o->log) runlog_write(o->log, 1, o->task, &(runlog_value){"validation_auc", validation_auc}, 1);
    if (st == HCT_OK && o->log) st = runlog_sync(o->log, err);
    return st == HCT_OK && o->best ? weights_save(o->best, head, NULL, NULL, 0, err) : st;
}

/* The AUC of labelled rows by weights of the columns as the fit takes them. */
static hct_status auc_of(const logistic_problem *p, const probe_rows *rows, const double *w, double *ret,
                         hct_err *err) {
    double *s = malloc((rows->n + 1) * sizeof *s);
    ranking rank = {0};
    hct_status st = s ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < rows->n; i++) {
        const float *x = p->x + rows->row[i] * p->width;
        s[i] = w[p->width];
        for (size_t j = 0; j < p->width; j++) {
            double v = (double)x[j];
            if (p->mean) v = p->sd[j] > 0 ? (v - p->mean[j]) / p->sd[j] : 0;
            s[i] += w[j] * v;
        }
    }
    if (st == HCT_OK) st = ranking_make(s, rows->label, rows->n, &rank, err);
    if (st == HCT_OK) *ret = ranking_auc(&rank, NULL);
    ranking_free(&rank);
    free(s);
    return st;
}

/* C by validation: each fit begins where the one before ended; of equal AUCs the smallest C stays. */
static hct_status choose(const recipe *r, const logistic_problem *p, const probe_rows *valid,
                         const probe_fit_options *o, double *w, double *ret_c, double *ret_auc, hct_err *err) {
    size_t k = p->width + 1;
    double *now = calloc(k, sizeof *now);
    hct_status st = now ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    *ret_auc = -1;
    for (int i = 0; st == HCT_OK && i < (r->probe.c > 0 ? 1 : C_VALUES); i++) {
        double c = r->probe.c > 0 ? r->probe.c : C_LOW * pow(C_HIGH / C_LOW, i / (double)(C_VALUES - 1)), auc = NAN;
        logistic_report report;
        if (stop_asked()) st = hct_fail(err, HCT_EINTERRUPTED, "task '%s': interrupted", o->task);
        if (st == HCT_OK) st = logistic_fit(p, c, now, &report, err);
        if (st == HCT_OK && valid->n) st = auc_of(p, valid, now, &auc, err);
        if (st == HCT_OK && o->progress && valid->n)
            fprintf(o->progress, "%s: C %.3g, %d steps, validation AUC %.3f\n", o->task, c, report.steps, auc);
        else if (st == HCT_OK && o->progress)
            fprintf(o->progress, "%s: C %.3g as given, %d steps\n", o->task, c, report.steps);
        if (st < 0 || (*ret_auc >= 0 && !(auc > *ret_auc))) continue;
        *ret_auc = auc;
        *ret_c = c;
        memcpy(w, now, k * sizeof *w);
    }
    free(now);
    return st;
}

hct_status probe_logistic(const recipe *r, hct_dev *dev, const probe_data *d, const probe_fit_options *o, params *head,
                          double *score, char chosen[PROBE_CHOSEN], hct_err *err) {
    size_t k = d->width + 1;
    probe_rows train = {0}, valid = {0};
    double *w = calloc(2 * d->width + k + 2 * d->width, sizeof *w), c = 0, auc = NAN;
    if (!w) return hct_fail(err, HCT_ENOMEM, "out of memory");
    double *mean = w + 2 * d->width + k, *sd = mean + d->width, *fitted = w + 2 * d->width;
    hct_status st = probe_rows_of(d, d->train, d->n_train, o->task, "training", &train, err);
    if (st == HCT_OK && !(r->probe.c > 0)) {
        st = probe_rows_of(d, d->valid, d->n_valid, o->task, "validation", &valid, err);
        if (st == HCT_EINVAL) {
            hct_err why = *err;
            hct_fail(err, HCT_EINVAL, "%s to choose C; or set probe.c", why.msg);
        }
    }
    if (st == HCT_OK) probe_moments(d, &train, mean, sd);
    const int scaled = r->probe.standardize;
    const logistic_problem p = {.x = d->row,
                                .width = d->width,
                                .row = train.row,
                                .label = train.label,
                                .mean = scaled ? mean : NULL,
                                .sd = scaled ? sd : NULL,
                                .n = train.n};
    if (st == HCT_OK) st = choose(r, &p, &valid, o, fitted, &c, &auc, err);
    if (st == HCT_OK) { /* class 0 has logit 0 */
        memcpy(w + d->width, fitted, d->width * sizeof *w);
        st = probe_take(dev, d, o, head, p.mean, p.sd, w, (double[]){0, fitted[d->width]}, auc, score, err);
    }
    if (st == HCT_OK) snprintf(chosen, PROBE_CHOSEN, "C %.3g", c);
    probe_rows_free(&train);
    probe_rows_free(&valid);
    free(w);
    return st;
}
