/* Writes ONNX's messages in protocol buffers' wire format: a tag (field number and kind), then a number or a length and
 * its bytes. */
#include "weights/onnx.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17, VARINT = 0, BYTES = 2, FIXED32 = 5 };
enum { ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7 };
static const size_t MOST = 2147483647;

static size_t varint(uint64_t v, unsigned char out[10]) {
    size_t n = 0;
    for (; v > 127; v >>= 7) out[n++] = (unsigned char)(v | 128);
    out[n++] = (unsigned char)v;
    return n;
}

static void put_varint(text_buffer *t, uint64_t v) {
    unsigned char b[10];
    size_t n = varint(v, b);
    text_add(t, (const char *)b, n);
}

static void put_tag(text_buffer *t, int field, int kind) { put_varint(t, (uint64_t)field << 3 | (uint64_t)kind); }

static void put_whole(text_buffer *t, int field, int64_t v) {
    put_tag(t, field, VARINT);
    put_varint(t, (uint64_t)v);
}

static void put_bytes(text_buffer *t, int field, const void *bytes, size_t n) {
    put_tag(t, field, BYTES);
    put_varint(t, n);
    text_add(t, bytes, n);
}

static void put_text(text_buffer *t, int field, const char *text) { put_bytes(t, field, text, strlen(text)); }

/* A message that was built by itself; it is emptied. */
static void put_message(onnx_graph *g, text_buffer *t, int field, text_buffer *message) {
    hct_err err;
    const char *bytes = text_get(message, "onnx", &err);
    if (bytes) put_bytes(t, field, bytes, text_length(message));
    else g->failed = true;
    text_free(message);
}

/* ---- values ---- */

/* ValueInfoProto: name 1, type 2 {tensor_type 1 {elem_type 1, shape 2 {dim 1 {dim_value 1 | dim_param 2}}}} */
static void put_value(onnx_graph *g, text_buffer *to, int field, const char *name, int type, int ndim,
                      const int64_t *dim) {
    text_buffer shape = {0}, tensor = {0}, kind = {0}, value = {0};
    for (int i = 0; i < ndim; i++) {
        text_buffer one = {0};
        if (dim[i] < 0) put_text(&one, 2, "batch");
        else put_whole(&one, 1, dim[i]);
        put_message(g, &shape, 1, &one);
    }
    put_whole(&tensor, 1, type);
    put_message(g, &tensor, 2, &shape);
    put_message(g, &kind, 1, &tensor);
    put_text(&value, 1, name);
    put_message(g, &value, 2, &kind);
    put_message(g, to, field, &value);
}

void onnx_input(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim) {
    put_value(g, &g->inputs, 11, name, type, ndim, dim);
}

void onnx_output(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim) {
    put_value(g, &g->outputs, 12, name, type, ndim, dim);
}

void onnx_tensor(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim, const void *data) {
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 64;
        struct onnx_values *more = realloc(g->tensor, cap * sizeof *more);
        if (!more) {
            g->failed = true;
            return;
        }
        g->tensor = more;
        g->cap = cap;
    }
    struct onnx_values *v = &g->tensor[g->n++];
    *v = (struct onnx_values){.type = type, .ndim = ndim, .data = data, .bytes = type == ONNX_INT64 ? 8 : 4};
    snprintf(v->name, sizeof v->name, "%s", name);
    for (int i = 0; i < ndim; i++) {
        v->dim[i] = dim[i];
        v->bytes *= (size_t)dim[i];
    }
}

void onnx_copy(onnx_graph *g, const char *name, int type, int ndim, const int64_t *dim, const void *data) {
    size_t before = g->n;
    onnx_tensor(g, name, type, ndim, dim, NULL);
    if (g->n == before) return;
    struct onnx_values *v = &g->tensor[before];
    v->data = v->owned = malloc(v->bytes + 1);
    if (v->owned) memcpy(v->owned, data, v->bytes);
    else g->failed = true;
}

void onnx_turned(onnx_graph *g, const char *name, int64_t rows, int64_t columns, const float *data) {
    float *turned = malloc((size_t)(rows * columns) * sizeof *turned + 1);
    size_t before = g->n;
    for (int64_t i = 0; turned && i < rows; i++)
        for (int64_t j = 0; j < columns; j++) turned[j * rows + i] = data[i * columns + j];
    if (turned) onnx_tensor(g, name, ONNX_FLOAT, 2, (int64_t[]){columns, rows}, turned);
    if (turned && g->n > before) g->tensor[before].owned = turned;
    else {
        g->failed = true;
        free(turned);
    }
}

void onnx_list(onnx_graph *g, const char *name, int n, const int64_t *values) {
    onnx_copy(g, name, ONNX_INT64, 1, (int64_t[]){n}, values);
}

/* ---- nodes ---- */

void onnx_node(onnx_graph *g, const char *op, ...) {
    va_list ap;
    snprintf(g->type, sizeof g->type, "%s", op);
    va_start(ap, op);
    for (const char *name; (name = va_arg(ap, const char *));) put_text(&g->in, 1, name);
    va_end(ap);
}

/* AttributeProto: name 1, f 2, i 3, ints 8, type 20 */
void onnx_whole(onnx_graph *g, const char *attribute, int64_t value) {
    text_buffer a = {0};
    put_text(&a, 1, attribute);
    put_whole(&a, 3, value);
    put_whole(&a, 20, ATTRIBUTE_INT);
    put_message(g, &g->attributes, 5, &a);
}

void onnx_wholes(onnx_graph *g, const char *attribute, int n, const int64_t *values) {
    text_buffer a = {0};
    put_text(&a, 1, attribute);
    for (int i = 0; i < n; i++) put_whole(&a, 8, values[i]);
    put_whole(&a, 20, ATTRIBUTE_INTS);
    put_message(g, &g->attributes, 5, &a);
}

