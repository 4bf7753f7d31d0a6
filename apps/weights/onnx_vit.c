/* The graph of a vision transformer: what models/vit.c computes, in ONNX's operators (opset 17). */
#include "weights/onnx_vit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imaging/scan.h"
#include "models/probe.h"

typedef struct builder {
    const onnx_source *s;
    onnx_graph *g;
    int64_t patch, width, depth, heads, mlp, registers, patches, tokens;
    double norm_eps, block_eps;
    hct_status st;
    hct_err *err;
    char name[ONNX_NAME]; /* of the value that was computed last */
    int values;           /* made so far */
} builder;

static double field(const builder *b, const char *name) {
    const encoder *e = &b->s->info->encoder;
    const model_field *f = field_find(e->kind->fields, name);
    return f ? field_get(f, e->own) : 0;
}

/* A tensor of n floats, or NULL: none of that name where it may be absent, or b->st is the failure. free it. */
static float *values_of(builder *b, const char *name, int64_t n, int needed) {
    if (b->st < 0) return NULL;
    for (size_t i = 0; i < b->s->n; i++) {
        const hct_st_entry *e = &b->s->entry[i];
        if (strcmp(e->name, name) != 0) continue;
        float *x = NULL;
        if ((int64_t)hct_st_elements(e) != n)
            b->st = hct_fail(b->err, HCT_ESHAPE, "%s: tensor '%s' has %zu numbers, %lld are needed", b->s->path, name,
                             hct_st_elements(e), (long long)n);
        else if (!(x = malloc((size_t)n * sizeof *x))) b->st = hct_fail(b->err, HCT_ENOMEM, "out of memory");
        else b->st = hct_st_to_f32(e, x, b->err);
        if (b->st == HCT_OK) return x;
        free(x);
        return NULL;
    }
    if (needed) b->st = hct_fail(b->err, HCT_ENOTFOUND, "%s: has no tensor '%s'", b->s->path, name);
    return NULL;
}

static void give(builder *b, const char *name, int ndim, const int64_t *dim, float *x) {
    if (x) onnx_copy(b->g, name, ONNX_FLOAT, ndim, dim, x);
    free(x);
}

/* A new name for a result, "v17"; it is b->name from now on. */
static const char *fresh(builder *b) {
    snprintf(b->name, sizeof b->name, "v%d", ++b->values);
    return b->name;
}

/* One node of one result: b->name = op(a, c, d). */
static void apply(builder *b, const char *op, const char *a, const char *c, const char *d) {
    onnx_node(b->g, op, a, c, c ? d : NULL, NULL);
    onnx_out(b->g, fresh(b), NULL);
}

static void constant(builder *b, const char *name, double value) {
    onnx_copy(b->g, name, ONNX_FLOAT, 0, NULL, &(float){(float)value});
}

/* b->name = LayerNormalization of x by NAME.weight and NAME.bias */
static void norm(builder *b, const char *x, const char *name, double eps) {
    char w[ONNX_NAME], bias[ONNX_NAME];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    give(b, w, 1, &b->width, values_of(b, w, b->width, 1));
    give(b, bias, 1, &b->width, values_of(b, bias, b->width, 1));
    onnx_node(b->g, "LayerNormalization", x, w, bias, NULL);
    onnx_whole(b->g, "axis", -1);
    onnx_real(b->g, "epsilon", eps);
    onnx_out(b->g, fresh(b), NULL);
}

/* b->name = x NAME.weight^T + NAME.bias */
static void linear(builder *b, const char *x, const char *name, int64_t in, int64_t out) {
    char w[ONNX_NAME], bias[ONNX_NAME], product[ONNX_NAME];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    float *values = values_of(b, w, in * out, 1), *plus = values_of(b, bias, out, 0);
    if (values) onnx_turned(b->g, w, out, in, values);
    free(values);
    apply(b, "MatMul", x, w, NULL);
    if (!plus) return;
    snprintf(product, sizeof product, "%s", b->name);
    give(b, bias, 1, &out, plus);
    apply(b, "Add", product, bias, NULL);
}

