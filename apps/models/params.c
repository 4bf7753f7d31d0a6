/* A model's tensors by name: declared, drawn, read. */
#include "models/params.h"

#include "hct/half.h"
#include "hct/log.h"
#include "hct/philox.h"
#include "support/streams.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_ = 160 };

params *params_new(hct_dev *dev) {
    params *p = calloc(1, sizeof *p);
    if (p) p->dev = dev;
    return p;
}

void params_free(params *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) {
        free(p->items[i].name);
        hct_tensor_free(p->items[i].tensor);
        hct_tensor_free(p->items[i].copy);
    }
    free(p->items);
    free(p);
}

void params_scope(params *p, const char *prefix) {
    if (p) snprintf(p->scope, sizeof p->scope, "%s", prefix);
}

/* scope + name into full. */
static void scoped(const params *p, char full[NAME_MAX_], const char *name, va_list ap) {
    size_t n = (size_t)snprintf(full, NAME_MAX_, "%s", p->scope);
    vsnprintf(full + n, NAME_MAX_ - n, name, ap);
}

param *params_add(params *p, param_init init, int trained, int ndim, const int64_t *dim, const char *name, ...) {
    if (p->error.code < 0) return NULL;
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        param *grown = realloc(p->items, cap * sizeof *grown);
        if (!grown) return hct_fail(&p->error, HCT_ENOMEM, "out of memory for the model"), NULL;
        p->items = grown;
        p->cap = cap;
    }
    param *item = &p->items[p->n];
    *item = (param){.init = init, .trained = trained};
    char full[NAME_MAX_];
    va_list ap;
    va_start(ap, name);
    scoped(p, full, name, ap);
    va_end(ap);
    item->name = strdup(full);
    item->tensor = hct_tensor_new(p->dev, HCT_F32, ndim, dim, &p->error);
    if (!item->name || !item->tensor) {
        free(item->name);
        hct_tensor_free(item->tensor);
        if (p->error.code >= 0) hct_fail(&p->error, HCT_ENOMEM, "out of memory for the model");
        return NULL;
    }
    p->n++;
    return item;
}

hct_status params_check(const params *p, hct_err *err) {
    if (!p) return hct_fail(err, HCT_ENOMEM, "out of memory for the model");
    if (p->error.code < 0 && err) *err = p->error;
    return p->error.code;
}

param *params_find(const params *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->items[i].name, name)) return &p->items[i];
    return NULL;
}

hct_id params_use(params *p, hct_tape *t, const char *name, ...) {
    char full[NAME_MAX_];
    va_list ap;
    va_start(ap, name);
    scoped(p, full, name, ap);
    va_end(ap);
    const param *item = params_find(p, full);
    if (!item) return hct_tape_fail(t, HCT_ENOTFOUND, "the model has no tensor '%s'", full);
    if (item->copy && item->trained && p->compute != HCT_F32) return hct_param_copy(t, item->tensor, item->copy);
    if (item->copy && item->follows && p->compute != HCT_F32) return hct_use(t, item->copy);
    if (p->compute != HCT_F32) return hct_cast(t, hct_use(t, item->tensor), p->compute);
    return item->trained ? hct_param(t, item->tensor) : hct_use(t, item->tensor);
}

int params_has(const params *p, const char *name, ...) {
    char full[NAME_MAX_];
    va_list ap;
    va_start(ap, name);
    scoped(p, full, name, ap);
    va_end(ap);
    return params_find(p, full) != NULL;
}

hct_id params_master(params *p, hct_tape *t, const char *name, ...) {
    char full[NAME_MAX_];
    va_list ap;
    va_start(ap, name);
    scoped(p, full, name, ap);
    va_end(ap);
    const param *item = params_find(p, full);
    return item ? hct_use(t, item->tensor) : hct_tape_fail(t, HCT_ENOTFOUND, "the model has no tensor '%s'", full);
}

hct_status params_compute(params *p, hct_dtype dtype, hct_err *err) {
    if (dtype == HCT_F32) return HCT_OK;
    for (size_t i = 0; i < p->n; i++) {
        const hct_view *v = hct_tensor_view(p->items[i].tensor);
        if (!p->items[i].trained && !p->items[i].follows) continue;
        if (!(p->items[i].copy = hct_tensor_new(p->dev, dtype, v->ndim, v->dim, err)))
            return err ? err->code : HCT_ENOMEM;
    }
    p->compute = dtype;
    return params_copy_masters(p, err);
}

