/* Scans that a run learned from, written down and met again. */
#include "run/training_scans.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "hct/safetensors.h"
#include "models/weights.h"
#include "run/fraction.h"
#include "support/csv.h"
#include "support/paths.h"

const char *const training_match_words[TRAINING_MATCHES] = {"", "scan", "patient"};

enum { CHAIN = 8 }; /* runs that began from each other's weights, at most */

static hct_status out_of_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "out of memory for training scans"); }

hct_status training_scans_write(const char *run, const dataset *d, const size_t *scans, size_t n, bool resume,
                                hct_err *err) {
    char *path = path_join(run, "training.csv");
    bool there = resume && path && path_is_file(path);
    hct_outfile *f = path && !there ? hct_outfile_open(path, err) : NULL;
    hct_status st = f || there ? HCT_OK : path ? err->code : out_of_memory(err);
    if (f) {
        hct_outfile_printf(f, "scan,patient,source_sha256\n");
        for (size_t i = 0; i < n; i++) {
            const dataset_scan *s = &d->scans[scans[i]];
            csv_put(f, 0, s->id);
            csv_put(f, 1, s->patient);
            csv_put(f, 2, s->source_sha256);
            csv_end_row(f);
        }
        st = hct_outfile_close(f, err);
    }
    free(path);
    return st;
}

/* Sources and patients of one run's training scans, each in order. */
typedef struct list {
    char **source, **patient;
    size_t n;
    bool same_dataset;
} list;

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool holds(char *const *texts, size_t n, const char *text) {
    return bsearch(&text, texts, n, sizeof *texts, by_text) != NULL;
}

static void list_free(list *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->source[i]);
        free(l->patient[i]);
    }
    free(l->source);
    free(l->patient);
    *l = (list){0};
}

static hct_status list_of(size_t n, list *ret, hct_err *err) {
    *ret = (list){.source = calloc(n + 1, sizeof *ret->source), .patient = calloc(n + 1, sizeof *ret->patient)};
    return ret->source && ret->patient ? HCT_OK : out_of_memory(err);
}

static hct_status list_add(list *l, const char *source, const char *patient, hct_err *err) {
    l->source[l->n] = strdup(source);
    l->patient[l->n] = strdup(patient);
    return l->source[l->n++] && l->patient[l->n - 1] ? HCT_OK : out_of_memory(err);
}

static hct_status read_table(const char *path, list *ret, hct_err *err) {
    csv *t = csv_read(path, err);
    hct_status st = t ? list_of(t->rows, ret, err) : err->code;
    int patient = t ? csv_fixed_column(t, "patient", err) : -1,
        source = patient < 0 ? -1 : csv_fixed_column(t, "source_sha256", err);
    if (st == HCT_OK && source < 0) st = err->code;
    for (size_t i = 0; st == HCT_OK && i < t->rows; i++)
        st = list_add(ret, csv_cell(t, i, (size_t)source), csv_cell(t, i, (size_t)patient), err);
    csv_free(t);
    return st;
}

static void hash_of_weights(const char *run, char ret[MODEL_HASH]) {
    char *path = path_join(run, "weights.safetensors");
    hct_err why;
    hct_st_file *f = path && path_is_file(path) ? hct_st_open(path, &why) : NULL;
    model_info info;
    *ret = 0;
    if (f && weights_info(f, path, &info, &why) == HCT_OK) memcpy(ret, info.data, MODEL_HASH);
    hct_st_close(f);
    free(path);
}

/* Of a run without a table: what its recipe takes of its dataset, if that has the hash that the weights name.
 * *ret_known false: it does not tell. */
static hct_status ask_dataset(const char *run, const recipe *r, list *ret, bool *ret_known, hct_err *err) {
    char wanted[MODEL_HASH], hash[MODEL_HASH] = "";
    hct_err why;
    size_t *scans = NULL, n = 0;
    *ret_known = false;
    hash_of_weights(run, wanted);
    dataset *d = *wanted && *r->data.dataset ? dataset_open(r->data.dataset, &why) : NULL;
    if (d && training_split(d, r, &scans, &n, &why) == HCT_OK && dataset_hash(d, scans, n, hash, &why) == HCT_OK)
        *ret_known = !strcmp(hash, wanted);
    hct_status st = *ret_known ? list_of(n, ret, err) : HCT_OK;
    for (size_t i = 0; *ret_known && st == HCT_OK && i < n; i++)
        st = list_add(ret, d->scans[scans[i]].source_sha256, d->scans[scans[i]].patient, err);
    free(scans);
    dataset_close(d);
    return st;
}

static bool same_folder(const char *a, const char *b) {
    char *x = *a ? realpath(a, NULL) : NULL, *y = realpath(b, NULL);
    bool same = x && y && !strcmp(x, y);
    free(x);
    free(y);
    return same;
}

