/* Sizes of vision transformers and MAE decoders, read off their tensors. */
#include "models/geometry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    return strcmp(((const hct_st_entry *)a)->name, ((const hct_st_entry *)b)->name);
}

const hct_st_entry *geometry_find(const hct_st_entry *sorted, size_t n, const char *name) {
    const hct_st_entry key = {.name = name};
    return n ? bsearch(&key, sorted, n, sizeof *sorted, by_name) : NULL;
}

/* The tensors of a file, for messages too. */
typedef struct source {
    const hct_st_entry *sorted;
    size_t n;
    const char *path;
    hct_err *err;
} source;

static const hct_st_entry *need(const source *s, const char *name, int ndim) {
    const hct_st_entry *e = geometry_find(s->sorted, s->n, name);
    if (!e) {
        hct_fail(s->err, HCT_EFORMAT, "%s: holds no tensor '%s', so it is no vision transformer with the paper's keys",
                 s->path, name);
        return NULL;
    }
    int ok = e->ndim == ndim;
    for (int i = 0; ok && i < ndim; i++) ok = e->dim[i] > 0;
    if (ok) return e;
    hct_fail(s->err, HCT_EFORMAT, "%s: '%s' must have %d axes, none of length 0", s->path, name, ndim);
    return NULL;
}

int64_t geometry_count(const hct_st_entry *sorted, size_t n, const char *before, const char *behind) {
    char name[128];
    int64_t count = 0;
    do snprintf(name, sizeof name, "%s%lld%s", before, (long long)count, behind);
    while (geometry_find(sorted, n, name) && ++count);
    return count;
}

hct_status geometry_of_vit(const hct_st_entry *sorted, size_t n, const char *path, int64_t heads, double norm_eps,
                           vit_config *ret, hct_err *err) {
    const source s = {sorted, n, path, err};
    const hct_st_entry *patch = need(&s, "patch_embedding.patch_embeddings.weight", 5);
    const hct_st_entry *table = patch ? need(&s, "patch_embedding.position_embeddings", 3) : NULL;
    const hct_st_entry *mlp = table ? need(&s, "blocks.0.mlp.linear1.weight", 2) : NULL;
    const hct_st_entry *registers = geometry_find(sorted, n, "register_tokens");
    if (!mlp || (registers && !(registers = need(&s, "register_tokens", 3)))) return HCT_EFORMAT;
    int64_t grid = (int64_t)llround(cbrt((double)table->dim[1]));
    if (grid * grid * grid != table->dim[1])
        return hct_fail(err, HCT_EFORMAT, "%s: its position table has %lld rows, which is no cube of whole numbers",
                        path, (long long)table->dim[1]);
    if (patch->dim[2] != patch->dim[3] || patch->dim[2] != patch->dim[4])
        return hct_fail(err, HCT_EFORMAT, "%s: its patches of %lld x %lld x %lld voxels are no cubes", path,
                        (long long)patch->dim[2], (long long)patch->dim[3], (long long)patch->dim[4]);
    *ret = (vit_config){.image = grid * patch->dim[2],
                        .patch = patch->dim[2],
                        .channels = patch->dim[1],
                        .width = patch->dim[0],
                        .depth = geometry_count(sorted, n, "blocks.", ".att_norm.weight"),
                        .heads = heads,
                        .mlp = mlp->dim[0],
                        .registers = registers ? registers->dim[1] : 0,
                        .qkv_bias = geometry_find(sorted, n, "blocks.0.attn.qkv.bias") != NULL,
                        .position_trained = 1,
                        .norm_eps = norm_eps};
    hct_err why;
    hct_status st = vit_check(ret, &why);
    return st < 0 ? hct_fail(err, HCT_EFORMAT, "%s: %s", path, why.msg) : HCT_OK;
}

int geometry_has_decoder(const hct_st_entry *sorted, size_t n) {
    return geometry_find(sorted, n, "decoder_embed.weight") != NULL;
}

hct_status geometry_of_decoder(const hct_st_entry *sorted, size_t n, const char *path, int64_t heads, mae_config *ret,
                               hct_err *err) {
    const source s = {sorted, n, path, err};
    const hct_st_entry *embed = need(&s, "decoder_embed.weight", 2),
                       *mlp = embed ? need(&s, "decoder_blocks.0.mlp.linear1.weight", 2) : NULL;
    if (!mlp) return HCT_EFORMAT;
    ret->width = embed->dim[0];
    ret->depth = geometry_count(sorted, n, "decoder_blocks.", ".att_norm.weight");
    ret->heads = heads;
    ret->mlp = mlp->dim[0];
    ret->decoder_bias = geometry_find(sorted, n, "decoder_embed.bias") != NULL;
    ret->mask_ratio = 0.75;
    hct_err why;
    hct_status st = mae_check(ret, &why);
    return st < 0 ? hct_fail(err, HCT_EFORMAT, "%s: %s", path, why.msg) : HCT_OK;
}
