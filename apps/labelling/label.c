/* Records to labels: patients by their marks, days by their offsets, codes by the rules. */
#include "labelling/label.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "dataset/index_found.h"
#include "dataset/scan_tags.h"
#include "support/csv.h"
#include "support/sha256.h"
#include "support/text.h"

typedef struct scan {
    int64_t n, patient, day; /* row of the index, of its patient; days since 1970 as the dataset has them */
    uint64_t positive;
    bool known;
} scan;

typedef struct who {
    char name[SCAN_PATIENT];
    size_t first, n; /* of the scans */
} who;

/* A record's patient, met before: ids repeat for thousands of rows. */
typedef struct seen_id {
    const char *id;
    int64_t who; /* -1: not in the dataset */
    int days;
} seen_id;

typedef struct run {
    const label_options *o;
    label_rules rules;
    dataset_key key;
    dataset_index index;
    bool clear_dates;
    scan *scans; /* in order of patient */
    size_t n_scans;
    who *people; /* in order of name */
    size_t n_people;
    seen_id *ids; /* an open table */
    size_t n_ids, room;
    csv *brands, *icd9;
    sqlite3_stmt *evidence;
    label_result *result;
} run;

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the records"); }

/* ---- the dataset ---- */

/* A date at the start of a text; what follows is the caller's matter. */
static bool day_of(const char *text, int64_t *ret) {
    struct tm t = {0};
    int year, month, day, end = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &end) != 3 || end != 10) return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || year < 1850) return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    t.tm_mday = day;
    time_t at = timegm(&t);
    if (t.tm_mday != day) return false; /* 31 February */
    *ret = (int64_t)(at / 86400) - (at % 86400 < 0);
    return true;
}

static int by_name(const void *a, const void *b) { return strcmp(((const who *)a)->name, ((const who *)b)->name); }

static hct_status load_scans(run *r, hct_err *err) {
    sqlite3_stmt *q =
        index_query(&r->index, err,
                    "SELECT s.n, s.patient, p.name, t.value FROM scans s JOIN patients p ON p.id=s.patient"
                    " LEFT JOIN tags t ON t.scan=s.n AND t.key='study date' ORDER BY s.patient, s.n",
                    "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(&r->index, q, err)) > 0) {
        const char *name = (const char *)sqlite3_column_text(q, 2), *date = (const char *)sqlite3_column_text(q, 3);
        int64_t patient = sqlite3_column_int64(q, 1), day = 0;
        r->result->scans++;
        if (!date || !day_of(date, &day)) {
            r->result->undated++;
            continue;
        }
        scan *more = realloc(r->scans, (r->n_scans + 1) * sizeof *more);
        if (more) r->scans = more;
        bool is_new = !r->n_scans || (more && more[r->n_scans - 1].patient != patient);
        who *people = is_new ? realloc(r->people, (r->n_people + 1) * sizeof *people) : r->people;
        if (people) r->people = people;
        if (!more || !people) {
            step = no_memory(err);
            break;
        }
        if (is_new) {
            people[r->n_people] = (who){.first = r->n_scans};
            snprintf(people[r->n_people++].name, SCAN_PATIENT, "%s", name ? name : "");
        }
        people[r->n_people - 1].n++;
        more[r->n_scans++] = (scan){.n = sqlite3_column_int64(q, 0), .patient = patient, .day = day};
    }
    sqlite3_finalize(q);
    if (step >= 0 && r->n_people) qsort(r->people, r->n_people, sizeof *r->people, by_name);
    if (step >= 0 && !r->n_scans)
        return hct_fail(err, HCT_EINVAL,
                        "%s: no scan has a study date, which records are compared with: scans of DICOM files have one",
                        r->index.path);
    return step < 0 ? step : HCT_OK;
}

