/* What tables call scans, looked up in three lists: ids, paths from their ends, marks of series. */
#include "dataset/scan_names.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/sources.h"
#include "support/text.h"

enum { MARK = 16 }; /* digits that tags keep of a mark */

typedef struct name {
    char *id, *turned, *mark; /* turned: "ct7/site1/in/" of in/site1/ct7.nii.gz */
} name;

struct scan_names {
    name *items;
    size_t n, room;
    const name **by_id, **by_path, **by_mark;
    size_t n_ids, n_marks;
};

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for names of scans"); }

scan_names *scan_names_new(void) { return calloc(1, sizeof(scan_names)); }

void scan_names_free(scan_names *n) {
    if (!n) return;
    for (size_t i = 0; i < n->n; i++) {
        free(n->items[i].id);
        free(n->items[i].turned);
        free(n->items[i].mark);
    }
    free(n->items);
    free(n->by_id);
    free(n->by_path);
    free(n->by_mark);
    free(n);
}

/* A path's parts from the last to the first, each with a '/' behind it, without the ending of a volume. */
static char *turn(const char *path) {
    char *plain = text_plain(path);
    if (!plain) return NULL;
    size_t n = strlen(plain);
    while (n && plain[n - 1] == '/') plain[--n] = 0;
    for (char *c = plain; *c; c++)
        if (*c == '\\') *c = '/';
    if (source_is_volume(plain)) plain[n - (plain[n - 1] == 'z' || plain[n - 1] == 'Z' ? 7 : 4)] = 0;
    text_buffer t = {0};
    while (*plain) {
        char *slash = strrchr(plain, '/');
        const char *part = slash ? slash + 1 : plain;
        if (*part && strcmp(part, ".") != 0) text_printf(&t, "%s/", part);
        *(slash ? slash : plain) = 0;
    }
    free(plain);
    hct_err ignored;
    return text_take(&t, path, &ignored);
}

hct_status scan_names_add(scan_names *n, const char *id, const char *place, const char *mark, hct_err *err) {
    if (n->n == n->room) {
        size_t room = n->room ? 2 * n->room : 1024;
        name *more = realloc(n->items, room * sizeof *more);
        if (!more) return no_memory(err);
        n->items = more;
        n->room = room;
    }
    name *one = &n->items[n->n++];
    *one = (name){.id = strdup(id), .turned = turn(place), .mark = mark && *mark ? strndup(mark, MARK) : NULL};
    return one->id && one->turned && (one->mark || !mark || !*mark) ? HCT_OK : no_memory(err);
}

