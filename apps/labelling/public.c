/* Tables of RSNA 2019 and CQ500 onto prepared scans. */
#include "labelling/public.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/index.h"
#include "support/csv.h"
#include "support/paths.h"

static const char *const rsna_types[] = {"any",          "intraparenchymal", "intraventricular",
                                         "subarachnoid", "subdural",         "epidural"};
static const char *const rsna_names[] = {"any", "IPH", "IVH", "SAH", "SDH", "EDH"};
static const char *const cq500_names[] = {"ICH",
                                          "IPH",
                                          "IVH",
                                          "SDH",
                                          "EDH",
                                          "SAH",
                                          "BleedLocation-Left",
                                          "BleedLocation-Right",
                                          "ChronicBleed",
                                          "Fracture",
                                          "CalvarialFracture",
                                          "OtherFracture",
                                          "MassEffect",
                                          "MidlineShift"};
enum { RSNA = 6, CQ500 = 14, KEY = 40 };

/* What the table says of one slice or study. */
typedef struct entry {
    char key[KEY];
    uint32_t known, positive; /* bits */
    bool used;
} entry;

typedef struct table {
    public_layout layout;
    entry *items; /* in order of key, after sorting */
    size_t n, room;
} table;

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the labels"); }

bool public_layout_find(const char *word, public_layout *ret) {
    *ret = strcmp(word, "rsna") == 0 ? LAYOUT_RSNA : strcmp(word, "cq500") == 0 ? LAYOUT_CQ500 : LAYOUT_NONE;
    return *ret != LAYOUT_NONE;
}

static int by_key(const void *a, const void *b) { return strcmp(((const entry *)a)->key, ((const entry *)b)->key); }

static hct_status add(table *t, const entry *e, hct_err *err) {
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 4096;
        entry *more = realloc(t->items, room * sizeof *more);
        if (!more) return no_memory(err);
        t->items = more;
        t->room = room;
    }
    t->items[t->n++] = *e;
    return HCT_OK;
}

/* Rows of one key to one entry; *ret_repeated: equal rows. */
static hct_status merge(table *t, const char *path, int64_t *ret_repeated, hct_err *err) {
    if (t->n) qsort(t->items, t->n, sizeof *t->items, by_key);
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        entry *last = kept ? &t->items[kept - 1] : NULL, *e = &t->items[i];
        if (!last || strcmp(last->key, e->key) != 0) {
            t->items[kept++] = *e;
            continue;
        }
        uint32_t both = last->known & e->known;
        if ((last->positive ^ e->positive) & both)
            return hct_fail(err, HCT_EFORMAT, "%s: '%s' has two different labels: which is right?", path, e->key);
        *ret_repeated += both != 0;
        last->known |= e->known;
        last->positive |= e->positive;
    }
    t->n = kept;
    return HCT_OK;
}

static hct_status bit_of(const csv *c, size_t row, size_t column, uint32_t *ret, hct_err *err) {
    double v;
    if (!text_double(csv_cell(c, row, column), &v) || (v != 0 && v != 1))
        return hct_fail(err, HCT_EFORMAT, "%s line %d: '%.40s' is no label: 0 or 1 is needed", c->path, c->lines[row],
                        csv_cell(c, row, column));
    *ret = v != 0;
    return HCT_OK;
}

static hct_status read_rsna(table *t, const csv *c, hct_err *err) {
    int id = csv_need_column(c, "ID", err), label = id < 0 ? -1 : csv_need_column(c, "Label", err);
    if (label < 0) return err ? err->code : HCT_EFORMAT;
    for (size_t row = 0; row < c->rows; row++) {
        const char *text = csv_cell(c, row, (size_t)id), *type = strrchr(text, '_');
        entry e = {.known = 0};
        uint32_t value = 0, k = 0;
        while (type && k < RSNA && strcmp(type + 1, rsna_types[k]) != 0) k++;
        if (!type || k == RSNA || (size_t)(type - text) >= KEY || strncmp(text, "ID_", 3) != 0)
            return hct_fail(err, HCT_EFORMAT, "%s line %d: '%.60s' is no ID_<image>_<type> of RSNA 2019", c->path,
                            c->lines[row], text);
        snprintf(e.key, KEY, "%.*s", (int)(type - text), text);
        hct_status s = bit_of(c, row, (size_t)label, &value, err);
        e.known = 1u << k;
        e.positive = value << k;
        if (s == HCT_OK) s = add(t, &e, err);
        if (s < 0) return s;
    }
    return HCT_OK;
}

/* "CQ500-CT-120", "CQ500CT120 CQ500CT120": the number in it; false: none. */
static bool cq500_key(const char *text, char ret[KEY]) {
    for (const char *at = text; (at = strcasestr(at, "CQ500")); at += 5) {
        const char *c = at + 5;
        if (*c == '-') c++;
        if (strncasecmp(c, "CT", 2) != 0) continue;
        c += 2;
        if (*c == '-') c++;
        if (!isdigit((unsigned char)*c)) continue;
        snprintf(ret, KEY, "CQ500-CT-%ld", strtol(c, NULL, 10));
        return true;
    }
    return false;
}

