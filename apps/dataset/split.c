/* Patients are dealt into training, validation and test, or folds; or go where a table says. */
#include "dataset/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataset/index.h"
#include "dataset/split_deal.h"
#include "dataset/split_from.h"
#include "hct/nearest.h"
#include "support/sha256.h"
#include "support/text.h"

const char *const split_names[SPLITS] = {"train", "val", "test"};

typedef struct patient {
    int64_t id;
    char rank[SHA256_HEX];
} patient;

static int by_rank(const void *a, const void *b) {
    return strcmp(((const patient *)a)->rank, ((const patient *)b)->rank);
}

/* Whether a name is one of a list such as "A,B". */
static bool list_has(const char *list, char separator, const char *name) {
    size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, separator) ? strchr(at, separator) + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == separator || at[n] == 0)) return n > 0;
    return false;
}

bool split_is_of(const char *part, const char *wanted) { return list_has(wanted, '+', part); }

const char *split_name_of(const char *word, char buffer[16]) {
    static const char *const words[][2] = {{"train", "train"}, {"training", "train"}, {"val", "val"},
                                           {"valid", "val"},   {"validation", "val"}, {"dev", "val"},
                                           {"tune", "val"},    {"test", "test"},      {"testing", "test"}};
    int64_t fold;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (!strcasecmp(word, words[k][0])) return words[k][1];
    if (!strncasecmp(word, "fold", 4)) word += 4 + strspn(word + 4, " _-");
    if (!text_int64(word, &fold) || fold < 0 || fold > 999) return NULL;
    snprintf(buffer, 16, "fold%d", (int)fold);
    return buffer;
}

/* Parts of a rule, and their shares. */
typedef struct parts {
    size_t n;
    char names[SPLIT_FOLDS][16];
    double ratios[SPLIT_FOLDS];
} parts;

static parts parts_of(const split_rule *r) {
    parts p = {.n = r->folds ? (size_t)r->folds : SPLITS};
    for (size_t k = 0; k < p.n; k++) {
        p.ratios[k] = r->folds ? 1 : r->ratios[k];
        if (r->folds) snprintf(p.names[k], sizeof p.names[k], "fold%zu", k + 1);
        else snprintf(p.names[k], sizeof p.names[k], "%s", split_names[k]);
    }
    return p;
}

static void describe(const split_rule *r, char ret[160]) {
    char evenly[64] = "";
    if (r->stratify) snprintf(evenly, sizeof evenly, ", evenly by %.48s", r->stratify);
    if (r->from) snprintf(ret, 160, "as %.140s has it", r->from);
    else if (r->folds) snprintf(ret, 160, "%lld folds seed %lld%s", (long long)r->folds, (long long)r->seed, evenly);
    else
        snprintf(ret, 160, "%g:%g:%g seed %lld%s", r->ratios[0], r->ratios[1], r->ratios[2], (long long)r->seed,
                 evenly);
}

/* The stored rule, as far as new patients can be dealt by it. */
static hct_status stored_rule(dataset_index *ix, split_rule *io, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err, "SELECT value FROM settings WHERE key='split'", "");
    int step = q ? index_step(ix, q, err) : HCT_EIO;
    const char *text = step > 0 ? (const char *)sqlite3_column_text(q, 0) : NULL;
    long long seed = 0, folds = 0;
    double a, b, c;
    hct_status s = step < 0 ? step : HCT_OK;
    if (s == HCT_OK && text && sscanf(text, "%lf:%lf:%lf seed %lld", &a, &b, &c, &seed) == 4) {
        io->ratios[0] = a, io->ratios[1] = b, io->ratios[2] = c;
        io->folds = 0;
    } else if (s == HCT_OK && text && sscanf(text, "%lld folds seed %lld", &folds, &seed) == 2 && folds > 1 &&
               folds <= SPLIT_FOLDS) {
        io->folds = folds;
    } else if (s == HCT_OK && text) {
        s = hct_fail(err, HCT_EINVAL,
                     "%s: its split is '%s', which says nothing of patients who came later: name a --from that holds "
                     "them, or deal them by --ratios A:B:C",
                     ix->path, text);
    }
    io->seed = seed;
    sqlite3_finalize(q);
    return s;
}

