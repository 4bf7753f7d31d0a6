/* Scans of two patients that are the same bytes, of one study, or the same scan in another file. */
#include "dataset/leaks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "dataset/index.h"
#include "imaging/fingerprint.h"
#include "support/csv.h"
#include "support/progress.h"
#include "support/stop.h"
#include "support/workers.h"

const char *const leak_kind_words[LEAK_KINDS] = {"source", "study", "scan"};

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory to compare scans"); }

typedef struct leak {
    size_t a, b; /* a < b, numbers in the dataset */
    leak_kind kind;
    fingerprint_apart apart; /* of LEAK_SCAN */
    bool mirrored;
} leak;

typedef struct search {
    dataset *d;
    dataset_index ix;
    char **study; /* [n], NULL: none */
    fingerprint_quick *prints;
    bool *there;
    fingerprints *quick;
    leak *found;
    size_t n, room;
    pthread_mutex_t lock; /* guards index, found, progress */
    progress line;
    int64_t done;
    size_t made;
} search;

static hct_status add(search *s, const leak *one, hct_err *err) {
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        leak *more = realloc(s->found, room * sizeof *more);
        if (!more) return no_memory(err);
        s->found = more;
        s->room = room;
    }
    s->found[s->n++] = *one;
    return HCT_OK;
}

static bool of_one_patient(const search *s, size_t a, size_t b) {
    return strcmp(s->d->scans[a].patient, s->d->scans[b].patient) == 0;
}

/* ---- equal words: sources, studies ---- */

typedef struct word {
    const char *text;
    size_t scan;
} word;

static int by_text(const void *a, const void *b) {
    const word *x = a, *y = b;
    int side = strcmp(x->text, y->text);
    return side ? side : x->scan < y->scan ? -1 : x->scan > y->scan;
}

static hct_status equal_words(search *s, word *words, size_t n, leak_kind kind, hct_err *err) {
    hct_status st = HCT_OK;
    qsort(words, n, sizeof *words, by_text);
    for (size_t i = 0; i < n && st == HCT_OK; i++)
        for (size_t j = i + 1; j < n && st == HCT_OK && !strcmp(words[i].text, words[j].text); j++)
            if (!of_one_patient(s, words[i].scan, words[j].scan))
                st = add(s, &(leak){.a = words[i].scan, .b = words[j].scan, .kind = kind}, err);
    return st;
}

static hct_status equal_sources_and_studies(search *s, hct_err *err) {
    word *words = malloc((s->d->n + 1) * sizeof *words);
    size_t n = 0;
    if (!words) return no_memory(err);
    for (size_t i = 0; i < s->d->n; i++) words[n++] = (word){s->d->scans[i].source_sha256, i};
    hct_status st = equal_words(s, words, n, LEAK_SOURCE, err);
    n = 0;
    for (size_t i = 0; i < s->d->n; i++)
        if (s->study[i]) words[n++] = (word){s->study[i], i};
    if (st == HCT_OK) st = equal_words(s, words, n, LEAK_STUDY, err);
    free(words);
    return st;
}

/* ---- fingerprints ---- */

