/* Embeddings in NumPy's files: .npy (numpy.lib.format, versions 1 to 3) and .npz, a zip archive of such.
 * Arrays of Python objects are pickles: only a list of texts is taken from one, by a reader that executes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embeddings/formats.h"
#include "hct/io.h"
#include "hct/safetensors.h"
#include "pickle/pickle.h"
#include "pickle/zip.h"
#include "support/text.h"

enum { MAGIC = 6, HEADER_MOST = 65536, DIMS = 3 };

typedef struct npy {
    const char *what; /* "FILE" or "FILE: array 'embeddings'", for messages */
    char kind;        /* f, U, S, O, ... */
    size_t size;      /* characters of U, else bytes, of an element */
    bool big, columns_first;
    int ndim;
    size_t dim[DIMS], n; /* n: elements */
    const unsigned char *data;
    size_t bytes;
} npy;

/* What follows 'KEY': in the header, blanks skipped; NULL: no such key. */
static const char *header_value(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    return *at == ':' ? at + 1 + strspn(at + 1, " ") : NULL;
}

static hct_status read_shape(npy *a, const char *at, hct_err *err) {
    a->n = 1;
    for (at++; at[strspn(at, " ,")] != ')'; a->ndim++) {
        at += strspn(at, " ,");
        char *end;
        unsigned long long v = *at >= '0' && *at <= '9' ? strtoull(at, &end, 10) : (end = NULL, 0);
        if (!end) return hct_fail(err, HCT_EFORMAT, "%s: its header has no shape; it is damaged", a->what);
        if (a->ndim == DIMS)
            return hct_fail(err, HCT_EFORMAT, "%s: has more than three dimensions; [scans, vectors, width] is the most",
                            a->what);
        if (v > SIZE_MAX / 8 / a->n) return hct_fail(err, HCT_EFORMAT, "%s: its shape is too large", a->what);
        a->dim[a->ndim] = (size_t)v;
        a->n *= v ? (size_t)v : 1;
        at = end;
    }
    for (int i = 0; i < a->ndim; i++)
        if (!a->dim[i]) a->n = 0;
    return HCT_OK;
}

static hct_status read_type(npy *a, const char *at, hct_err *err) {
    int64_t size = 0;
    char digits[16];
    size_t n = *at == '\'' && strchr("<>|=", at[1]) && at[1] && at[2] ? strcspn(at + 3, "'") : sizeof digits;
    if (n >= sizeof digits)
        return hct_fail(err, HCT_EFORMAT, "%s: is no array of numbers or texts (a structured one?)", a->what);
    memcpy(digits, at + 3, n);
    digits[n] = '\0';
    a->big = at[1] == '>';
    a->kind = at[2];
    if (a->kind == 'O') return HCT_OK;
    if (!text_int64(digits, &size) || size < 0 || size > 1 << 20)
        return hct_fail(err, HCT_EFORMAT, "%s: its header has no type of element; it is damaged", a->what);
    a->size = (size_t)size;
    return HCT_OK;
}

/* what must live as long as the array. */
static hct_status npy_open(const char *what, const unsigned char *bytes, size_t n, npy *ret, hct_err *err) {
    npy a = {.what = what};
    if (n < MAGIC + 4 || memcmp(bytes, "\x93NUMPY", MAGIC) != 0)
        return hct_fail(err, HCT_EFORMAT, "%s: does not begin as a .npy file; it is damaged or truncated", what);
    size_t wide = bytes[MAGIC] == 1 ? 2 : 4, at = MAGIC + 2 + wide, header = 0;
    if (bytes[MAGIC] < 1 || bytes[MAGIC] > 3)
        return hct_fail(err, HCT_EFORMAT, "%s: is .npy of version %d; 1 to 3 are known", what, bytes[MAGIC]);
    for (size_t i = 0; i < wide && at <= n; i++) header |= (size_t)bytes[MAGIC + 2 + i] << (8 * i);
    if (at > n || header > n - at || header > HEADER_MOST)
        return hct_fail(err, HCT_EFORMAT, "%s: its header is cut short; the file is damaged or truncated", what);
    char *text = strndup((const char *)bytes + at, header);
    const char *type = text ? header_value(text, "'descr'") : NULL,
               *order = text ? header_value(text, "'fortran_order'") : NULL,
               *shape = text ? header_value(text, "'shape'") : NULL;
    hct_status st = HCT_OK;
    if (!text) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", what);
    else if (!type || !order || !shape || *shape != '(')
        st = hct_fail(err, HCT_EFORMAT, "%s: its header tells no type and shape; it is damaged", what);
    if (st == HCT_OK) st = read_type(&a, type, err);
    if (st == HCT_OK) st = read_shape(&a, shape, err);
    if (st == HCT_OK) a.columns_first = !strncmp(order, "True", 4);
    free(text);
    if (st < 0) return st;
    a.data = bytes + at + header;
    a.bytes = n - at - header;
    size_t element = a.kind == 'U' ? 4 * a.size : a.size;
    if (a.kind != 'O' && (element && a.n > SIZE_MAX / element))
        return hct_fail(err, HCT_EFORMAT, "%s: its shape is too large", what);
    if (a.kind != 'O' && a.n * element != a.bytes)
        return hct_fail(err, HCT_EFORMAT, "%s: its header tells of %zu bytes, %zu follow; it is damaged or truncated",
                        what, a.n * element, a.bytes);
    *ret = a;
    return HCT_OK;
}

