/* Vision transformers of MONAI and timm under the paper's names. */
#include "weights/library_map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/geometry.h"

#define PATCHES "patch_embedding.patch_embeddings."
#define POSITIONS "patch_embedding.position_embeddings"

typedef struct pair {
    const char *theirs, *ours;
} pair;

/* Beginnings of whole names, and parts of names in blocks. */
static const pair beginnings[] = {{"patch_embed.proj.", PATCHES},
                                  {PATCHES "1.", PATCHES},
                                  {"pos_embed", POSITIONS},
                                  {"reg_token", "register_tokens"},
                                  {NULL, NULL}};
static const pair parts[] = {{".norm1.", ".att_norm."},          {".norm2.", ".ffn_norm."},
                             {".attn.out_proj.", ".attn.proj."}, {".mlp.fc1.", ".mlp.linear1."},
                             {".mlp.fc2.", ".mlp.linear2."},     {NULL, NULL}};

const char *library_map_key(library_map map) { return map == LIBRARY_TIMM ? "pos_embed" : POSITIONS; }

/* Keeps a block of memory as long as s. */
static void *keep(state_dict *s, void *block) {
    void **more = block ? realloc(s->own, (s->n_own + 1) * sizeof *more) : NULL;
    if (!more) {
        free(block);
        return NULL;
    }
    s->own = more;
    return more[s->n_own++] = block;
}

static hct_status rename_one(state_dict *s, hct_st_entry *e, hct_err *err) {
    char *name = NULL;
    for (const pair *p = beginnings; p->theirs; p++)
        if (!strncmp(e->name, p->theirs, strlen(p->theirs))) {
            if (asprintf(&name, "%s%s", p->ours, e->name + strlen(p->theirs)) < 0) name = NULL;
            if (!keep(s, name)) return hct_fail(err, HCT_ENOMEM, "out of memory");
            e->name = name;
            return HCT_OK;
        }
    for (const pair *p = parts; !strncmp(e->name, "blocks.", 7) && p->theirs; p++) {
        const char *at = strstr(e->name, p->theirs);
        if (!at) continue;
        if (asprintf(&name, "%.*s%s%s", (int)(at - e->name), e->name, p->ours, at + strlen(p->theirs)) < 0) name = NULL;
        if (!keep(s, name)) return hct_fail(err, HCT_ENOMEM, "out of memory");
        e->name = name;
        return HCT_OK;
    }
    return HCT_OK;
}

static hct_st_entry *find(const state_dict *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->entry[i].name, name)) return &s->entry[i];
    return NULL;
}

/* F32 values of an entry, kept. */
static float *values_of(state_dict *s, const hct_st_entry *e, hct_err *err) {
    float *x = keep(s, malloc((hct_st_elements(e) + 1) * sizeof *x));
    if (!x) return hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", e->name), NULL;
    return hct_st_to_f32(e, x, err) == HCT_OK ? x : NULL;
}

static void set_values(hct_st_entry *e, const float *x, int32_t ndim, const int64_t *dim) {
    e->dtype = HCT_F32;
    e->ndim = ndim;
    memcpy(e->dim, dim, (size_t)ndim * sizeof *dim);
    e->data = x;
    e->bytes = hct_st_elements(e) * sizeof *x;
}

/* Rows of the class token and registers go to these. */
static hct_status split_positions(state_dict *s, const char *path, hct_err *err) {
    hct_st_entry *table = find(s, POSITIONS), *cls = find(s, "cls_token"), *reg = find(s, "register_tokens");
    if (!table || table->ndim != 3 || !cls || cls->ndim != 3)
        return hct_fail(err, HCT_EFORMAT, "%s: holds no pos_embed [1, tokens, width] and cls_token; it is no timm ViT",
                        path);
    int64_t prefix = 1 + (reg && reg->ndim == 3 ? reg->dim[1] : 0), rows = table->dim[1], width = table->dim[2];
    int64_t grid = llround(cbrt((double)rows));
    if (grid * grid * grid == rows) return HCT_OK; /* rows of patches alone */
    grid = llround(cbrt((double)(rows - prefix)));
    if (rows <= prefix || grid * grid * grid != rows - prefix || cls->dim[2] != width || (reg && reg->dim[2] != width))
        return hct_fail(err, HCT_ESHAPE,
                        "%s: pos_embed has %lld rows, which is no cube of patches, with or without %lld "
                        "more",
                        path, (long long)rows, (long long)prefix);
    float *x = values_of(s, table, err), *c = x ? values_of(s, cls, err) : NULL,
          *r = c && reg ? values_of(s, reg, err) : NULL;
    if (!c || (reg && !r)) return err ? err->code : HCT_ENOMEM;
    for (int64_t i = 0; i < width; i++) c[i] += x[i];
    for (int64_t i = 0; i < (prefix - 1) * width; i++) r[i] += x[width + i];
    set_values(cls, c, 3, cls->dim);
    if (reg) set_values(reg, r, 3, reg->dim);
    set_values(table, x + prefix * width, 3, (int64_t[]){1, rows - prefix, width});
    return HCT_OK;
}

/* [width, p p p channels] to [width, channels, p, p, p]. */
static hct_status turn_perceptron(state_dict *s, const char *path, int64_t channels, hct_err *err) {
    hct_st_entry *e = find(s, PATCHES "weight");
    if (!e || e->ndim != 2) return HCT_OK;
    int64_t width = e->dim[0], p = llround(cbrt((double)e->dim[1] / (double)channels)), voxels = p * p * p;
    if (voxels * channels != e->dim[1])
        return hct_fail(err, HCT_ESHAPE,
                        "%s: patches of %lld values are no cubes of %lld channels; give each channel's "
                        "window with --windows",
                        path, (long long)e->dim[1], (long long)channels);
    const float *x = values_of(s, e, err);
    float *y = x ? keep(s, malloc((hct_st_elements(e) + 1) * sizeof *y)) : NULL;
    if (!y) return hct_fail_untold(err, HCT_ENOMEM, "out of memory for '%s'", e->name);
    for (int64_t w = 0; w < width; w++)
        for (int64_t v = 0; v < voxels; v++)
            for (int64_t c = 0; c < channels; c++)
                y[(w * channels + c) * voxels + v] = x[(w * voxels + v) * channels + c];
    set_values(e, y, 5, (int64_t[]){width, channels, p, p, p});
    return HCT_OK;
}

hct_status library_map_apply(library_map map, state_dict *s, const char *path, int64_t channels, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < s->n; i++) st = rename_one(s, &s->entry[i], err);
    if (st == HCT_OK && map == LIBRARY_TIMM) st = split_positions(s, path, err);
    if (st == HCT_OK && map == LIBRARY_MONAI) st = turn_perceptron(s, path, channels, err);
    return st == HCT_OK ? state_dict_sort(s, path, err) : st;
}
