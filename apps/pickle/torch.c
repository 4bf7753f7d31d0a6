/* Files of torch.save: tensors over storages, zip and legacy form. */
#include "pickle/torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/half.h"
#include "pickle/torch_file.h"

enum { NUMBER_BYTES = 16 };

/* Kinds of PICKLE_OWN values (n): number of a storage, number of a tensor, dtype of a numpy scalar. */
enum { OWN_STORAGE = 1, OWN_TENSOR, OWN_NUMPY };

typedef enum name {
    ORDERED_DICT,
    REBUILD_TENSOR,
    REBUILD_PARAMETER,
    NUMPY_SCALAR,
    NUMPY_DTYPE,
    CODECS_ENCODE,
    STORAGE
} name;

static const struct {
    const char *module, *name;
    enum name is;
} names[] = {
    {"collections", "OrderedDict", ORDERED_DICT},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER},
    {"numpy.core.multiarray", "scalar", NUMPY_SCALAR},
    {"numpy._core.multiarray", "scalar", NUMPY_SCALAR},
    {"numpy", "dtype", NUMPY_DTYPE},
    {"_codecs", "encode", CODECS_ENCODE},
};

static const struct {
    const char *name;
    hct_dtype dtype;
} storages[] = {
    {"FloatStorage", HCT_F32}, {"DoubleStorage", HCT_F64}, {"HalfStorage", HCT_F16},  {"BFloat16Storage", HCT_BF16},
    {"LongStorage", HCT_I64},  {"IntStorage", HCT_I32},    {"ShortStorage", HCT_I16}, {"CharStorage", HCT_I8},
    {"ByteStorage", HCT_U8},   {"BoolStorage", HCT_U8},
};

static const struct {
    const char *name; /* numpy's */
    hct_dtype dtype;
} numpy_types[] = {
    {"f8", HCT_F64}, {"f4", HCT_F32}, {"f2", HCT_F16}, {"i8", HCT_I64}, {"i4", HCT_I32},
    {"i2", HCT_I16}, {"i1", HCT_I8},  {"u1", HCT_U8},  {"b1", HCT_U8},
};

#define REFUSE(...) hct_fail(err, HCT_EFORMAT, __VA_ARGS__)

static int room(void **array, size_t *capacity, size_t n, size_t element) {
    if (n < *capacity) return 1;
    size_t more = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(*array, more * element);
    if (!grown) return 0;
    *array = grown;
    *capacity = more;
    return 1;
}

/* ---- hooks ---- */

static int64_t find_global(void *context, const char *module, const char *name) {
    (void)context;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].module, module) && !strcmp(names[i].name, name)) return names[i].is;
    for (size_t i = 0; !strcmp(module, "torch") && i < sizeof storages / sizeof *storages; i++)
        if (!strcmp(storages[i].name, name)) return STORAGE + (int64_t)i;
    return -1;
}

/* Item i of a tuple, NULL where v is no tuple of at least i + 1. */
static const pickle_value *item(const pickle *p, pickle_id v, uint32_t i) {
    const pickle_value *t = pickle_at(p, v);
    return t->kind == PICKLE_TUPLE && i < t->n ? pickle_at(p, t->item[i]) : NULL;
}

static pickle_id item_id(const pickle *p, pickle_id v, uint32_t i) {
    const pickle_value *t = pickle_at(p, v);
    return t->kind == PICKLE_TUPLE && i < t->n ? t->item[i] : PICKLE_NONE;
}

static hct_status made(torch_file *f, pickle_id id, pickle_id *ret, hct_err *err) {
    *ret = id;
    return id != PICKLE_NONE ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory for its pickle", f->path);
}

static hct_status inert(torch_file *f, pickle *p, pickle_id *ret, hct_err *err) {
    return made(f, pickle_make(p, (pickle_value){.kind = PICKLE_INERT}), ret, err);
}

/* Whole numbers of a tuple, each 0 or more. */
static int read_lengths(const pickle *p, pickle_id v, int64_t *out, int32_t *ret_n) {
    const pickle_value *t = pickle_at(p, v);
    if (t->kind != PICKLE_TUPLE || t->n > HCT_MAX_DIMS) return 0;
    for (uint32_t i = 0; i < t->n; i++) {
        const pickle_value *w = pickle_at(p, t->item[i]);
        if (w->kind != PICKLE_WHOLE || w->whole < 0) return 0;
        out[i] = w->whole;
    }
    *ret_n = (int32_t)t->n;
    return 1;
}

