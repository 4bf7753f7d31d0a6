/* The state dict in a file of torch.save, under plain names. */
#include "weights/state_dict.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 160, MANY_TIMES = 8 };

static const char *const students[] = {"state_dict", "student", "model", "model_state_dict", NULL};
static const char *const teachers[] = {"momentum_model_state_dict", "teacher", NULL};

static pickle_id find(const pickle *p, const char *const *keys, char ret_key[64]) {
    for (; *keys; keys++) {
        pickle_id v = pickle_member(p, pickle_root(p), *keys);
        if (pickle_at(p, v)->kind != PICKLE_DICT) continue;
        snprintf(ret_key, 64, "%s", *keys);
        return v;
    }
    return PICKLE_NONE;
}

/* Whether each of the n bytes is a printable letter of UTF-8 (well-formedness is not our matter: JSON takes them as
 * they are). */
static int clean(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] == 0x7f) return 0;
    return n > 0;
}

static int skip(const char **s, size_t *n, const char *prefix) {
    size_t k = strlen(prefix);
    if (*n <= k || memcmp(*s, prefix, k) != 0) return 0;
    *s += k;
    *n -= k;
    return 1;
}

/* The plain name; NULL where memory runs out. */
static char *plain(const char *s, size_t n) {
    char *out = malloc(n + 1), *to = out;
    while (skip(&s, &n, "module.") || skip(&s, &n, "_orig_mod.") || skip(&s, &n, "backbone.")) {
    }
    while (out && n) {
        int start = to == out || to[-1] == '.';
        if (start && skip(&s, &n, "_orig_mod.")) continue;
        *to++ = *s++;
        n--;
    }
    if (out) *to = '\0';
    return out;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const hct_st_entry *)a)->name, ((const hct_st_entry *)b)->name);
}

/* ---- prefixes ---- */

static bool ends_with_key(const char *name, const char *key) {
    size_t n = strlen(name), m = strlen(key);
    return n > m && name[n - m - 1] == '.' && strcmp(name + n - m, key) == 0;
}

static bool is_teachers(const char *prefix) {
    return strstr(prefix, "teacher") || strstr(prefix, "momentum") || strstr(prefix, "ema");
}

/* Takes a prefix off that stands before a key which an encoder needs, where no tensor has the key itself. Of several
 * the student's, or the teacher's; others than these: which is meant cannot be told. */
static hct_status strip_prefix(state_dict *s, const char *path, state_dict_which which, const char *const *wanted,
                               hct_err *err) {
    char found[NAME_BYTES + 1] = "", other[NAME_BYTES + 1] = "";
    for (; wanted && *wanted; wanted++)
        for (size_t i = 0; i < s->n; i++) {
            const char *name = s->entry[i].name;
            if (strcmp(name, *wanted) == 0) return HCT_OK;
            if (!ends_with_key(name, *wanted)) continue;
            char prefix[NAME_BYTES + 1] = "";
            snprintf(prefix, sizeof prefix, "%.*s", (int)(strlen(name) - strlen(*wanted)), name);
            if (!strcmp(prefix, found)) continue; /* of two kinds that share a key */
            if (is_teachers(prefix) != (which == STATE_DICT_TEACHER) && *found) continue;
            if (is_teachers(found) != (which == STATE_DICT_TEACHER) || !*found) memcpy(found, prefix, sizeof found);
            else memcpy(other, prefix, sizeof other);
        }
    if (*other)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: holds several models, under '%s' and '%s': save the one that is meant alone", path, found,
                        other);
    size_t n = strlen(found);
    for (size_t i = 0; n && i < s->n; i++)
        if (strncmp(s->entry[i].name, found, n) == 0) s->entry[i].name += n;
    return HCT_OK;
}

hct_status state_dict_sort(state_dict *s, const char *path, hct_err *err) {
    if (!s->n) return hct_fail(err, HCT_EFORMAT, "%s: its state dict is empty, or holds no tensors", path);
    qsort(s->entry, s->n, sizeof *s->entry, by_name);
    for (size_t i = 1; i < s->n; i++)
        if (!by_name(&s->entry[i - 1], &s->entry[i]))
            return hct_fail(err, HCT_EFORMAT, "%s: two tensors are named '%s' without their prefixes", path,
                            s->entry[i].name);
    return HCT_OK;
}

