/* The state dict in a file of torch.save, under plain names. */
#include "weights/state_dict.h"

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
            return hct_fail(err, HCT_EFORMAT, "%s: a key of its state dict is no name of at most %d letters", path,
                            NAME_BYTES);
        if (!(s->name[s->names] = plain(key->text, key->n)))
            return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        const char *name = s->name[s->names++];
        const torch_tensor *t = torch_tensor_at(f, d->item[i + 1]);
        if (!t) return hct_fail(err, HCT_EFORMAT, "%s: '%s' of its state dict is no tensor", path, name);
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
    if (!s->n) return hct_fail(err, HCT_EFORMAT, "%s: its state dict is empty", path);
    qsort(s->entry, s->n, sizeof *s->entry, by_name);
    for (size_t i = 1; i < s->n; i++)
        if (!by_name(&s->entry[i - 1], &s->entry[i]))
            return hct_fail(err, HCT_EFORMAT, "%s: two tensors are named '%s' without their prefixes", path,
                            s->entry[i].name);
    return HCT_OK;
}

/* Whether the dict's first value is a tensor. */
static int holds_tensors(torch_file *f, pickle_id dict) {
    const pickle_value *d = pickle_at(torch_values(f), dict);
    return d->kind == PICKLE_DICT && d->n > 1 && torch_tensor_at(f, d->item[1]);
}

hct_status state_dict_read(torch_file *f, const char *path, state_dict_which which, state_dict *ret, hct_err *err) {
    *ret = (state_dict){0};
    const pickle *p = torch_values(f);
    pickle_id dict = find(p, which == STATE_DICT_TEACHER ? teachers : students, ret->key);
    if (dict == PICKLE_NONE && which == STATE_DICT_TEACHER)
        return hct_fail(err, HCT_EFORMAT, "%s: holds no teacher (momentum_model_state_dict); leave --which teacher out",
                        path);
    if (dict == PICKLE_NONE) dict = pickle_root(p);
    if (!*ret->key && !holds_tensors(f, dict))
        return hct_fail(err, HCT_EFORMAT, "%s: holds neither a 'state_dict' nor tensors by name", path);
    hct_status st = read_entries(f, path, dict, ret, err);
    if (st < 0) state_dict_free(ret);
    return st;
}

void state_dict_free(state_dict *s) {
    for (size_t i = 0; i < s->names; i++) free(s->name[i]);
    free(s->name);
    free(s->entry);
    *s = (state_dict){0};
}