void onnx_real(onnx_graph *g, const char *attribute, double value) {
    text_buffer a = {0};
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    put_text(&a, 1, attribute);
    put_tag(&a, 2, FIXED32);
    text_add(&a, (const char[]){(char)bits, (char)(bits >> 8), (char)(bits >> 16), (char)(bits >> 24)}, 4);
    put_whole(&a, 20, ATTRIBUTE_FLOAT);
    put_message(g, &g->attributes, 5, &a);
}

/* NodeProto: input 1, output 2, op_type 4, attribute 5 */
void onnx_out(onnx_graph *g, ...) {
    va_list ap;
    text_buffer node = {0};
    hct_err err;
    const char *in = text_get(&g->in, "onnx", &err), *attributes = text_get(&g->attributes, "onnx", &err);
    if (in) text_add(&node, in, text_length(&g->in));
    va_start(ap, g);
    for (const char *name; (name = va_arg(ap, const char *));) put_text(&node, 2, name);
    va_end(ap);
    put_text(&node, 4, g->type);
    if (attributes) text_add(&node, attributes, text_length(&g->attributes));
    g->failed = g->failed || !in || !attributes;
    put_message(g, &g->nodes, 1, &node);
    text_clear(&g->in);
    text_clear(&g->attributes);
}

/* ---- the file ---- */

/* TensorProto without its values: dims 1, data_type 2, name 8, and the tag and length of raw_data 9. */
static void tensor_head(const struct onnx_values *v, text_buffer *out) {
    for (int i = 0; i < v->ndim; i++) put_whole(out, 1, v->dim[i]);
    put_whole(out, 2, v->type);
    put_text(out, 8, v->name);
    put_tag(out, 9, BYTES);
    put_varint(out, v->bytes);
}

static size_t varint_size(uint64_t v) {
    unsigned char b[10];
    return varint(v, b);
}

/* ModelProto but for its graph: ir_version 1, producer_name 2, opset_import 8 {version 2}, metadata_props 14. */
static void model_head(onnx_graph *g, text_buffer *out, const hct_st_pair *meta, size_t n) {
    text_buffer opset = {0};
    put_whole(out, 1, IR_VERSION);
    put_text(out, 2, "headct");
    put_whole(&opset, 2, OPSET);
    put_message(g, out, 8, &opset);
    for (size_t i = 0; i < n; i++) {
        text_buffer pair = {0};
        put_text(&pair, 1, meta[i].key);
        put_text(&pair, 2, meta[i].value);
        put_message(g, out, 14, &pair);
    }
}

hct_status onnx_save(const onnx_graph *graph, const char *path, const hct_st_pair *meta, size_t n_meta, hct_err *err) {
    onnx_graph g = *graph;
    text_buffer top = {0}, name = {0}, tag = {0};
    size_t heads = 0, size;
    put_text(&name, 2, "headct");
    model_head(&g, &top, meta, n_meta);
    size = text_length(&g.nodes) + text_length(&name) + text_length(&g.inputs) + text_length(&g.outputs);
    for (size_t i = 0; i < g.n; i++) {
        text_buffer head = {0};
        tensor_head(&g.tensor[i], &head);
        size_t message = text_length(&head) + g.tensor[i].bytes;
        size += 1 + varint_size(message) + message;
        heads += text_length(&head);
        text_free(&head);
    }
    put_tag(&tag, 7, BYTES);
    put_varint(&tag, size);
    const text_buffer *parts[] = {&top, &tag, &g.nodes, &name, &g.inputs, &g.outputs};
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < sizeof parts / sizeof *parts; i++) st = text_check(parts[i], path, err);
    if (st == HCT_OK && g.failed) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK && size + text_length(&top) + 16 > MOST)
        st = hct_fail(err, HCT_EINVAL, "%s: would have %zu bytes; one ONNX message holds 2 GB at most", path, size);
    hct_outfile *f = st == HCT_OK ? hct_outfile_open(path, err) : NULL;
    if (st == HCT_OK && !f) st = err->code;
    for (size_t i = 0; f && i < sizeof parts / sizeof *parts; i++)
        hct_outfile_write(f, text_so_far(parts[i]), text_length(parts[i]));
    for (size_t i = 0; f && st == HCT_OK && i < g.n; i++) {
        text_buffer head = {0}, lead = {0};
        tensor_head(&g.tensor[i], &head);
        put_tag(&lead, 5, BYTES);
        put_varint(&lead, text_length(&head) + g.tensor[i].bytes);
        st = text_check(&head, path, err);
        if (st == HCT_OK) st = text_check(&lead, path, err);
        heads -= text_length(&head);
        hct_outfile_write(f, text_so_far(&lead), text_length(&lead));
        hct_outfile_write(f, text_so_far(&head), text_length(&head));
        hct_outfile_write(f, g.tensor[i].data, g.tensor[i].bytes);
        text_free(&head);
        text_free(&lead);
    }
    if (f && (st < 0 || heads)) { /* a head that could not be built again is no file */
        hct_outfile_discard(f);
        if (st == HCT_OK) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    } else if (f) st = hct_outfile_close(f, err);
    text_free(&top);
    text_free(&name);
    text_free(&tag);
    return st;
}

void onnx_free(onnx_graph *g) {
    text_buffer *texts[] = {&g->nodes, &g->inputs, &g->outputs, &g->attributes, &g->in};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) text_free(texts[i]);
    for (size_t i = 0; i < g->n; i++) free(g->tensor[i].owned);
    free(g->tensor);
    *g = (onnx_graph){0};
}