hct_status scan_names_of_index(scan_names *n, dataset_index *ix, bool left_out, hct_err *err) {
    sqlite3_stmt *q = index_query(ix, err,
                                  left_out ? "SELECT s.id, s.source, (SELECT t.value FROM tags t WHERE t.scan=s.n AND"
                                             " t.key='series') FROM scans s UNION ALL SELECT id, place, NULL FROM items"
                                             " UNION ALL SELECT id, source, NULL FROM refusals"
                                           : "SELECT s.id, s.source, (SELECT t.value FROM tags t WHERE t.scan=s.n AND"
                                             " t.key='series') FROM scans s",
                                  "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(ix, q, err)) > 0) {
        const char *id = index_text(ix, q, 0, "a scan's id", err),
                   *place = id ? index_text(ix, q, 1, "a scan's source", err) : NULL;
        hct_status s = place ? scan_names_add(n, id, place, (const char *)sqlite3_column_text(q, 2), err) : HCT_EFORMAT;
        if (s < 0) step = s;
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static int by_id(const void *a, const void *b) {
    const name *x = *(name *const *)a, *y = *(name *const *)b;
    int side = strcmp(x->id, y->id);
    return side ? side : x < y ? -1 : x > y;
}
static int by_path(const void *a, const void *b) {
    return strcmp((*(name *const *)a)->turned, (*(name *const *)b)->turned);
}
static int by_mark(const void *a, const void *b) {
    int side = strcmp((*(name *const *)a)->mark, (*(name *const *)b)->mark);
    return side ? side : by_id(a, b);
}

hct_status scan_names_ready(scan_names *n, hct_err *err) {
    n->by_id = calloc(n->n + 1, sizeof *n->by_id);
    n->by_path = calloc(n->n + 1, sizeof *n->by_path);
    n->by_mark = calloc(n->n + 1, sizeof *n->by_mark);
    if (!n->by_id || !n->by_path || !n->by_mark) return no_memory(err);
    for (size_t i = 0; i < n->n; i++) n->by_id[i] = &n->items[i];
    qsort(n->by_id, n->n, sizeof *n->by_id, by_id);
    n->n_ids = 0;
    for (size_t i = 0; i < n->n; i++)
        if (!i || strcmp(n->by_id[i]->id, n->by_id[n->n_ids - 1]->id) != 0) n->by_id[n->n_ids++] = n->by_id[i];
    for (size_t i = 0; i < n->n_ids; i++) {
        n->by_path[i] = n->by_id[i];
        if (n->by_id[i]->mark) n->by_mark[n->n_marks++] = n->by_id[i];
    }
    qsort(n->by_path, n->n_ids, sizeof *n->by_path, by_path);
    qsort(n->by_mark, n->n_marks, sizeof *n->by_mark, by_mark);
    return HCT_OK;
}

/* The first of a list that is not below key: by ids (0), paths (1), marks (2). */
static size_t lower(const name *const *list, size_t n, int which, const char *key) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const name *at = list[middle];
        const char *text = which == 0 ? at->id : which == 1 ? at->turned : at->mark;
        if (strcmp(text, key) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The scan whose path ends in the cell's. A cell with a longer path than is known of any scan names none: whose ending
 * it has, may lie elsewhere. */
static hct_status find_path(const scan_names *n, const char *cell, const char *key, scan_name_match *ret,
                            hct_err *err) {
    size_t length = strlen(key), first = lower(n->by_path, n->n_ids, 1, key), count = 0;
    while (first + count < n->n_ids && strncmp(n->by_path[first + count]->turned, key, length) == 0) count++;
    if (count > 1)
        return hct_fail(err, HCT_EINVAL, "'%s' may be scan '%s' or scan '%s'%s: write more of its path, or its ID",
                        cell, n->by_path[first]->id, n->by_path[first + 1]->id, count > 2 ? " or others" : "");
    if (count) *ret = (scan_name_match){SCAN_NAMED_PATH, first, 1};
    return HCT_OK;
}

static bool looks_like_uid(const char *cell) { return text_is_uid(cell) && strlen(cell) >= 5 && strchr(cell, '.'); }

hct_status scan_names_find(const scan_names *n, const char *cell, const dataset_key *key, scan_name_match *ret,
                           hct_err *err) {
    *ret = (scan_name_match){SCAN_NAMED_NOT, 0, 0};
    char *id = source_id(cell), *turned = turn(cell), mark[KEY_HEX];
    hct_status s = id && turned ? HCT_OK : no_memory(err);
    size_t at = s == HCT_OK ? lower(n->by_id, n->n_ids, 0, id) : 0;
    if (s == HCT_OK && at < n->n_ids && strcmp(n->by_id[at]->id, id) == 0)
        *ret = (scan_name_match){SCAN_NAMED_ID, at, 1};
    if (s == HCT_OK && !ret->n && key && looks_like_uid(id)) {
        s = key_mark(key, "series", id, mark, err);
        mark[MARK] = 0;
        at = s == HCT_OK ? lower(n->by_mark, n->n_marks, 2, mark) : n->n_marks;
        while (at + ret->n < n->n_marks && strcmp(n->by_mark[at + ret->n]->mark, mark) == 0) ret->n++;
        if (ret->n) ret->kind = SCAN_NAMED_SERIES, ret->first = at;
    }
    if (s == HCT_OK && !ret->n && *turned) s = find_path(n, cell, turned, ret, err);
    free(id);
    free(turned);
    return s;
}

const char *scan_names_id(const scan_names *n, const scan_name_match *m, size_t k) {
    const name *const *list = m->kind == SCAN_NAMED_ID     ? n->by_id
                              : m->kind == SCAN_NAMED_PATH ? n->by_path
                                                           : n->by_mark;
    return list[m->first + k]->id;
}
