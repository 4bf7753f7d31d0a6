/* From a prepared volume to a model's input, as a value says. */
#include "imaging/input_spec.h"

#include "imaging/form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

input_spec input_cube(const hu_window *windows, int n_windows, int64_t crop, int64_t size) {
    input_spec s = {.spacing = {1, 1, 1},
                    .axes = "RAS",
                    .crop = {crop, crop, crop},
                    .size = {size, size, size},
                    .order = "xyz",
                    .n_windows = n_windows < INPUT_WINDOWS ? n_windows : INPUT_WINDOWS};
    for (int i = 0; i < INPUT_WINDOWS; i++) s.deviation[i] = 1;
    for (int i = 0; i < s.n_windows; i++) s.window[i] = windows[i];
    return s;
}

static int is_order(const char *order) {
    return strlen(order) == 3 && strchr(order, 'x') && strchr(order, 'y') && strchr(order, 'z');
}

/* Each of the three pairs of directions once. */
static int is_axes(const char *axes) {
    static const char *const pairs[] = {"RL", "AP", "SI"};
    int seen = 0;
    for (int a = 0; a < 3 && axes[a]; a++)
        for (int k = 0; k < 3; k++) seen |= strchr(pairs[k], axes[a]) ? 1 << k : 0;
    return strlen(axes) == 3 && seen == 7;
}

hct_status input_check(const input_spec *s, hct_err *err) {
    if (s->n_windows < 1 || s->n_windows > INPUT_WINDOWS)
        return hct_fail(err, HCT_EINVAL, "input: %d windows; 1 to %d are possible", s->n_windows, INPUT_WINDOWS);
    for (int i = 0; i < s->n_windows; i++) {
        const hu_window *w = &s->window[i];
        if (!isfinite(w->centre) || !(w->width > 0) || !isfinite(w->width))
            return hct_fail(err, HCT_EINVAL, "input: window %d has centre %g and width %g; the width must be above 0",
                            i + 1, w->centre, w->width);
        if (!isfinite(s->mean[i]) || !(s->deviation[i] > 0))
            return hct_fail(err, HCT_EINVAL, "input: channel %d has mean %g and deviation %g; that must be above 0",
                            i + 1, s->mean[i], s->deviation[i]);
    }
    for (int a = 0; a < 3; a++) {
        if (!(s->spacing[a] > 0.01 && s->spacing[a] < 100))
            return hct_fail(err, HCT_EINVAL, "input: a spacing of %g mm is none of a scan", s->spacing[a]);
        if (s->crop[a] < 1 || s->crop[a] > 4096 || s->size[a] < 1 || s->size[a] > 4096)
            return hct_fail(err, HCT_EINVAL, "input: %lld voxels to %lld along axis %d; 1 to 4096 are possible",
                            (long long)s->crop[a], (long long)s->size[a], a);
    }
    if (!is_order(s->order))
        return hct_fail(err, HCT_EINVAL, "input: order '%.4s' is none of x, y and z, once each", s->order);
    if (!is_axes(s->axes))
        return hct_fail(err, HCT_EINVAL, "input: axes '%.4s' are none of R or L, A or P, S or I, once each", s->axes);
    return HCT_OK;
}

int input_same(const input_spec *a, const input_spec *b) {
    int same = !strcmp(a->form, b->form) && !strcmp(a->axes, b->axes) && !strcmp(a->order, b->order) &&
               a->n_windows == b->n_windows;
    for (int i = 0; same && i < 3; i++)
        same = a->spacing[i] == b->spacing[i] && a->crop[i] == b->crop[i] && a->size[i] == b->size[i];
    for (int i = 0; same && i < a->n_windows; i++)
        same = a->window[i].centre == b->window[i].centre && a->window[i].width == b->window[i].width &&
               a->mean[i] == b->mean[i] && a->deviation[i] == b->deviation[i];
    return same;
}

void input_dims(const input_spec *s, int64_t ret[3]) {
    for (int a = 0; a < 3; a++) ret[a] = s->size[s->order[a] - 'x'];
}

