/* Safetensors files: read with every bound checked, written atomically. */
#include "hct/safetensors.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hct/half.h"
#include "hct/io.h"
#include "json_check.h"

enum { LENGTH_BYTES = 8, HEADER_CAP = 100000000 };

struct hct_st_file {
    hct_mapped map;
    cJSON *header; /* owns names and metadata */
    hct_st_entry *entries;
    size_t n;
};

/* elements * bytes of a shape; false where it does not fit 63 bits. */
static bool shape_bytes(const int64_t *dim, int ndim, size_t element, uint64_t *ret) {
    uint64_t n = element;
    bool zero = false, overflow = false;
    for (int i = 0; i < ndim; i++) {
        if (dim[i] == 0) zero = true;
        else overflow = overflow || __builtin_mul_overflow(n, (uint64_t)dim[i], &n) || n > INT64_MAX;
    }
    *ret = zero ? 0 : n;
    return !overflow;
}

/* A JSON number that is a whole number from 0 to 2^53. */
static bool whole(const cJSON *item, int64_t *ret) {
    if (!cJSON_IsNumber(item)) return false;
    double v = item->valuedouble;
    if (!(v >= 0 && v <= 9007199254740992.0) || v != (double)(int64_t)v) return false;
    *ret = (int64_t)v;
    return true;
}

/* The member `key`, which must be there exactly once; NULL otherwise. */
static const cJSON *only_member(const cJSON *object, const char *key) {
    const cJSON *found = NULL, *item;
    cJSON_ArrayForEach(item, object) {
        if (strcmp(item->string, key) != 0) continue;
        if (found) return NULL;
        found = item;
    }
    return found;
}

static hct_status parse_entry(const char *path, const cJSON *item, uint64_t data_bytes, hct_st_entry *e, int64_t *begin,
                              hct_err *err) {
    const char *name = item->string;
    if (!cJSON_IsObject(item))
        return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': is not described by an object", path, name);
    const cJSON *dtype = only_member(item, "dtype"), *shape = only_member(item, "shape");
    const cJSON *offsets = only_member(item, "data_offsets"), *d;
    if (!cJSON_IsString(dtype) || !cJSON_IsArray(shape) || !cJSON_IsArray(offsets) || cJSON_GetArraySize(item) != 3)
        return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': needs exactly dtype, shape and data_offsets", path, name);
    *e = (hct_st_entry){.name = name, .dtype = hct_dtype_parse(dtype->valuestring)};
    if (e->dtype < 0)
        return hct_fail(err, HCT_EDTYPE, "%s: tensor '%s': dtype '%s' is not one that headct reads (see hct/types.h)",
                        path, name, dtype->valuestring);
    cJSON_ArrayForEach(d, shape) {
        if (e->ndim == HCT_MAX_DIMS)
            return hct_fail(err, HCT_ESHAPE, "%s: tensor '%s': more than %d dimensions", path, name, HCT_MAX_DIMS);
        if (!whole(d, &e->dim[e->ndim++]))
            return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': a dimension is not a whole number of 0 or more", path,
                            name);
    }
    int64_t end;
    if (cJSON_GetArraySize(offsets) != 2 || !whole(cJSON_GetArrayItem(offsets, 0), begin) ||
        !whole(cJSON_GetArrayItem(offsets, 1), &end) || end < *begin)
        return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': data_offsets are not two rising whole numbers", path, name);
    if ((uint64_t)end > data_bytes)
        return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': ends at byte %lld of %llu; the file was cut short", path,
                        name, (long long)end, (unsigned long long)data_bytes);
    uint64_t need;
    if (!shape_bytes(e->dim, e->ndim, hct_dtype_size(e->dtype), &need))
        return hct_fail(err, HCT_ESHAPE, "%s: tensor '%s': its shape overflows 64 bits", path, name);
    if (need != (uint64_t)(end - *begin))
        return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': its shape takes %llu bytes, its offsets %lld", path, name,
                        (unsigned long long)need, (long long)(end - *begin));
    e->bytes = (size_t)need;
    return HCT_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const hct_st_entry *)a)->name, ((const hct_st_entry *)b)->name);
}