/* ---- numbers ---- */

/* The array's elements in the order of the file, as floats. */
static hct_status npy_floats(const npy *a, float *out, hct_err *err) {
    if (a->kind == 'O')
        return hct_fail(err, HCT_EFORMAT,
                        "%s: is an array of pickled Python objects, which are not executed; save one array of floats "
                        "[scans, width] instead: numpy.save(FILE, numpy.stack(rows).astype('float32'))",
                        a->what);
    if (a->kind != 'f' || (a->size != 2 && a->size != 4 && a->size != 8))
        return hct_fail(err, HCT_EFORMAT, "%s: its elements are of type '%c%zu'; float16, float32 or float64 is needed",
                        a->what, a->kind, a->size);
    unsigned char *copy = malloc(a->bytes + 1);
    if (!copy) return hct_fail(err, HCT_ENOMEM, "%s: out of memory", a->what);
    for (size_t i = 0; i < a->bytes; i++) {
        size_t place = i % a->size;
        copy[i] = a->data[a->big ? i - place + a->size - 1 - place : i];
    }
    const hct_st_entry e = {.name = a->what,
                            .dtype = a->size == 2   ? HCT_F16
                                     : a->size == 4 ? HCT_F32
                                                    : HCT_F64,
                            .ndim = 1,
                            .dim = {(int64_t)a->n},
                            .data = copy,
                            .bytes = a->bytes};
    hct_status st = hct_st_to_f32(&e, out, err);
    free(copy);
    return st;
}

static hct_status take_rows(const npy *a, const char *path, embedding_table *t, hct_err *err) {
    if (a->ndim != 2 && a->ndim != 3 && a->kind != 'O')
        return hct_fail(err, HCT_EFORMAT, "%s: has %d dimensions; [scans, width] or [scans, vectors, width] is needed",
                        a->what, a->ndim);
    if (a->kind == 'O') return npy_floats(a, NULL, err);
    hct_status st = embedding_table_alloc(t, path, a->dim[0], a->ndim == 3 ? a->dim[1] : 1, a->dim[a->ndim - 1], err);
    float *x = st == HCT_OK && a->columns_first ? malloc(a->n * sizeof *x) : NULL;
    if (st == HCT_OK && a->columns_first && !x) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK) st = npy_floats(a, x ? x : t->x, err);
    for (size_t k = 0, at = 0; st == HCT_OK && x && k < t->width; k++)
        for (size_t v = 0; v < t->vectors; v++)
            for (size_t i = 0; i < t->n; i++) embedding_row(t, i)[v * t->width + k] = x[at++];
    free(x);
    return st;
}

hct_status embeddings_from_npy(const char *path, embedding_table *t, hct_err *err) {
    hct_mapped file;
    npy a;
    hct_status st = hct_load_file(path, &file, err);
    if (st < 0) return st;
    st = npy_open(path, file.bytes, file.size, &a, err);
    if (st == HCT_OK) st = take_rows(&a, path, t, err);
    hct_unmap_file(&file);
    return st;
}

/* ---- texts ---- */

static size_t put_utf8(uint32_t c, char *out) {
    if (c < 0x80) return out[0] = (char)c, 1;
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | (unsigned char)(c >> (6 * more)));
    for (int i = 1; i <= more; i++) out[i] = (char)(0x80 | ((c >> (6 * (more - i))) & 0x3f));
    return (size_t)more + 1;
}