/* Only patients that have a scan. */
static hct_status load_patients(dataset_index *ix, int64_t seed, bool only_new, patient **ret, size_t *ret_n,
                                hct_err *err) {
    sqlite3_stmt *stmt =
        index_query(ix, err,
                    only_new ? "SELECT id, name FROM patients WHERE id IN (SELECT patient FROM scans) AND"
                               " id NOT IN (SELECT patient FROM splits)"
                             : "SELECT id, name FROM patients WHERE id IN (SELECT patient FROM scans)",
                    "");
    if (!stmt) return err->code;
    patient *list = NULL;
    size_t n = 0;
    int step;
    while ((step = index_step(ix, stmt, err)) > 0) {
        patient *more = realloc(list, (n + 1) * sizeof *more);
        if (!more) {
            step = hct_fail(err, HCT_ENOMEM, "no memory for the patients");
            break;
        }
        list = more;
        list[n].id = sqlite3_column_int64(stmt, 0);
        const char *name = index_text(ix, stmt, 1, "a patient's name", err);
        char key[32];
        if (!name) {
            step = err->code;
            break;
        }
        snprintf(key, sizeof key, "%lld ", (long long)seed);
        sha256 *h = sha256_begin();
        sha256_add(h, key, strlen(key));
        sha256_add(h, name, strlen(name));
        step = sha256_end(h, list[n++].rank, err);
        if (step < 0) break;
    }
    sqlite3_finalize(stmt);
    if (step < 0) free(list);
    if (step < 0) return step;
    *ret = list;
    *ret_n = n;
    return HCT_OK;
}

/* The same bytes as scans of two patients: a study that was exported twice, most likely. Dealt into two splits, what a
 * model learned by heart would be tested. */
static hct_status check_copies(dataset_index *ix, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err,
                                  "SELECT min(a.id), b.id, count(*) FROM scans a JOIN scans b ON a.source_sha256="
                                  "b.source_sha256 AND a.id<b.id AND a.patient<>b.patient",
                                  "");
    int step = q ? index_step(ix, q, err) : HCT_EIO;
    hct_status s = step < 0 ? step : HCT_OK;
    int64_t n = step > 0 ? sqlite3_column_int64(q, 2) : 0;
    if (n) {
        const char *one = (const char *)sqlite3_column_text(q, 0), *other = (const char *)sqlite3_column_text(q, 1);
        s = hct_fail(err, HCT_EINVAL,
                     "%s: scans '%s' and '%s' are the same bytes under two patients%s: give them one patient in the "
                     "table of labels, remove one, or split all the same (--allow-copies)",
                     ix->path, one ? one : "?", other ? other : "?", n > 1 ? ", and there are more such pairs" : "");
    }
    sqlite3_finalize(q);
    return s;
}

/* Fails with the name that is not there, and the nearest that is. */
static hct_status no_label(dataset_index *ix, const char *name, hct_err *err) {
    char best[128] = "";
    sqlite3_stmt *q = index_query(ix, err, "SELECT name FROM label_names ORDER BY id", "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        const char *pair[] = {(const char *)sqlite3_column_text(q, 0), best};
        const char *near = pair[0] ? hct_name_nearest(name, pair, *best ? 2 : 1) : NULL;
        if (near && near != best) snprintf(best, sizeof best, "%s", near);
    }
    sqlite3_finalize(q);
    if (step < 0) return step;
    return hct_fail(err, HCT_ENOTFOUND, "%s: no label '%s'%s%s%s", ix->path, name, *best ? "; did you mean '" : "",
                    best, *best ? "'?" : "");
}

