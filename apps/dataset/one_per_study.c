/* Choosing one series of each study. */
#include "dataset/one_per_study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char study[KEY_HEX], *id;
    double thickness; /* NAN: unknown */
    int soft;         /* 0: a kernel for brain; 1: unknown; 2: another */
    size_t slices;
    bool chosen;
} entry;

struct study_pick {
    study_choice how;
    entry *items; /* in order of id */
    size_t n;
};

static const char *const words[] = {"", "thin", "thick", "soft"};

bool study_choice_find(const char *word, study_choice *ret) {
    for (int k = STUDY_THIN; k <= STUDY_SOFT; k++)
        if (strcmp(word, words[k]) == 0) return *ret = (study_choice)k, true;
    return false;
}

const char *study_choice_word(study_choice c) { return words[c]; }

/* Kernels made for soft tissue: Siemens by sharpness below 45, others by name. */
static int softness(const char *kernel) {
    if (!kernel || !*kernel) return 1;
    const char *digits = strpbrk(kernel, "0123456789");
    static const char *const soft[] = {"STANDARD", "SOFT", "BRAIN", "UA", "UB", "A", "B", "FC2", "FC6"};
    for (size_t i = 0; i < sizeof soft / sizeof *soft; i++)
        if (strncasecmp(kernel, soft[i], strlen(soft[i])) == 0 && (strlen(soft[i]) > 1 || kernel[1] == 0)) return 0;
    return digits && strchr("HBJUTQ", kernel[0]) && strtol(digits, NULL, 10) < 45 ? 0 : 2;
}

/* Whether a is to be preferred to b. */
static bool better(study_choice how, const entry *a, const entry *b) {
    if (how == STUDY_SOFT && a->soft != b->soft) return a->soft < b->soft;
    double x = isnan(a->thickness) ? HUGE_VAL : a->thickness, y = isnan(b->thickness) ? HUGE_VAL : b->thickness;
    if (how == STUDY_THICK) {
        x = isnan(a->thickness) ? HUGE_VAL : -a->thickness;
        y = isnan(b->thickness) ? HUGE_VAL : -b->thickness;
    }
    if (x != y) return x < y;
    if (a->slices != b->slices) return a->slices > b->slices;
    return strcmp(a->id, b->id) < 0;
}

static hct_status add(study_pick *p, found *f, const candidate_list *l, const candidate *c, hct_err *err) {
    const dicom_header *h = series_header(l->files, c->series);
    entry *more = realloc(p->items, (p->n + 1) * sizeof *more);
    char id[FOUND_ID];
    if (!more) return hct_fail(err, HCT_ENOMEM, "no memory for the list of studies");
    p->items = more;
    entry *e = &more[p->n];
    *e = (entry){.thickness = c->series->thickness, .soft = softness(h->kernel), .slices = c->series->n_slices};
    hct_status s = found_id(f, l, c, id, err);
    if (s == HCT_OK) s = key_mark(f->key, "study", h->study_uid ? h->study_uid : id, e->study, err);
    if (s == HCT_OK && !(e->id = strdup(id))) s = hct_fail(err, HCT_ENOMEM, "no memory for the list of studies");
    if (s == HCT_OK) p->n++;
    return s;
}

static int by_study(const void *a, const void *b) {
    return strcmp(((const entry *)a)->study, ((const entry *)b)->study);
}
static int by_id(const void *a, const void *b) { return strcmp(((const entry *)a)->id, ((const entry *)b)->id); }

study_pick *study_pick_new(found *f, const found_unit *units, size_t n, const series_filters *filters, study_choice how,
                           hct_err *err) {
    study_pick *p = calloc(1, sizeof *p);
    hct_status s = p ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory for the list of studies");
    if (p) p->how = how;
    for (size_t i = 0; i < n && s == HCT_OK; i++) {
        pile_file *files = NULL;
        size_t n_files = 0;
        candidate_list l = {0};
        s = found_files(f, &units[i], &files, &n_files, err);
        if (s == HCT_OK) s = candidates_of(files, n_files, filters, &l, err);
        for (size_t k = 0; k < l.n && s == HCT_OK; k++)
            if (l.items[k].series && !l.items[k].verdict.refusal) s = add(p, f, &l, &l.items[k], err);
        candidates_free(&l);
        found_files_free(files, n_files);
    }
    if (s < 0) {
        study_pick_free(p);
        return NULL;
    }
    if (p->n) qsort(p->items, p->n, sizeof *p->items, by_study);
    for (size_t from = 0, to; from < p->n; from = to) {
        size_t best = from;
        for (to = from; to < p->n && strcmp(p->items[to].study, p->items[from].study) == 0; to++)
            if (better(how, &p->items[to], &p->items[best])) best = to;
        p->items[best].chosen = true;
    }
    if (p->n) qsort(p->items, p->n, sizeof *p->items, by_id);
    return p;
}

void study_pick_free(study_pick *p) {
    for (size_t i = 0; p && i < p->n; i++) free(p->items[i].id);
    if (p) free(p->items);
    free(p);
}

hct_status study_pick_apply(const study_pick *p, const char *id, verdict *v, hct_err *err) {
    if (!p || v->refusal || !p->n) return HCT_OK;
    entry key = {.id = (char *)(uintptr_t)id};
    const entry *e = bsearch(&key, p->items, p->n, sizeof *p->items, by_id);
    if (!e || e->chosen) return HCT_OK;
    return verdict_add(v, REASON_NOT_CHOSEN, VERDICT_REFUSE, err,
                       "another series of its study was chosen (--one-per-study %s)", study_choice_word(p->how));
}
