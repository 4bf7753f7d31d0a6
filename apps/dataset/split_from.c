/* Parts by a table, or by another dataset. */
#include "dataset/split_from.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataset/scan_names.h"
#include "support/csv.h"
#include "support/paths.h"
#include "support/text.h"

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the split"); }

/* A word that a patient can be told by. */
typedef struct handle {
    char *word;
    int64_t patient;
} handle;

typedef struct handles {
    handle *items;
    size_t n, room;
} handles;

static hct_status add_handle(handles *h, const char *word, size_t length, int64_t patient, hct_err *err) {
    if (h->n == h->room) {
        size_t room = h->room ? 2 * h->room : 1024;
        handle *more = realloc(h->items, room * sizeof *more);
        if (!more) return no_memory(err);
        h->items = more;
        h->room = room;
    }
    h->items[h->n] = (handle){strndup(word, length), patient};
    return h->items[h->n++].word ? HCT_OK : no_memory(err);
}

static int by_word(const void *a, const void *b) {
    const handle *x = a, *y = b;
    int side = strcmp(x->word, y->word);
    return side ? side : x->patient < y->patient ? -1 : x->patient > y->patient;
}

static void handles_free(handles *h) {
    for (size_t i = 0; i < h->n; i++) free(h->items[i].word);
    free(h->items);
    *h = (handles){0};
}

static size_t first_of(const handles *h, const char *word) {
    size_t low = 0, high = h->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(h->items[middle].word, word) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* "CQ500-CT-12" and "CQ500CT12" as one: small letters and digits alone. Returns the length; 0: a word too short to tell
 * anything. */
static size_t plain_word(const char *text, size_t n, char *buffer, size_t room) {
    size_t length = 0;
    for (size_t i = 0; i < n && length + 1 < room; i++)
        if (isalnum((unsigned char)text[i])) buffer[length++] = (char)tolower((unsigned char)text[i]);
    buffer[length] = 0;
    return length >= 3 ? length : 0;
}

/* Everything that tells a patient of the index. */
typedef struct book {
    scan_names *names;
    handles scans, patients, studies, words; /* scans: ids */
    dataset_key key;
    bool has_key;
} book;

static hct_status read_handles(dataset_index *ix, const char *sql, handles *h, bool words, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err, sql, "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        const char *text = index_text(ix, q, 0, "a name", err);
        int64_t patient = sqlite3_column_int64(q, 1);
        hct_status s = text ? HCT_OK : HCT_EFORMAT;
        if (s == HCT_OK && !words) s = add_handle(h, text, strlen(text), patient, err);
        for (const char *at = text; words && s == HCT_OK && *at;) {
            char word[256];
            size_t n = strcspn(at, "/ "), length = plain_word(at, n, word, sizeof word);
            if (length) s = add_handle(h, word, length, patient, err);
            at += n + strspn(at + n, "/ ");
        }
        if (s < 0) step = s;
    }
    sqlite3_finalize(q);
    if (step < 0) return step;
    if (h->n) qsort(h->items, h->n, sizeof *h->items, by_word);
    return HCT_OK;
}

/* The dataset's key, where the user has it: without it PatientIDs and UIDs are no names. */
static hct_status open_key(book *b, dataset_index *ix, const char *path, const char *dataset, hct_err *err) {
    hct_err why;
    char mark[KEY_HEX];
    if (!key_is_there(path)) return path ? hct_fail(err, HCT_ENOTFOUND, "%s: no key is there", path) : HCT_OK;
    hct_status s = key_open(path, dataset, &b->key, &why);
    if (s < 0) return path ? hct_fail(err, s, "%s", why.msg) : HCT_OK;
    s = key_mark(&b->key, "fingerprint", "", mark, err);
    sqlite3_stmt *q = s == HCT_OK ? index_query(ix, err, "SELECT value FROM settings WHERE key='key'", "") : NULL;
    int step = q ? index_step(ix, q, err) : s < 0 ? s : HCT_EIO;
    const char *want = step > 0 ? (const char *)sqlite3_column_text(q, 0) : NULL;
    b->has_key = want && strncmp(want, mark, strlen(want)) == 0;
    sqlite3_finalize(q);
    if (step >= 0 && path && !b->has_key) return hct_fail(err, HCT_EINVAL, "%s: is not the key of this dataset", path);
    return step < 0 ? step : HCT_OK;
}