/* The labels of "A,B" or "all", by their numbers in the index. */
static hct_status wanted_labels(dataset_index *ix, const char *names, int64_t ids[SPLIT_LABELS], size_t *ret_n,
                                hct_err *err) {
    const bool every = strcmp(names, "all") == 0;
    sqlite3_stmt *q = index_query(ix, err, "SELECT id, name FROM label_names ORDER BY id", "");
    int step = q ? 1 : HCT_EIO;
    *ret_n = 0;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        const char *name = index_text(ix, q, 1, "a label's name", err);
        if (!name) step = HCT_EFORMAT;
        else if (!every && !list_has(names, ',', name)) continue;
        else if (*ret_n == SPLIT_LABELS)
            step = hct_fail(err, HCT_EINVAL, "%s: at most %d labels can be dealt evenly: name them, --stratify A,B",
                            ix->path, SPLIT_LABELS);
        else ids[(*ret_n)++] = sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    hct_status s = step < 0 ? step : HCT_OK;
    for (const char *at = names; s == HCT_OK && !every && *at; at += strcspn(at, ","), at += *at == ',') {
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        q = index_query(ix, err, "SELECT id FROM label_names WHERE name=?", "s", name);
        step = q ? index_step(ix, q, err) : HCT_EIO;
        sqlite3_finalize(q);
        s = step < 0 ? step : step ? HCT_OK : no_label(ix, name, err);
    }
    return s == HCT_OK && !*ret_n ? hct_fail(err, HCT_ENOTFOUND, "%s: has no labels to deal evenly", ix->path) : s;
}

/* Bits of labels that patients have a positive of. names: the rule's. */
static hct_status load_labels(dataset_index *ix, const char *names, const patient *list, size_t n, uint64_t *ret,
                              hct_err *err) {
    int64_t ids[SPLIT_LABELS], most = 0;
    size_t labels = 0;
    hct_status s = wanted_labels(ix, names, ids, &labels, err);
    if (s < 0) return s;
    for (size_t i = 0; i < n; i++)
        if (list[i].id > most) most = list[i].id;
    size_t *by_id = calloc((size_t)most + 2, sizeof *by_id); /* places in the list, from 1 on */
    if (!by_id) return hct_fail(err, HCT_ENOMEM, "no memory for the patients");
    for (size_t i = 0; i < n; i++) by_id[list[i].id] = i + 1;
    sqlite3_stmt *q =
        index_query(ix, err,
                    "SELECT DISTINCT s.patient, l.label FROM labels l JOIN scans s ON s.n=l.scan WHERE l.value=1", "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        int64_t id = sqlite3_column_int64(q, 0), label = sqlite3_column_int64(q, 1);
        for (size_t k = 0; k < labels; k++)
            if (ids[k] == label && id >= 0 && id <= most && by_id[id]) ret[by_id[id] - 1] |= (uint64_t)1 << k;
    }
    sqlite3_finalize(q);
    free(by_id);
    return step < 0 ? step : HCT_OK;
}

static hct_status put(dataset_index *ix, int64_t patient, const char *part, hct_err *err) {
    return index_run(ix, err, "INSERT OR REPLACE INTO splits VALUES(?, ?)", "is", patient, part);
}

/* All patients, in their order. */
static hct_status deal(dataset_index *ix, const split_rule *r, const patient *list, size_t n, hct_err *err) {
    const parts p = parts_of(r);
    int *part = malloc((n + 1) * sizeof *part);
    uint64_t *labels = calloc(n + 1, sizeof *labels);
    hct_status s = part && labels ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory for the patients");
    if (s == HCT_OK && r->stratify) s = load_labels(ix, r->stratify, list, n, labels, err);
    if (s == HCT_OK && r->stratify) s = split_deal_evenly(labels, n, p.ratios, p.n, part, err);
    else if (s == HCT_OK) split_deal(n, p.ratios, p.n, part);
    for (size_t i = 0; i < n && s == HCT_OK; i++) s = put(ix, list[i].id, p.names[part[i]], err);
    free(part);
    free(labels);
    return s;
}

