/* headct retrieve: the work. */
#include "explain/retrieve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/sheet.h"
#include "evaluation/statistics.h"
#include "explain/embeddings.h"
#include "support/workers.h"

typedef struct search {
    const retrieve_options *o;
    const embeddings *q, *e; /* queries; what is searched: may be the same */
    double *ap, *chance;     /* [queries, labels], NaN where the query lacks the label */
    uint32_t *near;          /* [queries, k]; UINT32_MAX: there are fewer */
    double *similarity;      /* [queries, k] */
} search;

static void normalise(embeddings *e) {
    for (size_t i = 0; i < e->n; i++) {
        double sum = 0;
        for (size_t k = 0; k < e->width; k++) sum += (double)e->x[i * e->width + k] * (double)e->x[i * e->width + k];
        for (size_t k = 0; sum > 0 && k < e->width; k++)
            e->x[i * e->width + k] = (float)((double)e->x[i * e->width + k] / sqrt(sum));
    }
}

/* Whether query i may find scan j. */
static int searched(const search *s, size_t i, size_t j) {
    const char *a = s->q->scans.patient[i], *b = s->e->scans.patient[j];
    if (!strcmp(s->q->scans.scan[i], s->e->scans.scan[j])) return 0;
    return s->o->same_patient || !*a || strcmp(a, b) != 0;
}

static void nearest(search *s, size_t i, const double *score) {
    size_t k = (size_t)s->o->k;
    uint32_t *near = s->near + i * k;
    double *similarity = s->similarity + i * k;
    size_t found = 0;
    for (size_t j = 0; j < s->e->n; j++) {
        if (isnan(score[j]) || (found == k && !(score[j] > similarity[k - 1]))) continue;
        size_t at = found < k ? found++ : k - 1;
        for (; at > 0 && score[j] > similarity[at - 1]; at--) {
            similarity[at] = similarity[at - 1];
            near[at] = near[at - 1];
        }
        similarity[at] = score[j];
        near[at] = (uint32_t)j;
    }
}

static hct_status search_one(void *context, int64_t query, hct_err *err) {
    search *s = context;
    size_t i = (size_t)query, n = s->e->n, labels = s->e->scans.n_tasks, width = s->e->width;
    double *score = malloc(n * sizeof *score + 1);
    int8_t *label = malloc(n + 1);
    hct_status st = score && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu similarities", n);
    for (size_t j = 0; st == HCT_OK && j < n; j++) {
        double sum = 0;
        for (size_t k = 0; k < width; k++) sum += (double)s->q->x[i * width + k] * (double)s->e->x[j * width + k];
        score[j] = searched(s, i, j) ? sum : NAN;
    }
    if (st == HCT_OK) nearest(s, i, score);
    for (size_t l = 0; st == HCT_OK && l < labels; l++) {
        ranking r = {0};
        double positives, negatives;
        s->ap[i * labels + l] = s->chance[i * labels + l] = NAN;
        if (s->q->scans.label[i * labels + l] != 1) continue;
        for (size_t j = 0; j < n; j++) label[j] = isnan(score[j]) ? -1 : s->e->scans.label[j * labels + l];
        st = ranking_make(score, label, n, &r, err);
        ranking_counts(&r, NULL, &positives, &negatives);
        if (st == HCT_OK && positives > 0) {
            s->ap[i * labels + l] = ranking_average_precision(&r, NULL);
            s->chance[i * labels + l] = positives / (positives + negatives);
        }
        ranking_free(&r);
    }
    free(score);
    free(label);
    return st;
}

/* Means over queries, and over resamples of them. */
static hct_status mean_ap(const search *s, sheet *out, hct_err *err) {
    size_t n = s->q->n, labels = s->e->scans.n_tasks, count = (size_t)s->o->resamples;
    resampler draws = bootstrap_resampler(count, (uint64_t)s->o->seed);
    double *values = malloc((count + n + 1) * sizeof *values), *one = values ? values + count : NULL;
    uint32_t *weight = malloc(n * sizeof *weight + 1);
    hct_status st = values && weight ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for %zu resamples", count);
    for (size_t l = 0; l < labels && st == HCT_OK; l++) {
        size_t queries = 0;
        for (size_t b = 0; b < count; b++) {
            double sum = 0, all = 0;
            draws.draw(&draws, b, n, weight);
            for (size_t i = 0; i < n; i++)
                if (!isnan(s->ap[i * labels + l])) sum += weight[i] * s->ap[i * labels + l], all += weight[i];
            values[b] = all > 0 ? sum / all : NAN;
        }
        for (size_t i = 0; i < n; i++) queries += !isnan(one[i] = s->ap[i * labels + l]);
        interval v = interval_of(mean_defined(one, n), values, count, 0.95, NULL, 0);
        for (size_t i = 0; i < n; i++) one[i] = s->chance[i * labels + l];
        sheet_text(out, s->e->scans.task[l]);
        sheet_count(out, queries);
        sheet_number(out, v.value, 3);
        sheet_number(out, v.low, 3);
        sheet_number(out, v.high, 3);
        sheet_number(out, mean_defined(one, n), 3);
    }
    free(values);
    free(weight);
    return st;
}

