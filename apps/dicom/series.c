/* Grouping files into series. */
#include "dicom/series.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/series_parts.h"
#include "support/text.h"

enum { MOST_FOLDERS = 4096 };

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory to group DICOM files"); }

static const char *text(const char *t) { return t ? t : ""; }

/* Length of the folder's part of a path, with its slash. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* What images of one series have in common. */
char *series_group_key(const pile_file *f) {
    const dicom_header *h = &f->header;
    text_buffer t = {0};
    text_printf(&t, "%s\x1f%s\x1f", text(h->patient_id), text(h->study_uid));
    if (*text(h->series_uid)) text_printf(&t, "%s", h->series_uid);
    else
        text_printf(&t, "\x1f%.*s\x1f%s\x1f%s\x1f%s\x1f%g", (int)folder_length(f->path), f->path,
                    text(h->series_description), text(h->modality), text(h->frame_of_reference),
                    h->series_number.value);
    return text_take(&t, "DICOM series", NULL);
}

typedef struct keyed {
    char *key;
    size_t file;
} keyed;

static int by_key(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    int side = strcmp(x->key, y->key);
    return side ? side : x->file < y->file ? -1 : x->file > y->file;
}

/* ---- copies in several folders ---- */

typedef struct copies {
    const pile_file *files;
    keyed *ids;     /* of the images: their instance, else their place */
    size_t *folder; /* of each member: which of the folders */
    size_t *bucket; /* of each folder: which group of folders it is taken with */
    unsigned char *conflict;
    size_t n_folders;
} copies;

/* What no two images of one series have in common. */
static char *image_id(const dicom_header *h) {
    text_buffer t = {0};
    const dicom_frame *f = &h->frames[0];
    if (*text(h->instance_uid)) text_printf(&t, "%s", h->instance_uid);
    else text_printf(&t, "%.3f %.3f %.3f %g", f->position[0], f->position[1], f->position[2], h->instance_number.value);
    return text_take(&t, "DICOM series", NULL);
}

static bool same_folder(const char *one, const char *other) {
    size_t n = folder_length(one);
    return n == folder_length(other) && memcmp(one, other, n) == 0;
}

/* Numbers the members' folders in order of first appearance. */
static size_t number_folders(copies *c, const size_t *members, size_t n) {
    size_t *first = malloc(n * sizeof *first), folders = 0;
    for (size_t i = 0; first && i < n; i++) {
        size_t k = i && same_folder(c->files[members[i]].path, c->files[members[i - 1]].path) ? c->folder[i - 1] : 0;
        if (!(k < folders && same_folder(c->files[members[i]].path, c->files[first[k]].path)))
            for (k = 0; k < folders && !same_folder(c->files[members[i]].path, c->files[first[k]].path);) k++;
        if (k == folders) first[folders++] = members[i];
        c->folder[i] = k;
        if (folders > MOST_FOLDERS) break;
    }
    free(first);
    return folders;
}

/* Folders that hold the same image are in conflict. */
static hct_status find_conflicts(copies *c, const size_t *members, size_t n, hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t i = 0; i < n; i++) {
        c->ids[i] = (keyed){image_id(&c->files[members[i]].header), i};
        if (!c->ids[i].key) {
            c->ids[i].key = strdup("");
            s = no_memory(err);
        }
    }
    if (s == HCT_OK) qsort(c->ids, n, sizeof *c->ids, by_key);
    for (size_t from = 0, to; from < n && s == HCT_OK; from = to) {
        for (to = from + 1; to < n && strcmp(c->ids[from].key, c->ids[to].key) == 0;) to++;
        for (size_t a = from; a < to; a++)
            for (size_t b = a + 1; b < to; b++) {
                size_t x = c->folder[c->ids[a].file], y = c->folder[c->ids[b].file];
                if (x != y) c->conflict[x * c->n_folders + y] = c->conflict[y * c->n_folders + x] = 1;
            }
    }
    for (size_t i = 0; i < n; i++) free(c->ids[i].key);
    return s;
}

