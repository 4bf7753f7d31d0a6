/* The same phantom scan in other files. */
#include "leak_phantoms.h"

#include <math.h>
#include <string.h>

const char *const plant_words[PLANTS] = {
#define X(e, what) what,
    PLANT_MAP(X)
#undef X
};

/* splitmix64 */
static uint64_t next(uint64_t *s) {
    uint64_t z = *s += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double between(uint64_t *s, double low, double high) {
    return low + (high - low) * (double)(next(s) >> 11) * 0x1p-53;
}

static double normal(uint64_t *s) {
    double u = between(s, 0x1p-53, 1), v = between(s, 0, 1);
    return sqrt(-2 * log(u)) * cos(2 * 3.141592653589793 * v);
}

hct_status leak_original(const phantom_set *set, uint64_t patient, volume *ret, hct_err *err) {
    phantom p;
    phantom_draw(&p, set, patient, 0);
    return phantom_render(&p, ret, err);
}

/* Voxels low..low+dim of v with axis a of the result along axis of[a], backwards where turn[a]. */
static hct_status rearrange(volume *v, const int64_t low[3], const int64_t dim[3], const int of[3], const int turn[3],
                            hct_err *err) {
    volume out;
    const int64_t size[3] = {dim[of[0]], dim[of[1]], dim[of[2]]};
    hct_status s = volume_alloc(&out, v->dtype, size, err);
    if (s < 0) return s;
    double from[4][4] = {{0}};
    for (int a = 0; a < 3; a++) {
        from[of[a]][a] = turn[a] ? -1 : 1;
        from[of[a]][3] = (double)(low[of[a]] + (turn[a] ? size[a] - 1 : 0));
    }
    from[3][3] = 1;
    affine_mul(v->affine, from, out.affine);
    for (int64_t k = 0; k < size[2]; k++)
        for (int64_t j = 0; j < size[1]; j++)
            for (int64_t i = 0; i < size[0]; i++) {
                const int64_t at[3] = {i, j, k};
                int64_t source[3];
                for (int a = 0; a < 3; a++) source[of[a]] = low[of[a]] + (turn[a] ? size[a] - 1 - at[a] : at[a]);
                out.i16[i + size[0] * (j + size[1] * k)] =
                    v->i16[source[0] + v->dim[0] * (source[1] + v->dim[1] * source[2])];
            }
    volume_free(v);
    *v = out;
    return HCT_OK;
}

static hct_status crop(volume *v, uint64_t *s, hct_err *err) {
    int64_t low[3], dim[3];
    double spacing[3];
    volume_spacing(v, spacing);
    for (int a = 0; a < 3; a++) {
        int64_t before = (int64_t)(between(s, a < 2 ? 5 : 10, a < 2 ? 15 : 40) / spacing[a]);
        int64_t after = a < 2 ? (int64_t)(between(s, 5, 15) / spacing[a]) : 0;
        low[a] = before;
        dim[a] = v->dim[a] - before - after;
    }
    return rearrange(v, low, dim, (const int[]){0, 1, 2}, (const int[]){0, 0, 0}, err);
}

static void set_grid(phantom *p, const double spacing[3]) {
    for (int a = 0; a < 3; a++) {
        double cover = (double)p->spacing[a] * (double)p->dim[a],
               centre = p->affine[a][3] + p->affine[a][a] * (double)(p->dim[a] - 1) / 2;
        p->spacing[a] = (float)spacing[a];
        p->dim[a] = (int64_t)ceil(cover / spacing[a]);
        p->affine[a][a] = p->affine[a][a] < 0 ? -spacing[a] : spacing[a];
        p->affine[a][3] = centre - p->affine[a][a] * (double)(p->dim[a] - 1) / 2;
    }
}

hct_status leak_again(const phantom_set *set, uint64_t patient, plant_kind kind, volume *ret, hct_err *err) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    uint64_t s = patient * 64 + (uint64_t)kind;
    phantom p;
    phantom_draw(&p, set, patient, 0);
    if (kind == PLANT_SERIES) {
        double across = p.spacing[0] * between(&s, 0.8, 1.25);
        const double spacing[3] = {across, across, p.spacing[2] * between(&s, 0.5, 1)};
        set_grid(&p, spacing);
        p.noise *= (float)between(&s, 0.6, 1.4);
        p.noise_key = next(&s);
    }
    hct_status st = phantom_render(&p, ret, err);
    if (st < 0) return st;
    int64_t voxels = volume_count(ret);
    if (kind == PLANT_RESAVED) return volume_to_f32(ret, err);
    if (kind == PLANT_CROPPED) return crop(ret, &s, err);
    if (kind == PLANT_TURNED) {
        const int *of = orders[1 + next(&s) % 5], turn[3] = {next(&s) & 1, next(&s) & 1, next(&s) & 1};
        const int64_t none[3] = {0, 0, 0}, dim[3] = {ret->dim[0], ret->dim[1], ret->dim[2]};
        return rearrange(ret, none, dim, of, turn, err);
    }
    double deviation = between(&s, 5, 10);
    for (int64_t i = 0; kind == PLANT_NOISY && i < voxels; i++)
        ret->i16[i] = (int16_t)lrint(fmax(-1024, ret->i16[i] + deviation * normal(&s)));
    for (int a = 0; kind == PLANT_MIRRORED && a < 4; a++) ret->affine[0][a] = -ret->affine[0][a];
    return HCT_OK;
}