/* Whether every element lies in its storage, and there are no more of them than the storage has (a stride of 0 could
 * make any number out of one). All in 64 bits with a check for overflow. */
static int fits(const torch_tensor *t, int64_t elements) {
    int64_t last = t->offset, count = 1, far;
    int empty = 0;
    for (int32_t i = 0; i < t->ndim; i++) empty |= !t->dim[i];
    if (t->offset > elements) return 0;
    if (empty) return 1;
    for (int32_t i = 0; i < t->ndim; i++)
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &far) || __builtin_add_overflow(last, far, &last) ||
            __builtin_mul_overflow(count, t->dim[i], &count))
            return 0;
    return last < elements && count <= elements;
}

/* (storage, offset, size, stride, requires_grad, hooks) */
static hct_status rebuild_tensor(torch_file *f, pickle *p, pickle_id arguments, pickle_id *ret, hct_err *err) {
    const pickle_value *s = item(p, arguments, 0), *offset = item(p, arguments, 1);
    torch_tensor t = {0};
    int32_t strides = 0;
    if (s && s->kind == PICKLE_INERT) return inert(f, p, ret, err);
    int ok = s && s->kind == PICKLE_OWN && s->n == OWN_STORAGE && offset && offset->kind == PICKLE_WHOLE &&
             offset->whole >= 0 && item(p, arguments, 5) && read_lengths(p, item_id(p, arguments, 2), t.dim, &t.ndim) &&
             read_lengths(p, item_id(p, arguments, 3), t.stride, &strides) && strides == t.ndim;
    if (!ok)
        return REFUSE(
            "%s: a tensor is not described as torch.save does (storage, offset, sizes and strides of at most %d axes)",
            f->path, HCT_MAX_DIMS);
    t.storage = (size_t)s->whole;
    t.offset = offset->whole;
    t.dtype = f->storage[t.storage].dtype;
    if (!fits(&t, f->storage[t.storage].elements))
        return REFUSE("%s: a tensor reaches beyond its storage of %lld elements", f->path,
                      (long long)f->storage[t.storage].elements);
    if (!room((void **)&f->tensor, &f->capacity, f->n, sizeof t))
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its tensors", f->path);
    f->tensor[f->n] = t;
    return made(f, pickle_make(p, (pickle_value){.kind = PICKLE_OWN, .n = OWN_TENSOR, .whole = (int64_t)f->n++}), ret,
                err);
}

/* (tensor, requires_grad, hooks) */
static hct_status rebuild_parameter(torch_file *f, pickle *p, pickle_id arguments, pickle_id *ret, hct_err *err) {
    const pickle_value *t = item(p, arguments, 0);
    if (t && t->kind == PICKLE_INERT) return inert(f, p, ret, err);
    if (!t || t->kind != PICKLE_OWN || t->n != OWN_TENSOR) return REFUSE("%s: a parameter holds no tensor", f->path);
    *ret = item_id(p, arguments, 0);
    return HCT_OK;
}

/* _codecs.encode(text, 'latin1'): how Python 3 writes bytes in an old protocol. Only as long as a number is. */
static hct_status encode(torch_file *f, pickle *p, pickle_id arguments, pickle_id *ret, hct_err *err) {
    const pickle_value *text = item(p, arguments, 0);
    if (!text || text->kind != PICKLE_TEXT || !pickle_is_text(p, item_id(p, arguments, 1), "latin1"))
        return REFUSE("%s: _codecs.encode is used for something else than bytes", f->path);
    char bytes[NUMBER_BYTES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < text->n; i++) {
        unsigned char c = (unsigned char)text->text[i], d = i + 1 < text->n ? (unsigned char)text->text[i + 1] : 0;
        if (n == NUMBER_BYTES) return inert(f, p, ret, err); /* an array's, which nobody asks for */
        if (c < 0x80) bytes[n++] = (char)c;
        else if ((c == 0xc2 || c == 0xc3) && (d & 0xc0) == 0x80)
            bytes[n++] = (char)(unsigned char)((unsigned)(c & 3) << 6 | (d & 0x3f)), i++;
        else return REFUSE("%s: _codecs.encode is given text that is not latin1", f->path);
    }
    char *kept = pickle_keep(p, n);
    if (!kept) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its pickle", f->path);
    memcpy(kept, bytes, n);
    return made(f, pickle_make(p, (pickle_value){.kind = PICKLE_BYTES, .n = n, .text = kept}), ret, err);
}