static hct_status read_settings(run *r, hct_err *err) {
    char mark[KEY_HEX];
    hct_status s = key_mark(&r->key, "fingerprint", "", mark, err);
    mark[16] = 0;
    bool same = false;
    sqlite3_stmt *q = s == HCT_OK ? index_query(&r->index, err, "SELECT key, value FROM settings", "") : NULL;
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(&r->index, q, err)) > 0) {
        const char *key = (const char *)sqlite3_column_text(q, 0), *value = (const char *)sqlite3_column_text(q, 1);
        if (key && value && !strcmp(key, "key")) same = !strcmp(value, mark);
        if (key && value && !strcmp(key, "dates")) r->clear_dates = !strcmp(value, "clear");
    }
    sqlite3_finalize(q);
    if (s == HCT_OK && step < 0) s = step;
    if (s == HCT_OK && !same)
        s = hct_fail(
            err, HCT_EINVAL,
            "%s: was made with another key than %s, so its patients cannot be told again: name that key with --key "
            "FILE",
            r->index.path, r->key.path);
    return s;
}

/* ---- records ---- */

static uint64_t hash_of(const char *text) {
    uint64_t h = 1469598103934665603u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

static hct_status grow_ids(run *r, hct_err *err) {
    size_t room = r->room ? 2 * r->room : 1024;
    seen_id *more = calloc(room, sizeof *more);
    if (!more) return no_memory(err);
    for (size_t i = 0; i < r->room; i++) {
        if (!r->ids[i].id) continue;
        size_t k = hash_of(r->ids[i].id) & (room - 1);
        while (more[k].id) k = (k + 1) & (room - 1);
        more[k] = r->ids[i];
    }
    free(r->ids);
    r->ids = more;
    r->room = room;
    return HCT_OK;
}

static hct_status find_person(run *r, const char *id, seen_id *ret, hct_err *err) {
    if (2 * (r->n_ids + 1) > r->room && grow_ids(r, err) < 0) return HCT_ENOMEM;
    size_t k = hash_of(id) & (r->room - 1);
    for (; r->ids[k].id; k = (k + 1) & (r->room - 1))
        if (!strcmp(r->ids[k].id, id)) return *ret = r->ids[k], HCT_OK;
    char mark[KEY_HEX];
    who key;
    seen_id one = {.id = id, .who = -1};
    hct_status s = key_patient(&r->key, id, mark, err);
    if (s == HCT_OK && !r->clear_dates) s = key_days(&r->key, mark, &one.days, err);
    if (s < 0) return s;
    scan_patient_name(mark, key.name);
    const who *found = r->n_people ? bsearch(&key, r->people, r->n_people, sizeof *r->people, by_name) : NULL;
    if (found) one.who = found - r->people;
    r->ids[k] = one;
    r->n_ids++;
    *ret = one;
    return HCT_OK;
}

static hct_status put_evidence(run *r, const scan *s, uint64_t labels, const char *what, int64_t days, hct_err *err) {
    for (int k = 0; k < r->rules.n; k++) {
        if (!(labels >> k & 1)) continue;
        sqlite3_bind_int64(r->evidence, 1, s->n);
        sqlite3_bind_text(r->evidence, 2, r->rules.names[k], -1, SQLITE_STATIC);
        sqlite3_bind_text(r->evidence, 3, what, -1, SQLITE_STATIC);
        sqlite3_bind_int64(r->evidence, 4, days);
        int step = index_step(&r->index, r->evidence, err);
        sqlite3_reset(r->evidence);
        if (step < 0) return step;
    }
    return HCT_OK;
}

static hct_status use_record(run *r, const seen_id *person, int64_t day, uint64_t labels, const char *what,
                             hct_err *err) {
    const who *w = &r->people[person->who];
    hct_status s = HCT_OK;
    for (size_t i = 0; i < w->n && s == HCT_OK; i++) {
        scan *one = &r->scans[w->first + i];
        int64_t days = day - person->days - one->day;
        if (days < r->rules.first || days > r->rules.last) continue;
        one->known = true;
        one->positive |= labels;
        if (labels && !r->o->dry) s = put_evidence(r, one, labels, what, days, err);
    }
    return s;
}

/* 9 or 10, by a word such as ICD-10-CM, icd9, 10; 0: neither. */
static int system_of(const char *word) {
    const char *digits = word + strcspn(word, "0123456789");
    if (!strncmp(digits, "10", 2)) return 10;
    return *digits == '9' ? 9 : 0;
}

/* Which system a row's code is of. */
static hct_status code_system(run *r, const csv *t, size_t row, int column, const char *cell, bool *ret_icd9,
                              hct_err *err) {
    const char *word = column >= 0 ? csv_cell(t, row, (size_t)column) : "";
    int said = system_of(word);
    if (column >= 0 && !said)
        return hct_fail(err, HCT_EFORMAT, "%s line %d: '%.40s' is no code system that is known: ICD-9 or ICD-10",
                        t->path, t->lines[row], word);
    *ret_icd9 = said ? said == 9 : rules_is_icd9(cell);
    const char *code = cell + strspn(cell, " ");
    bool may_be = !strncasecmp(code, "V", 1) || !strncasecmp(code, "E8", 2);
    r->result->either += !said && !*ret_icd9 && may_be;
    return HCT_OK;
}

/* What a code stands for; a code of ICD-9 by the user's table. system: the column that tells which it is, or -1. */
static hct_status labels_of_code(run *r, const csv *t, size_t row, int system, const char *cell, char code[RULES_CODE],
                                 uint64_t *ret, hct_err *err) {
    bool icd9 = false;
    if (!rules_normalise(cell, code) || !*code)
        return hct_fail(err, HCT_EFORMAT, "%s line %d: '%.40s' is no ICD-10 code", t->path, t->lines[row], cell);
    hct_status st = code_system(r, t, row, system, cell, &icd9, err);
    if (st < 0) return st;
    if (icd9) {
        int from = r->icd9 ? csv_need_column(r->icd9, "icd9", err) : -1,
            to = from < 0 ? -1 : csv_need_column(r->icd9, "icd10", err);
        if (!r->icd9)
            return hct_fail(
                err, HCT_EFORMAT,
                "%s line %d: '%s' is a code of ICD-9, which the rules do not know: leave such rows out, or map them "
                "with --icd9 CSV (columns icd9 and icd10)",
                t->path, t->lines[row], cell);
        if (to < 0) return err ? err->code : HCT_EFORMAT;
        *ret = 0;
        for (size_t i = 0; i < r->icd9->rows; i++) {
            char nine[RULES_CODE], ten[RULES_CODE];
            if (rules_normalise(csv_cell(r->icd9, i, (size_t)from), nine) && !strcmp(nine, code) &&
                rules_normalise(csv_cell(r->icd9, i, (size_t)to), ten))
                *ret |= rules_of_code(&r->rules, ten);
        }
        return HCT_OK;
    }
    *ret = rules_of_code(&r->rules, code);
    return HCT_OK;
}

static uint64_t labels_of_medication(const run *r, const char *name) {
    uint64_t found = rules_of_medication(&r->rules, name);
    int brand = r->brands ? csv_column(r->brands, "brand") : -1,
        generic = r->brands ? csv_column(r->brands, "name") : -1;
    for (size_t i = 0; brand >= 0 && generic >= 0 && i < r->brands->rows; i++) {
        const char *word = csv_cell(r->brands, i, (size_t)brand);
        if (*word && strcasestr(name, word))
            found |= rules_of_medication(&r->rules, csv_cell(r->brands, i, (size_t)generic));
    }
    return found;
}

static hct_status read_records(run *r, const char *path, bool medications, csv **keep, hct_err *err) {
    csv *t = *keep = csv_read(path, err);
    if (!t) return err ? err->code : HCT_EFORMAT;
    const label_options *o = r->o;
    int patient = csv_need_column(t, o->patient_column ? o->patient_column : "patient", err);
    int date = patient < 0 ? -1 : csv_need_column(t, o->date_column ? o->date_column : "date", err);
    int what = date < 0 ? -1 : csv_need_column(t, medications ? "name" : o->code_column ? o->code_column : "code", err);
    if (what < 0) return err ? err->code : HCT_EFORMAT;
    int system = o->system_column && !medications ? csv_need_column(t, o->system_column, err) : -1;
    if (o->system_column && !medications && system < 0) return err ? err->code : HCT_EFORMAT;
    for (size_t row = 0; row < t->rows; row++) {
        const char *cell = csv_cell(t, row, (size_t)what), *when = csv_cell(t, row, (size_t)date);
        char code[RULES_CODE];
        int64_t day;
        uint64_t labels = 0;
        seen_id person;
        size_t length = strlen(when);
        bool timed = length > 10 && (when[10] == ' ' || when[10] == 'T') && !strpbrk(when + 11, "+-Zz");
        if (!day_of(when, &day) || (length > 10 && !timed))
            return hct_fail(err, HCT_EFORMAT,
                            "%s line %d: date '%.40s': YYYY-MM-DD is needed, of local time and without a time zone",
                            path, t->lines[row], when);
        hct_status s = find_person(r, csv_cell(t, row, (size_t)patient), &person, err);
        if (s == HCT_OK && medications) labels = labels_of_medication(r, cell);
        else if (s == HCT_OK) s = labels_of_code(r, t, row, system, cell, code, &labels, err);
        r->result->records++;
        if (s == HCT_OK && person.who < 0) r->result->unmatched++;
        else if (s == HCT_OK) s = use_record(r, &person, day, labels, medications ? cell : code, err);
        if (s < 0) return s;
    }
    return HCT_OK;
}

/* ---- writing ---- */

static hct_status write_labels(run *r, hct_err *err) {
    int64_t ids[RULES_LABELS];
    const char *names[RULES_LABELS];
    for (int k = 0; k < r->rules.n; k++) names[k] = r->rules.names[k];
    hct_status s = index_renew_labels(&r->index, names, (size_t)r->rules.n, ids, err);
    sqlite3_stmt *put = s == HCT_OK ? index_query(&r->index, err, "INSERT INTO labels VALUES(?, ?, ?)", "") : NULL;
    if (s == HCT_OK && !put) s = err ? err->code : HCT_EIO;
    for (size_t i = 0; i < r->n_scans && s == HCT_OK; i++)
        for (int k = 0; k < r->rules.n && s == HCT_OK && r->scans[i].known; k++) {
            sqlite3_bind_int64(put, 1, r->scans[i].n);
            sqlite3_bind_int64(put, 2, ids[k]);
            sqlite3_bind_int64(put, 3, r->scans[i].positive >> k & 1);
            int step = index_step(&r->index, put, err);
            sqlite3_reset(put);
            if (step < 0) s = step;
        }
    sqlite3_finalize(put);
    return s;
}

/* Which rules and records the labels were made by. */
static hct_status write_provenance(run *r, hct_err *err) {
    text_buffer t = {0};
    char hash[65];
    const char *files[] = {r->o->diagnoses, r->o->medications, r->o->brands, r->o->icd9};
    hct_status s = HCT_OK;
    text_printf(&t, "rules %s", r->rules.sha256);
    for (size_t i = 0; i < sizeof files / sizeof *files && s == HCT_OK; i++) {
        if (!files[i]) continue;
        s = sha256_file(files[i], hash, err);
        text_printf(&t, ", records %s", hash);
    }
    const char *text = s == HCT_OK ? text_get(&t, "provenance", err) : NULL;
    if (s == HCT_OK && !text) s = HCT_ENOMEM;
    if (s == HCT_OK) s = index_run(&r->index, err, "INSERT OR REPLACE INTO settings VALUES('labels', ?)", "s", text);
    text_free(&t);
    return s;
}

static hct_status label_all(run *r, csv **tables, hct_err *err) {
    hct_status s = index_exec(&r->index, "BEGIN IMMEDIATE", err);
    if (s < 0) return s;
    s = index_make_evidence(&r->index, err);
    if (s == HCT_OK) s = index_exec(&r->index, "DELETE FROM evidence", err);
    if (s == HCT_OK) r->evidence = index_query(&r->index, err, "INSERT INTO evidence VALUES(?, ?, ?, ?)", "");
    if (s == HCT_OK && !r->evidence) s = err ? err->code : HCT_EIO;
    if (s == HCT_OK) s = read_records(r, r->o->diagnoses, false, &tables[0], err);
    if (s == HCT_OK && r->o->medications) s = read_records(r, r->o->medications, true, &tables[1], err);
    if (s == HCT_OK && !r->o->dry) s = write_labels(r, err);
    if (s == HCT_OK && !r->o->dry) s = write_provenance(r, err);
    sqlite3_finalize(r->evidence);
    if (s == HCT_OK && !r->o->dry) s = index_exec(&r->index, "COMMIT", err);
    if (s < 0 || r->o->dry) index_exec(&r->index, "ROLLBACK", NULL);
    return s;
}

static void count(run *r) {
    r->result->n = r->rules.n;
    memcpy(r->result->names, r->rules.names, sizeof r->result->names);
    for (size_t i = 0; i < r->n_scans; i++) {
        r->result->known += r->scans[i].known;
        for (int k = 0; k < r->rules.n; k++)
            r->result->positive[k] += r->scans[i].known && (r->scans[i].positive >> k & 1);
    }
}

static hct_status open_rules(run *r, hct_err *err) {
    hct_status s = rules_read(r->o->rules, &r->rules, err);
    if (s == HCT_OK && r->o->window && !rules_window(r->o->window, &r->rules.first, &r->rules.last))
        s = hct_fail(err, HCT_EINVAL,
                     "--window '%s': forward, centered, or two numbers of days such as -45:45, the first not above the "
                     "second",
                     r->o->window);
    r->result->first = r->rules.first;
    r->result->last = r->rules.last;
    return s;
}

/* All but the end; *r is to be closed in any case. */
static hct_status make_labels(run *r, csv *tables[2], hct_err *err) {
    const label_options *o = r->o;
    hct_status s = open_rules(r, err);
    if (s == HCT_OK && o->brands && !(r->brands = csv_read(o->brands, err))) s = err ? err->code : HCT_EFORMAT;
    if (s == HCT_OK && o->icd9 && !(r->icd9 = csv_read(o->icd9, err))) s = err ? err->code : HCT_EFORMAT;
    if (s == HCT_OK) s = index_open(&r->index, o->dataset, 0, err);
    if (s == HCT_OK) s = key_open(o->key, o->dataset, &r->key, err);
    if (s == HCT_OK) s = read_settings(r, err);
    if (s == HCT_OK) s = load_scans(r, err);
    if (s == HCT_OK) s = label_all(r, tables, err);
    if (s == HCT_OK) count(r);
    return s;
}

static void close_run(run *r, csv *tables[2]) {
    csv_free(tables[0]);
    csv_free(tables[1]);
    csv_free(r->brands);
    csv_free(r->icd9);
    free(r->scans);
    free(r->people);
    free(r->ids);
    rules_free(&r->rules);
    key_free(&r->key);
    index_close(&r->index);
}

hct_status label_dataset(const label_options *o, label_result *ret, hct_err *err) {
    run r = {.o = o, .result = ret};
    csv *tables[2] = {NULL, NULL};
    *ret = (label_result){0};
    hct_status s = make_labels(&r, tables, err);
    close_run(&r, tables);
    return s;
}

/* ---- two files of rules ---- */

static int label_at(const label_rules *r, const char *name) {
    for (int k = 0; k < r->n; k++)
        if (!strcmp(r->names[k], name)) return k;
    return -1;
}

/* 1, 0, or -1: not known, or no such label. */
static int said(const run *r, size_t scan, int label) {
    if (label < 0 || !r->scans[scan].known) return -1;
    return (int)(r->scans[scan].positive >> label & 1);
}

static void add_names(const label_rules *r, int which, label_differences *ret) {
    for (int k = 0; k < r->n; k++) {
        int at = 0;
        while (at < ret->n && strcmp(ret->of[at].name, r->names[k]) != 0) at++;
        if (at == ret->n) snprintf(ret->of[ret->n++].name, RULES_NAME, "%s", r->names[k]);
        ret->of[at].in[which] = true;
    }
}

static hct_status put_differing(run *r, size_t scan, const char *label, const int says[2], text_buffer *csv,
                                hct_err *err) {
    sqlite3_stmt *q = index_query(&r->index, err, "SELECT id FROM scans WHERE n=?", "i", r->scans[scan].n);
    int step = q ? index_step(&r->index, q, err) : HCT_EIO;
    if (step > 0) csv_add(csv, 0, (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
    csv_add(csv, 1, label);
    for (int k = 0; k < 2; k++) csv_add(csv, 2, says[k] < 0 ? "" : says[k] ? "1" : "0");
    text_add(csv, "\n", 1);
    return step < 0 ? step : HCT_OK;
}

static hct_status compare(run r[2], label_differences *ret, text_buffer *csv, hct_err *err) {
    hct_status s = HCT_OK;
    for (int k = 0; k < 2; k++) add_names(&r[k].rules, k, ret);
    ret->scans = (int64_t)r->n_scans;
    if (csv) text_printf(csv, "scan,label,first,second\n");
    for (size_t i = 0; i < r->n_scans; i++)
        for (int k = 0; k < 2; k++) ret->known[k] += r[k].scans[i].known;
    for (int k = 0; k < ret->n; k++) {
        label_difference *d = &ret->of[k];
        const int at[2] = {label_at(&r[0].rules, d->name), label_at(&r[1].rules, d->name)};
        for (size_t i = 0; i < r->n_scans && s == HCT_OK; i++) {
            const int says[2] = {said(&r[0], i, at[0]), said(&r[1], i, at[1])};
            for (int m = 0; m < 2; m++) {
                d->positive[m] += says[m] == 1;
                d->only[m] += says[m] == 1 && says[1 - m] != 1;
            }
            d->both += says[0] == 1 && says[1] == 1;
            if (csv && says[0] != says[1]) s = put_differing(&r[0], i, d->name, says, csv, err);
        }
    }
    return s;
}

hct_status label_compare(const label_options *o, const char *other, label_differences *ret, text_buffer *csv_out,
                         hct_err *err) {
    label_options options[2] = {*o, *o};
    label_result results[2] = {{0}, {0}};
    run r[2] = {{.o = &options[0], .result = &results[0]}, {.o = &options[1], .result = &results[1]}};
    csv *tables[2][2] = {{NULL, NULL}, {NULL, NULL}};
    options[1].rules = other;
    *ret = (label_differences){0};
    hct_status s = HCT_OK;
    for (int k = 0; k < 2 && s == HCT_OK; k++) {
        options[k].dry = true;
        s = make_labels(&r[k], tables[k], err);
    }
    if (s == HCT_OK && r[0].n_scans != r[1].n_scans)
        s = hct_fail(err, HCT_EINVAL, "%s: changed meanwhile; run it again", o->dataset);
    if (s == HCT_OK) s = compare(r, ret, csv_out, err);
    for (int k = 0; k < 2; k++) close_run(&r[k], tables[k]);
    return s;
}
