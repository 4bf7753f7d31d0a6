/* Embeddings made elsewhere and the scans of a trial: who has one, who has not. */
#include "probe/embedded.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/sources.h"
#include "hct/log.h"
#include "support/csv.h"
#include "support/paths.h"

enum { NAMED = 10 };

static int by_id(const void *key, const void *scan) { return strcmp(key, ((const dataset_scan *)scan)->id); }

static hct_status join(const char *path, const dataset *d, embedded *e, hct_err *err) {
    for (size_t i = 0; i < d->n; i++) e->row[i] = -1;
    for (size_t i = 0; i < e->table.n; i++) {
        char *id = source_id(e->table.id[i]);
        if (!id) return hct_fail(err, HCT_ENOMEM, "out of memory");
        const dataset_scan *s = bsearch(id, d->scans, d->n, sizeof *s, by_id);
        free(id);
        e->scan[i] = s ? s - d->scans : -1;
        if (!s) {
            e->n_unknown++;
            continue;
        }
        if (e->row[e->scan[i]] >= 0)
            return hct_fail(err, HCT_EINVAL, "%s: embeddings '%s' and '%s' are both of scan '%s'", path,
                            e->table.id[e->row[e->scan[i]]], e->table.id[i], s->id);
        e->row[e->scan[i]] = (int64_t)i;
    }
    return HCT_OK;
}

/* Moves the scans of t[from, from + n) that have a row to t[to ...; the others become missing. */
static size_t keep(const trial *t, size_t from, size_t n, size_t *to, embedded *e) {
    size_t kept = 0;
    for (size_t i = from; i < from + n; i++) {
        if (e->row[t->scan[i]] >= 0) to[kept++] = t->scan[i];
        else e->missing[e->n_missing++] = t->scan[i];
    }
    return kept;
}

static hct_status narrow(const recipe *r, const dataset *d, trial *io, embedded *e, hct_err *err) {
    trial less;
    size_t *scan = malloc((io->n + 1) * sizeof *scan);
    if (!scan) return hct_fail(err, HCT_ENOMEM, "out of memory");
    size_t train = keep(io, 0, io->n_train, scan, e), valid = keep(io, io->n_train, io->n_valid, scan + train, e),
           test = keep(io, io->n_train + io->n_valid, io->n_test, scan + train + valid, e);
    hct_status st = HCT_OK;
    if (io->n && !(train + valid + test))
        st =
            hct_fail(err, HCT_ENOTFOUND,
                     "%s: none of its %zu embeddings is of a scan of the splits: its ids are such as '%s', those of %s "
                     "such as '%s'",
                     r->probe.embeddings, e->table.n, e->table.id[0], d->folder, d->scans[io->scan[0]].id);
    if (st == HCT_OK && e->n_missing) {
        st = trial_of(d, (scan_list){scan, train}, (scan_list){scan + train, valid},
                      (scan_list){scan + train + valid, test}, (const char *const *)io->said.task, io->said.n_tasks,
                      &less, err);
        if (st == HCT_OK) {
            trial_free(io);
            *io = less;
        }
    }
    free(scan);
    return st;
}

static void add_name(text_buffer *names, size_t at, size_t n, const char *id) {
    if (at < NAMED) text_printf(names, "%s'%s'", at ? ", " : ": ", id);
    if (at == NAMED) text_printf(names, " and %zu more", n - NAMED);
}

static void say(const recipe *r, const dataset *d, const embedded *e, size_t scans) {
    const char *path = r->probe.embeddings;
    text_buffer missing = {0}, unknown = {0};
    for (size_t i = 0; i < e->n_missing && i <= NAMED; i++)
        add_name(&missing, i, e->n_missing, d->scans[e->missing[i]].id);
    for (size_t i = 0, at = 0; i < e->table.n && at <= NAMED; i++)
        if (e->scan[i] < 0) add_name(&unknown, at++, e->n_unknown, e->table.id[i]);
    if (e->n_missing)
        hct_log(HCT_LOG_WARNING, "%zu of %zu scans have no embedding in %s and are left out%s", e->n_missing, scans,
                path, text_so_far(&missing));
    if (e->n_unknown)
        hct_log(HCT_LOG_WARNING, "%zu of %zu embeddings in %s are of no scan of %s and are left out%s", e->n_unknown,
                e->table.n, path, d->folder, text_so_far(&unknown));
    text_free(&missing);
    text_free(&unknown);
}

hct_status embedded_open(const recipe *r, const dataset *d, trial *io, embedded *ret, hct_err *err) {
    const char *ids = *r->probe.embedding_ids ? r->probe.embedding_ids : NULL;
    size_t scans = io->n;
    *ret = (embedded){0};
    if (r->probe.features != FEATURES_EMBEDDINGS) return HCT_OK;
    hct_status st = embedding_table_read(r->probe.embeddings, ids, &ret->table, err);
    if (st < 0) return st;
    if (r->probe.kind == PROBE_LINEAR && ret->table.vectors > 1) {
        hct_log(HCT_LOG_INFO, "%s: %zu vectors a scan; a linear probe takes their mean", r->probe.embeddings,
                ret->table.vectors);
        embedding_table_pool(&ret->table);
    }
    if (r->probe.kind != PROBE_LINEAR && ret->table.vectors < 2)
        return hct_fail(err, HCT_EINVAL,
                        "%s: has one vector a scan; probe.kind attentive and mil need several, use linear",
                        r->probe.embeddings);
    ret->scan = malloc((ret->table.n + 1) * sizeof *ret->scan);
    ret->row = malloc((d->n + 1) * sizeof *ret->row);
    ret->missing = malloc((io->n + 1) * sizeof *ret->missing);
    if (!ret->scan || !ret->row || !ret->missing) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) st = join(r->probe.embeddings, d, ret, err);
    if (st == HCT_OK) st = narrow(r, d, io, ret, err);
    if (st == HCT_OK) say(r, d, ret, scans);
    return st;
}

hct_status embedded_write(const embedded *e, const dataset *d, const char *run, hct_err *err) {
    if (!e->n_missing && !e->n_unknown) return HCT_OK;
    char *path = path_join(run, "left_out.csv");
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    hct_outfile *f = hct_outfile_open(path, err);
    free(path);
    csv_put(f, 0, "scan");
    csv_put(f, 1, "reason");
    csv_end_row(f);
    for (size_t i = 0; i < e->n_missing; i++) {
        csv_put(f, 0, d->scans[e->missing[i]].id);
        csv_put(f, 1, "the file of embeddings has none of it");
        csv_end_row(f);
    }
    for (size_t i = 0; i < e->table.n; i++) {
        if (e->scan[i] >= 0) continue;
        csv_put(f, 0, e->table.id[i]);
        csv_put(f, 1, "an embedding, but no scan of the dataset");
        csv_end_row(f);
    }
    return hct_outfile_close(f, err);
}

void embedded_free(embedded *e) {
    embedding_table_free(&e->table);
    free(e->scan);
    free(e->row);
    free(e->missing);
    *e = (embedded){0};
}
