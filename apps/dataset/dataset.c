/* A prepared dataset, read whole into memory. */
#include "dataset/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index.h"
#include "dataset/split.h"
#include "hct/nearest.h"
#include "imaging/nifti.h"
#include "imaging/scan.h"
#include "imaging/shrink.h"
#include "support/paths.h"
#include "support/text.h"
#include "support/sha256.h"

/* A copy of a column that may not be NULL; NULL and err on failure. */
static char *column_text(dataset_index *ix, sqlite3_stmt *stmt, int column, const char *what, hct_err *err) {
    const char *text = index_text(ix, stmt, column, what, err);
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy) hct_fail(err, HCT_ENOMEM, "%s: no memory", ix->path);
    return copy;
}

static hct_status count_rows(dataset_index *ix, const char *sql, size_t *ret, hct_err *err) {
    sqlite3_stmt *stmt = index_query(ix, err, sql, "");
    int step = stmt ? index_step(ix, stmt, err) : HCT_EIO;
    if (step > 0) *ret = (size_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

/* Whether a path leads out of the folder that it is relative to. */
static int leads_out(const char *file) {
    if (*file == '/' || !*file) return 1;
    for (const char *part = file; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (strcspn(part, "/") == 2 && part[0] == '.' && part[1] == '.') return 1;
    return 0;
}

static hct_status load_scan(dataset_index *ix, sqlite3_stmt *stmt, const dataset *d, dataset_scan *s, hct_err *err) {
    const char *file;
    if (!(s->id = column_text(ix, stmt, 1, "a scan's id", err))) return err->code;
    if (sqlite3_column_type(stmt, 2) == SQLITE_NULL)
        return index_damaged(ix, err, "the patient of scan '%s' is missing", s->id);
    if (!(s->patient = column_text(ix, stmt, 2, "a patient's name", err)) ||
        !(file = index_text(ix, stmt, 3, "a scan's file", err)) ||
        !(s->provenance = column_text(ix, stmt, 5, "a scan's provenance", err)) ||
        !(s->source_sha256 = column_text(ix, stmt, 6, "a scan's source_sha256", err)) ||
        !(s->preprocessing = column_text(ix, stmt, 7, "a scan's preprocessing", err)))
        return err->code;
    if (leads_out(file)) return index_damaged(ix, err, "scan '%s' has its volume outside the dataset: %s", s->id, file);
    if (sqlite3_column_type(stmt, 4) != SQLITE_NULL && !(s->split = column_text(ix, stmt, 4, "a split", err)))
        return err->code;
    s->file = path_join(d->folder, file);
    return s->file ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: no memory for %zu scans", d->folder, d->n);
}

/* number[i]: what the index calls scan i. */
static hct_status load_scans(dataset_index *ix, dataset *d, int64_t *number, hct_err *err) {
    char sql[300];
    snprintf(sql, sizeof sql,
             "SELECT s.n, s.id, p.name, s.file, x.%s, s.provenance, s.source_sha256, s.preprocessing FROM scans s"
             " LEFT JOIN patients p ON p.id = s.patient LEFT JOIN splits x ON x.patient = s.patient ORDER BY s.id",
             ix->version < 2 ? "part" : "split");
    sqlite3_stmt *stmt = index_query(ix, err, sql, "");
    if (!stmt) return err->code;
    size_t n = 0;
    int step = 0;
    while ((step = index_step(ix, stmt, err)) > 0) {
        if (n < d->n) {
            number[n] = sqlite3_column_int64(stmt, 0);
            if ((step = load_scan(ix, stmt, d, &d->scans[n], err)) < 0) break;
        }
        n++;
    }
    sqlite3_finalize(stmt);
    if (step == 0 && n != d->n) return index_damaged(ix, err, "it counts %zu scans and lists %zu", d->n, n);
    return step < 0 ? step : HCT_OK;
}

static int by_number(const void *a, const void *b) {
    int64_t x = ((const int64_t *)a)[0], y = ((const int64_t *)b)[0];
    return x < y ? -1 : x > y;
}

/* What the index calls things, and our places of them: pairs in order of the first. */
typedef struct numbering {
    int64_t (*pair)[2];
    size_t n;
} numbering;

static hct_status number_all(numbering *ret, const int64_t *number, size_t n, hct_err *err) {
    ret->n = n;
    ret->pair = malloc((n + 1) * sizeof *ret->pair);
    if (!ret->pair) return hct_fail(err, HCT_ENOMEM, "no memory for %zu scans", n);
    for (size_t i = 0; i < n; i++) ret->pair[i][0] = number[i], ret->pair[i][1] = (int64_t)i;
    qsort(ret->pair, n, sizeof *ret->pair, by_number);
    return HCT_OK;
}

/* -1: there is none of that number. */
static int64_t place_of(const numbering *all, int64_t number) {
    const int64_t(*found)[2] = bsearch(&number, all->pair, all->n, sizeof *all->pair, by_number);
    return found ? (*found)[1] : -1;
}

static hct_status load_forms(dataset_index *ix, dataset *d, const numbering *scans, hct_err *err) {
    size_t n = 0;
    if (ix->version < 2) return HCT_OK;
    hct_status s = count_rows(ix, "SELECT count(*) FROM forms", &n, err);
    if (s < 0) return s;
    if (!(d->forms = calloc(n + 1, sizeof *d->forms))) return hct_fail(err, HCT_ENOMEM, "%s: no memory", ix->path);
    sqlite3_stmt *stmt = index_query(ix, err, "SELECT scan, form, file, spec FROM forms", "");
    int step = stmt ? 0 : HCT_EIO;
    while (stmt && d->n_forms < n && (step = index_step(ix, stmt, err)) > 0) {
        dataset_form *f = &d->forms[d->n_forms++];
        const char *file;
        f->scan = place_of(scans, sqlite3_column_int64(stmt, 0));
        if (!(f->form = column_text(ix, stmt, 1, "a form", err)) || !(file = index_text(ix, stmt, 2, "a file", err)) ||
            !(f->spec = column_text(ix, stmt, 3, "a form's spec", err)))
            step = err->code;
        else if (f->scan < 0 || leads_out(file)) step = index_damaged(ix, err, "a further volume is of no scan");
        else if (!(f->file = path_join(d->folder, file))) step = hct_fail(err, HCT_ENOMEM, "%s: no memory", ix->path);
        if (step < 0) break;
    }
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

static hct_status load_label_names(dataset_index *ix, dataset *d, int64_t *number, hct_err *err) {
    sqlite3_stmt *stmt = index_query(ix, err, "SELECT id, name FROM label_names ORDER BY id", "");
    if (!stmt) return err->code;
    int step = 0;
    for (size_t l = 0; l < d->n_labels && (step = index_step(ix, stmt, err)) > 0; l++) {
        number[l] = sqlite3_column_int64(stmt, 0);
        if (!(d->label_names[l] = column_text(ix, stmt, 1, "a label's name", err))) step = err->code;
        if (step < 0) break;
    }
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

/* Each value goes to the scan and label that its row names, by number. */
static hct_status load_values(dataset_index *ix, dataset *d, const numbering *scans, const numbering *labels,
                              hct_err *err) {
    memset(d->labels, -1, d->n * d->n_labels);
    sqlite3_stmt *stmt = index_query(ix, err, "SELECT scan, label, value FROM labels", "");
    if (!stmt) return err->code;
    int step;
    while ((step = index_step(ix, stmt, err)) > 0) {
        int64_t row = place_of(scans, sqlite3_column_int64(stmt, 0)),
                l = place_of(labels, sqlite3_column_int64(stmt, 1));
        int value = sqlite3_column_int(stmt, 2);
        if (row < 0 || l < 0 || sqlite3_column_type(stmt, 2) != SQLITE_INTEGER || (value != 0 && value != 1)) {
            step = index_damaged(ix, err, "a label belongs to no scan, or is neither 0 nor 1");
            break;
        }
        d->labels[(size_t)row * d->n_labels + (size_t)l] = (int8_t)value;
    }
    sqlite3_finalize(stmt);
    return step < 0 ? step : HCT_OK;
}

static hct_status load_all(dataset_index *ix, dataset *d, hct_err *err) {
    int64_t *scan = malloc((d->n + 1) * sizeof *scan), *label = malloc((d->n_labels + 1) * sizeof *label);
    numbering scans = {0}, labels = {0};
    hct_status s = scan && label ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: no memory for %zu scans", d->folder, d->n);
    if (s == HCT_OK) s = load_scans(ix, d, scan, err);
    if (s == HCT_OK) s = load_label_names(ix, d, label, err);
    if (s == HCT_OK) s = index_check(ix, err);
    if (s == HCT_OK) s = number_all(&scans, scan, d->n, err);
    if (s == HCT_OK) s = load_forms(ix, d, &scans, err);
    if (s == HCT_OK) s = number_all(&labels, label, d->n_labels, err);
    if (s == HCT_OK) s = load_values(ix, d, &scans, &labels, err);
    free(scans.pair);
    free(labels.pair);
    free(scan);
    free(label);
    return s;
}

dataset *dataset_open(const char *folder, hct_err *err) {
    dataset_index ix;
    if (index_open(&ix, folder, 0, err) < 0) return NULL;
    dataset *d = calloc(1, sizeof *d);
    hct_status s = d ? index_exec(&ix, "BEGIN", err) : hct_fail(err, HCT_ENOMEM, "%s: no memory", folder);
    if (s == HCT_OK) s = count_rows(&ix, "SELECT count(*) FROM scans", &d->n, err);
    if (s == HCT_OK) s = count_rows(&ix, "SELECT count(*) FROM label_names", &d->n_labels, err);
    if (s == HCT_OK && d->n == 0)
        s = hct_fail(err, HCT_ENOTFOUND, "%s: no prepared scan in it: run headct prepare", folder);
    if (s == HCT_OK) {
        d->folder = strdup(folder);
        d->scans = calloc(d->n, sizeof *d->scans);
        d->label_names = calloc(d->n_labels + 1, sizeof *d->label_names);
        d->labels = malloc(d->n * d->n_labels + 1);
        if (!d->folder || !d->scans || !d->label_names || !d->labels)
            s = hct_fail(err, HCT_ENOMEM, "%s: no memory for %zu scans", folder, d->n);
    }
    if (s == HCT_OK) s = load_all(&ix, d, err);
    index_close(&ix);
    if (s == HCT_OK) return d;
    dataset_close(d);
    return NULL;
}

void dataset_close(dataset *d) {
    if (!d) return;
    for (size_t i = 0; d->scans && i < d->n; i++) {
        dataset_scan *s = &d->scans[i];
        free(s->id);
        free(s->patient);
        free(s->file);
        free(s->split);
        free(s->provenance);
        free(s->source_sha256);
        free(s->preprocessing);
    }
    for (size_t k = 0; k < d->n_forms; k++) {
        free(d->forms[k].form);
        free(d->forms[k].file);
        free(d->forms[k].spec);
    }
    free(d->forms);
    for (size_t l = 0; d->label_names && l < d->n_labels; l++) free(d->label_names[l]);
    free(d->scans);
    free(d->label_names);
    free(d->labels);
    free(d->folder);
    free(d);
}

/* Each part that is asked for is one of the usual, or has a scan; of a dataset that is not split any fold may be. */
static hct_status check_parts(const dataset *d, const char *split, bool is_split, hct_err *err) {
    char name[64], parts[200] = "";
    for (const char *at = split; at; at = strchr(at, '+') ? strchr(at, '+') + 1 : NULL) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "+"), at);
        bool known = !is_split && !strncmp(name, "fold", 4);
        for (int p = 0; p < SPLITS; p++) known |= strcmp(name, split_names[p]) == 0;
        for (size_t i = 0; i < d->n && !known; i++) known = d->scans[i].split && !strcmp(d->scans[i].split, name);
        if (known) continue;
        size_t n = 0;
        for (size_t i = 0; i < d->n && n + 20 < sizeof parts; i++)
            if (d->scans[i].split && !split_is_of(d->scans[i].split, parts))
                n += (size_t)snprintf(parts + n, sizeof parts - n, "%s%s", n ? "+" : "", d->scans[i].split);
        return hct_fail(err, HCT_ENOTFOUND, "no split '%s' of a dataset: %s or all%s%s", name,
                        n ? "its parts" : "train, val, test", n ? "; it has " : "", parts);
    }
    return HCT_OK;
}

hct_status dataset_split(const dataset *d, const char *split, size_t **ret, size_t *ret_n, hct_err *err) {
    bool all = strcmp(split, "all") == 0, is_split = all;
    for (size_t i = 0; i < d->n && !is_split; i++) is_split = d->scans[i].split != NULL;
    hct_status s = all ? HCT_OK : check_parts(d, split, is_split, err);
    if (s < 0) return s;
    if (!is_split) return hct_fail(err, HCT_ENOTFOUND, "%s: not split yet: run headct split %s", d->folder, d->folder);
    size_t *list = malloc(d->n * sizeof *list), n = 0;
    if (!list) return hct_fail(err, HCT_ENOMEM, "%s: no memory", d->folder);
    for (size_t i = 0; i < d->n; i++)
        if (all || (d->scans[i].split && split_is_of(d->scans[i].split, split))) list[n++] = i;
    *ret = list;
    *ret_n = n;
    return HCT_OK;
}

int64_t dataset_label(const dataset *d, const char *name, hct_err *err) {
    for (size_t l = 0; l < d->n_labels; l++)
        if (strcmp(d->label_names[l], name) == 0) return (int64_t)l;
    const char *near = hct_name_nearest(name, (const char *const *)d->label_names, d->n_labels);
    if (near) return hct_fail(err, HCT_ENOTFOUND, "%s: no label '%s': did you mean '%s'?", d->folder, name, near);
    text_buffer all = {0};
    for (size_t l = 0; l < d->n_labels; l++) text_printf(&all, "%s%s", l ? ", " : "", d->label_names[l]);
    hct_fail(err, HCT_ENOTFOUND, "%s: no label '%s'; it has: %s", d->folder, name,
             d->n_labels ? text_so_far(&all) : "none");
    text_free(&all);
    return HCT_ENOTFOUND;
}

int64_t dataset_find(const dataset *d, const char *id, hct_err *err) {
    for (size_t low = 0, high = d->n; low < high;) {
        size_t middle = low + (high - low) / 2;
        int side = strcmp(d->scans[middle].id, id);
        if (side == 0) return (int64_t)middle;
        if (side < 0) low = middle + 1;
        else high = middle;
    }
    return hct_fail(err, HCT_ENOTFOUND, "%s: no scan '%s'", d->folder, id);
}

hct_status dataset_volume(const dataset *d, size_t i, volume *ret, hct_err *err) {
    hct_err why;
    hct_status s = nifti_read(d->scans[i].file, ret, &why);
    if (s < 0)
        return hct_fail(err, s, "%.900s%s", why.msg,
                        s == HCT_EFORMAT ? "; or remove it and run headct prepare again" : "");
    for (int a = 0; a < 3 && s == HCT_OK; a++)
        if (ret->dim[a] != PREPARED_SIZE)
            s = hct_fail(err, HCT_ESHAPE, "%s: not a prepared volume of %d^3: run headct prepare again",
                         d->scans[i].file, PREPARED_SIZE);
    if (s < 0) volume_free(ret);
    return s;
}

hct_status form_spec(const form *f, const char *source_sha256, char ret[65], hct_err *err) {
    char text[1024];
    snprintf(text, sizeof text, "%s %s", f->steps, source_sha256);
    return sha256_bytes(text, strlen(text), ret, err);
}

/* The volume that a spec is cut from, made from the scan as it is now. */
static hct_status form_volume(const dataset *d, size_t i, const input_spec *spec, volume *ret, hct_err *err) {
    const form *f;
    char wanted[SHA256_HEX];
    hct_status s = form_of(spec, &f, err);
    if (s == HCT_OK) s = form_spec(f, d->scans[i].source_sha256, wanted, err);
    for (size_t k = 0; s == HCT_OK && k < d->n_forms; k++)
        if (d->forms[k].scan == (int64_t)i && !strcmp(d->forms[k].form, f->name) && !strcmp(d->forms[k].spec, wanted))
            return nifti_read(d->forms[k].file, ret, err);
    if (s < 0) return s;
    return hct_fail(err, HCT_ENOTFOUND,
                    "%s: holds no volume of scan '%s' for the encoder '%s' (made from the scan as it is now); make it "
                    "from the same scans with headct prepare --for %s",
                    d->folder, d->scans[i].id, f->name, f->name);
}

hct_status dataset_input(const dataset *d, size_t i, const input_spec *spec, float *out, hct_err *err) {
    volume v = {0};
    hct_status s = *spec->form ? form_volume(d, i, spec, &v, err) : dataset_volume(d, i, &v, err);
    if (s == HCT_OK) s = input_make(spec, &v, out, err);
    volume_free(&v);
    return s;
}

hct_status dataset_hash(const dataset *d, const size_t *scans, size_t n, char *hex, hct_err *err) {
    sha256 *h = sha256_begin();
    for (size_t i = 0; i < n; i++)
        sha256_add(h, d->scans[scans[i]].provenance, strlen(d->scans[scans[i]].provenance) + 1);
    return sha256_end(h, hex, err);
}

hct_status dataset_preparation(const dataset *d, const size_t *scans, size_t n, char *hex, hct_err *err) {
    for (size_t i = 1; i < n; i++) {
        const dataset_scan *a = &d->scans[scans[0]], *b = &d->scans[scans[i]];
        if (strcmp(a->preprocessing, b->preprocessing) != 0)
            return hct_fail(err, HCT_EINVAL,
                            "%s: scans '%s' and '%s' were prepared in different ways; run headct prepare again over "
                            "all of them with the same options",
                            d->folder, a->id, b->id);
    }
    snprintf(hex, SHA256_HEX, "%s", n ? d->scans[scans[0]].preprocessing : "");
    return HCT_OK;
}

hct_status dataset_cube(const dataset *d, size_t i, int64_t region, int64_t size, int16_t *out, hct_err *err) {
    volume v;
    hct_status st = dataset_volume(d, i, &v, err);
    if (st == HCT_OK && v.dtype != HCT_I16)
        st = hct_fail(err, HCT_EDTYPE, "%s: float32 (prepared with --exact) where int16 is needed", d->scans[i].file);
    if (st == HCT_OK && size < 1)
        st = hct_fail(err, HCT_ESHAPE, "%s: a cube of %lld voxels", d->scans[i].file, (long long)size);
    if (st == HCT_OK) st = volume_shrink(&v, region, region / size, out, err);
    volume_free(&v);
    return st;
}