static int asked(const retrieve_options *o, const char *scan) {
    for (int i = 0; i < o->n_query; i++)
        if (!strcmp(o->query[i], scan)) return 1;
    return o->n_query == 0;
}

static void list_neighbours(const search *s, sheet *out) {
    size_t k = (size_t)s->o->k;
    for (size_t i = 0; i < s->q->n; i++) {
        if (!asked(s->o, s->q->scans.scan[i])) continue;
        for (size_t r = 0; r < k && s->near[i * k + r] != UINT32_MAX; r++) {
            size_t j = s->near[i * k + r];
            sheet_text(out, s->q->scans.scan[i]);
            sheet_count(out, r + 1);
            sheet_text(out, s->e->scans.scan[j]);
            sheet_text(out, s->e->scans.patient[j]);
            sheet_number(out, s->similarity[i * k + r], 4);
        }
    }
}

static hct_status find(const retrieve_options *o, const embeddings *q, const embeddings *e, FILE *said, hct_err *err) {
    size_t n = q->n, labels = e->scans.n_tasks, k = (size_t)o->k;
    search s = {o,
                q,
                e,
                malloc(n * labels * sizeof(double) + 1),
                malloc(n * labels * sizeof(double) + 1),
                malloc(n * k * sizeof(uint32_t) + 1),
                malloc(n * k * sizeof(double) + 1)};
    hct_status st = s.ap && s.chance && s.near && s.similarity
                        ? HCT_OK
                        : hct_fail(err, HCT_ENOMEM, "out of memory for %zu queries", n);
    for (size_t i = 0; st == HCT_OK && i < n * k; i++) s.near[i] = UINT32_MAX;
    for (int i = 0; i < o->n_query && st == HCT_OK; i++) {
        size_t at = 0;
        while (at < n && strcmp(q->scans.scan[at], o->query[i]) != 0) at++;
        if (at == n) st = hct_fail(err, HCT_ENOTFOUND, "--query %s: no such scan among the %zu", o->query[i], n);
    }
    if (st == HCT_OK) st = workers_run((int)o->threads, (int64_t)n, search_one, &s, err);
    sheet *near = sheet_new("neighbours", "Nearest scans by cosine similarity", "query,rank,scan,patient,similarity"),
          *map = sheet_new("retrieval",
                           "Retrieval: mean average precision over queries that have the label, 95% interval; chance",
                           "label,queries,map,map_low,map_high,chance");
    if (st == HCT_OK) list_neighbours(&s, near);
    if (st == HCT_OK) st = mean_ap(&s, map, err);
    if (st == HCT_OK && said && o->n_query) sheet_print(near, said);
    if (st == HCT_OK && said) sheet_print(map, said);
    if (st == HCT_OK && o->out) st = sheet_write(near, o->out, err);
    if (st == HCT_OK && o->out && labels) st = sheet_write(map, o->out, err);
    sheet_free(near);
    sheet_free(map);
    free(s.ap);
    free(s.chance);
    free(s.near);
    free(s.similarity);
    return st;
}

hct_status retrieve_run(const retrieve_options *o, FILE *said, hct_err *err) {
    embeddings e = {0}, q = {0};
    hct_status st = embeddings_read(o->embeddings, NULL, NULL, &e, err);
    if (st == HCT_OK && o->queries) st = embeddings_read(o->queries, NULL, NULL, &q, err);
    if (st == HCT_OK && o->labels) st = embeddings_label(&e, o->labels, err);
    if (st == HCT_OK && o->labels && o->queries) st = embeddings_label(&q, o->labels, err);
    if (st == HCT_OK && o->queries && q.width != e.width)
        st = hct_fail(err, HCT_ESHAPE, "%s holds embeddings of %zu numbers, %s of %zu: they are of different models",
                      o->queries, q.width, o->embeddings, e.width);
    if (st == HCT_OK) {
        normalise(&e);
        normalise(&q);
        st = find(o, o->queries ? &q : &e, &e, said, err);
    }
    embeddings_free(&e);
    embeddings_free(&q);
    return st;
}
