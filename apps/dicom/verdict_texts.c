/* Kernels, contrast and body parts by their words. */
#include "dicom/verdict_texts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

HCT_PRINTF(3, 4) static void refuse(text_checks *c, verdict_reason reason, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    c->of[c->n].reason = reason;
    vsnprintf(c->of[c->n].sentence, sizeof c->of[c->n].sentence, fmt, ap);
    c->n++;
    va_end(ap);
}

static bool is_there(const char *text) { return text && *text; }

/* The kernel as Python shows it: bare, or a list of several values. */
static void python_kernel(const char *kernel, char *ret, size_t n) {
    char value[128];
    size_t to = 0;
    if (!strchr(kernel, '\\')) {
        snprintf(ret, n, "%s", kernel);
        return;
    }
    for (int i = 0; dicom_value(kernel, i, value, sizeof value) && to < n; i++)
        to += (size_t)snprintf(ret + to, n - to, "%s'%s'", i ? ", " : "[", value);
    if (to < n) snprintf(ret + to, n - to, "]");
}

static void check_whitelist(const dicom_header *h, const series *s, const series_filters *f, text_checks *c) {
    char kernel[1024];
    bool whole = is_there(h->study_description) && is_there(h->kernel) && s->kvp == s->kvp;
    if (!whole) {
        if (f->absent_refuses) refuse(c, REASON_WHITELIST, "StudyDescription, KVP or ConvolutionKernel is absent");
        return;
    }
    python_kernel(h->kernel, kernel, sizeof kernel);
    for (size_t i = 0; i < f->n_whitelist; i++)
        if (f->whitelist[i].kvp == s->kvp && strcmp(f->whitelist[i].kernel, kernel) == 0 &&
            strcmp(f->whitelist[i].study, h->study_description) == 0)
            return;
    refuse(c, REASON_WHITELIST, "its study description, kVp and kernel are not in the whitelist");
}

static void check_kernel(const dicom_header *h, const series_filters *f, text_checks *c) {
    char first[128] = "";
    if (!is_there(h->kernel) || !dicom_value(h->kernel, 0, first, sizeof first) || !*first) {
        if (f->absent_refuses && f->kernels.n) refuse(c, REASON_KERNEL, "ConvolutionKernel is absent");
        return;
    }
    const char *no = filter_match(&f->no_kernels, first);
    if (no) refuse(c, REASON_KERNEL, "its kernel is one for bone or lung (it matches %.100s)", no);
    else if (f->kernels.n && !filter_match(&f->kernels, first))
        refuse(c, REASON_KERNEL, "its kernel is none of those that are wanted");
}

/* What people write for "none" in ContrastBolusAgent. */
static bool says_none(const char *text) {
    static const char *const none[] = {
        "",           "none",    "no",    "non",     "n",           "na",           "n a",
        "0",          "without", "wo",    "w o",     "nil",         "nil",          "keine",
        "kein",       "ohne",    "aucun", "ninguno", "no contrast", "non contrast", "without contrast",
        "unenhanced", "plain",   "false"};
    char plain[64];
    filter_normalise(text, plain, sizeof plain);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (strcmp(plain, none[i]) == 0) return true;
    return false;
}

typedef struct texts {
    char own[2048], study[2048]; /* the series' texts and the study's, normalised */
    bool head_in_own, head_in_study;
} texts;

static void gather(const dicom_header *h, const series_filters *f, texts *t) {
    char joined[4096];
    snprintf(joined, sizeof joined, "%s / %s", h->series_description ? h->series_description : "",
             h->body_part ? h->body_part : "");
    filter_normalise(joined, t->own, sizeof t->own);
    snprintf(joined, sizeof joined, "%s / %s", h->study_description ? h->study_description : "",
             h->protocol ? h->protocol : "");
    filter_normalise(joined, t->study, sizeof t->study);
    t->head_in_own = filter_match(&f->head_words, t->own) != NULL;
    t->head_in_study = filter_match(&f->head_words, t->study) != NULL;
}

/* In the series' own texts; in the study's where those do not name the head, as a study of head and neck holds both. */
static const char *word_in(const filter_patterns *p, const texts *t) {
    const char *own = filter_match(p, t->own);
    return own || t->head_in_own ? own : filter_match(p, t->study);
}

static void check_contrast(const dicom_header *h, const texts *t, const series_filters *f, text_checks *c) {
    if (f->contrast != FILTER_REFUSE) return;
    const char *word = word_in(&f->contrast_words, t);
    if (is_there(h->contrast_agent) && !says_none(h->contrast_agent))
        refuse(c, REASON_CONTRAST, "ContrastBolusAgent names an agent");
    else if (h->contrast_items) refuse(c, REASON_CONTRAST, "ContrastBolusAgentSequence names an agent");
    else if (word) refuse(c, REASON_CONTRAST, "its descriptions tell of contrast (%.100s)", word);
}

static void check_body(const texts *t, const series_filters *f, text_checks *c) {
    if (f->head_words.n && !t->head_in_own && !t->head_in_study) {
        const char *other = filter_match(&f->other_words, t->own);
        if (!other) other = filter_match(&f->other_words, t->study);
        if (other) refuse(c, REASON_NOT_HEAD, "its descriptions name another part of the body (%.100s)", other);
        else if (f->absent_refuses) refuse(c, REASON_NOT_HEAD, "nothing in its descriptions names the head");
    }
    const char *word = word_in(&f->no_words, t);
    if (word) refuse(c, REASON_WORDS, "its descriptions hold a word that is not wanted (%.100s)", word);
}

void verdict_texts(const pile_file *files, const series *s, const series_filters *f, text_checks *ret) {
    const dicom_header *h = series_header(files, s);
    texts t;
    ret->n = 0;
    gather(h, f, &t);
    if (f->has_whitelist) check_whitelist(h, s, f, ret);
    else check_kernel(h, f, ret);
    check_contrast(h, &t, f, ret);
    check_body(&t, f, ret);
}