/* Each folder goes to the first bucket without a folder that it is in conflict with. */
static size_t fill_buckets(copies *c) {
    size_t buckets = 0;
    for (size_t f = 0; f < c->n_folders; f++) {
        size_t b = 0;
        for (bool free_of_it = false; b < buckets && !free_of_it;) {
            free_of_it = true;
            for (size_t k = 0; k < f && free_of_it; k++)
                free_of_it = !(c->bucket[k] == b && c->conflict[f * c->n_folders + k]);
            b += !free_of_it;
        }
        c->bucket[f] = b;
        if (b == buckets) buckets++;
    }
    return buckets;
}

/* The members of one key, by folders where they are copies of each other, to parts. */
static hct_status take_group(series_list *l, const pile_file *files, const size_t *members, size_t n, hct_err *err) {
    copies c = {.files = files, .folder = malloc(n * sizeof *c.folder)};
    if (!c.folder) return no_memory(err);
    c.n_folders = number_folders(&c, members, n);
    if (c.n_folders == 1 || c.n_folders > MOST_FOLDERS) {
        free(c.folder);
        return split_into(l, files, members, n, err);
    }
    c.ids = malloc(n * sizeof *c.ids);
    c.bucket = calloc(c.n_folders, sizeof *c.bucket);
    c.conflict = calloc(c.n_folders, c.n_folders);
    size_t *some = malloc(n * sizeof *some);
    hct_status s = c.ids && c.bucket && c.conflict && some ? find_conflicts(&c, members, n, err) : no_memory(err);
    size_t buckets = s == HCT_OK ? fill_buckets(&c) : 0;
    for (size_t b = 0; b < buckets && s == HCT_OK; b++) {
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (c.bucket[c.folder[i]] == b) some[k++] = members[i];
        size_t before = l->n;
        s = split_into(l, files, some, k, err);
        for (size_t i = before; i < l->n; i++) l->items[i].copy = (int)b;
    }
    free(some);
    free(c.conflict);
    free(c.bucket);
    free(c.ids);
    free(c.folder);
    return s;
}

/* ---- files that most likely were slices ---- */

/* How long the number at t is: a run of digits, or of six and more hex digits with a digit among them; 0: none. */
static size_t number_at(const char *t) {
    size_t hex = 0, digits = strspn(t, "0123456789");
    bool some = false;
    for (; isxdigit((unsigned char)t[hex]); hex++) some = some || isdigit((unsigned char)t[hex]);
    return hex >= 6 && some ? hex : digits;
}

/* A path with # for each number in its last part: equal for files of one folder that are named alike. */
static char *shape_of(const char *path) {
    char *shape = strdup(path);
    if (!shape) return NULL;
    char *to = shape + folder_length(path);
    for (const char *from = path + folder_length(path); *from;) {
        size_t n = number_at(from);
        *to++ = n ? '#' : *from;
        from += n ? n : 1;
    }
    *to = 0;
    return shape;
}

/* Folder and series UID: of files whose header was read before it turned out damaged. */
static char *uid_in_folder(const pile_file *f) {
    text_buffer t = {0};
    text_printf(&t, "%.*s\x1f%s", (int)folder_length(f->path), f->path, text(f->header.series_uid));
    return text_take(&t, "DICOM series", NULL);
}

/* Keys of all series' files, sorted; file is here the place of the series. */
static hct_status list_shapes(const series_list *l, const pile_file *files, keyed **ret, size_t *ret_n, hct_err *err) {
    size_t total = 0;
    for (size_t k = 0; k < l->n; k++) total += 2 * l->items[k].n_files;
    *ret_n = 0;
    *ret = malloc((total + 1) * sizeof **ret);
    if (!*ret) return no_memory(err);
    for (size_t k = 0; k < l->n; k++)
        for (size_t i = 0; i < 2 * l->items[k].n_files; i++) {
            const pile_file *f = &files[l->items[k].files[i / 2]];
            bool by_uid = i % 2;
            if (by_uid && !*text(f->header.series_uid)) continue;
            char *key = by_uid ? uid_in_folder(f) : shape_of(f->path);
            if (!key) return no_memory(err);
            (*ret)[(*ret_n)++] = (keyed){key, k};
        }
    qsort(*ret, *ret_n, sizeof **ret, by_key);
    size_t kept = 0; /* each key of a series once */
    for (size_t i = 0; i < *ret_n; i++) {
        keyed *last = kept ? &(*ret)[kept - 1] : NULL;
        if (last && last->file == (*ret)[i].file && strcmp(last->key, (*ret)[i].key) == 0) free((*ret)[i].key);
        else (*ret)[kept++] = (*ret)[i];
    }
    *ret_n = kept;
    return HCT_OK;
}

