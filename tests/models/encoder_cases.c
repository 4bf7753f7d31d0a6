/* Cases of make_encoders.py. */
#include "encoder_cases.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"

static uint64_t fnv1a(const char *s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

void case_unit(const char *name, size_t n, double *ret) {
    uint64_t h = fnv1a(name);
    for (size_t i = 0; i < n; i++) {
        uint64_t z = h + i + 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        ret[i] = (double)(z >> 40) / 0x1p24;
    }
}

static int ends(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

void case_value(const char *name, int ndim, const int64_t *dim, float *ret) {
    size_t n = 1;
    for (int d = 0; d < ndim; d++) n *= (size_t)dim[d];
    double *u = malloc((n + 1) * sizeof *u), from = 0.5, by = 0.4;
    case_unit(name, n, u);
    if (ends(name, "running_mean") || ends(name, ".bias")) by = 0.2;
    else if (ends(name, "running_var") || ndim == 1) from = -0.5, by = 1;
    else if (ends(name, ".weight")) by = sqrt(24.0 / ((double)n / (double)dim[0]));
    for (size_t i = 0; i < n; i++) ret[i] = (float)((u[i] - from) * by);
    free(u);
}

void case_fill(params *p) {
    for (size_t k = 0; k < p->n; k++) {
        const hct_view *v = hct_tensor_view(p->items[k].tensor);
        float *x = malloc((size_t)(hct_numel(v) + 1) * sizeof *x);
        case_value(p->items[k].name, v->ndim, v->dim, x);
        ck_assert(hct_tensor_write(p->items[k].tensor, x, NULL) == HCT_OK);
        free(x);
    }
}

float *case_input(const int64_t dim[5]) {
    size_t n = 1;
    for (int d = 0; d < 5; d++) n *= (size_t)dim[d];
    double *u = malloc(n * sizeof *u);
    float *x = malloc(n * sizeof *x);
    case_unit("input", n, u);
    for (size_t i = 0; i < n; i++) x[i] = (float)(u[i] - 0.5);
    free(u);
    return x;
}

cJSON *case_read(const char *folder, const char *name) {
    char path[1024], *text = NULL;
    hct_err err = {0};
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    ck_assert_msg(hct_read_file(path, &text, NULL, &err) == HCT_OK, "%s", err.msg);
    cJSON *c = cJSON_Parse(text);
    ck_assert_msg(c != NULL, "%s is no JSON", path);
    free(text);
    return c;
}

encoder case_encoder(const cJSON *c, int64_t ret_dim[5]) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(c, "kind"));
    const encoder_kind *kind = encoder_find(name);
    ck_assert_msg(kind != NULL, "no kind '%s'", name);
    encoder e = encoder_default(kind);
    const cJSON *dim = cJSON_GetObjectItem(c, "input"), *size;
    for (int d = 0; d < 5; d++) ret_dim[d] = (int64_t)cJSON_GetArrayItem(dim, d)->valuedouble;
    e.input.n_windows = (int)ret_dim[1];
    input_set_dims(&e.input, ret_dim + 2);
    for (int i = 0; i < e.input.n_windows; i++) e.input.window[i] = (hu_window){40, 80};
    cJSON_ArrayForEach(size, cJSON_GetObjectItem(c, "sizes")) {
        const model_field *f = field_find(kind->fields, size->string);
        ck_assert_msg(f != NULL, "%s has no size '%s'", name, size->string);
        field_set(f, e.own, size->valuedouble);
    }
    return e;
}