void input_set_dims(input_spec *s, const int64_t dim[3]) {
    for (int a = 0; a < 3; a++) s->size[s->order[a] - 'x'] = dim[a];
}

size_t input_floats(const input_spec *s) { return (size_t)(s->n_windows * s->size[0] * s->size[1] * s->size[2]); }

static int is_scaled(const input_spec *s) {
    for (int i = 0; i < s->n_windows; i++)
        if (s->mean[i] != 0 || s->deviation[i] != 1) return 1;
    return 0;
}

/* from [C, X, Y, Z] to the spec's order of axes */
static void reorder(const input_spec *s, const float *from, float *to) {
    int64_t step[3] = {s->size[1] * s->size[2], s->size[2], 1}, dim[3];
    size_t voxels = (size_t)(s->size[0] * s->size[1] * s->size[2]), at = 0;
    const int axis[3] = {s->order[0] - 'x', s->order[1] - 'x', s->order[2] - 'x'};
    input_dims(s, dim);
    for (int c = 0; c < s->n_windows; c++)
        for (int64_t i = 0; i < dim[0]; i++)
            for (int64_t j = 0; j < dim[1]; j++)
                for (int64_t k = 0; k < dim[2]; k++)
                    to[at++] =
                        from[(size_t)c * voxels + (size_t)(i * step[axis[0]] + j * step[axis[1]] + k * step[axis[2]])];
}

static hct_status make_in_order(const input_spec *s, const volume *v, float *out, hct_err *err) {
    int64_t start[3];
    for (int a = 0; a < 3; a++) start[a] = v->dim[a] / 2 - s->crop[a] / 2;
    return windowed_area(v, start, s->crop, s->window, s->n_windows, s->size, out, err);
}

hct_status input_make(const input_spec *s, const volume *v, float *out, hct_err *err) {
    hct_status st;
    if (!strcmp(s->form, "hlip")) return form_hlip_input(s, v, out, err);
    if (!strcmp(s->order, "xyz")) {
        st = make_in_order(s, v, out, err);
    } else {
        float *x = malloc(input_floats(s) * sizeof *x);
        st = x ? make_in_order(s, v, x, err) : hct_fail(err, HCT_ENOMEM, "no memory for a model's input");
        if (st == HCT_OK) reorder(s, x, out);
        free(x);
    }
    if (st < 0 || !is_scaled(s)) return st;
    size_t voxels = (size_t)(s->size[0] * s->size[1] * s->size[2]);
    for (int c = 0; c < s->n_windows; c++)
        for (size_t i = 0; i < voxels; i++) {
            float *x = &out[(size_t)c * voxels + i];
            *x = (float)(((double)*x - s->mean[c]) / s->deviation[c]);
        }
    return HCT_OK;
}

void input_text(const input_spec *s, text_buffer *out) {
    int cube = !*s->form && !strcmp(s->order, "xyz") && !strcmp(s->axes, "RAS") && !is_scaled(s);
    for (int a = 0; a < 3; a++)
        cube = cube && s->spacing[a] == 1 && s->crop[a] == s->crop[0] && s->size[a] == s->size[0];
    if (cube) text_printf(out, "%lld %lld", (long long)s->crop[0], (long long)s->size[0]);
    else
        text_printf(out, "%s %s %a %a %a %lld %lld %lld %lld %lld %lld %s", *s->form ? s->form : "-", s->axes,
                    s->spacing[0], s->spacing[1], s->spacing[2], (long long)s->crop[0], (long long)s->crop[1],
                    (long long)s->crop[2], (long long)s->size[0], (long long)s->size[1], (long long)s->size[2],
                    s->order);
    for (int i = 0; i < s->n_windows; i++) {
        text_printf(out, " %a:%a", s->window[i].centre, s->window[i].width);
        if (!cube) text_printf(out, ":%a:%a", s->mean[i], s->deviation[i]);
    }
}
