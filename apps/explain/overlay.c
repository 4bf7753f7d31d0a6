/* From a model's input back to a scan's own voxels. */
#include "explain/overlay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figures/picture.h"

/* Linear interpolation between the centres of cells; the outermost cells reach to their borders. u: in cells, 0 at
 * the first border. */
static double value_at(const saliency_map *m, const double u[3]) {
    int64_t low[3];
    double part[3], sum = 0;
    for (int a = 0; a < 3; a++) {
        double x = fmin(fmax(u[a] - 0.5, 0), (double)m->dim[a] - 1);
        low[a] = (int64_t)x < m->dim[a] - 1 ? (int64_t)x : m->dim[a] > 1 ? m->dim[a] - 2 : 0;
        part[a] = x - (double)low[a];
    }
    for (int corner = 0; corner < 8; corner++) {
        double w = 1;
        int64_t at = 0;
        for (int a = 0; a < 3; a++) {
            int up = corner >> a & 1;
            w *= up ? part[a] : 1 - part[a];
            at = at * m->dim[a] + (low[a] + up < m->dim[a] ? low[a] + up : low[a]);
        }
        if (w > 0) sum += w * m->value[at];
    }
    return sum;
}

hct_status overlay_make(const saliency_map *map, const volume *prepared, const input_spec *spec, const volume *grid,
                        volume *ret, hct_err *err) {
    double inverse[4][4], from[4][4], of_prepared[4][4], of_grid[4][4];
    memcpy(of_prepared, prepared->affine, sizeof of_prepared);
    memcpy(of_grid, grid->affine, sizeof of_grid);
    if (affine_invert(of_prepared, inverse) < 0)
        return hct_fail(err, HCT_EINVAL, "the prepared volume's affine cannot be inverted");
    affine_mul(inverse, of_grid, from);
    hct_status st = volume_alloc(ret, HCT_F32, grid->dim, err);
    if (st < 0) return st;
    memcpy(ret->affine, grid->affine, sizeof ret->affine);
    for (int64_t k = 0, at = 0; k < grid->dim[2]; k++)
        for (int64_t j = 0; j < grid->dim[1]; j++)
            for (int64_t i = 0; i < grid->dim[0]; i++, at++) {
                double u[3];
                int outside = 0;
                for (int d = 0; d < 3; d++) { /* d: of the map; a: the volume's axis that it runs along */
                    int a = spec->order[d] - 'x';
                    int64_t start = prepared->dim[a] / 2 - spec->crop[a] / 2;
                    double v = from[a][0] * (double)i + from[a][1] * (double)j + from[a][2] * (double)k + from[a][3];
                    u[d] = (v - (double)start + 0.5) / (double)spec->crop[a] * (double)map->dim[d];
                    outside |= u[d] < 0 || u[d] > (double)map->dim[d];
                }
                ret->f32[at] = outside ? 0 : (float)value_at(map, u);
            }
    return HCT_OK;
}

float overlay_peak(const volume *v, int64_t ret[3]) {
    int64_t best = 0, n = volume_count(v);
    for (int64_t i = 1; i < n; i++)
        if (v->f32[i] > v->f32[best]) best = i;
    ret[0] = best % v->dim[0];
    ret[1] = best / v->dim[0] % v->dim[1];
    ret[2] = best / v->dim[0] / v->dim[1];
    return v->f32[best];
}

typedef struct hit {
    float value;
    int lesion;
} hit;

static int highest_first(const void *a, const void *b) {
    float x = ((const hit *)a)->value, y = ((const hit *)b)->value;
    return (x < y) - (x > y);
}

hct_status overlay_hits(const volume *overlay, const volume *inside, const volume *lesion, double share,
                        double *ret_hits, double *ret_chance, hct_err *err) {
    int64_t voxels = volume_count(overlay);
    if (volume_count(inside) != voxels || volume_count(lesion) != voxels)
        return hct_fail(err, HCT_ESHAPE, "map, brain and lesion have %lld, %lld and %lld voxels", (long long)voxels,
                        (long long)volume_count(inside), (long long)volume_count(lesion));
    hit *h = malloc((size_t)voxels * sizeof *h + 1);
    if (!h) return hct_fail(err, HCT_ENOMEM, "out of memory for %lld voxels", (long long)voxels);
    size_t n = 0, lesions = 0;
    for (int64_t i = 0; i < voxels; i++) {
        if (!(inside->f32[i] > 0.5f)) continue;
        h[n] = (hit){overlay->f32[i], lesion->f32[i] > 0.5f};
        lesions += (size_t)h[n++].lesion;
    }
    if (!n || !lesions) {
        free(h);
        return hct_fail(err, HCT_EINVAL, "%s",
                        n ? "the lesion has no voxel inside the brain" : "no voxel is inside the brain");
    }
    qsort(h, n, sizeof *h, highest_first);
    double want = fmax(1, share * (double)n), taken = 0, found = 0;
    for (size_t i = 0; i < n && taken < want;) { /* groups of equal values */
        size_t end = i;
        double of_lesion = 0;
        for (; end < n && h[end].value == h[i].value; end++) of_lesion += h[end].lesion;
        double part = fmin(1, (want - taken) / (double)(end - i));
        found += part * of_lesion;
        taken += part * (double)(end - i);
        i = end;
    }
    *ret_hits = found / taken;
    *ret_chance = (double)lesions / (double)n;
    free(h);
    return HCT_OK;
}

hct_status overlay_draw(const volume *prepared, const volume *overlay, const int64_t at[3], const hu_window *window,
                        const char *caption, const char *path, hct_err *err) {
    static const char *const planes[] = {"sagittal", "coronal", "axial"};
    if (overlay->dtype != HCT_F32) return hct_fail(err, HCT_EDTYPE, "%s: an overlay holds float32", path);
    float *scan = volume_row_major(prepared, err), *map = scan ? volume_row_major(overlay, err) : NULL;
    hct_status st = map ? HCT_OK : HCT_ENOMEM;
    int64_t ignored[3];
    picture_tile tiles[3];
    char captions[3][160];
    for (int t = 0; t < 3 && st == HCT_OK; t++) {
        int plane = 2 - t; /* axial first */
        if (t == 0) snprintf(captions[t], sizeof captions[t], "%s: %s", planes[plane], caption);
        else snprintf(captions[t], sizeof captions[t], "%s", planes[plane]);
        tiles[t] = (picture_tile){.volume = scan,
                                  .plane = (slice_plane)plane,
                                  .at = at[plane],
                                  .low = window->centre - window->width / 2,
                                  .high = window->centre + window->width / 2,
                                  .caption = captions[t],
                                  .overlay = map,
                                  .overlay_high = (double)overlay_peak(overlay, ignored)};
        memcpy(tiles[t].dim, prepared->dim, sizeof tiles[t].dim);
    }
    if (st == HCT_OK) st = picture_write(tiles, 3, 448, path, err);
    free(scan);
    free(map);
    return st;
}
