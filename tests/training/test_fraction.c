/* training/fraction.h: by patient, nested, a function of the seed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "run/fraction.h"

enum { PATIENTS = 40, SCANS = 100 };

static dataset_scan scan[SCANS];
static char name[PATIENTS][16];
static const dataset data = {.n = SCANS, .scans = scan};

static size_t take(double fraction, int64_t seed, size_t scans[SCANS]) {
    size_t n = SCANS;
    hct_err err;
    for (int i = 0; i < PATIENTS; i++) snprintf(name[i], sizeof name[i], "p%d", i);
    for (size_t i = 0; i < SCANS; i++) scan[i].patient = name[i * 7 % PATIENTS], scans[i] = i;
    ck_assert_int_eq(fraction_of_patients(&data, fraction, 0, seed, scans, &n, &err), HCT_OK);
    return n;
}

static size_t patients_of(const size_t *scans, size_t n, char here[PATIENTS]) {
    memset(here, 0, PATIENTS);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) here[scans[i] * 7 % PATIENTS] = 1;
    for (int i = 0; i < PATIENTS; i++) count += (size_t)here[i];
    return count;
}

START_TEST(whole_patients) {
    size_t scans[SCANS];
    char here[PATIENTS];
    const double fractions[] = {0.1, 0.3, 0.5, 1.0};
    for (int k = 0; k < 4; k++) {
        size_t n = take(fractions[k], 5, scans), all = 0;
        ck_assert_uint_eq(patients_of(scans, n, here), (size_t)(fractions[k] * PATIENTS + 0.5));
        for (size_t i = 0; i < SCANS; i++) all += (size_t)here[i * 7 % PATIENTS];
        ck_assert_uint_eq(n, all); /* every scan of each patient that is in */
        for (size_t i = 1; i < n; i++) ck_assert(scans[i - 1] < scans[i]);
    }
}
END_TEST

START_TEST(nested) {
    size_t scans[SCANS];
    char small[PATIENTS], large[PATIENTS];
    patients_of(scans, take(0.1, 5, scans), small);
    patients_of(scans, take(0.3, 5, scans), large);
    for (int i = 0; i < PATIENTS; i++) ck_assert(!small[i] || large[i]);
}
END_TEST

START_TEST(seeded) {
    size_t scans[SCANS];
    char a[PATIENTS], b[PATIENTS], c[PATIENTS];
    patients_of(scans, take(0.3, 5, scans), a);
    patients_of(scans, take(0.3, 5, scans), b);
    patients_of(scans, take(0.3, 6, scans), c);
    ck_assert(!memcmp(a, b, PATIENTS));
    ck_assert(memcmp(a, c, PATIENTS) != 0);
}
END_TEST

START_TEST(refused) {
    size_t scans[1] = {0}, n = 1;
    hct_err err;
    ck_assert_int_eq(fraction_of_patients(&data, 0, 0, 1, scans, &n, &err), HCT_EINVAL);
    ck_assert(strstr(err.msg, "data.fraction") != NULL);
}
END_TEST

/* So many patients are those of the share that has as many; more than there are is an error. */
START_TEST(counted) {
    size_t share[SCANS], count[SCANS], n = take(0.3, 5, share), m = SCANS, none = SCANS;
    hct_err err;
    for (size_t i = 0; i < SCANS; i++) count[i] = i;
    ck_assert_int_eq(fraction_of_patients(&data, 1, 12, 5, count, &m, &err), HCT_OK);
    ck_assert_uint_eq(m, n);
    ck_assert_mem_eq(count, share, n * sizeof *share);
    for (size_t i = 0; i < SCANS; i++) count[i] = i;
    ck_assert_int_eq(fraction_of_patients(&data, 1, PATIENTS + 1, 5, count, &none, &err), HCT_EINVAL);
    ck_assert(strstr(err.msg, "data.patients: 41 are wanted, the training split has 40") != NULL);
}
END_TEST

CHECK_MAIN("fraction", whole_patients, nested, seeded, refused, counted)