/* Order of place in the file, empty tensors before what starts where they do. */
static int by_place(const void *a, const void *b) {
    const hct_st_entry *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p > q) - (p < q) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static hct_status check_metadata(const char *path, const cJSON *meta, hct_err *err) {
    const cJSON *item;
    size_t n = 0;
    if (!cJSON_IsObject(meta)) return hct_fail(err, HCT_EFORMAT, "%s: __metadata__ is not an object", path);
    char **keys = calloc((size_t)cJSON_GetArraySize(meta) + 1, sizeof *keys);
    if (!keys) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its metadata", path);
    hct_status status = HCT_OK;
    cJSON_ArrayForEach(item, meta) {
        if (!cJSON_IsString(item))
            status = hct_fail(err, HCT_EFORMAT, "%s: __metadata__: '%s' is not a string", path, item->string);
        keys[n++] = item->string;
    }
    qsort(keys, n, sizeof *keys, by_text);
    for (size_t i = 1; i < n; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            status = hct_fail(err, HCT_EFORMAT, "%s: __metadata__: '%s' is there twice", path, keys[i]);
    free(keys);
    return status;
}

static hct_status parse_entries(const char *path, hct_st_file *f, const unsigned char *data, uint64_t data_bytes,
                                hct_err *err) {
    const cJSON *item;
    const cJSON *meta = NULL;
    cJSON_ArrayForEach(item, f->header) {
        hct_status status;
        int64_t begin = 0;
        if (strcmp(item->string, "__metadata__") == 0) {
            if (meta) return hct_fail(err, HCT_EFORMAT, "%s: __metadata__ is there twice", path);
            meta = item;
            status = check_metadata(path, meta, err);
        } else {
            status = parse_entry(path, item, data_bytes, &f->entries[f->n], &begin, err);
            if (status == HCT_OK) f->entries[f->n++].data = data + begin;
        }
        if (status < 0) return status;
    }
    if (f->n) qsort(f->entries, f->n, sizeof *f->entries, by_place);
    const unsigned char *end = data;
    for (size_t i = 0; i < f->n; i++) {
        const unsigned char *begin = f->entries[i].data;
        if (begin != end)
            return hct_fail(err, HCT_EFORMAT, "%s: tensor '%s': %s", path, f->entries[i].name,
                            begin < end ? "overlaps the tensor before it" : "unused bytes lie before it");
        end = begin + f->entries[i].bytes;
    }
    if (end != data + data_bytes)
        return hct_fail(err, HCT_EFORMAT, "%s: %lld bytes after the last tensor belong to none", path,
                        (long long)(data + data_bytes - end));
    if (f->n) qsort(f->entries, f->n, sizeof *f->entries, by_name);
    for (size_t i = 1; i < f->n; i++)
        if (by_name(&f->entries[i - 1], &f->entries[i]) == 0)
            return hct_fail(err, HCT_EFORMAT, "%s: two tensors are named '%s'", path, f->entries[i].name);
    return HCT_OK;
}

static hct_status parse_file(const char *path, hct_st_file *f, hct_err *err) {
    uint64_t length = 0;
    if (f->map.size < LENGTH_BYTES)
        return hct_fail(err, HCT_EFORMAT, "%s: %zu bytes are too few for a safetensors file", path, f->map.size);
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)f->map.bytes[i] << 8 * i;
    if (length > HEADER_CAP)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: header length %llu is over the format's limit; is it a safetensors file?", path,
                        (unsigned long long)length);
    if (length > f->map.size - LENGTH_BYTES)
        return hct_fail(err, HCT_EFORMAT, "%s: header length %llu goes beyond the file's %zu bytes", path,
                        (unsigned long long)length, f->map.size);
    const char *json = (const char *)f->map.bytes + LENGTH_BYTES, *stop = json;
    f->header = length ? cJSON_ParseWithLengthOpts(json, (size_t)length, &stop, 0) : NULL;
    while (f->header && stop < json + length && (*stop == ' ' || *stop == '\n' || *stop == '\t' || *stop == '\r'))
        stop++;
    if (!cJSON_IsObject(f->header) || stop != json + length || *json != '{')
        return hct_fail(err, HCT_EFORMAT, "%s: the header is not one JSON object (at its byte %td)", path, stop - json);
    f->entries = calloc((size_t)cJSON_GetArraySize(f->header) + 1, sizeof *f->entries);
    if (!f->entries) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for the list of tensors", path);
    size_t before_data = LENGTH_BYTES + (size_t)length;
    hct_status status = parse_entries(path, f, f->map.bytes + before_data, f->map.size - before_data, err);
    const char *what;
    /* after messages that name the tensor */
    size_t at = status == HCT_OK ? json_check(json, (size_t)length, &what) : length;
    return at < length ? hct_fail(err, HCT_EFORMAT, "%s: the header has %s at its byte %zu", path, what, at) : status;
}