/* One element of type U (UCS-4) or S (bytes); zeros at its end are padding. */
static hct_status one_text(const npy *a, size_t i, char *buffer, char **ret, hct_err *err) {
    size_t n = 0, kept = a->size;
    const unsigned char *p = a->data + i * a->size * (a->kind == 'U' ? 4 : 1);
    if (a->kind == 'S') {
        while (kept && !p[kept - 1]) kept--;
        return embedding_text(ret, a->what, (const char *)p, kept, err);
    }
    for (size_t k = 0; k < a->size; k++) {
        uint32_t c = 0;
        for (int b = 0; b < 4; b++) c |= (uint32_t)p[4 * k + (size_t)(a->big ? 3 - b : b)] << (8 * b);
        if (c > 0x10ffff) return hct_fail(err, HCT_EFORMAT, "%s: id %zu is no text", a->what, i + 1);
        n += put_utf8(c, buffer + n);
    }
    while (n && !buffer[n - 1]) n--;
    return embedding_text(ret, a->what, buffer, n, err);
}

enum { RECONSTRUCT, NDARRAY, DTYPE, ARRAY };

static int64_t find_global(void *context, const char *module, const char *name) {
    (void)context;
    int core = !strcmp(module, "numpy.core.multiarray") || !strcmp(module, "numpy._core.multiarray");
    if (core && !strcmp(name, "_reconstruct")) return RECONSTRUCT;
    if (strcmp(module, "numpy") != 0) return -1;
    return !strcmp(name, "ndarray") ? NDARRAY : !strcmp(name, "dtype") ? DTYPE : -1;
}

static hct_status make_array(void *context, pickle *p, int64_t global, pickle_id arguments, pickle_id *ret,
                             hct_err *err) {
    (void)context;
    (void)arguments;
    *ret = pickle_make(p, (pickle_value){.kind = PICKLE_OWN, .n = global == RECONSTRUCT ? ARRAY : DTYPE});
    return *ret == PICKLE_NONE ? hct_fail(err, HCT_ENOMEM, "out of memory") : HCT_OK;
}

typedef struct object_ids {
    pickle_id array, list; /* the root, and its elements */
} object_ids;

/* (version, shape, dtype, Fortran's order, list of elements) */
static hct_status fill_array(void *context, pickle *p, pickle_id object, pickle_id state, hct_err *err) {
    object_ids *q = context;
    const pickle_value *v = pickle_at(p, object), *s = pickle_at(p, state);
    (void)err;
    if (v->kind == PICKLE_OWN && v->n == ARRAY && s->kind == PICKLE_TUPLE && s->n == 5)
        *q = (object_ids){object, s->item[4]};
    return HCT_OK;
}

static hct_status no_storage(void *context, pickle *p, pickle_id id, pickle_id *ret, hct_err *err) {
    (void)context, (void)p, (void)id, (void)ret;
    return hct_fail(err, HCT_EFORMAT, "its pickle refers to a storage");
}

static hct_status object_texts(const npy *a, char **ret, hct_err *err) {
    object_ids q = {PICKLE_NONE, PICKLE_NONE};
    const pickle_hooks hooks = {
        .context = &q, .global = find_global, .reduce = make_array, .build = fill_array, .persistent = no_storage};
    pickle *p = pickle_read(a->what, a->data, a->bytes, &hooks, err);
    if (!p) return err->code;
    const pickle_value *list = pickle_at(p, q.list);
    hct_status st = HCT_OK;
    if (q.array == PICKLE_NONE || pickle_root(p) != q.array || list->kind != PICKLE_LIST || list->n != a->n)
        st = hct_fail(err, HCT_EFORMAT,
                      "%s: is a pickled object of another form than a list of texts; save it as "
                      "numpy.array(ids, dtype=str)",
                      a->what);
    for (size_t i = 0; st == HCT_OK && i < a->n; i++) {
        const pickle_value *v = pickle_at(p, list->item[i]);
        if (v->kind != PICKLE_TEXT)
            st = hct_fail(err, HCT_EFORMAT, "%s: object %zu is no text; save it as numpy.array(ids, dtype=str)",
                          a->what, i + 1);
        else st = embedding_text(&ret[i], a->what, v->text, v->n, err);
    }
    pickle_free(p);
    return st;
}

static hct_status npy_texts(const npy *a, size_t n, char ***ret, hct_err *err) {
    if (a->ndim != 1 || a->n != n)
        return hct_fail(err, HCT_EFORMAT, "%s: has %zu entries in %d dimensions; one for each of %zu rows is needed",
                        a->what, a->n, a->ndim, n);
    if (!a->kind || !strchr("USO", a->kind))
        return hct_fail(err, HCT_EFORMAT, "%s: is no array of texts; save it as numpy.array(ids, dtype=str)", a->what);
    if (!(*ret = embedding_texts(a->what, n, err))) return HCT_ENOMEM;
    if (a->kind == 'O') return object_texts(a, *ret, err);
    char *buffer = malloc(4 * a->size + 1);
    hct_status st = buffer ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", a->what);
    for (size_t i = 0; st == HCT_OK && i < n; i++) st = one_text(a, i, buffer, &(*ret)[i], err);
    free(buffer);
    return st;
}