/* Where a patient's rank falls in the proportions. */
static size_t part_of_rank(const char *rank, const parts *p) {
    char start[14] = "";
    memcpy(start, rank, 13); /* 52 bits */
    double at = (double)strtoull(start, NULL, 16) / 4503599627370496.0, total = 0, sum = 0;
    for (size_t k = 0; k < p->n; k++) total += p->ratios[k];
    for (size_t k = 0; k < p->n; k++)
        if (at < (sum += p->ratios[k] / total)) return k;
    return 0;
}

/* Patients without a part alone. */
static hct_status deal_new(dataset_index *ix, const split_rule *r, const patient *list, size_t n, hct_err *err) {
    const parts p = parts_of(r);
    hct_status s = HCT_OK;
    for (size_t i = 0; i < n && s == HCT_OK; i++) s = put(ix, list[i].id, p.names[part_of_rank(list[i].rank, &p)], err);
    return s;
}

static hct_status place_from(dataset_index *ix, const char *dataset, const split_rule *r, split_result *ret,
                             hct_err *err) {
    split_place *place = NULL;
    size_t n = 0;
    hct_status s = split_from(ix, dataset, r, &place, &n, ret, err);
    for (size_t i = 0; i < n && s == HCT_OK; i++) {
        bool there = false;
        sqlite3_stmt *q = index_query(ix, err, "SELECT split FROM splits WHERE patient=?", "i", place[i].patient);
        int step = q ? index_step(ix, q, err) : HCT_EIO;
        there = step > 0;
        sqlite3_finalize(q);
        if (step < 0) s = step;
        if (s < 0 || there) continue;
        s = put(ix, place[i].patient, place[i].part, err);
        ret->placed++;
    }
    free(place);
    return s;
}

static hct_status split_all(dataset_index *ix, const char *dataset, split_rule *r, split_result *ret, hct_err *err) {
    patient *list = NULL;
    size_t n = 0;
    hct_status s = index_check(ix, err);
    if (s == HCT_OK && !r->allow_copies) s = check_copies(ix, err);
    if (s == HCT_OK && r->keep && !r->from && !r->given) s = stored_rule(ix, r, err);
    if (s == HCT_OK && !r->keep) s = index_exec(ix, "DELETE FROM splits", err);
    if (s == HCT_OK && r->from) s = place_from(ix, dataset, r, ret, err);
    if (s == HCT_OK && !r->from) s = load_patients(ix, r->seed, r->keep, &list, &n, err);
    if (s == HCT_OK && !r->from && !r->keep && n == 0)
        s = hct_fail(err, HCT_ENOTFOUND, "%s: no prepared scan to split", dataset);
    if (s == HCT_OK && n) qsort(list, n, sizeof *list, by_rank);
    if (s == HCT_OK && n) s = r->keep ? deal_new(ix, r, list, n, err) : deal(ix, r, list, n, err);
    ret->placed += n;
    describe(r, ret->rule);
    if (s == HCT_OK)
        s = index_run(ix, err,
                      r->keep ? "INSERT OR IGNORE INTO settings VALUES('split', ?)"
                              : "INSERT OR REPLACE INTO settings VALUES('split', ?)",
                      "s", ret->rule);
    free(list);
    return s;
}

hct_status split_dataset(const char *dataset, const split_rule *rule, split_result *ret, hct_err *err) {
    dataset_index ix;
    split_rule r = *rule;
    *ret = (split_result){0};
    hct_status s = index_open(&ix, dataset, 0, err);
    if (s < 0) return s;
    s = index_exec(&ix, "BEGIN IMMEDIATE", err);
    if (s == HCT_OK) s = split_all(&ix, dataset, &r, ret, err);
    if (s == HCT_OK) s = index_exec(&ix, "COMMIT", err);
    if (s < 0) index_exec(&ix, "ROLLBACK", NULL);
    index_close(&ix);
    return s;
}