/* b->name = x with these dims (0: as it is) */
static void reshape(builder *b, const char *x, int n, const int64_t *dim) {
    char shape[ONNX_NAME];
    snprintf(shape, sizeof shape, "shape%d", b->values + 1);
    onnx_list(b->g, shape, n, dim);
    apply(b, "Reshape", x, shape, NULL);
}

static void transpose(builder *b, const char *x, int n, const int64_t *axes) {
    onnx_node(b->g, "Transpose", x, NULL);
    onnx_wholes(b->g, "perm", n, axes);
    onnx_out(b->g, fresh(b), NULL);
}

#define COPY(text) snprintf(text, sizeof text, "%s", b->name)

/* b->name = proj(attention(qkv(x))) */
static void attend(builder *b, const char *x, const char *block) {
    char part[ONNX_NAME], q[ONNX_NAME], k[ONNX_NAME], v[ONNX_NAME], one[3][ONNX_NAME], axis[] = "axis0";
    int64_t d = b->width / b->heads;
    snprintf(part, sizeof part, "%s.attn.qkv", block);
    linear(b, x, part, b->width, 3 * b->width);
    reshape(b, b->name, 5, (int64_t[]){0, b->tokens, 3, b->heads, d});
    transpose(b, b->name, 5, (int64_t[]){2, 0, 3, 1, 4}); /* [3, B, heads, tokens, d] */
    COPY(part);
    for (int i = 0; i < 3; i++) snprintf(one[i], sizeof one[i], "split%d.%d", b->values, i);
    onnx_node(b->g, "Split", part, NULL);
    onnx_whole(b->g, "axis", 0);
    onnx_out(b->g, one[0], one[1], one[2], NULL);
    apply(b, "Squeeze", one[0], axis, NULL), COPY(q);
    apply(b, "Squeeze", one[1], axis, NULL), COPY(k);
    apply(b, "Squeeze", one[2], axis, NULL), COPY(v);
    transpose(b, k, 4, (int64_t[]){0, 1, 3, 2}), COPY(k);
    apply(b, "Mul", q, "attention_scale", NULL), COPY(q);
    apply(b, "MatMul", q, k, NULL), COPY(q);
    onnx_node(b->g, "Softmax", q, NULL);
    onnx_whole(b->g, "axis", -1);
    onnx_out(b->g, fresh(b), NULL), COPY(q);
    apply(b, "MatMul", q, v, NULL);
    transpose(b, b->name, 4, (int64_t[]){0, 2, 1, 3});
    reshape(b, b->name, 3, (int64_t[]){0, b->tokens, b->width});
    snprintf(part, sizeof part, "%s.attn.proj", block);
    COPY(q);
    linear(b, q, part, b->width, b->width);
}

/* b->name = 0.5 x (1 + erf(x / sqrt 2)) */
static void gelu(builder *b) {
    char x[ONNX_NAME], half[ONNX_NAME];
    COPY(x);
    apply(b, "Mul", x, "half", NULL), COPY(half);
    apply(b, "Mul", x, "rsqrt2", NULL);
    apply(b, "Erf", b->name, NULL, NULL);
    apply(b, "Add", b->name, "one", NULL);
    apply(b, "Mul", half, b->name, NULL);
}

static void blocks(builder *b) {
    char x[ONNX_NAME], part[ONNX_NAME], block[64];
    COPY(x);
    for (long long i = 0; i < b->depth; i++) {
        snprintf(block, sizeof block, "blocks.%lld", i);
        snprintf(part, sizeof part, "%s.att_norm", block);
        norm(b, x, part, b->block_eps);
        COPY(part);
        attend(b, part, block);
        apply(b, "Add", x, b->name, NULL), COPY(x);
        snprintf(part, sizeof part, "%s.ffn_norm", block);
        norm(b, x, part, b->block_eps);
        char h[ONNX_NAME];
        COPY(h);
        snprintf(part, sizeof part, "%s.mlp.linear1", block);
        linear(b, h, part, b->width, b->mlp);
        gelu(b);
        COPY(h);
        snprintf(part, sizeof part, "%s.mlp.linear2", block);
        linear(b, h, part, b->mlp, b->width);
        apply(b, "Add", x, b->name, NULL), COPY(x);
    }
    norm(b, x, "norm", b->norm_eps);
}