hct_st_file *hct_st_open(const char *path, hct_err *err) {
    hct_st_file *f = calloc(1, sizeof *f);
    if (!f) {
        hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
        return NULL;
    }
    if (hct_map_file(path, &f->map, err) < 0 || parse_file(path, f, err) < 0) {
        hct_st_close(f);
        return NULL;
    }
    return f;
}

void hct_st_close(hct_st_file *f) {
    if (!f) return;
    cJSON_Delete(f->header);
    free(f->entries);
    hct_unmap_file(&f->map);
    free(f);
}

size_t hct_st_count(const hct_st_file *f) { return f->n; }

const hct_st_entry *hct_st_at(const hct_st_file *f, size_t i) { return &f->entries[i]; }

const hct_st_entry *hct_st_find(const hct_st_file *f, const char *name) {
    hct_st_entry key = {.name = name};
    return f->n ? bsearch(&key, f->entries, f->n, sizeof *f->entries, by_name) : NULL;
}

const char *hct_st_meta(const hct_st_file *f, const char *key) {
    const cJSON *meta = only_member(f->header, "__metadata__"), *item = meta ? only_member(meta, key) : NULL;
    return item ? item->valuestring : NULL;
}

size_t hct_st_elements(const hct_st_entry *e) {
    size_t n = 1;
    for (int32_t i = 0; i < e->ndim; i++) n *= (size_t)e->dim[i];
    return n;
}

/* out[i] = element i of e as type T, for every dtype in the list of cases. */
#define CASE(DTYPE, STORED, EXPR, T)                                                                                   \
    case DTYPE:                                                                                                        \
        for (size_t i = 0; i < n; i++) {                                                                               \
            STORED v;                                                                                                  \
            memcpy(&v, (const char *)e->data + i * sizeof v, sizeof v);                                                \
            out[i] = (T)(EXPR);                                                                                        \
        }                                                                                                              \
        return HCT_OK;
#define FLOAT_CASES(T)                                                                                                 \
    CASE(HCT_F32, float, v, T)                                                                                         \
    CASE(HCT_F64, double, v, T)                                                                                        \
    CASE(HCT_BF16, uint16_t, hct_f32_from_bf16(v), T)                                                                  \
    CASE(HCT_F16, uint16_t, hct_f32_from_f16(v), T)
#define INT_CASES(T)                                                                                                   \
    CASE(HCT_I64, int64_t, v, T)                                                                                       \
    CASE(HCT_I32, int32_t, v, T)                                                                                       \
    CASE(HCT_I16, int16_t, v, T)                                                                                       \
    CASE(HCT_I8, int8_t, v, T)                                                                                         \
    CASE(HCT_U8, uint8_t, v, T)

void hct_st_forget(const hct_st_entry *e) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)e->data + page - 1) / page * page;
    uintptr_t to = ((uintptr_t)e->data + e->bytes) / page * page;
    if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED); /* a wish: no harm where it is refused */
}

hct_status hct_st_to_f32(const hct_st_entry *e, float *out, hct_err *err) {
    size_t n = hct_st_elements(e);
    switch (e->dtype) { FLOAT_CASES(float) INT_CASES(float) }
    return hct_fail(err, HCT_EDTYPE, "tensor '%s': cannot become float32", e->name);
}

hct_status hct_st_to_f64(const hct_st_entry *e, double *out, hct_err *err) {
    size_t n = hct_st_elements(e);
    switch (e->dtype) { FLOAT_CASES(double) INT_CASES(double) }
    return hct_fail(err, HCT_EDTYPE, "tensor '%s': cannot become float64", e->name);
}

hct_status hct_st_to_i64(const hct_st_entry *e, int64_t *out, hct_err *err) {
    size_t n = hct_st_elements(e);
    switch (e->dtype) { INT_CASES(int64_t) }
    return hct_fail(err, HCT_EDTYPE, "tensor '%s': %s cannot become int64", e->name, hct_dtype_name(e->dtype));
}

static int by_size_then_name(const void *a, const void *b) {
    const hct_st_entry *x = a, *y = b;
    size_t p = hct_dtype_size(x->dtype), q = hct_dtype_size(y->dtype);
    return p != q ? (p < q) - (p > q) : by_name(a, b);
}