static hct_status numpy_dtype(torch_file *f, pickle *p, pickle_id arguments, pickle_id *ret, hct_err *err) {
    for (size_t i = 0; i < sizeof numpy_types / sizeof *numpy_types; i++)
        if (pickle_is_text(p, item_id(p, arguments, 0), numpy_types[i].name))
            return made(
                f, pickle_make(p, (pickle_value){.kind = PICKLE_OWN, .n = OWN_NUMPY, .whole = numpy_types[i].dtype}),
                ret, err);
    return inert(f, p, ret, err);
}

/* scalar(dtype, bytes) -> the number */
static hct_status numpy_scalar(torch_file *f, pickle *p, pickle_id arguments, pickle_id *ret, hct_err *err) {
    const pickle_value *type = item(p, arguments, 0), *bytes = item(p, arguments, 1);
    if (type && type->kind == PICKLE_INERT) return inert(f, p, ret, err);
    if (!type || type->kind != PICKLE_OWN || type->n != OWN_NUMPY || !bytes || bytes->kind != PICKLE_BYTES ||
        bytes->n != hct_dtype_size((int32_t)type->whole))
        return REFUSE("%s: a numpy number is damaged", f->path);
    const hct_st_entry e = {.name = "number", .dtype = (int32_t)type->whole, .data = bytes->text, .bytes = bytes->n};
    pickle_value v = {.kind = PICKLE_REAL};
    int whole = type->whole >= HCT_I64;
    hct_status st = whole ? hct_st_to_i64(&e, &v.whole, err) : hct_st_to_f64(&e, &v.real, err);
    if (whole) v.kind = PICKLE_WHOLE;
    return st < 0 ? st : made(f, pickle_make(p, v), ret, err);
}

static hct_status reduce(void *context, pickle *p, int64_t global, pickle_id arguments, pickle_id *ret, hct_err *err) {
    torch_file *f = context;
    switch (global) {
    case ORDERED_DICT:
        if (pickle_at(p, arguments)->n)
            return REFUSE("%s: an OrderedDict is made in another way than torch.save does", f->path);
        return made(f, pickle_make(p, (pickle_value){.kind = PICKLE_DICT}), ret, err);
    case REBUILD_TENSOR: return rebuild_tensor(f, p, arguments, ret, err);
    case REBUILD_PARAMETER: return rebuild_parameter(f, p, arguments, ret, err);
    case NUMPY_SCALAR: return numpy_scalar(f, p, arguments, ret, err);
    case NUMPY_DTYPE: return numpy_dtype(f, p, arguments, ret, err);
    case CODECS_ENCODE: return encode(f, p, arguments, ret, err);
    default: return REFUSE("%s: its pickle makes a storage by hand", f->path);
    }
}

/* State of an OrderedDict: a dict of attributes, dropped. State of a numpy dtype: (version, byte order, ...). */
static hct_status build(void *context, pickle *p, pickle_id object, pickle_id state, hct_err *err) {
    torch_file *f = context;
    const pickle_value *o = pickle_at(p, object), *s = pickle_at(p, state);
    if (o->kind == PICKLE_DICT && s->kind == PICKLE_DICT) return HCT_OK;
    if (o->kind != PICKLE_OWN || o->n != OWN_NUMPY || s->kind != PICKLE_TUPLE)
        return REFUSE("%s: its pickle sets the state of something that has none", f->path);
    pickle_id order = item_id(p, state, 1);
    if (pickle_is_text(p, order, "<") || pickle_is_text(p, order, "|")) return HCT_OK;
    return REFUSE("%s: a numpy number is big-endian", f->path);
}

