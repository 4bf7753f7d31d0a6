/* Shrinks a cube by whole factors. */
#include "imaging/shrink.h"

#include <stdlib.h>
#include <string.h>

/* sum[x] += the factor values of a row that fall into bin x. */
static void add_row(const int16_t *row, int64_t bins, int64_t factor, int32_t *sum) {
    for (int64_t x = 0; x < bins; x++)
        for (int64_t i = 0; i < factor; i++) sum[x] += row[x * factor + i];
}

/* sum / n to the nearest, halves up. */
static int16_t mean_of(int32_t sum, int32_t n) {
    int32_t twice = 2 * sum + n, down = twice / (2 * n) - (twice % (2 * n) < 0);
    return (int16_t)down;
}

hct_status volume_shrink(const volume *v, int64_t region, int64_t factor, int16_t *out, hct_err *err) {
    int64_t m = region / factor, start[3];
    for (int a = 0; a < 3; a++) {
        start[a] = v->dim[a] / 2 - region / 2;
        if (region < 1 || region % factor || start[a] < 0 || start[a] + region > v->dim[a])
            return hct_fail(err, HCT_ESHAPE, "a cube of %lld voxels, averaged over %lld, does not fit an axis of %lld",
                            (long long)region, (long long)factor, (long long)v->dim[a]);
    }
    int32_t *sum = malloc((size_t)m * sizeof *sum);
    if (!sum) return hct_fail(err, HCT_ENOMEM, "out of memory to shrink a volume");
    for (int64_t z = 0; z < m; z++)
        for (int64_t y = 0; y < m; y++) {
            const int16_t *first =
                v->i16 + start[0] + v->dim[0] * (start[1] + y * factor + v->dim[1] * (start[2] + z * factor));
            int16_t *to = out + (z * m + y) * m;
            if (factor == 1) {
                memcpy(to, first, (size_t)m * sizeof *to);
                continue;
            }
            memset(sum, 0, (size_t)m * sizeof *sum);
            for (int64_t k = 0; k < factor; k++)
                for (int64_t j = 0; j < factor; j++) add_row(first + v->dim[0] * (j + v->dim[1] * k), m, factor, sum);
            for (int64_t x = 0; x < m; x++) to[x] = mean_of(sum[x], (int32_t)(factor * factor * factor));
        }
    free(sum);
    return HCT_OK;
}
