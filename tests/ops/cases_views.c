/* Cases of ct_views. */
#include "naive.h"

/* Crops within the volume, and one augmentation more from view to view. */
static void views(call *k, const int64_t dim[3]) {
    int64_t n = k->in[1].dim[0] * k->in[1].dim[1];
    for (int64_t i = 0; i < n; i++) {
        double *q = k->x[1] + 16 * i;
        for (int a = 0; a < 16; a++) q[a] = 0;
        for (int a = 0; a < 3; a++) {
            q[a] = (double)((i + a) % 3);
            q[3 + a] = i == 0 ? (double)dim[a] - q[a] : (double)(dim[a] - 2 - (i + 2 * a) % 4);
            q[6 + a] = (double)((i + a) % 2);
        }
        if (i % 4 > 0) q[9] = i % 2 ? 0.09375 : -0.0625;
        for (int a = 0; a < 3 && i % 4 > 1; a++) q[11 + a] = 0.5 + 0.25 * a;
        if (i % 4 > 2 || i == 1) q[10] = 0.375;
    }
}

static void of_hu(call *k) {
    static const double window[] = {40, 80, 80, 200, 600, 2800};
    for (int64_t i = 0; i < 2 * k->in[2].dim[0]; i++) k->x[2][i] = window[i % 6];
    views(k, (int64_t[]){k->in[0].dim[3], k->in[0].dim[2], k->in[0].dim[1]});
}
static void of_images(call *k) { views(k, k->in[0].dim + 2); }

#define ONLY (ANY_DTYPE | CONTIGUOUS | NO_BROADCAST)
/* clang-format off */
#define HU(name_, more, v, b, x, y, z, c, size)                                                                  \
    {"ct_views", name_, {IN(IN_WIDE, b, z, y, x), F32(v, b, 16), F32(c, 2)}, {A_INT("size", size)}, ONLY | more, \
     .derive = of_hu,                                                                                            \
     .naive = naive_views}
#define IMAGES(name_, more, v, b, c, x, y, z, size)                                                   \
    {"ct_views", name_, {POSITIVE(b, c, x, y, z), F32(v, b, 16)}, {A_INT("size", size)}, ONLY | more, \
     .derive = of_images,                                                                             \
     .naive = naive_views}
#define PATCHES(name_, v, b, x, y, z, c, size, patch, bf16)                                                       \
    {"ct_views", name_, {IN(IN_WIDE, b, z, y, x), F32(v, b, 16), F32(c, 2)},                                     \
     {A_INT("size", size), A_INT("patch", patch), A_INT("bf16", bf16)}, ONLY, .derive = of_hu, .naive = naive_views}
/* clang-format on */

const op_case cases_views[] = {
    PATCHES("patches", 4, 2, 19, 17, 21, 3, 8, 4, 0),   PATCHES("patches in bf16", 4, 1, 19, 17, 21, 2, 9, 3, 1),
    HU("HU, smaller", 0, 4, 2, 19, 17, 21, 3, 8),       HU("HU, larger", 0, 4, 1, 9, 10, 11, 1, 13),
    IMAGES("images", 0, 4, 2, 2, 18, 15, 13, 7),        IMAGES("images, the same size", ZEROS, 2, 2, 1, 9, 9, 9, 9),
    HU("224 to 96", BENCH, 5, 2, 224, 224, 224, 3, 96), {0},
};