/* ('storage', type, key, location, elements) */
static hct_status persistent(void *context, pickle *p, pickle_id id, pickle_id *ret, hct_err *err) {
    torch_file *f = context;
    const pickle_value *type = item(p, id, 1), *key = item(p, id, 2), *n = item(p, id, 4);
    if (type && type->kind == PICKLE_INERT) return inert(f, p, ret, err); /* of a type that is not read: complex, ... */
    if (!pickle_is_text(p, item_id(p, id, 0), "storage") || !type || type->kind != PICKLE_GLOBAL ||
        type->whole < STORAGE || !key || key->kind != PICKLE_TEXT || key->n > KEY_BYTES || !n ||
        n->kind != PICKLE_WHOLE || n->whole < 0)
        return REFUSE("%s: a storage is not described as torch.save does", f->path);
    if (!f->z) {
        const pickle_value *view = item(p, id, 5);
        size_t at = 0;
        if (view && view->kind != PICKLE_IS_NONE)
            return REFUSE("%s: a storage is a view of another one; load it with PyTorch and save it again", f->path);
        hct_status st =
            torch_legacy_storage(f, key, (int32_t)storages[type->whole - STORAGE].dtype, n->whole, &at, err);
        return st < 0
                   ? st
                   : made(f, pickle_make(p, (pickle_value){.kind = PICKLE_OWN, .n = OWN_STORAGE, .whole = (int64_t)at}),
                          ret, err);
    }
    char name[3 * KEY_BYTES];
    int length = snprintf(name, sizeof name, "%sdata/%.*s", f->root, (int)key->n, key->text);
    const zip_member *m = zip_find(f->z, name, (size_t)length);
    if (!m) return REFUSE("%s: holds no storage '%s' that its pickle refers to", f->path, name);
    hct_dtype dtype = storages[type->whole - STORAGE].dtype;
    if (m->size % hct_dtype_size(dtype) || (uint64_t)n->whole != m->size / hct_dtype_size(dtype))
        return REFUSE("%s: storage '%s' has %zu bytes, not %lld elements of %s", f->path, name, m->size,
                      (long long)n->whole, hct_dtype_name(dtype));
    size_t at = (size_t)(m - zip_at(f->z, 0));
    if (f->storage[at].member && f->storage[at].dtype != (int32_t)dtype)
        return REFUSE("%s: storage '%s' is used with two dtypes", f->path, name);
    f->storage[at] = (storage){
        .bytes = m->bytes, .member = m, .dtype = dtype, .elements = n->whole, .checked = f->storage[at].checked};
    return made(f, pickle_make(p, (pickle_value){.kind = PICKLE_OWN, .n = OWN_STORAGE, .whole = (int64_t)at}), ret,
                err);
}

/* ---- the file ---- */

static int ends_with(const zip_member *m, const char *end) {
    size_t n = strlen(end);
    return m->name_bytes > n && !memcmp(m->name + m->name_bytes - n, end, n);
}

static hct_status find_root(torch_file *f, const zip_member **ret, hct_err *err) {
    int script = 0;
    *ret = NULL;
    for (size_t i = 0; i < zip_count(f->z); i++) {
        const zip_member *m = zip_at(f->z, i);
        script |= ends_with(m, "/constants.pkl");
        if (!ends_with(m, "/data.pkl") || memchr(m->name, '/', m->name_bytes) != m->name + m->name_bytes - 9) continue;
        if (*ret) return REFUSE("%s: holds two files data.pkl; it is no file of torch.save", f->path);
        if (m->name_bytes >= KEY_BYTES + 8)
            return REFUSE("%s: the name of its archive is longer than %d characters", f->path, KEY_BYTES - 2);
        *ret = m;
        snprintf(f->root, sizeof f->root, "%.*s", (int)(m->name_bytes - 8), m->name);
    }
    if (script) return REFUSE("%s: is a TorchScript program; save its state_dict() with torch.save", f->path);
    return *ret ? HCT_OK : REFUSE("%s: is a zip archive, but none of torch.save: it holds no data.pkl", f->path);
}

static hct_status open_file(torch_file *f, hct_err *err) {
    const pickle_hooks hooks = {
        .context = f, .global = find_global, .reduce = reduce, .build = build, .persistent = persistent};
    if (torch_is_legacy(f->path)) {
        hct_status mapped = hct_map_file(f->path, &f->map, err);
        return mapped < 0 ? mapped : torch_legacy_read(f, &hooks, err);
    }
    if (!(f->z = zip_open(f->path, err))) return err ? err->code : HCT_EFORMAT;
    const zip_member *data;
    hct_status st = find_root(f, &data, err);
    if (st < 0) return st;
    char name[KEY_BYTES + 16];
    int n = snprintf(name, sizeof name, "%sbyteorder", f->root);
    const zip_member *order = zip_find(f->z, name, (size_t)n);
    if (order && (order->size != 6 || memcmp(order->bytes, "little", 6) != 0))
        return REFUSE("%s: its numbers are big-endian; save it on a little-endian machine", f->path);
    if (!zip_intact(data))
        return REFUSE("%s: data.pkl does not have the checksum that it should; the file is damaged", f->path);
    if (!(f->storage = calloc(zip_count(f->z), sizeof *f->storage)))
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory", f->path);
    f->p = pickle_read(f->path, data->bytes, data->size, &hooks, err);
    return f->p ? HCT_OK : err ? err->code : HCT_EFORMAT;
}

