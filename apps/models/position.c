/* Fixed 3D sine-cosine positions, and position tables resampled to another grid. */
#include "models/position.h"

#include <math.h>

void position_sincos(int64_t grid, int64_t width, float *table) {
    int64_t q = width / 6;
    for (int64_t n = 0; n < grid * grid * grid; n++) {
        int64_t axis[3] = {n / grid % grid, n / (grid * grid), n % grid}; /* j, i, k */
        for (int a = 0; a < 3; a++)
            for (int64_t m = 0; m < q; m++) {
                double angle = (double)axis[a] * pow(10000, -(double)m / (double)q);
                table[n * width + 2 * a * q + m] = (float)sin(angle);
                table[n * width + (2 * a + 1) * q + m] = (float)cos(angle);
            }
    }
}

/* The two source cells of target cell i, and the weight of the second. */
static void neighbours(int64_t i, int64_t from, int64_t to, int64_t *a, int64_t *b, double *w) {
    double at = ((double)i + 0.5) * (double)from / (double)to - 0.5;
    if (at < 0) at = 0;
    *a = (int64_t)at;
    if (*a > from - 1) *a = from - 1;
    *b = *a + 1 < from ? *a + 1 : *a;
    *w = at - (double)*a;
}

void position_resample(const float *from, int64_t from_grid, float *to, int64_t to_grid, int64_t width) {
    for (int64_t n = 0; n < to_grid * to_grid * to_grid; n++) {
        int64_t cell[3] = {n / (to_grid * to_grid), n / to_grid % to_grid, n % to_grid}, near[3][2];
        double weight[3];
        for (int a = 0; a < 3; a++) neighbours(cell[a], from_grid, to_grid, &near[a][0], &near[a][1], &weight[a]);
        for (int64_t c = 0; c < width; c++) {
            double sum = 0;
            for (int corner = 0; corner < 8; corner++) {
                double w = 1;
                int64_t row = 0;
                for (int a = 0; a < 3; a++) {
                    int second = corner >> a & 1;
                    w *= second ? weight[a] : 1 - weight[a];
                    row = row * from_grid + near[a][second];
                }
                sum += w * (double)from[row * width + c];
            }
            to[n * width + c] = (float)sum;
        }
    }
}