static hct_status read_entries(torch_file *f, const char *path, pickle_id dict, state_dict *s, hct_err *err) {
    const pickle *p = torch_values(f);
    const pickle_value *d = pickle_at(p, dict);
    uint64_t bytes = 0;
    s->entry = calloc(d->n / 2 + 1, sizeof *s->entry);
    s->name = calloc(d->n / 2 + 1, sizeof *s->name);
    if (!s->entry || !s->name) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its list of tensors", path);
    for (uint32_t i = 0; i + 1 < d->n; i += 2) {
        const pickle_value *key = pickle_at(p, d->item[i]);
        if (key->kind != PICKLE_TEXT || key->n > NAME_BYTES || !clean(key->text, key->n))
            return hct_fail(err, HCT_EFORMAT, "%s: a key of its state dict is no name of at most %d characters", path,
                            NAME_BYTES);
        if (!(s->name[s->names] = plain(key->text, key->n)))
            return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        const char *name = s->name[s->names++];
        const torch_tensor *t = torch_tensor_at(f, d->item[i + 1]);
        if (!t) continue; /* None, text, a number: what the model does not ask for */
        uint64_t size = hct_dtype_size(t->dtype);
        /* torch_open has bounded it by its storage */
        for (int32_t k = 0; k < t->ndim; k++) size *= (uint64_t)t->dim[k];
        if ((bytes += size) / MANY_TIMES > torch_file_bytes(f))
            return hct_fail(err, HCT_EFORMAT,
                            "%s: its tensors add up to more than %d times the file; it is no honest state dict", path,
                            MANY_TIMES);
        hct_status st = torch_entry(f, d->item[i + 1], name, &s->entry[s->n], err);
        s->n++;
        if (st < 0) return st;
    }
    return HCT_OK;
}

/* Whether one of the dict's values is a tensor. */
static int holds_tensors(torch_file *f, pickle_id dict) {
    const pickle_value *d = pickle_at(torch_values(f), dict);
    for (uint32_t i = 1; d->kind == PICKLE_DICT && i < d->n; i += 2)
        if (torch_tensor_at(f, d->item[i])) return 1;
    return 0;
}

static hct_status read_parts(const weights_source *f, const char *path, state_dict *s, hct_err *err) {
    size_t n = 0;
    for (size_t k = 0; k < f->n_parts; k++) n += hct_st_count(f->parts[k]);
    s->entry = calloc(n + 1, sizeof *s->entry);
    s->name = calloc(n + 1, sizeof *s->name);
    if (!s->entry || !s->name) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its list of tensors", path);
    for (size_t k = 0; k < f->n_parts; k++)
        for (size_t i = 0; i < hct_st_count(f->parts[k]); i++) {
            const hct_st_entry *e = hct_st_at(f->parts[k], i);
            if (!(s->name[s->names] = plain(e->name, strlen(e->name))))
                return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
            s->entry[s->n] = *e;
            s->entry[s->n++].name = s->name[s->names++];
        }
    return HCT_OK;
}

static hct_status read_torch(torch_file *f, const char *path, state_dict_which which, state_dict *ret, hct_err *err) {
    const pickle *p = torch_values(f);
    pickle_id dict = find(p, which == STATE_DICT_TEACHER ? teachers : students, ret->key);
    if (dict == PICKLE_NONE && which == STATE_DICT_TEACHER)
        dict = find(p, students, ret->key); /* both in one, by prefix */
    if (dict == PICKLE_NONE) dict = pickle_root(p);
    if (!*ret->key && !holds_tensors(f, dict))
        return *pickle_unknown(p)
                   ? hct_fail(err, HCT_EFORMAT,
                              "%s: holds neither a 'state_dict' nor tensors by name; it is a Python object ('%s'), of "
                              "which nothing was run: save its state_dict() with torch.save",
                              path, pickle_unknown(p))
                   : hct_fail(err, HCT_EFORMAT, "%s: holds neither a 'state_dict' nor tensors by name", path);
    return read_entries(f, path, dict, ret, err);
}

hct_status state_dict_read(const weights_source *f, const char *path, state_dict_which which, const char *const *wanted,
                           state_dict *ret, hct_err *err) {
    *ret = (state_dict){0};
    char key[64] = "";
    hct_status st = HCT_OK;
    bool several =
        which == STATE_DICT_TEACHER && (!f->torch || find(torch_values(f->torch), teachers, key) == PICKLE_NONE);
    st = f->torch ? read_torch(f->torch, path, which, ret, err) : read_parts(f, path, ret, err);
    if (st == HCT_OK) st = strip_prefix(ret, path, which, wanted, err);
    if (st == HCT_OK) st = state_dict_sort(ret, path, err);
    bool found = false; /* a teacher by prefix */
    for (size_t i = 0; several && i < ret->names && st == HCT_OK; i++) found = found || is_teachers(ret->name[i]);
    if (st == HCT_OK && several && !found)
        st = hct_fail(err, HCT_EFORMAT, "%s: holds no teacher (momentum_model_state_dict); leave --which teacher out",
                      path);
    if (st < 0) state_dict_free(ret);
    return st;
}

void state_dict_free(state_dict *s) {
    for (size_t i = 0; i < s->names; i++) free(s->name[i]);
    for (size_t i = 0; i < s->n_own; i++) free(s->own[i]);
    free(s->own);
    free(s->name);
    free(s->entry);
    *s = (state_dict){0};
}