static hct_status check_for_writing(const char *path, const hct_st_entry *sorted, size_t n, hct_err *err) {
    for (size_t i = 0; i < n; i++) {
        const hct_st_entry *e = &sorted[i];
        uint64_t need;
        if (strcmp(e->name, "__metadata__") == 0)
            return hct_fail(err, HCT_EINVAL, "%s: a tensor may not be named __metadata__", path);
        if (hct_dtype_size(e->dtype) == 0 || e->ndim < 0 || e->ndim > HCT_MAX_DIMS)
            return hct_fail(err, HCT_EINVAL, "%s: tensor '%s': dtype %d with %d dimensions cannot be written", path,
                            e->name, e->dtype, e->ndim);
        for (int32_t d = 0; d < e->ndim; d++)
            if (e->dim[d] < 0)
                return hct_fail(err, HCT_ESHAPE, "%s: tensor '%s': a dimension is negative", path, e->name);
        if (!shape_bytes(e->dim, e->ndim, hct_dtype_size(e->dtype), &need) || need != e->bytes)
            return hct_fail(err, HCT_ESHAPE, "%s: tensor '%s': %zu bytes do not fit its shape", path, e->name,
                            e->bytes);
    }
    return HCT_OK;
}

static bool any_twice(const hct_st_entry *entries, size_t n, hct_st_entry *scratch, const char **ret_name) {
    memcpy(scratch, entries, n * sizeof *scratch);
    qsort(scratch, n, sizeof *scratch, by_name);
    for (size_t i = 1; i < n; i++)
        if (by_name(&scratch[i - 1], &scratch[i]) == 0) {
            *ret_name = scratch[i].name;
            return true;
        }
    return false;
}

/* The JSON header, NULL when memory runs out. Offsets stay below 2^53, which a JSON number holds exactly. */
static char *header_text(const hct_st_entry *sorted, size_t n, const hct_st_pair *meta, size_t n_meta) {
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL;
    if (n_meta) {
        cJSON *m = cJSON_AddObjectToObject(root, "__metadata__");
        for (size_t i = 0; i < n_meta; i++) ok = ok && cJSON_AddStringToObject(m, meta[i].key, meta[i].value);
    }
    double offset = 0;
    for (size_t i = 0; i < n; i++) {
        const hct_st_entry *e = &sorted[i];
        cJSON *t = cJSON_AddObjectToObject(root, e->name);
        ok = ok && cJSON_AddStringToObject(t, "dtype", hct_dtype_name(e->dtype));
        cJSON *shape = cJSON_AddArrayToObject(t, "shape"), *offsets = cJSON_AddArrayToObject(t, "data_offsets");
        for (int32_t d = 0; d < e->ndim; d++)
            ok = ok && cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)e->dim[d]));
        ok = ok && cJSON_AddItemToArray(offsets, cJSON_CreateNumber(offset));
        offset += (double)e->bytes;
        ok = ok && cJSON_AddItemToArray(offsets, cJSON_CreateNumber(offset));
    }
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

hct_status hct_st_write(const char *path, const hct_st_entry *entries, size_t n, const hct_st_pair *meta, size_t n_meta,
                        hct_err *err) {
    hct_st_entry *sorted = calloc(2 * n + 1, sizeof *sorted);
    if (!sorted) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for the list of tensors", path);
    char *text = NULL;
    const char *twice = NULL;
    hct_status status = check_for_writing(path, entries, n, err);
    if (status == HCT_OK && n && any_twice(entries, n, sorted + n, &twice))
        status = hct_fail(err, HCT_EINVAL, "%s: two tensors are named '%s'", path, twice);
    if (status == HCT_OK) {
        if (n) memcpy(sorted, entries, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_size_then_name);
        text = header_text(sorted, n, meta, n_meta);
        const char *what;
        if (!text) status = hct_fail(err, HCT_ENOMEM, "%s: out of memory for the header", path);
        else if (json_check(text, strlen(text), &what) < strlen(text))
            status = hct_fail(err, HCT_EINVAL, "%s: a name or its metadata has %s, which the format does not allow",
                              path, what);
    }
    if (status == HCT_OK) {
        size_t length = strlen(text), padded = (length + 7) / 8 * 8;
        if (padded > HEADER_CAP) {
            status = hct_fail(err, HCT_EINVAL, "%s: the header would pass the format's limit of 100 MB", path);
        } else {
            unsigned char le[LENGTH_BYTES];
            for (int i = 0; i < LENGTH_BYTES; i++) le[i] = (unsigned char)((uint64_t)padded >> 8 * i);
            hct_outfile *f = hct_outfile_open(path, err);
            hct_outfile_write(f, le, sizeof le);
            hct_outfile_write(f, text, length);
            hct_outfile_write(f, "       ", padded - length);
            for (size_t i = 0; i < n; i++) hct_outfile_write(f, sorted[i].data, sorted[i].bytes);
            status = hct_outfile_close(f, err);
        }
    }
    cJSON_free(text);
    free(sorted);
    return status;
}
