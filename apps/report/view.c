/* Scans and maps for the viewer. */
#include "report/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures/viewer.h"
#include "imaging/nifti.h"
#include "imaging/scan.h"
#include "support/paths.h"

/* Linear between voxels, 0 outside; u in voxels. */
static double value_at(const volume *m, const double u[3]) {
    int64_t low[3];
    double part[3], sum = 0;
    for (int a = 0; a < 3; a++) {
        if (!(u[a] > -0.5 && u[a] < (double)m->dim[a] - 0.5)) return 0;
        double x = fmin(fmax(u[a], 0), (double)m->dim[a] - 1);
        low[a] = (int64_t)x;
        part[a] = x - (double)low[a];
    }
    for (int corner = 0; corner < 8; corner++) {
        double w = 1;
        int64_t at[3];
        for (int a = 0; a < 3; a++) {
            int up = corner >> a & 1;
            w *= up ? part[a] : 1 - part[a];
            at[a] = low[a] + (up && low[a] + 1 < m->dim[a]);
        }
        float v = w > 0 ? m->f32[at[0] + m->dim[0] * (at[1] + m->dim[1] * at[2])] : 0;
        if (v > 0) sum += w * (double)v;
    }
    return sum;
}

/* The map at each voxel of v, row-major; at: its peak. */
static hct_status lay_over(const volume *v, volume *map, float *out, int64_t at[3], hct_err *err) {
    double inverse[4][4], of_scan[4][4], from[4][4];
    float best = 0;
    memcpy(of_scan, v->affine, sizeof of_scan);
    if (affine_invert(map->affine, inverse) < 0) return hct_fail(err, HCT_EINVAL, "its affine cannot be inverted");
    affine_mul(inverse, of_scan, from);
    for (int64_t i = 0, n = 0; i < v->dim[0]; i++)
        for (int64_t j = 0; j < v->dim[1]; j++)
            for (int64_t k = 0; k < v->dim[2]; k++, n++) {
                double u[3];
                for (int a = 0; a < 3; a++)
                    u[a] = from[a][0] * (double)i + from[a][1] * (double)j + from[a][2] * (double)k + from[a][3];
                out[n] = (float)value_at(map, u);
                if (out[n] <= best) continue;
                best = out[n];
                memcpy(at, (int64_t[]){i, j, k}, 3 * sizeof *at);
            }
    return best > 0 ? HCT_OK : hct_fail(err, HCT_EINVAL, "it is nowhere above 0 inside the scan");
}

hct_status view_add(report *r, const char *scan, const char *map, hct_err *err) {
    volume v = {0}, m = {0};
    float *shown = NULL, *over = NULL;
    hct_err why = {0};
    hct_status st = scan_open(scan, 0, &v, NULL, err);
    viewer view = {.mm = {1, 1, 1}};
    if (st == HCT_OK && map) {
        st = nifti_read(map, &m, err);
        if (st == HCT_OK) st = volume_to_f32(&m, err);
    }
    size_t n = st == HCT_OK ? (size_t)volume_count(&v) : 0;
    if (st == HCT_OK) {
        shown = volume_row_major(&v, err);
        over = map ? malloc(n * sizeof *over + 1) : NULL;
        if (!shown || (map && !over)) st = hct_fail(err, HCT_ENOMEM, "%s: out of memory", scan);
    }
    for (int a = 0; a < 3; a++) {
        view.dim[a] = v.dim[a];
        view.at[a] = v.dim[a] / 2;
    }
    if (st == HCT_OK && map && (st = lay_over(&v, &m, over, view.at, &why)) < 0)
        hct_fail(err, st, "%s: is no map of %s: %s", map, scan, why.msg);
    if (st == HCT_OK) {
        char title[400];
        snprintf(title, sizeof title, "%s%s%s", path_base(scan), map ? ", " : "", map ? path_base(map) : "");
        view.title = title;
        view.volume = shown;
        view.overlay = over;
        view.overlay_name = "map";
        report_viewer(r, &view);
    }
    volume_free(&v);
    volume_free(&m);
    free(shown);
    free(over);
    return st;
}