static hct_status read_cq500(table *t, const csv *c, hct_err *err) {
    int name = csv_need_column(c, "name", err), column[3][CQ500];
    if (name < 0) return err ? err->code : HCT_EFORMAT;
    for (int r = 0; r < 3; r++)
        for (int k = 0; k < CQ500; k++) {
            char title[48];
            snprintf(title, sizeof title, "R%d:%s", r + 1, cq500_names[k]);
            if ((column[r][k] = csv_need_column(c, title, err)) < 0) return err ? err->code : HCT_EFORMAT;
        }
    for (size_t row = 0; row < c->rows; row++) {
        entry e = {.known = (1u << CQ500) - 1};
        if (!cq500_key(csv_cell(c, row, (size_t)name), e.key))
            return hct_fail(err, HCT_EFORMAT, "%s line %d: '%.60s' is no name of CQ500 (CQ500-CT-120)", c->path,
                            c->lines[row], csv_cell(c, row, (size_t)name));
        for (int k = 0; k < CQ500; k++) {
            uint32_t votes = 0, one = 0;
            for (int r = 0; r < 3; r++) {
                hct_status s = bit_of(c, row, (size_t)column[r][k], &one, err);
                if (s < 0) return s;
                votes += one;
            }
            e.positive |= (votes >= 2 ? 1u : 0u) << k;
        }
        hct_status s = add(t, &e, err);
        if (s < 0) return s;
    }
    return HCT_OK;
}

static entry *find(table *t, const char *path) {
    entry key = {.known = 0};
    if (t->layout == LAYOUT_CQ500) {
        if (!cq500_key(path, key.key)) return NULL;
    } else {
        const char *base = path_base(path), *dot = strrchr(base, '.');
        snprintf(key.key, KEY, "%.*s", dot ? (int)(dot - base) : 39, base);
    }
    return t->n ? bsearch(&key, t->items, t->n, sizeof *t->items, by_key) : NULL;
}

/* ---- onto the scans ---- */

typedef struct writer {
    dataset_index *ix;
    int64_t ids[PUBLIC_LABELS];
    uint32_t all; /* bits */
    public_result *result;
} writer;

static hct_status begin(writer *w, hct_err *err) {
    hct_status s = index_exec(w->ix, "BEGIN IMMEDIATE", err);
    if (s == HCT_OK) s = index_renew_labels(w->ix, w->result->names, (size_t)w->result->n, w->ids, err);
    w->all = (1u << w->result->n) - 1;
    return s;
}

static hct_status put(writer *w, int64_t scan, uint32_t known, uint32_t positive, hct_err *err) {
    public_result *r = w->result;
    hct_status s = HCT_OK;
    if (known != w->all) {
        if (known) r->incomplete++;
        else r->without++;
        return HCT_OK;
    }
    r->labelled++;
    for (int k = 0; k < r->n && s == HCT_OK; k++) {
        r->positive[k] += positive >> k & 1;
        s = index_run(w->ix, err, "INSERT INTO labels VALUES(?, ?, ?)", "iii", scan, w->ids[k],
                      (int64_t)(positive >> k & 1));
    }
    return s;
}

static hct_status label_scans(writer *w, table *t, hct_err *err) {
    sqlite3_stmt *q =
        index_query(w->ix, err,
                    "SELECT s.n, f.path FROM scans s JOIN items i ON i.id=s.id JOIN files f ON f.item=i.n ORDER"
                    " BY s.n",
                    "");
    int step = q ? 1 : HCT_EIO;
    int64_t at = 0;
    uint32_t known = w->all, positive = 0, any = 0;
    hct_status s = HCT_OK;
    while (step > 0 && s == HCT_OK && (step = index_step(w->ix, q, err)) > 0) {
        int64_t scan = sqlite3_column_int64(q, 0);
        const char *path = (const char *)sqlite3_column_text(q, 1);
        if (at && scan != at) s = put(w, at, known == w->all ? known : any, positive, err);
        if (scan != at) known = w->all, positive = any = 0;
        at = scan;
        entry *e = path ? find(t, path) : NULL;
        known &= e ? e->known : 0;
        any |= e ? e->known & ~1u : 0; /* some, but not all of the slices */
        if (e) {
            positive |= e->positive;
            e->used = true;
        }
    }
    if (s == HCT_OK && at) s = put(w, at, known == w->all ? known : any, positive, err);
    sqlite3_finalize(q);
    return s == HCT_OK && step < 0 ? step : s;
}

hct_status public_label(const char *dataset, public_layout layout, const char *path, public_result *ret, hct_err *err) {
    dataset_index ix = {0};
    table t = {.layout = layout};
    const char *const *names = layout == LAYOUT_RSNA ? rsna_names : cq500_names;
    *ret = (public_result){.n = layout == LAYOUT_RSNA ? RSNA : CQ500};
    for (int k = 0; k < ret->n; k++) ret->names[k] = names[k];
    csv *c = csv_read(path, err);
    hct_status s = c ? HCT_OK : err ? err->code : HCT_EFORMAT;
    if (s == HCT_OK) s = layout == LAYOUT_RSNA ? read_rsna(&t, c, err) : read_cq500(&t, c, err);
    if (s == HCT_OK) s = merge(&t, path, &ret->repeated, err);
    if (s == HCT_OK) s = index_open(&ix, dataset, 0, err);
    if (s == HCT_OK) {
        writer w = {.ix = &ix, .result = ret};
        ret->rows = (int64_t)c->rows;
        s = begin(&w, err);
        if (s == HCT_OK) s = label_scans(&w, &t, err);
        if (s == HCT_OK) s = index_exec(&ix, "COMMIT", err);
        if (s < 0) index_exec(&ix, "ROLLBACK", NULL);
    }
    for (size_t i = 0; i < t.n; i++) ret->unused += !t.items[i].used;
    free(t.items);
    csv_free(c);
    index_close(&ix);
    return s;
}