static hct_status open_book(book *b, dataset_index *ix, const split_rule *rule, const char *dataset, hct_err *err) {
    hct_status s = (b->names = scan_names_new()) ? HCT_OK : no_memory(err);
    if (s == HCT_OK) s = scan_names_of_index(b->names, ix, false, err);
    if (s == HCT_OK) s = scan_names_ready(b->names, err);
    if (s == HCT_OK) s = read_handles(ix, "SELECT id, patient FROM scans", &b->scans, false, err);
    if (s == HCT_OK)
        s = read_handles(ix, "SELECT name, id FROM patients WHERE id IN (SELECT patient FROM scans)", &b->patients,
                         false, err);
    if (s == HCT_OK)
        s = read_handles(ix, "SELECT t.value, s.patient FROM tags t JOIN scans s ON s.n=t.scan WHERE t.key='study'",
                         &b->studies, false, err);
    if (s == HCT_OK) s = read_handles(ix, "SELECT source, patient FROM scans", &b->words, true, err);
    return s == HCT_OK ? open_key(b, ix, rule->key, dataset, err) : s;
}

static void close_book(book *b) {
    scan_names_free(b->names);
    handles_free(&b->scans);
    handles_free(&b->patients);
    handles_free(&b->studies);
    handles_free(&b->words);
    key_free(&b->key);
}

/* ---- rows ---- */

typedef struct places {
    split_place *items;
    size_t n, room;
} places;

static hct_status add_place(places *p, int64_t patient, const char *part, int line, hct_err *err) {
    if (p->n == p->room) {
        size_t room = p->room ? 2 * p->room : 1024;
        split_place *more = realloc(p->items, room * sizeof *more);
        if (!more) return no_memory(err);
        p->items = more;
        p->room = room;
    }
    split_place *one = &p->items[p->n++];
    *one = (split_place){.patient = patient, .line = line};
    snprintf(one->part, sizeof one->part, "%s", part);
    return HCT_OK;
}

/* All patients of a word; *ret_n: how many. */
static hct_status place_all(const handles *h, const char *word, places *to, const char *part, int line, size_t *ret_n,
                            hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t i = first_of(h, word); s == HCT_OK && i < h->n && !strcmp(h->items[i].word, word); i++, (*ret_n)++)
        s = add_place(to, h->items[i].patient, part, line, err);
    return s;
}

static hct_status place_row(const book *b, const char *cell, const char *part, int line, places *to, size_t *ret_n,
                            hct_err *err) {
    scan_name_match m;
    char mark[KEY_HEX], name[24], word[256];
    *ret_n = 0;
    hct_status s = scan_names_find(b->names, cell, b->has_key ? &b->key : NULL, &m, err);
    for (size_t k = 0; s == HCT_OK && k < m.n; k++)
        s = place_all(&b->scans, scan_names_id(b->names, &m, k), to, part, line, ret_n, err);
    if (s == HCT_OK && !*ret_n) s = place_all(&b->patients, cell, to, part, line, ret_n, err);
    if (s == HCT_OK && !*ret_n && b->has_key) {
        s = key_patient(&b->key, cell, mark, err);
        snprintf(name, sizeof name, "p%.16s", mark);
        if (s == HCT_OK) s = place_all(&b->patients, name, to, part, line, ret_n, err);
        if (s == HCT_OK && !*ret_n) s = key_mark(&b->key, "study", cell, mark, err);
        mark[16] = 0;
        if (s == HCT_OK && !*ret_n) s = place_all(&b->studies, mark, to, part, line, ret_n, err);
    }
    if (s == HCT_OK && !*ret_n && plain_word(cell, strlen(cell), word, sizeof word))
        s = place_all(&b->words, word, to, part, line, ret_n, err);
    return s;
}

static int any_column(const csv *t, const char *const *names) {
    for (; *names; names++)
        for (size_t c = 0; c < t->columns; c++)
            if (!strcasecmp(t->names[c], *names)) return (int)c;
    return -1;
}

static hct_status read_table(dataset_index *ix, const char *dataset, const split_rule *rule, places *to,
                             split_result *result, hct_err *err) {
    static const char *const ids[] = {"scan", "name", "series", "study", "patient", "id", NULL}, *const parts[] = {
                                                                                                     "split",  "part",
                                                                                                     "set",    "fold",
                                                                                                     "subset", NULL};
    csv *t = csv_read(rule->from, err);
    if (!t) return err->code;
    int part = any_column(t, parts);
    int id = rule->id_column ? csv_need_column(t, rule->id_column, err) : any_column(t, ids);
    hct_status s = rule->id_column && id < 0 ? err->code : HCT_OK;
    if (s == HCT_OK && (id < 0 || part < 0))
        s = hct_fail(err, HCT_ENOTFOUND, "%s: no column of %s (%s)", rule->from, id < 0 ? "scans" : "parts",
                     id < 0 ? "scan, name, series, study, patient or id; --id-column names another"
                            : "split, part, set, fold or subset");
    book b = {0};
    if (s == HCT_OK) s = open_book(&b, ix, rule, dataset, err);
    size_t length = 0;
    for (size_t row = 0; s == HCT_OK && row < t->rows; row++) {
        const char *cell = csv_cell(t, row, (size_t)id), *word = csv_cell(t, row, (size_t)part);
        char buffer[16];
        const char *name = split_name_of(word, buffer);
        size_t n = 0;
        hct_err why;
        if (!name)
            s = hct_fail(err, HCT_EFORMAT, "%s line %d: '%.40s' is no part: train, val or test, or a fold's number",
                         rule->from, t->lines[row], word);
        if (s == HCT_OK && (s = place_row(&b, cell, name, t->lines[row], to, &n, &why)) < 0)
            s = hct_fail(err, s, "%s line %d: %s", rule->from, t->lines[row], why.msg);
        if (s < 0 || n) continue;
        if (result->no_scan++ < 10 && length < sizeof result->named)
            length += (size_t)snprintf(result->named + length, sizeof result->named - length, "%s'%.60s'",
                                       length ? ", " : "", cell);
    }
    result->rows = t->rows;
    close_book(&b);
    csv_free(t);
    return s;
}

