/* Checkpoints of several forms: torch.save, safetensors, shards of them. */
#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "support/paths.h"
#include "weights/state_dict.h"

static bool begins(const hct_mapped *m, const char *text) {
    return m->size >= strlen(text) && memcmp(m->bytes, text, strlen(text)) == 0;
}

/* A length of 8 bytes, little endian, and JSON behind it. */
static bool is_safetensors(const hct_mapped *m) {
    const unsigned char *b = m->bytes;
    if (m->size < 10) return false;
    uint64_t n = 0;
    for (int i = 8; i-- > 0;) n = n << 8 | b[i];
    return n >= 2 && n <= m->size - 8 && b[8] == '{';
}

/* What a file is that holds no weights. */
static hct_status is_something_else(const char *path, const hct_mapped *m, hct_err *err) {
    if (!m->size) return hct_fail(err, HCT_EFORMAT, "%s: is empty: fetch it again", path);
    if (begins(m, "version https://git-lfs"))
        return hct_fail(err, HCT_EFORMAT,
                        "%s: is a pointer of Git LFS, not the weights: fetch them with 'git lfs pull'", path);
    const char *b = (const char *)m->bytes;
    size_t at = 0;
    while (at < m->size && strchr(" \t\r\n", b[at])) at++;
    if (at < m->size && b[at] == '<')
        return hct_fail(err, HCT_EFORMAT,
                        "%s: is an HTML page, not weights: the download may need an account, or a licence accepted",
                        path);
    return HCT_OK;
}

static hct_status add_part(weights_source *s, const char *path, hct_err *err) {
    hct_st_file **more = realloc(s->parts, (s->n_parts + 1) * sizeof *more);
    if (!more) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    s->parts = more;
    if (!(more[s->n_parts] = hct_st_open(path, err))) return err ? err->code : HCT_EFORMAT;
    s->n_parts++;
    return HCT_OK;
}

/* {"weight_map": {"NAME": "FILE", ...}}: each file once; it must lie beside the index. */
static hct_status open_shards(const char *path, const hct_mapped *m, weights_source *ret, hct_err *err) {
    cJSON *root = cJSON_ParseWithLength((const char *)m->bytes, m->size);
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map"), *one, *before;
    hct_status s =
        cJSON_IsObject(map) && cJSON_GetArraySize(map)
            ? HCT_OK
            : hct_fail(err, HCT_EFORMAT, "%s: is JSON, but no index of safetensors files (no weight_map)", path);
    char *folder = s == HCT_OK ? path_folder(path) : NULL;
    for (one = map ? map->child : NULL; s == HCT_OK && one; one = one->next) {
        const char *name = cJSON_GetStringValue(one);
        if (!name || strchr(name, '/') || !strcmp(name, "..")) {
            s = hct_fail(err, HCT_EFORMAT, "%s: names a file that does not lie beside it", path);
            break;
        }
        for (before = map->child; before != one && strcmp(cJSON_GetStringValue(before), name) != 0;)
            before = before->next;
        if (before != one) continue;
        char *file = folder ? path_join(folder, name) : NULL;
        if (!file) s = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        else if (!path_is_file(file))
            s = hct_fail(err, HCT_ENOTFOUND, "%s: names %s, which is not there: fetch all of its files", path, file);
        else s = add_part(ret, file, err);
        free(file);
    }
    free(folder);
    cJSON_Delete(root);
    return s;
}

hct_status weights_source_open(const char *path, weights_source *ret, hct_err *err) {
    hct_mapped m = {0};
    *ret = (weights_source){0};
    hct_status s = hct_map_file(path, &m, err);
    if (s < 0) return s;
    size_t n = strlen(path);
    bool json = n > 5 && strcmp(path + n - 5, ".json") == 0;
    s = is_something_else(path, &m, err);
    if (s == HCT_OK && json) s = open_shards(path, &m, ret, err);
    else if (s == HCT_OK && is_safetensors(&m)) s = add_part(ret, path, err);
    else if (s == HCT_OK && !(ret->torch = torch_open(path, err))) s = err ? err->code : HCT_EFORMAT;
    hct_unmap_file(&m);
    if (s < 0) weights_source_close(ret);
    return s;
}

void weights_source_close(weights_source *s) {
    torch_close(s->torch);
    for (size_t i = 0; i < s->n_parts; i++) hct_st_close(s->parts[i]);
    free(s->parts);
    *s = (weights_source){0};
}

char *weights_source_told(const weights_source *s, const char *key) {
    if (!s->torch) {
        const char *text = s->n_parts == 1 ? hct_st_meta(s->parts[0], key) : NULL;
        return text ? strdup(text) : NULL;
    }
    const pickle *p = torch_values(s->torch);
    const pickle_value *v = pickle_at(p, pickle_member(p, pickle_root(p), key));
    return v->kind == PICKLE_TEXT ? strndup(v->text, v->n) : NULL;
}