/* Patches of b->name [B, C, D, D, D], positions, and class token and registers in front. */
static void embed(builder *b) {
    const input_spec *input = &b->s->info->encoder.input;
    const char *w = "patch_embedding.patch_embeddings.weight", *bias = "patch_embedding.patch_embeddings.bias",
               *positions = "patch_embedding.position_embeddings";
    int64_t c = input->n_windows, p = b->patch, front = 1 + b->registers;
    char x[ONNX_NAME], patches[ONNX_NAME];
    COPY(x);
    give(b, w, 5, (int64_t[]){b->width, c, p, p, p}, values_of(b, w, b->width * c * p * p * p, 1));
    give(b, bias, 1, &b->width, values_of(b, bias, b->width, 1));
    give(b, positions, 3, (int64_t[]){1, b->patches, b->width}, values_of(b, positions, b->patches * b->width, 1));
    onnx_node(b->g, "Conv", x, w, bias, NULL);
    onnx_wholes(b->g, "kernel_shape", 3, (int64_t[]){p, p, p});
    onnx_wholes(b->g, "strides", 3, (int64_t[]){p, p, p});
    onnx_out(b->g, fresh(b), NULL);
    reshape(b, b->name, 3, (int64_t[]){0, b->width, b->patches});
    transpose(b, b->name, 3, (int64_t[]){0, 2, 1});
    apply(b, "Add", b->name, positions, NULL), COPY(patches);
    float *first = values_of(b, "cls_token", b->width, 1),
          *more = b->registers ? values_of(b, "register_tokens", b->registers * b->width, 1) : NULL;
    float *both = first ? realloc(first, (size_t)(front * b->width) * sizeof *both) : NULL;
    if (both && more) memcpy(both + b->width, more, (size_t)(b->registers * b->width) * sizeof *both);
    if (first && !both) b->st = hct_fail(b->err, HCT_ENOMEM, "out of memory"), free(first);
    free(more);
    give(b, "front", 3, (int64_t[]){1, front, b->width}, both);
    /* once for each scan of the batch */
    onnx_node(b->g, "Shape", x, NULL);
    onnx_whole(b->g, "start", 0);
    onnx_whole(b->g, "end", 1);
    onnx_out(b->g, fresh(b), NULL);
    onnx_list(b->g, "front_dims", 2, (int64_t[]){front, b->width});
    onnx_node(b->g, "Concat", b->name, "front_dims", NULL);
    onnx_whole(b->g, "axis", 0);
    onnx_out(b->g, fresh(b), NULL);
    apply(b, "Expand", "front", b->name, NULL);
    onnx_node(b->g, "Concat", b->name, patches, NULL);
    onnx_whole(b->g, "axis", 1);
    onnx_out(b->g, fresh(b), NULL);
}

/* [to, from]: averages along an axis, as adaptive average pooling has them. */
static void pooling_matrix(builder *b, const char *name, int64_t from, int64_t to) {
    float *m = calloc((size_t)(from * to), sizeof *m);
    if (!m) {
        b->st = hct_fail(b->err, HCT_ENOMEM, "out of memory");
        return;
    }
    for (int64_t i = 0; i < to; i++) {
        int64_t first = i * from / to, end = ((i + 1) * from + to - 1) / to;
        for (int64_t j = first; j < end; j++) m[j * to + i] = 1 / (float)(end - first);
    }
    give(b, name, 2, (int64_t[]){from, to}, m);
}

