/* A share of a split's patients, the same for every seed. */
#include "run/fraction.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/sha256.h"

typedef struct patient {
    const char *name;
    char key[SHA256_HEX];
} patient;

static int by_name(const void *a, const void *b) {
    return strcmp(((const patient *)a)->name, ((const patient *)b)->name);
}
static int by_key(const void *a, const void *b) { return strcmp(((const patient *)a)->key, ((const patient *)b)->key); }

static hct_status set_key(patient *p, int64_t seed, hct_err *err) {
    char number[32];
    int digits = snprintf(number, sizeof number, "%lld:", (long long)seed);
    sha256 *h = sha256_begin();
    sha256_add(h, number, (size_t)digits);
    sha256_add(h, p->name, strlen(p->name));
    return sha256_end(h, p->key, err);
}

hct_status fraction_of_patients(const dataset *d, double fraction, int64_t most, int64_t seed, size_t *scans, size_t *n,
                                hct_err *err) {
    if (!(fraction > 0 && fraction <= 1))
        return hct_fail(err, HCT_EINVAL, "data.fraction: %g is not above 0 and at most 1", fraction);
    if ((fraction >= 1 && !most) || !*n) return HCT_OK;
    patient *all = malloc(*n * sizeof *all);
    if (!all) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu patients", *n);
    size_t patients = 0, kept = 0;
    for (size_t i = 0; i < *n; i++) all[i].name = d->scans[scans[i]].patient;
    qsort(all, *n, sizeof *all, by_name);
    for (size_t i = 0; i < *n; i++)
        if (!patients || by_name(&all[patients - 1], &all[i])) all[patients++] = all[i];
    hct_status st = HCT_OK;
    if (most > 0 && (size_t)most > patients)
        st = hct_fail(err, HCT_EINVAL, "data.patients: %lld are wanted, the training split has %zu", (long long)most,
                      patients);
    for (size_t i = 0; st == HCT_OK && i < patients; i++) st = set_key(&all[i], seed, err);
    size_t share = most ? (size_t)most : (size_t)ceil(fraction * (double)patients - 1e-9);
    if (st == HCT_OK) {
        qsort(all, patients, sizeof *all, by_key);
        qsort(all, share, sizeof *all, by_name);
        for (size_t i = 0; i < *n; i++) {
            const patient key = {.name = d->scans[scans[i]].patient};
            if (bsearch(&key, all, share, sizeof *all, by_name)) scans[kept++] = scans[i];
        }
        *n = kept;
    }
    free(all);
    return st;
}

hct_status training_split(const dataset *d, const recipe *r, size_t **ret, size_t *ret_n, hct_err *err) {
    hct_status st = dataset_split(d, r->data.train, ret, ret_n, err);
    int64_t seed = r->data.seed < 0 ? r->seed : r->data.seed;
    return st == HCT_OK ? fraction_of_patients(d, r->data.fraction, r->data.patients, seed, *ret, ret_n, err) : st;
}