/* Adds file i to the strays of all series that have the key. */
static hct_status add_stray(series_list *l, const keyed *shapes, size_t n, const char *key, size_t i, hct_err *err) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(shapes[middle].key, key) < 0) low = middle + 1;
        else high = middle;
    }
    for (; low < n && strcmp(shapes[low].key, key) == 0; low++) {
        series *s = &l->items[shapes[low].file];
        if (s->n_strays && s->strays[s->n_strays - 1] == i) continue;
        size_t *more = realloc(s->strays, (s->n_strays + 1) * sizeof *more);
        if (!more) return no_memory(err);
        s->strays = more;
        more[s->n_strays++] = i;
    }
    return HCT_OK;
}

static hct_status find_strays(series_list *l, const pile_file *files, size_t n, hct_err *err) {
    keyed *shapes = NULL;
    size_t n_shapes = 0;
    hct_status s = list_shapes(l, files, &shapes, &n_shapes, err);
    for (size_t i = 0; i < n && s == HCT_OK; i++) {
        if (files[i].kind != PILE_UNREAD && files[i].kind != PILE_OTHER) continue;
        bool by_uid = files[i].kind == PILE_UNREAD && *text(files[i].header.series_uid);
        char *key = by_uid ? uid_in_folder(&files[i]) : shape_of(files[i].path);
        s = key ? add_stray(l, shapes, n_shapes, key, i, err) : no_memory(err);
        free(key);
    }
    for (size_t i = 0; i < n_shapes; i++) free(shapes[i].key);
    free(shapes);
    return s;
}

/* ---- the whole ---- */

static int by_first_file(const void *a, const void *b) {
    const series *x = a, *y = b;
    return x->files[0] < y->files[0] ? -1 : x->files[0] > y->files[0] ? 1 : x->part - y->part;
}

hct_status series_group(const pile_file *files, size_t n, series_list *ret, hct_err *err) {
    *ret = (series_list){0};
    keyed *keys = malloc((n + 1) * sizeof *keys);
    size_t *members = malloc((n + 1) * sizeof *members), images = 0;
    hct_status s = keys && members ? HCT_OK : no_memory(err);
    for (size_t i = 0; i < n && s == HCT_OK; i++) {
        if (files[i].kind != PILE_DICOM) continue;
        keys[images] = (keyed){series_group_key(&files[i]), i};
        if (keys[images].key) images++;
        else s = no_memory(err);
    }
    if (s == HCT_OK && images) qsort(keys, images, sizeof *keys, by_key);
    for (size_t from = 0, to; from < images && s == HCT_OK; from = to) {
        for (to = from + 1; to < images && strcmp(keys[from].key, keys[to].key) == 0;) to++;
        for (size_t i = from; i < to; i++) members[i - from] = keys[i].file;
        s = take_group(ret, files, members, to - from, err);
    }
    if (ret->n) qsort(ret->items, ret->n, sizeof *ret->items, by_first_file);
    if (s == HCT_OK) s = find_strays(ret, files, n, err);
    for (size_t i = 0; i < images; i++) free(keys[i].key);
    free(keys);
    free(members);
    if (s < 0) series_list_free(ret);
    return s;
}

void series_list_free(series_list *l) {
    for (size_t i = 0; i < l->n; i++) {
        free(l->items[i].files);
        free(l->items[i].strays);
        free(l->items[i].slices);
    }
    free(l->items);
    *l = (series_list){0};
}

char *series_key(const pile_file *files, const series *s) {
    char *key = series_group_key(&files[s->files[0]]);
    text_buffer t = {0};
    if (!key) return NULL;
    const char *relative = files[s->files[0]].relative;
    text_printf(&t, "%s\x1f%d/%d", key, s->part, s->parts);
    if (s->copy) text_printf(&t, "\x1f%.*s", (int)folder_length(relative), relative);
    free(key);
    return text_take(&t, "DICOM series", NULL);
}