/* b->name = the encoder's input of `volume`. */
static void prepare(builder *b) {
    const input_spec *s = &b->s->info->encoder.input;
    int64_t c = s->n_windows, edge = PREPARED_SIZE, begin[3], end[3];
    float low[INPUT_WINDOWS], per_width[INPUT_WINDOWS];
    for (int a = 0; a < 3; a++) begin[a] = edge / 2 - s->crop[a] / 2, end[a] = begin[a] + s->crop[a];
    for (int64_t i = 0; i < c; i++)
        low[i] = hu_window_low(s->window[i]), per_width[i] = (float)(1 / s->window[i].width);
    onnx_list(b->g, "crop_begin", 3, begin);
    onnx_list(b->g, "crop_end", 3, end);
    onnx_list(b->g, "crop_axes", 3, (int64_t[]){1, 2, 3});
    onnx_node(b->g, "Slice", "volume", "crop_begin", "crop_end", "crop_axes", NULL);
    onnx_out(b->g, fresh(b), NULL);
    onnx_node(b->g, "Cast", b->name, NULL);
    onnx_whole(b->g, "to", ONNX_FLOAT);
    onnx_out(b->g, fresh(b), NULL);
    onnx_list(b->g, "channel_axis", 1, (int64_t[]){1});
    apply(b, "Unsqueeze", b->name, "channel_axis", NULL);
    onnx_copy(b->g, "window_low", ONNX_FLOAT, 5, (int64_t[]){1, c, 1, 1, 1}, low);
    onnx_copy(b->g, "window_per_width", ONNX_FLOAT, 5, (int64_t[]){1, c, 1, 1, 1}, per_width);
    apply(b, "Sub", b->name, "window_low", NULL);
    apply(b, "Mul", b->name, "window_per_width", NULL);
    constant(b, "zero", 0);
    apply(b, "Clip", b->name, "zero", "one");
    for (int a = 2; a >= 0; a--) { /* the last axis is averaged, then goes to the front of the three */
        static const char *const names[] = {"pool_x", "pool_y", "pool_z"};
        pooling_matrix(b, names[a], s->crop[a], s->size[a]);
        apply(b, "MatMul", b->name, names[a], NULL);
        transpose(b, b->name, 5, (int64_t[]){0, 1, 4, 2, 3});
    }
}

/* Logits of all tasks at once: of each, class 1 less class 0, with the batch norm's statistics folded in. */
static void classify(builder *b, const char *embedding) {
    const model_info *info = b->s->info;
    int64_t n = info->n_tasks, width = b->width;
    float *w = calloc((size_t)(n * width), sizeof *w), *bias = calloc((size_t)n, sizeof *bias);
    if (!w || !bias) b->st = hct_fail(b->err, HCT_ENOMEM, "out of memory");
    for (int64_t k = 0; b->st == HCT_OK && k < n; k++) {
        char name[4][MODEL_NAME + 32];
        static const char *const part[] = {"linear.weight", "linear.bias", "bn.running_mean", "bn.running_var"};
        const int64_t count[] = {2 * width, 2, width, width};
        float *x[4];
        for (int i = 0; i < 4; i++) {
            snprintf(name[i], sizeof name[i], "head.%s.%s", info->task[k], part[i]);
            x[i] = values_of(b, name[i], count[i], 1);
        }
        double offset = b->st == HCT_OK ? (double)x[1][1] - (double)x[1][0] : 0;
        for (int64_t j = 0; b->st == HCT_OK && j < width; j++) {
            double each = ((double)x[0][width + j] - (double)x[0][j]) / sqrt((double)x[3][j] + PROBE_EPS);
            w[k * width + j] = (float)each;
            offset -= each * (double)x[2][j];
        }
        if (b->st == HCT_OK) bias[k] = (float)offset;
        for (int i = 0; i < 4; i++) free(x[i]);
    }
    if (b->st == HCT_OK) {
        onnx_copy(b->g, "heads.weight", ONNX_FLOAT, 2, (int64_t[]){n, width}, w);
        onnx_copy(b->g, "heads.bias", ONNX_FLOAT, 1, &n, bias);
        onnx_node(b->g, "Gemm", embedding, "heads.weight", "heads.bias", NULL);
        onnx_whole(b->g, "transB", 1);
        onnx_out(b->g, fresh(b), NULL);
        onnx_node(b->g, "Sigmoid", b->name, NULL);
        onnx_out(b->g, "probabilities", NULL);
        onnx_output(b->g, "probabilities", ONNX_FLOAT, 2, (int64_t[]){-1, n});
    }
    free(w);
    free(bias);
}