torch_file *torch_open(const char *path, hct_err *err) {
    torch_file *f = calloc(1, sizeof *f);
    if (f) f->path = f->own_path = strdup(path);
    if (!f || !f->own_path) hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (f && f->own_path && open_file(f, err) == HCT_OK) return f;
    torch_close(f);
    return NULL;
}

void torch_close(torch_file *f) {
    if (!f) return;
    pickle_free(f->p);
    zip_close(f->z);
    hct_unmap_file(&f->map);
    for (size_t i = 0; i < f->copies; i++) free(f->copy[i]);
    free(f->copy);
    free(f->storage);
    free(f->tensor);
    free(f->own_path);
    free(f);
}

const pickle *torch_values(const torch_file *f) { return f->p; }
size_t torch_file_bytes(const torch_file *f) { return f->z ? zip_file_bytes(f->z) : f->map.size; }

const torch_tensor *torch_tensor_at(const torch_file *f, pickle_id v) {
    const pickle_value *x = pickle_at(f->p, v);
    return x->kind == PICKLE_OWN && x->n == OWN_TENSOR ? &f->tensor[x->whole] : NULL;
}

int torch_number(const torch_file *f, pickle_id v, double *ret) {
    const pickle_value *x = pickle_at(f->p, v);
    if (x->kind != PICKLE_BOOL && x->kind != PICKLE_WHOLE && x->kind != PICKLE_REAL) return 0;
    *ret = x->kind == PICKLE_REAL ? x->real : (double)x->whole;
    return 1;
}

static int row_major(const torch_tensor *t) {
    int64_t step = 1;
    for (int32_t i = t->ndim; i-- > 0; step *= t->dim[i])
        if (t->dim[i] != 1 && t->stride[i] != step) return 0;
    return 1;
}

/* Element by element, in row-major order. */
static void gather(const torch_tensor *t, const unsigned char *from, size_t element, size_t n, unsigned char *to) {
    int64_t index[HCT_MAX_DIMS] = {0};
    for (size_t i = 0; i < n; i++) {
        int64_t at = t->offset;
        for (int32_t d = 0; d < t->ndim; d++) at += index[d] * t->stride[d];
        memcpy(to + i * element, from + (size_t)at * element, element);
        for (int32_t d = t->ndim; d-- > 0 && ++index[d] == t->dim[d];) index[d] = 0;
    }
}

hct_status torch_entry(torch_file *f, pickle_id v, const char *name, hct_st_entry *ret, hct_err *err) {
    const torch_tensor *t = torch_tensor_at(f, v);
    if (!t) return REFUSE("%s: '%s' is no tensor", f->path, name);
    storage *s = &f->storage[t->storage];
    if (!s->checked && !zip_intact(s->member))
        return REFUSE("%s: the storage of '%s' does not have the checksum that it should; the file is damaged", f->path,
                      name);
    s->checked = 1;
    size_t element = hct_dtype_size(t->dtype);
    *ret = (hct_st_entry){.name = name, .dtype = t->dtype, .ndim = t->ndim};
    memcpy(ret->dim, t->dim, sizeof ret->dim);
    size_t n = hct_st_elements(ret);
    ret->bytes = n * element;
    ret->data = s->bytes + (size_t)t->offset * element;
    if (!n || row_major(t)) return HCT_OK;
    unsigned char *copy =
        room((void **)&f->copy, &f->copy_capacity, f->copies, sizeof *f->copy) ? malloc(ret->bytes) : NULL;
    if (!copy) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for '%s'", f->path, name);
    f->copy[f->copies++] = copy;
    gather(t, s->bytes, element, n, copy);
    ret->data = copy;
    return HCT_OK;
}