/* ---- another dataset ---- */

static hct_status read_dataset(dataset_index *ix, const char *folder, places *to, hct_err *err) {
    dataset_index other;
    hct_status s = index_open(&other, folder, 0, err);
    if (s < 0) return s;
    handles patients = {0}, sources = {0};
    s = read_handles(ix, "SELECT name, id FROM patients WHERE id IN (SELECT patient FROM scans)", &patients, false,
                     err);
    if (s == HCT_OK) s = read_handles(ix, "SELECT source_sha256, patient FROM scans", &sources, false, err);
    sqlite3_stmt *q =
        s == HCT_OK
            ? index_query(&other, err,
                          other.version < 2 ? "SELECT p.name, s.source_sha256, x.part FROM scans s JOIN patients"
                                              " p ON p.id=s.patient JOIN splits x ON x.patient=p.id"
                                            : "SELECT p.name, s.source_sha256, x.split FROM scans s JOIN patients"
                                              " p ON p.id=s.patient JOIN splits x ON x.patient=p.id",
                          "")
            : NULL;
    int step = q ? 1 : s < 0 ? s : HCT_EIO;
    size_t rows = 0;
    while (step > 0 && (step = index_step(&other, q, err)) > 0) {
        const char *patient = index_text(&other, q, 0, "a patient's name", err),
                   *source = patient ? index_text(&other, q, 1, "a scan's source_sha256", err) : NULL,
                   *part = source ? index_text(&other, q, 2, "a split", err) : NULL;
        size_t n = 0;
        s = part ? place_all(&patients, patient, to, part, 0, &n, err) : HCT_EFORMAT;
        if (s == HCT_OK) s = place_all(&sources, source, to, part, 0, &n, err);
        rows++;
        if (s < 0) step = s;
    }
    sqlite3_finalize(q);
    index_close(&other);
    handles_free(&patients);
    handles_free(&sources);
    if (step >= 0 && !rows) return hct_fail(err, HCT_ENOTFOUND, "%s: is not split: run headct split on it", folder);
    return step < 0 ? step : HCT_OK;
}

static int by_patient(const void *a, const void *b) {
    const split_place *x = a, *y = b;
    return x->patient < y->patient ? -1 : x->patient > y->patient ? 1 : x->line < y->line ? -1 : x->line > y->line;
}

/* Each patient once. */
static hct_status merge(places *p, const split_rule *rule, hct_err *err) {
    size_t kept = 0;
    if (p->n) qsort(p->items, p->n, sizeof *p->items, by_patient);
    for (size_t i = 0; i < p->n; i++) {
        const split_place *last = kept ? &p->items[kept - 1] : NULL, *one = &p->items[i];
        if (!last || last->patient != one->patient) {
            p->items[kept++] = *one;
        } else if (strcmp(last->part, one->part) != 0) {
            if (one->line)
                return hct_fail(err, HCT_EFORMAT,
                                "%s: lines %d and %d put scans of one patient into %s and %s: a model would be tested "
                                "on whom it was trained on",
                                rule->from, last->line, one->line, last->part, one->part);
            return hct_fail(err, HCT_EINVAL,
                            "%s: scans of one patient here are in %s and %s there: headct dataset check %s tells which",
                            rule->from, last->part, one->part, rule->from);
        }
    }
    p->n = kept;
    return HCT_OK;
}

hct_status split_from(dataset_index *ix, const char *dataset, const split_rule *rule, split_place **ret, size_t *ret_n,
                      split_result *result, hct_err *err) {
    places p = {0};
    hct_status s = path_is_folder(rule->from) ? read_dataset(ix, rule->from, &p, err)
                                              : read_table(ix, dataset, rule, &p, result, err);
    if (s == HCT_OK) s = merge(&p, rule, err);
    if (s == HCT_OK && !p.n)
        s = hct_fail(err, HCT_ENOTFOUND, "%s: names no patient of %s%s", rule->from, dataset,
                     result->no_scan ? ": PatientIDs and UIDs need the dataset's key (--key)" : "");
    if (s < 0) {
        free(p.items);
        return s;
    }
    *ret = p.items;
    *ret_n = p.n;
    return HCT_OK;
}