static hct_status check(const onnx_source *s, hct_err *err) {
    const model_info *info = s->info;
    const input_spec *input = &info->encoder.input;
    if (strcmp(info->encoder.kind->name, "vit") != 0)
        return hct_fail(err, HCT_EINVAL, "%s: is an encoder of kind %s; ONNX is written of kind vit alone", s->path,
                        info->encoder.kind->name);
    if (info->role == MODEL_CLASSIFIER && info->probe_heads)
        return hct_fail(err, HCT_EINVAL, "%s: its heads attend over all tokens; ONNX is written of linear heads alone",
                        s->path);
    if (s->from_volume && (*input->form || strcmp(input->order, "xyz") != 0))
        return hct_fail(err, HCT_EINVAL, "%s: takes a volume of another form than 224 mm cubes", s->path);
    return HCT_OK;
}

hct_status onnx_vit(const onnx_source *s, onnx_graph *g, hct_err *err) {
    hct_status st = check(s, err);
    if (st < 0) return st;
    const encoder *e = &s->info->encoder;
    int64_t dim[3];
    builder one = {.s = s, .g = g, .err = err}, *b = &one;
    input_dims(&e->input, dim);
    b->patch = (int64_t)field(b, "patch");
    b->width = (int64_t)field(b, "width");
    b->depth = (int64_t)field(b, "depth");
    b->heads = (int64_t)field(b, "heads");
    b->mlp = (int64_t)field(b, "mlp");
    b->registers = (int64_t)field(b, "registers");
    b->norm_eps = field(b, "norm_eps");
    b->block_eps = field(b, "block_eps") > 0 ? field(b, "block_eps") : 1e-5;
    b->patches = (dim[0] / b->patch) * (dim[1] / b->patch) * (dim[2] / b->patch);
    b->tokens = 1 + b->registers + b->patches;
    constant(b, "half", 0.5);
    constant(b, "one", 1);
    constant(b, "rsqrt2", sqrt(0.5));
    constant(b, "attention_scale", 1 / sqrt((double)(b->width / b->heads)));
    onnx_list(g, "axis0", 1, (int64_t[]){0});
    if (s->from_volume) {
        onnx_input(g, "volume", ONNX_INT16, 4, (int64_t[]){-1, PREPARED_SIZE, PREPARED_SIZE, PREPARED_SIZE});
        prepare(b);
    } else {
        onnx_input(g, "input", ONNX_FLOAT, 5, (int64_t[]){-1, e->input.n_windows, dim[0], dim[1], dim[2]});
        snprintf(b->name, sizeof b->name, "input");
    }
    embed(b);
    blocks(b);
    char tokens[ONNX_NAME];
    COPY(tokens);
    if (s->info->pool_mean) {
        onnx_list(g, "patches_begin", 1, (int64_t[]){1 + b->registers});
        onnx_list(g, "patches_end", 1, (int64_t[]){b->tokens});
        onnx_list(g, "patches_axis", 1, (int64_t[]){1});
        onnx_node(g, "Slice", tokens, "patches_begin", "patches_end", "patches_axis", NULL);
        onnx_out(g, fresh(b), NULL);
        onnx_node(g, "ReduceMean", b->name, NULL);
        onnx_wholes(g, "axes", 1, (int64_t[]){1});
        onnx_whole(g, "keepdims", 0);
    } else {
        onnx_copy(g, "first", ONNX_INT64, 0, NULL, &(int64_t){0});
        onnx_node(g, "Gather", tokens, "first", NULL);
        onnx_whole(g, "axis", 1);
    }
    onnx_out(g, "embedding", NULL);
    onnx_output(g, "embedding", ONNX_FLOAT, 2, (int64_t[]){-1, b->width});
    if (s->info->role == MODEL_CLASSIFIER) classify(b, "embedding");
    return b->st;
}
