/* Tags of a scan's source: age, sex, scanner, geometry, shifted dates. */
#include "dataset/scan_tags.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/text.h"

enum { OLDEST = 90 }; /* years; whoever is older is as old: few are, and an age would tell who */

static void add(scan_tags *t, const char *key, const char *fmt, ...) HCT_PRINTF(3, 4);
static void add(scan_tags *t, const char *key, const char *fmt, ...) {
    if (t->n == SCAN_TAGS) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->values[t->n], SCAN_TAG, fmt, ap);
    va_end(ap);
    char *value = t->values[t->n];
    for (char *c = value; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = ' ';
    if (!*value || text_not_utf8(value)) return;
    t->pairs[t->n][0] = key;
    t->pairs[t->n++][1] = value;
}

static bool seconds_of(const char *text, time_t *ret) {
    struct tm day = {0};
    int year, month, date;
    if (!text || strspn(text, "0123456789") < 8 || sscanf(text, "%4d%2d%2d", &year, &month, &date) != 3) return false;
    day.tm_year = year - 1900;
    day.tm_mon = month - 1;
    day.tm_mday = date;
    *ret = timegm(&day);
    return month >= 1 && month <= 12 && date >= 1 && date <= 31 && year >= 1850;
}

void scan_date(const char *text, int days, char ret[16]) {
    time_t at;
    struct tm day;
    *ret = 0;
    if (!seconds_of(text, &at)) return;
    at -= (time_t)days * 86400;
    if (gmtime_r(&at, &day)) strftime(ret, 16, "%Y-%m-%d", &day);
}

/* Years; < 0: not known. PS3.5: three digits and D, W, M or Y. */
static double age_of(const dicom_header *h) {
    time_t born, scanned;
    int number;
    char unit;
    if (h->patient_age && sscanf(h->patient_age, "%3d%c", &number, &unit) == 2) {
        double years = unit == 'Y'   ? number
                       : unit == 'M' ? number / 12.0
                       : unit == 'W' ? number / 52.18
                       : unit == 'D' ? number / 365.25
                                     : -1;
        if (years >= 0) return years;
    }
    if (seconds_of(h->patient_birth_date, &born) && seconds_of(h->study_date, &scanned) && scanned >= born)
        return (double)(scanned - born) / (365.25 * 86400);
    return -1;
}

static void add_of_header(scan_tags *t, const dicom_header *h) {
    double age = age_of(h);
    if (age >= 0) add(t, "age", "%.4g", age >= OLDEST ? OLDEST : age >= 3 ? floor(age) : age);
    if (h->patient_sex && strchr("MFO", *h->patient_sex) && *h->patient_sex) add(t, "sex", "%c", *h->patient_sex);
    char kernel[SCAN_TAG] = "";
    if (h->kernel) dicom_value(h->kernel, 0, kernel, sizeof kernel);
    add(t, "kernel", "%s", kernel);
    add(t, "manufacturer", "%s", h->manufacturer ? h->manufacturer : "");
    add(t, "model", "%s", h->model ? h->model : "");
    add(t, "body part", "%s", h->body_part ? h->body_part : "");
    if (h->contrast_agent && *h->contrast_agent) add(t, "contrast agent", "yes");
}

/* 16 digits of a keyed mark, so that what belongs together can be told, and nothing else. */
static hct_status add_mark(scan_tags *t, const dataset_key *key, const char *what, const char *text, hct_err *err) {
    char mark[KEY_HEX];
    hct_status s = text && *text ? key_mark(key, what, text, mark, err) : HCT_OK;
    if (s == HCT_OK && text && *text) add(t, what, "%.16s", mark);
    return s;
}

hct_status scan_tags_of(const candidate_list *l, const candidate *c, const candidate_facts *facts,
                        const dataset_key *key, const char *patient, bool clear_dates, scan_tags *ret, hct_err *err) {
    *ret = (scan_tags){.n = 0};
    const scan_info *in = &facts->info;
    add(ret, "source kind", "%s", in->dicom ? "DICOM" : "NIfTI");
    add(ret, "source size", "%lld x %lld x %lld", (long long)in->dim[0], (long long)in->dim[1], (long long)in->dim[2]);
    add(ret, "source spacing mm", "%.4g x %.4g x %.4g", in->spacing[0], in->spacing[1], in->spacing[2]);
    static const char *const shares[] = {"HU 5%", "HU 50%", "HU 95%"};
    for (int k = 0; k < 3; k++)
        if (!isnan(facts->hu[k])) add(ret, shares[k], "%.0f", facts->hu[k]);
    if (facts->beyond > 0) add(ret, "head outside mm", "%.0f", facts->beyond);
    if (!c->series) return HCT_OK;
    const dicom_header *h = series_header(l->files, c->series);
    if (!isnan(facts->thickness)) add(ret, "thickness mm", "%.4g", facts->thickness);
    if (!isnan(facts->kvp)) add(ret, "kVp", "%.4g", facts->kvp);
    add(ret, "tilt degrees", "%.3g", facts->tilt);
    add(ret, "slices", "%zu", c->series->n_slices);
    add_of_header(ret, h);
    int days = 0;
    hct_status s = add_mark(ret, key, "study", h->study_uid, err);
    if (s == HCT_OK) s = add_mark(ret, key, "series", h->series_uid, err);
    if (s == HCT_OK) s = add_mark(ret, key, "accession", h->accession_number, err);
    if (s == HCT_OK && !clear_dates && patient && *patient) s = key_days(key, patient, &days, err);
    if (s == HCT_OK && (clear_dates || days)) {
        char date[16];
        scan_date(h->study_date, days, date);
        add(ret, "study date", "%s", date);
    }
    return s;
}

hct_status scan_patient(const candidate_list *l, const candidate *c, const dataset_key *key, char ret[KEY_HEX],
                        hct_err *err) {
    *ret = 0;
    if (!c->series) return HCT_OK;
    const dicom_header *h = series_header(l->files, c->series);
    if (h->patient_id && *h->patient_id) return key_patient(key, h->patient_id, ret, err);
    if (h->study_uid && *h->study_uid) return key_mark(key, "study", h->study_uid, ret, err);
    return HCT_OK;
}

void scan_patient_name(const char *mark, char ret[SCAN_PATIENT]) { snprintf(ret, SCAN_PATIENT, "p%.16s", mark); }