/* ---- archives ---- */

static const zip_member *find_array(const zip *z, const char *name) {
    char file[64];
    int n = snprintf(file, sizeof file, "%s.npy", name);
    return zip_find(z, file, (size_t)n);
}

/* *ret_what: for messages, to be freed after the array's last use. */
static hct_status open_member(const char *path, const zip_member *m, npy *ret, char **ret_what, hct_err *err) {
    if (asprintf(ret_what, "%s: array '%.*s'", path, (int)m->name_bytes, m->name) < 0) {
        *ret_what = NULL;
        return hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    }
    if (!zip_intact(m))
        return hct_fail(err, HCT_EFORMAT, "%s: its checksum is another; the file is damaged", *ret_what);
    return npy_open(*ret_what, m->bytes, m->size, ret, err);
}

static hct_status take_texts(const char *path, const zip *z, const char *name, size_t n, char ***ret, hct_err *err) {
    const zip_member *m = find_array(z, name);
    char *what = NULL;
    npy a;
    if (!m) return HCT_OK;
    hct_status st = open_member(path, m, &a, &what, err);
    if (st == HCT_OK) st = npy_texts(&a, n, ret, err);
    free(what);
    return st;
}

/* One array a scan. */
static hct_status take_each(const char *path, const zip *z, embedding_table *t, hct_err *err) {
    hct_status st = zip_count(z) ? HCT_OK : hct_fail(err, HCT_EFORMAT, "%s: holds no arrays", path);
    for (size_t i = 0; st == HCT_OK && i < zip_count(z); i++) {
        const zip_member *m = zip_at(z, i);
        char *what = NULL;
        npy a;
        if ((st = open_member(path, m, &a, &what, err)) == HCT_OK) {
            size_t vectors = a.ndim == 2 ? a.dim[0] : 1, width = a.ndim ? a.dim[a.ndim - 1] : 0;
            if (a.kind != 'O' && a.ndim != 1 && a.ndim != 2)
                st = hct_fail(err, HCT_EFORMAT,
                              "%s: there is no array 'embeddings' [scans, width], and this one is no embedding of a "
                              "scan: it has %d dimensions",
                              what, a.ndim);
            else if (a.kind == 'O') st = npy_floats(&a, NULL, err);
            if (st == HCT_OK && !t->x) st = embedding_table_alloc(t, path, zip_count(z), vectors, width, err);
            if (st == HCT_OK && !t->id && !(t->id = embedding_texts(path, t->n, err))) st = HCT_ENOMEM;
            if (st == HCT_OK && (width != t->width || vectors != t->vectors))
                st = hct_fail(err, HCT_EFORMAT, "%s: has %zu x %zu numbers, the first scan's %zu x %zu", what, vectors,
                              width, t->vectors, t->width);
            if (st == HCT_OK && a.columns_first && vectors > 1)
                st = hct_fail(err, HCT_EFORMAT, "%s: is in Fortran's order; save numpy.ascontiguousarray of it", what);
            if (st == HCT_OK) st = npy_floats(&a, embedding_row(t, i), err);
            size_t n = m->name_bytes;
            if (n > 4 && !memcmp(m->name + n - 4, ".npy", 4)) n -= 4;
            if (st == HCT_OK) st = embedding_text(&t->id[i], path, m->name, n, err);
        }
        free(what);
    }
    return st;
}

hct_status embeddings_from_npz(const char *path, embedding_table *t, hct_err *err) {
    hct_err why = {0, ""};
    hct_status st = HCT_OK;
    zip *z = zip_open(path, &why);
    if (!z && why.code == HCT_EFORMAT)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: is no archive as numpy.savez writes it; it is damaged or truncated: "
                        "%s",
                        path, strncmp(why.msg, path, strlen(path)) ? why.msg : why.msg + strlen(path) + 2);
    if (!z) return hct_fail(err, why.code, "%s", why.msg);
    const zip_member *rows = find_array(z, "embeddings");
    char *what = NULL;
    npy a;
    if (rows) {
        st = open_member(path, rows, &a, &what, err);
        if (st == HCT_OK) st = take_rows(&a, path, t, err);
        if (st == HCT_OK) st = take_texts(path, z, "scans", t->n, &t->id, err);
        if (st == HCT_OK) st = take_texts(path, z, "patients", t->n, &t->patient, err);
        if (st == HCT_OK) st = take_texts(path, z, "splits", t->n, &t->split, err);
    } else {
        st = take_each(path, z, t, err);
    }
    free(what);
    zip_close(z);
    return st;
}
