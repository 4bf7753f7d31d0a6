/* Volumes and inputs of other encoders against MONAI and PyTorch (make_forms.py); slices at places of their own
 * against the equal volume.
 *
 *   test_forms FORMS.json */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_main.h"
#include "hct/io.h"
#include "imaging/form.h"
#include "models/encoder.h"
#include "models/encoder_cases.h"

static const char *file;

/* make_forms.py's noise in a box, as float32 or int16. */
static volume made_up(const char *name, const int64_t dim[3], int32_t dtype) {
    volume v;
    hct_err err = {0};
    ck_assert(volume_alloc(&v, dtype, dim, &err) == HCT_OK);
    size_t n = (size_t)volume_count(&v);
    double *u = malloc(n * sizeof *u);
    case_unit(name, n, u);
    for (size_t i = 0; i < n; i++) {
        int64_t at[3] = {(int64_t)i % dim[0], (int64_t)i / dim[0] % dim[1], (int64_t)i / dim[0] / dim[1]};
        int inside = 1;
        for (int a = 0; a < 3; a++) inside &= at[a] >= dim[a] / 6 && at[a] < dim[a] - dim[a] / 5;
        int16_t x = inside ? (int16_t)(u[i] * 3024 - 1024) : -1024;
        if (dtype == HCT_I16) v.i16[i] = x;
        else v.f32[i] = x;
    }
    free(u);
    return v;
}

static double number(const cJSON *array, int i) { return cJSON_GetArrayItem(array, i)->valuedouble; }

static void take_affine(const cJSON *c, volume *v) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            v->affine[i][j] = number(cJSON_GetArrayItem(cJSON_GetObjectItem(c, "affine"), i), j);
}

START_TEST(equal_monai) {
    char *text = NULL;
    hct_err err = {0};
    ck_assert_msg(hct_read_file(file, &text, NULL, &err) == HCT_OK, "%s", err.msg);
    cJSON *all = cJSON_Parse(text), *c;
    free(text);
    ck_assert(cJSON_GetArraySize(all) == 9);
    cJSON_ArrayForEach(c, all) {
        const char *name = cJSON_GetObjectItem(c, "volume")->valuestring,
                   *kind = cJSON_GetObjectItem(c, "form")->valuestring;
        int64_t dim[3];
        for (int a = 0; a < 3; a++) dim[a] = (int64_t)number(cJSON_GetObjectItem(c, "dim"), a);
        scan_source from = {.v = made_up(name, dim, strcmp(kind, "merlin") ? HCT_F32 : HCT_I16)};
        take_affine(c, &from.v);
        volume v;
        const encoder e = encoder_default(encoder_find(kind));
        ck_assert_msg(form_make(form_find(kind), &from, &v, &err) == HCT_OK, "%s, %s: %s", name, kind, err.msg);
        size_t n = input_floats(&e.input);
        float *x = malloc(n * sizeof *x);
        ck_assert_msg(input_make(&e.input, &v, x, &err) == HCT_OK, "%s, %s: %s", name, kind, err.msg);
        double size = 1, sum = 0, range = 1 / e.input.deviation[0], most = 0;
        for (int d = 0; d < 4; d++) size *= number(cJSON_GetObjectItem(c, "shape"), d);
        ck_assert_msg((double)n == size, "%s, %s: %zu values, not %.0f", name, kind, n, size);
        for (size_t i = 0; i < n; i++) sum += (double)x[i];
        const cJSON *places = cJSON_GetObjectItem(c, "places"), *values = cJSON_GetObjectItem(c, "values"),
                    *p = places->child, *w = values->child;
        for (; p; p = p->next, w = w->next) {
            double got = (double)x[(size_t)p->valuedouble], want = w->valuedouble;
            most = fmax(most, fabs(got - want));
            ck_assert_msg(fabs(got - want) <= 1e-3 * range, "%s, %s: value %.0f is %.7g, not %.7g", name, kind,
                          p->valuedouble, got, want);
        }
        double mean = cJSON_GetObjectItem(c, "mean")->valuedouble;
        ck_assert_msg(fabs(sum / size - mean) <= 1e-4 * range, "%s, %s: mean %.7g, not %.7g", name, kind, sum / size,
                      mean);
        printf("# %s, %s: differs by %.2g of a window at most\n", name, kind, most / range);
        free(x);
        volume_free(&v);
    }
    cJSON_Delete(all);
}
END_TEST

/* A volume as slices with places: even ones give what the affine gives. Then the places alone say where slices are:
 * every second one is left out, and what lies between is as the neighbours tell. */
START_TEST(slices_lie_where_they_say) {
    const int64_t dim[3] = {30, 28, 20};
    for (int uneven = 0; uneven < 2; uneven++) {
        scan_source even = {.v = made_up("slices", dim, HCT_F32)}, own = {.v = made_up("slices", dim, HCT_F32)};
        hct_err err = {0};
        const double affine[4][4] = {{8, 0, 0, -110}, {0, 7, 0, -90}, {0, 0, 9, -70}, {0, 0, 0, 1}};
        own.position = malloc((size_t)dim[2] * sizeof *own.position);
        memcpy(even.v.affine, affine, sizeof affine);
        memcpy(own.v.affine, affine, sizeof affine);
        for (int64_t k = 0; k < dim[2]; k++) {
            own.position[k][0] = -110, own.position[k][1] = -90, own.position[k][2] = -70 + 9 * (double)k;
            for (int64_t i = 0; i < dim[0] * dim[1];
                 i++) { /* linear along the axis: where slices lie does not matter */
                float x = (float)(10 * k + i % 50);
                if (uneven && k % 3 == 1 && k + 1 < dim[2]) x += 5;
                own.v.f32[i + dim[0] * dim[1] * k] = x;
                even.v.f32[i + dim[0] * dim[1] * k] = (float)(10 * k + i % 50);
            }
            if (uneven && k % 3 == 1 && k + 1 < dim[2]) own.position[k][2] += 4.5; /* half a step further */
        }
        volume a, b;
        ck_assert_msg(form_make(form_find("merlin"), &even, &a, &err) == HCT_OK, "%s", err.msg);
        ck_assert_msg(form_make(form_find("merlin"), &own, &b, &err) == HCT_OK, "%s", err.msg);
        int most = 0;
        for (int64_t i = 0; i < volume_count(&a); i++)
            if (abs(a.i16[i] - b.i16[i]) > most) most = abs(a.i16[i] - b.i16[i]);
        ck_assert_msg(most <= 1, "they differ by %d HU", most);
        volume_free(&a);
        volume_free(&b);
    }
}
END_TEST

START_TEST(refuses_what_has_no_body) {
    const int64_t dim[3] = {8, 8, 4};
    scan_source air = {.v = made_up("air", dim, HCT_I16)};
    hct_err err = {0};
    volume v;
    for (int64_t i = 0; i < volume_count(&air.v); i++) air.v.i16[i] = -1000;
    ck_assert(form_make(form_find("ct-fm"), &air, &v, &err) == HCT_EINVAL);
    ck_assert_msg(strstr(err.msg, "above 0 HU"), "%s", err.msg);
    ck_assert(form_find("ct") == NULL);
}
END_TEST

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    file = argv[1];
    return CHECK_RUN("forms", equal_monai, slices_lie_where_they_say, refuses_what_has_no_body);
}