hct_status params_copy_masters(params *p, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) {
        if (!p->items[i].copy) continue;
        int64_t n = hct_numel(hct_tensor_view(p->items[i].tensor));
        float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
        uint16_t *y = malloc((size_t)(n ? n : 1) * sizeof *y);
        st = x && y ? hct_tensor_read(p->items[i].tensor, x, err)
                    : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", p->items[i].name);
        for (int64_t j = 0; st == HCT_OK && j < n; j++) y[j] = hct_bf16_from_f32(x[j]);
        if (st == HCT_OK) st = hct_tensor_write(p->items[i].copy, y, err);
        free(x);
        free(y);
    }
    return st;
}

/* ---- initial values ---- */

static uint64_t fnv1a(const char *s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

static float draw(param_init init, uint64_t key, int64_t i, double bound) {
    hct_philox r = hct_philox4x32(key, (uint64_t)i, STREAM_WEIGHTS);
    double u = hct_u01(r.v[0]);
    if (init == INIT_XAVIER) return (float)((2 * u - 1) * bound);
    return (float)((init == INIT_KAIMING ? bound : 0.02) * sqrt(-2 * log(u)) *
                   cos(6.283185307179586 * hct_u01(r.v[1]))); /* Box & Muller 1958 */
}

hct_status params_init(params *p, uint64_t seed, hct_err *err) {
    for (size_t k = 0; k < p->n; k++) {
        const param *item = &p->items[k];
        if (item->init == INIT_GIVEN) continue;
        const hct_view *v = hct_tensor_view(item->tensor);
        int64_t n = hct_numel(v), rows = v->ndim ? v->dim[0] : 1;
        float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
        if (!x) return hct_fail(err, HCT_ENOMEM, "out of memory for the initial weights");
        double bound = sqrt(6.0 / (double)(rows + (rows ? n / rows : 0)));
        if (item->init == INIT_KAIMING) bound = sqrt(2.0 / (double)(v->ndim > 1 ? n / v->dim[1] : n));
        uint64_t key = seed ^ fnv1a(item->name);
        for (int64_t i = 0; i < n; i++)
            x[i] = item->init <= INIT_ONE ? (float)item->init : draw(item->init, key, i, bound);
        hct_status st = hct_tensor_write(item->tensor, x, err);
        free(x);
        if (st < 0) return st;
    }
    return HCT_OK;
}

hct_status params_set(params *p, const char *name, const float *values, hct_err *err) {
    char full[NAME_MAX_];
    snprintf(full, sizeof full, "%s%s", p->scope, name);
    param *item = params_find(p, full);
    return item ? hct_tensor_write(item->tensor, values, err)
                : hct_fail(err, HCT_ENOTFOUND, "the model has no tensor '%s'", full);
}

hct_status param_copy(const param *from, const param *to, hct_err *err) {
    if (!from) return hct_fail(err, HCT_ENOTFOUND, "the model has no tensor for '%s'", to->name);
    void *x = malloc(hct_tensor_bytes(to->tensor) + 1);
    hct_status st =
        x ? hct_tensor_read(from->tensor, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", to->name);
    if (st == HCT_OK) st = hct_tensor_write(to->tensor, x, err);
    free(x);
    return st;
}

void params_train(params *p, const char *prefix, int trained) {
    for (size_t i = 0; i < p->n; i++)
        if (!strncmp(p->items[i].name, prefix, strlen(prefix))) p->items[i].trained = trained;
}

int64_t params_count(const params *p) {
    int64_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].trained) n += hct_numel(hct_tensor_view(p->items[i].tensor));
    return n;
}

/* ---- files ---- */

static int same_shape(const hct_view *v, const hct_st_entry *e) {
    if (v->ndim != e->ndim) return 0;
    for (int i = 0; i < v->ndim; i++)
        if (v->dim[i] != e->dim[i]) return 0;
    return 1;
}

