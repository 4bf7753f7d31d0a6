/* Draws what MAE made of a batch. */
#include "pretrain/reconstruction.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figures/picture.h"

/* Mean and standard deviation (n-1) of one target patch, all channels: what normalised predictions are undone with. */
static void patch_stats(const reconstruction_batch *b, const float *image, const int64_t corner[3], double *mean,
                        double *sd) {
    int64_t s = b->edge, p = b->patch, n = b->channels * p * p * p;
    double sum = 0, square = 0;
    for (int64_t c = 0; c < b->channels; c++)
        for (int64_t v = 0; v < p * p * p; v++) {
            int64_t x = corner[0] + v / (p * p), y = corner[1] + v / p % p, z = corner[2] + v % p;
            double f = (double)image[((c * s + x) * s + y) * s + z];
            sum += f;
            square += f * f;
        }
    *mean = sum / (double)n;
    *sd = sqrt(fmax(square - sum * *mean, 0) / (double)(n - 1) + 1e-6);
}

/* Channel 0 of one scan [S, S, S]: hidden patches become NaN in masked, and the prediction in filled. */
static void paint(const reconstruction_batch *b, const float *image, const float *mask, const float *pred,
                  float *masked, float *filled) {
    int64_t s = b->edge, p = b->patch, g = s / p, voxels = b->channels * p * p * p;
    size_t all = (size_t)(s * s * s);
    memcpy(masked, image, all * sizeof *masked);
    memcpy(filled, image, all * sizeof *filled);
    for (int64_t n = 0; n < g * g * g; n++) {
        if (mask[n] == 0) continue;
        int64_t corner[3] = {n / (g * g) * p, n / g % g * p, n % g * p};
        double mean = 0, sd = 1;
        if (b->normalize) patch_stats(b, image, corner, &mean, &sd);
        for (int64_t v = 0; v < p * p * p; v++) { /* target order: (d0, d1, d2, channel) */
            int64_t at = ((corner[0] + v / (p * p)) * s + corner[1] + v / p % p) * s + corner[2] + v % p;
            masked[at] = NAN;
            filled[at] = (float)((double)pred[n * voxels + v * b->channels] * sd + mean);
        }
    }
}

static size_t scan_floats(const reconstruction_batch *b) { return (size_t)(b->channels * b->edge * b->edge * b->edge); }

/* The scan of the batch with the largest variance in channel 0's middle axial slice. */
static int64_t most_to_see(const reconstruction_batch *b) {
    int64_t best = 0, side = b->edge;
    double largest = -1;
    for (int64_t k = 0; k < b->batch; k++) {
        const float *image = b->image + (size_t)k * scan_floats(b) + side / 2;
        double sum = 0, squares = 0, n = (double)(side * side);
        for (int64_t i = 0; i < side * side; i++) {
            double v = (double)image[i * side];
            sum += v;
            squares += v * v;
        }
        double variance = squares / n - sum / n * (sum / n);
        if (variance > largest) largest = variance, best = k;
    }
    return best;
}

hct_status reconstruction_draw(const reconstruction_batch *b, const char *path, hct_err *err) {
    int64_t side = b->edge, grid = side / b->patch, patches = grid * grid * grid,
            voxels = b->channels * b->patch * b->patch * b->patch, which = most_to_see(b);
    size_t all = (size_t)(side * side * side);
    float *pred = malloc((size_t)(b->batch * patches * voxels) * sizeof *pred),
          *mask = malloc((size_t)(b->batch * patches) * sizeof *mask);
    float *masked = malloc(all * sizeof *masked), *filled = malloc(all * sizeof *filled);
    const float *image = b->image + (size_t)which * scan_floats(b);
    hct_status st = pred && mask && masked && filled ? HCT_OK : hct_fail(err, HCT_ENOMEM, "%s: out of memory", path);
    if (st == HCT_OK) st = hct_read(b->tape, b->pred, pred, err);
    if (st == HCT_OK) st = hct_tensor_read(b->mask, mask, err);
    if (st == HCT_OK) {
        paint(b, image, mask + which * patches, pred + which * patches * voxels, masked, filled);
        static const slice_plane planes[] = {SLICE_AXIAL, SLICE_CORONAL, SLICE_SAGITTAL};
        static const char *const captions[] = {"scan", "what the encoder sees", "reconstructed"};
        const float *const volumes[] = {image, masked, filled};
        picture_tile tiles[9];
        for (int i = 0; i < 9; i++)
            tiles[i] = (picture_tile){.volume = volumes[i % 3],
                                      .dim = {side, side, side},
                                      .plane = planes[i / 3],
                                      .at = -1,
                                      .low = 0,
                                      .high = 1,
                                      .caption = captions[i % 3]};
        st = picture_grid(tiles, 9, 3, 220, path, err);
    }
    free(pred);
    free(mask);
    free(masked);
    free(filled);
    return st;
}
