/* Ops that move elements: each output element is looked up by its index (or each input element put in its place). */
#include "naive.h"

#define EACH(i, n) for (int64_t i = 0, end_##i = (n); i < end_##i; i++)

/* Index of element i, and the element of an index, row-major. */
static void index_of(const hct_view *v, int64_t i, int64_t *at) {
    for (int d = v->ndim - 1; d >= 0; d--) {
        at[d] = i % v->dim[d];
        i /= v->dim[d];
    }
}

static int64_t element(const hct_view *v, const int64_t *at) {
    int64_t i = 0;
    for (int d = 0; d < v->ndim; d++) i = i * v->dim[d] + at[d];
    return i;
}

void naive_permute(call *k) {
    const hct_attr *axes = hct_attr_find(k->c->attr, k->n_attr, "axes");
    EACH(i, hct_numel(&k->out[0])) {
        int64_t to[HCT_MAX_DIMS], from[HCT_MAX_DIMS];
        index_of(&k->out[0], i, to);
        for (int d = 0; d < axes->n; d++) from[axes->ints[d]] = to[d];
        k->y[0][i] = k->x[0][element(&k->in[0], from)];
    }
}

void naive_expand(call *k) {
    int more = k->out[0].ndim - k->in[0].ndim;
    EACH(i, hct_numel(&k->out[0])) {
        int64_t at[HCT_MAX_DIMS];
        index_of(&k->out[0], i, at);
        for (int d = 0; d < k->in[0].ndim; d++)
            if (k->in[0].dim[d] == 1) at[more + d] = 0;
        k->y[0][i] = k->x[0][element(&k->in[0], at + more)];
    }
}

/* part[...] = whole[..., start + i, ...] on one axis; back: the other way round */
static void part_of(double *whole, const hct_view *w, double *part, const hct_view *p, int64_t axis, int64_t start,
                    bool back) {
    EACH(i, hct_numel(p)) {
        int64_t at[HCT_MAX_DIMS];
        index_of(p, i, at);
        at[axis] += start;
        double *in_whole = whole + element(w, at);
        if (back) *in_whole = part[i];
        else part[i] = *in_whole;
    }
}

void naive_slice(call *k) {
    part_of(k->x[0], &k->in[0], k->y[0], &k->out[0], call_int(k, "axis", 0), call_int(k, "start", 0), false);
}
void naive_slice_bwd(call *k) {
    part_of(k->y[0], &k->out[0], k->x[0], &k->in[0], call_int(k, "axis", 0), call_int(k, "start", 0), true);
}

void naive_split(call *k) {
    int64_t axis = call_int(k, "axis", 0);
    for (uint32_t o = 0; o < k->n_out; o++)
        part_of(k->x[0], &k->in[0], k->y[o], &k->out[o], axis, o * k->out[o].dim[axis], false);
}

void naive_concat(call *k) {
    int64_t axis = call_int(k, "axis", 0), start = 0;
    for (uint32_t i = 0; i < k->n_in; start += k->in[i++].dim[axis])
        part_of(k->y[0], &k->out[0], k->x[i], &k->in[i], axis, start, true);
}

void naive_gather(call *k) {
    int64_t tokens = k->in[0].dim[1], c = k->in[0].dim[2], chosen = k->in[1].dim[1];
    EACH(b, k->in[0].dim[0])
    EACH(j, chosen)
    EACH(i, c) k->y[0][(b * chosen + j) * c + i] = k->x[0][(b * tokens + (int64_t)k->x[1][b * chosen + j]) * c + i];
}

void naive_gather_bwd(call *k) {
    int64_t tokens = k->out[0].dim[1], c = k->out[0].dim[2], chosen = k->in[1].dim[1];
    EACH(b, k->in[0].dim[0])
    EACH(j, chosen)
    EACH(i, c) k->y[0][(b * tokens + (int64_t)k->x[1][b * chosen + j]) * c + i] += k->x[0][(b * chosen + j) * c + i];
}

/* Where voxel (b, c, z, y, x) of volume v stands among the patches. */
static int64_t patch_element(const hct_view *v, const int64_t *at, int64_t s, bool channel_last) {
    int64_t grid[3], in[3];
    for (int d = 0; d < 3; d++) grid[d] = at[2 + d] / s, in[d] = at[2 + d] % s;
    int64_t row = ((at[0] * (v->dim[2] / s) + grid[0]) * (v->dim[3] / s) + grid[1]) * (v->dim[4] / s) + grid[2];
    int64_t voxel = (in[0] * s + in[1]) * s + in[2], c = v->dim[1], size = s * s * s;
    return row * c * size + (channel_last ? voxel * c + at[1] : at[1] * size + voxel);
}

static void patches(const call *k, const hct_view *volume, double *voxels, double *rows, bool fold) {
    EACH(i, hct_numel(volume)) {
        int64_t at[HCT_MAX_DIMS];
        index_of(volume, i, at);
        double *in_rows =
            rows + patch_element(volume, at, call_int(k, "patch", 0), call_int(k, "channel_last", 0) != 0);
        if (fold) voxels[i] = *in_rows;
        else *in_rows = voxels[i];
    }
}

void naive_unfold(call *k) { patches(k, &k->in[0], k->x[0], k->y[0], false); }
void naive_fold(call *k) { patches(k, &k->out[0], k->y[0], k->x[0], true); }