static void shape_text(char *out, size_t n, int ndim, const int64_t *dim) {
    size_t used = (size_t)snprintf(out, n, "[");
    for (int i = 0; i < ndim && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%lld", i ? "," : "", (long long)dim[i]);
    if (used < n) snprintf(out + used, n - used, "]");
}

static void compare(const params *p, const hct_st_file *f, const char *prefix, load_report *r) {
    *r = (load_report){0};
    char key[2 * NAME_MAX_];
    for (size_t i = 0; i < p->n; i++) {
        const hct_view *v = hct_tensor_view(p->items[i].tensor);
        snprintf(key, sizeof key, "%s%s", prefix, p->items[i].name);
        const hct_st_entry *e = hct_st_find(f, key);
        if (!e) {
            if (!r->missing++) snprintf(r->first_missing, sizeof r->first_missing, "%s", p->items[i].name);
        } else if (!same_shape(v, e)) {
            char have[80], want[80];
            shape_text(have, sizeof have, e->ndim, e->dim);
            shape_text(want, sizeof want, v->ndim, v->dim);
            if (!r->wrong_shape++)
                snprintf(r->first_wrong, sizeof r->first_wrong, "%s: file %s, model %s", p->items[i].name, have, want);
        } else {
            r->matched++;
        }
    }
    for (size_t i = 0; i < hct_st_count(f); i++) {
        const char *name = hct_st_at(f, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) == 0 && params_find(p, name + strlen(prefix))) continue;
        if (!r->unused++) snprintf(r->first_unused, sizeof r->first_unused, "%s", name);
    }
}

/* Straight from the file where it is of the tensor's dtype, else through floats. */
static hct_status load_entry(hct_tensor *to, const hct_st_entry *e, const char *key, hct_err *err) {
    if (e->dtype == HCT_F32) return hct_tensor_write(to, e->data, err);
    int64_t n = hct_numel(hct_tensor_view(to));
    float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    hct_status st = x ? hct_st_to_f32(e, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", key);
    if (st == HCT_OK) st = hct_tensor_write(to, x, err);
    free(x);
    return st;
}

hct_status params_load(params *p, const hct_st_file *f, const char *path, const char *prefix, load_report *r,
                       hct_err *err) {
    compare(p, f, prefix, r);
    if (r->wrong_shape)
        return hct_fail(err, HCT_ESHAPE,
                        "%s: %zu tensors have another shape than the model's (first: %s); the recipe's model section "
                        "must match the file",
                        path, r->wrong_shape, r->first_wrong);
    for (size_t i = 0; i < p->n; i++) {
        char key[2 * NAME_MAX_];
        snprintf(key, sizeof key, "%s%s", prefix, p->items[i].name);
        const hct_st_entry *e = hct_st_find(f, key);
        if (!e) continue;
        hct_status st = load_entry(p->items[i].tensor, e, key, err);
        if (st < 0) return st;
        hct_st_forget(e);
    }
    return HCT_OK;
}

void load_report_print(const load_report *r, const char *path) {
    hct_log(HCT_LOG_INFO, "%s: %zu matched, %zu missing%s%s%s, %zu unused%s%s%s, %zu of another shape", path,
            r->matched, r->missing, r->missing ? " (first: " : "", r->first_missing, r->missing ? ")" : "", r->unused,
            r->unused ? " (first: " : "", r->first_unused, r->unused ? ")" : "", r->wrong_shape);
}

hct_status params_entries(const params *p, hct_st_entry **ret_entries, void **ret_bytes, hct_err *err) {
    uint64_t total = 0;
    for (size_t i = 0; i < p->n; i++) total += hct_tensor_bytes(p->items[i].tensor);
    hct_st_entry *e = calloc(p->n + 1, sizeof *e);
    char *bytes = malloc(total ? total : 1), *at = bytes;
    hct_status st =
        e && bytes ? HCT_OK
                   : hct_fail(err, HCT_ENOMEM, "out of memory for %llu bytes of weights", (unsigned long long)total);
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) {
        const hct_view *v = hct_tensor_view(p->items[i].tensor);
        e[i] = (hct_st_entry){.name = p->items[i].name,
                              .dtype = v->dtype,
                              .ndim = v->ndim,
                              .data = at,
                              .bytes = hct_tensor_bytes(p->items[i].tensor)};
        memcpy(e[i].dim, v->dim, sizeof e[i].dim);
        st = hct_tensor_read(p->items[i].tensor, at, err);
        at += e[i].bytes;
    }
    if (st < 0) {
        free(e);
        free(bytes);
        return st;
    }
    *ret_entries = e;
    *ret_bytes = bytes;
    return HCT_OK;
}