static hct_status read_index(search *s, hct_err *err) {
    sqlite3_stmt *q = index_query(&s->ix, err,
                                  "SELECT s.id, (SELECT value FROM tags t WHERE t.scan=s.n AND t.key='study'),"
                                  " substr(p.bytes, 1, ?2) FROM scans s LEFT JOIN prints p ON p.scan=s.n AND"
                                  " p.version=?1 AND p.provenance=s.provenance AND length(p.bytes)=?3",
                                  "iii", (int64_t)FINGERPRINT_VERSION, (int64_t)sizeof(fingerprint_quick),
                                  (int64_t)sizeof(fingerprint));
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(&s->ix, q, err)) > 0) {
        const char *id = index_text(&s->ix, q, 0, "a scan's id", err), *study = (const char *)sqlite3_column_text(q, 1);
        int64_t at = id ? dataset_find(s->d, id, err) : -1;
        if (at < 0) step = HCT_EFORMAT;
        else if (study && !(s->study[at] = strdup(study))) step = no_memory(err);
        else if (sqlite3_column_bytes(q, 2) == (int)sizeof *s->prints) {
            memcpy(&s->prints[at], sqlite3_column_blob(q, 2), sizeof *s->prints);
            s->there[at] = true;
        }
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static hct_status make_print(void *context, int64_t i, hct_err *err) {
    search *s = context;
    volume v = {0};
    fingerprint print;
    if (s->there[i]) return HCT_OK;
    hct_status st = stop_check((size_t)s->done, s->d->n, err);
    if (st == HCT_OK) st = dataset_volume(s->d, (size_t)i, &v, err);
    if (st == HCT_OK) st = fingerprint_of(&v, &print, err);
    volume_free(&v);
    if (st < 0) return st;
    s->prints[i] = print.quick;
    pthread_mutex_lock(&s->lock);
    st = index_put_print(&s->ix, s->d->scans[i].id, &print, err);
    s->made++;
    progress_show(&s->line, ++s->done, "");
    pthread_mutex_unlock(&s->lock);
    return st;
}

enum { ROWS = 16 }; /* of the triangle of pairs that a thread takes at a time */

/* The rest of a fingerprint, from the index. */
static hct_status read_close(search *s, size_t i, fingerprint_close *ret, hct_err *err) {
    pthread_mutex_lock(&s->lock);
    sqlite3_stmt *q =
        index_query(&s->ix, err, "SELECT substr(bytes, ?2) FROM prints WHERE scan=(SELECT n FROM scans WHERE id=?1)",
                    "si", s->d->scans[i].id, (int64_t)sizeof(fingerprint_quick) + 1);
    int step = q ? index_step(&s->ix, q, err) : HCT_EIO;
    if (step > 0 && sqlite3_column_bytes(q, 0) == (int)sizeof *ret) memcpy(ret, sqlite3_column_blob(q, 0), sizeof *ret);
    else if (step >= 0) step = index_damaged(&s->ix, err, "the fingerprint of '%s' is missing", s->d->scans[i].id);
    sqlite3_finalize(q);
    pthread_mutex_unlock(&s->lock);
    return step < 0 ? step : HCT_OK;
}

/* A pair as it is and mirrored; *ret_same: it is one scan, and then *io tells how far apart the nearer way is. */
static hct_status compare_pair(search *s, leak *io, bool *ret_same, hct_err *err) {
    hct_status st = HCT_OK;
    *ret_same = false;
    for (int m = 0; m < 2 && st == HCT_OK; m++) {
        fingerprint_apart d;
        fingerprint_close a, b;
        if (!fingerprints_may_be_same(s->quick, io->a, io->b, m, &d)) continue;
        st = read_close(s, io->a, &a, err);
        if (st == HCT_OK) st = read_close(s, io->b, &b, err);
        if (st < 0) break;
        fingerprint_look(&a, &b, m, &d);
        if (!fingerprint_is_same(&d) || (*ret_same && d.difference >= io->apart.difference)) continue;
        *ret_same = true;
        io->apart = d;
        io->mirrored = m;
    }
    return st;
}

static hct_status compare_rows(void *context, int64_t chunk, hct_err *err) {
    search *s = context;
    hct_status st = stop_check((size_t)s->done, s->d->n, err);
    for (size_t i = (size_t)chunk * ROWS; i < (size_t)(chunk + 1) * ROWS && i < s->d->n && st == HCT_OK; i++)
        for (size_t j = i + 1; j < s->d->n && st == HCT_OK; j++) {
            leak one = {.a = i, .b = j, .kind = LEAK_SCAN};
            bool same;
            if (of_one_patient(s, i, j)) continue;
            st = compare_pair(s, &one, &same, err);
            if (st < 0 || !same) continue;
            pthread_mutex_lock(&s->lock);
            st = add(s, &one, err);
            pthread_mutex_unlock(&s->lock);
        }
    pthread_mutex_lock(&s->lock);
    s->done += ROWS;
    progress_show(&s->line, s->done < (int64_t)s->d->n ? s->done : (int64_t)s->d->n, "");
    pthread_mutex_unlock(&s->lock);
    return st;
}

static hct_status compare_all(search *s, int jobs, FILE *out, hct_err *err) {
    int64_t n = (int64_t)s->d->n;
    s->line = progress_begin(out, "fingerprint", 0, n, "scans", 1);
    hct_status st = workers_run(jobs, n, make_print, s, err);
    if (st == HCT_OK) progress_end(&s->line, "");
    else progress_break(&s->line);
    if (st < 0) return st;
    if (!(s->quick = fingerprints_new(s->prints, s->d->n))) return no_memory(err);
    s->done = 0;
    s->line = progress_begin(out, "compare", 0, n, "scans", 1);
    st = workers_run(jobs, (n + ROWS - 1) / ROWS, compare_rows, s, err);
    if (st == HCT_OK) progress_end(&s->line, "");
    else progress_break(&s->line);
    return st;
}

/* ---- the answer ---- */

static int by_pair(const void *a, const void *b) {
    const leak *x = a, *y = b;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    if (x->b != y->b) return x->b < y->b ? -1 : 1;
    return (int)x->kind - (int)y->kind;
}

static void put_row(const search *s, const leak *l, bool leaks, text_buffer *csv) {
    const dataset_scan *a = &s->d->scans[l->a], *b = &s->d->scans[l->b];
    char number[32];
    csv_add(csv, 0, leak_kind_words[l->kind]);
    const char *const cells[] = {
        a->id, b->id, a->patient, b->patient, a->split ? a->split : "", b->split ? b->split : "", leaks ? "yes" : "no"};
    for (size_t k = 0; k < sizeof cells / sizeof *cells; k++) csv_add(csv, k + 1, cells[k]);
    bool measured = l->kind == LEAK_SCAN;
    snprintf(number, sizeof number, "%.2f", l->apart.difference);
    csv_add(csv, 8, measured ? number : "");
    snprintf(number, sizeof number, "%.2f", l->apart.half);
    csv_add(csv, 9, measured ? number : "");
    csv_add(csv, 10, measured ? l->mirrored ? "yes" : "no" : "");
    text_add(csv, "\n", 1);
}

/* Each pair once, by its first kind. */
static void tell(search *s, text_buffer *csv, leaks_result *ret) {
    ret->scans = s->d->n;
    ret->made = s->made;
    for (size_t i = 0; i < s->d->n; i++) ret->is_split |= s->d->scans[i].split != NULL;
    for (size_t i = 0; i < s->d->n; i++) ret->without_part += ret->is_split && !s->d->scans[i].split;
    if (s->n) qsort(s->found, s->n, sizeof *s->found, by_pair);
    text_printf(csv, "kind,scan,other,patient,other_patient,part,other_part,leak,difference,half,mirrored\n");
    for (size_t i = 0; i < s->n; i++) {
        const leak *l = &s->found[i];
        if (i && l->a == s->found[i - 1].a && l->b == s->found[i - 1].b) continue;
        const char *x = s->d->scans[l->a].split, *y = s->d->scans[l->b].split;
        bool leaks = !ret->is_split || (x && y && strcmp(x, y) != 0);
        if (leaks) ret->in_two[l->kind]++;
        else ret->in_one[l->kind]++;
        put_row(s, l, leaks, csv);
    }
}

hct_status leaks_find(const char *dataset, int jobs, FILE *out, text_buffer *csv, leaks_result *ret, hct_err *err) {
    search s = {.d = dataset_open(dataset, err)};
    *ret = (leaks_result){0};
    if (!s.d) return err->code;
    pthread_mutex_init(&s.lock, NULL);
    s.study = calloc(s.d->n + 1, sizeof *s.study);
    s.prints = malloc((s.d->n + 1) * sizeof *s.prints);
    s.there = calloc(s.d->n + 1, sizeof *s.there);
    hct_status st = s.study && s.prints && s.there ? index_open(&s.ix, dataset, 1, err) : no_memory(err);
    if (st == HCT_OK) st = read_index(&s, err);
    if (st == HCT_OK) st = equal_sources_and_studies(&s, err);
    if (st == HCT_OK) st = compare_all(&s, jobs, out, err);
    if (st == HCT_OK) tell(&s, csv, ret);
    if (s.ix.db) index_close(&s.ix);
    fingerprints_free(s.quick);
    for (size_t i = 0; s.study && i < s.d->n; i++) free(s.study[i]);
    free(s.study);
    free(s.prints);
    free(s.there);
    free(s.found);
    pthread_mutex_destroy(&s.lock);
    dataset_close(s.d);
    return st;
}