/* The table of a run, or of the run in whose folder a task's model lies. */
static char *table_of(const char *run) {
    char *path = path_join(run, "training.csv"), *above = NULL;
    if (path && path_is_file(path)) return path;
    free(path);
    return asprintf(&above, "%s/../training.csv", run) < 0 ? NULL : above;
}

/* The weights that a recipe's encoder came from, "" none: only those of its own method matter. */
static const char *parent_of(const recipe *r) {
    if (!strcmp(r->method, "probe")) return r->probe.features == FEATURES_ENCODER ? r->probe.weights : "";
    if (!strcmp(r->method, "finetune")) return r->finetune.init == START_WEIGHTS ? r->finetune.weights : "";
    return r->model.weights;
}

/* What a link of the chain tells: its training scans, and the folder of the weights it began from (NULL: none, or not
 * to be told). */
static hct_status read_link(const char *run, const dataset *d, list *ret, bool *ret_known, char **ret_parent,
                            hct_err *err) {
    char *path = path_join(run, "recipe.yaml"), *table = table_of(run);
    recipe r = recipe_default();
    hct_err why;
    *ret_parent = NULL;
    *ret_known = false;
    hct_status st = path && table ? HCT_OK : out_of_memory(err);
    bool has_recipe = st == HCT_OK && path_is_file(path) && recipe_load(path, &r, &why) == HCT_OK;
    if (st == HCT_OK && path_is_file(table)) {
        st = read_table(table, ret, err);
        *ret_known = st == HCT_OK;
    } else if (st == HCT_OK && has_recipe) {
        st = ask_dataset(run, &r, ret, ret_known, err);
    }
    if (st == HCT_OK && has_recipe) {
        ret->same_dataset = same_folder(r.data.dataset, d->folder);
        const char *weights = parent_of(&r);
        if (*weights && !(*ret_parent = path_folder(weights))) st = out_of_memory(err);
    }
    if (st == HCT_OK && *ret_known) {
        qsort(ret->source, ret->n, sizeof *ret->source, by_text);
        qsort(ret->patient, ret->n, sizeof *ret->patient, by_text);
    }
    free(path);
    free(table);
    return st;
}

/* "p" and 16 digits: scan_patient_name. */
static bool is_mark(const char *patient) {
    return patient[0] == 'p' && strlen(patient) == 17 && strspn(patient + 1, "0123456789abcdef") == 16;
}

static void match_list(const dataset *d, const list *l, training_matches *m) {
    for (size_t i = 0; i < d->n; i++) {
        const dataset_scan *s = &d->scans[i];
        if (holds(l->source, l->n, s->source_sha256)) m->of[i] = TRAINING_SCAN;
        else if (!m->of[i] && (l->same_dataset || is_mark(s->patient)) && holds(l->patient, l->n, s->patient))
            m->of[i] = TRAINING_PATIENT;
    }
}

/* Further scans of patients of whom one is known; then patients who share no more than a plain name. */
static hct_status match_patients(const dataset *d, const list *l, training_matches *m, hct_err *err) {
    const char **names = malloc((d->n + 1) * sizeof *names);
    size_t n = 0;
    if (!names) return out_of_memory(err);
    for (size_t i = 0; i < d->n; i++)
        if (m->of[i]) names[n++] = d->scans[i].patient;
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < d->n; i++)
        if (!m->of[i] && holds((char *const *)names, n, d->scans[i].patient)) m->of[i] = TRAINING_PATIENT;
    n = 0;
    for (size_t i = 0; i < d->n; i++)
        if (!m->of[i] && !l->same_dataset && holds(l->patient, l->n, d->scans[i].patient))
            names[n++] = d->scans[i].patient;
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++) m->same_names += i == 0 || strcmp(names[i - 1], names[i]) != 0;
    free(names);
    return HCT_OK;
}

static hct_status note_unknown(training_matches *m, const char *run, hct_err *err) {
    char *all = NULL;
    if (asprintf(&all, "%s%s%s", m->unknown ? m->unknown : "", m->unknown ? ", " : "", run) < 0)
        return out_of_memory(err);
    free(m->unknown);
    m->unknown = all;
    return HCT_OK;
}

hct_status training_scans_match(const char *run, const dataset *d, training_matches *ret, hct_err *err) {
    *ret = (training_matches){.of = calloc(d->n + 1, sizeof *ret->of)};
    char *at = strdup(run);
    hct_status st = ret->of && at ? HCT_OK : out_of_memory(err);
    for (int link = 0; st == HCT_OK && at && link < CHAIN; link++) {
        list l = {0};
        char *parent = NULL;
        bool known;
        st = read_link(at, d, &l, &known, &parent, err);
        if (st == HCT_OK && !known) st = note_unknown(ret, at, err);
        if (st == HCT_OK && known) {
            match_list(d, &l, ret);
            st = match_patients(d, &l, ret, err);
        }
        list_free(&l);
        free(at);
        at = parent;
    }
    free(at);
    return st;
}

void training_matches_free(training_matches *m) {
    free(m->of);
    free(m->unknown);
    *m = (training_matches){0};
}
