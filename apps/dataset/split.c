/* Patients are dealt into training, validation and test. */
#include "dataset/split.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index.h"
#include "support/sha256.h"

const char *const split_names[SPLITS] = {"train", "val", "test"};

typedef struct patient {
    int64_t id;
    char rank[SHA256_HEX];
} patient;

static int by_rank(const void *a, const void *b) {
    return strcmp(((const patient *)a)->rank, ((const patient *)b)->rank);
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

/* count[p] of n for each split. */
static void apportion(const double ratios[SPLITS], size_t n, size_t count[SPLITS]) {
    double total = 0, rest[SPLITS];
    size_t given = 0;
    for (int p = 0; p < SPLITS; p++) total += ratios[p];
    for (int p = 0; p < SPLITS; p++) {
        double share = (double)n * ratios[p] / total;
        count[p] = (size_t)floor(share + 1e-9);
        rest[p] = share - (double)count[p];
        given += count[p];
    }
    for (; given < n; given++) {
        int best = 0;
        for (int p = 1; p < SPLITS; p++)
            if (rest[p] > rest[best]) best = p;
        count[best]++;
        rest[best] -= 1;
    }
    for (int p = 0; p < SPLITS; p++) {
        int largest = 0;
        for (int k = 1; k < SPLITS; k++)
            if (count[k] > count[largest]) largest = k;
        if (ratios[p] > 0 && count[p] == 0 && count[largest] > 1) {
            count[p]++;
            count[largest]--;
        }
    }
}

static hct_status store(dataset_index *ix, const patient *list, const size_t count[SPLITS], const double ratios[SPLITS],
                        int64_t seed, hct_err *err) {
    char text[128];
    hct_status s = index_run(ix, err, "DELETE FROM splits", "");
    size_t at = 0;
    for (int p = 0; p < SPLITS; p++)
        for (size_t k = 0; s == HCT_OK && k < count[p]; k++, at++)
            s = index_run(ix, err, "INSERT INTO splits VALUES(?, ?)", "is", list[at].id, split_names[p]);
    snprintf(text, sizeof text, "%g:%g:%g seed %lld", ratios[0], ratios[1], ratios[2], (long long)seed);
    if (s == HCT_OK) s = index_run(ix, err, "INSERT OR REPLACE INTO settings VALUES('split', ?)", "s", text);
    return s;
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

hct_status split_dataset(const char *dataset, const double ratios[SPLITS], int64_t seed, bool allow_copies,
                         hct_err *err) {
    dataset_index ix;
    patient *list = NULL;
    size_t n = 0, count[SPLITS];
    hct_status s = index_open(&ix, dataset, 0, err);
    if (s < 0) return s;
    s = index_exec(&ix, "BEGIN IMMEDIATE", err);
    if (s == HCT_OK) s = index_check(&ix, err);
    if (s == HCT_OK && !allow_copies) s = check_copies(&ix, err);
    if (s == HCT_OK) s = load_patients(&ix, seed, false, &list, &n, err);
    if (s == HCT_OK && n == 0) s = hct_fail(err, HCT_ENOTFOUND, "%s: no prepared scan to split", dataset);
    if (s == HCT_OK) {
        qsort(list, n, sizeof *list, by_rank);
        apportion(ratios, n, count);
        s = store(&ix, list, count, ratios, seed, err);
    }
    if (s == HCT_OK) s = index_exec(&ix, "COMMIT", err);
    if (s < 0) index_exec(&ix, "ROLLBACK", NULL);
    free(list);
    index_close(&ix);
    return s;
}

/* Where a patient's rank falls in the proportions. */
static int split_of_rank(const char *rank, const double ratios[SPLITS]) {
    char start[14] = "";
    memcpy(start, rank, 13); /* 52 bits */
    double at = (double)strtoull(start, NULL, 16) / 4503599627370496.0, total = 0, sum = 0;
    for (int p = 0; p < SPLITS; p++) total += ratios[p];
    for (int p = 0; p < SPLITS; p++)
        if (at < (sum += ratios[p] / total)) return p;
    return 0;
}

hct_status split_new_patients(const char *dataset, const double ratios[SPLITS], int64_t seed, bool allow_copies,
                              size_t *ret_new, hct_err *err) {
    dataset_index ix;
    patient *list = NULL;
    size_t n = 0;
    hct_status s = index_open(&ix, dataset, 0, err);
    if (s < 0) return s;
    s = index_exec(&ix, "BEGIN IMMEDIATE", err);
    if (s == HCT_OK) s = index_check(&ix, err);
    if (s == HCT_OK && !allow_copies) s = check_copies(&ix, err);
    if (s == HCT_OK) s = load_patients(&ix, seed, true, &list, &n, err);
    for (size_t i = 0; i < n && s == HCT_OK; i++)
        s = index_run(&ix, err, "INSERT INTO splits VALUES(?, ?)", "is", list[i].id,
                      split_names[split_of_rank(list[i].rank, ratios)]);
    if (s == HCT_OK) s = index_exec(&ix, "COMMIT", err);
    if (s < 0) index_exec(&ix, "ROLLBACK", NULL);
    *ret_new = n;
    free(list);
    index_close(&ix);
    return s;
}
