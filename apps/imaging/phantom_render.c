/* The scan and the masks of a phantom: its head met at every voxel. */
#include "imaging/phantom.h"

#include <math.h>
#include <string.h>

/* Nearly normal noise of variance 1 from a counter: the sum of four 16-bit uniforms (Irwin-Hall). */
static inline float noise_at(uint64_t key, uint64_t i) {
    uint64_t z = key + 0x9E3779B97F4A7C15u * (i + 1);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    float sum = (float)(z & 0xffff) + (float)(z >> 16 & 0xffff) + (float)(z >> 32 & 0xffff) + (float)(z >> 48);
    return (sum - 131070.0f) * (1.7320508f / 65535.0f);
}

/* The head's coordinates of a place in the volume, in voxels. */
static void to_head(const phantom *p, const float index[3], float at[3]) {
    float w[3];
    for (int a = 0; a < 3; a++) w[a] = (float)p->affine[a][a] * index[a] + (float)p->affine[a][3] - p->shift[a];
    for (int a = 0; a < 3; a++) at[a] = p->rotation[a][0] * w[0] + p->rotation[a][1] * w[1] + p->rotation[a][2] * w[2];
}

static hct_status make_mask(const phantom *p, volume *ret, hct_err *err) {
    hct_status status = volume_alloc(ret, HCT_I16, p->dim, err);
    if (status == HCT_OK) memcpy(ret->affine, p->affine, sizeof ret->affine);
    return status;
}

hct_status phantom_mask(const phantom *p, finding f, volume *ret, hct_err *err) {
    enum { MARK = 30000 }; /* HU that nothing else has */
    if (f < IPH || f > SAH)
        return hct_fail(err, HCT_EINVAL, "%s: a mask is drawn of bleeds alone: IPH, IVH, SDH, EDH, SAH",
                        finding_names[f]);
    hct_status status = make_mask(p, ret, err);
    if (status < 0) return status;
    phantom marked = *p;
    marked.blood[f] = MARK;
    int64_t n = 0;
    for (int64_t k = 0; k < p->dim[2]; k++)
        for (int64_t j = 0; j < p->dim[1]; j++)
            for (int64_t i = 0; i < p->dim[0]; i++) {
                float at[3];
                to_head(p, (const float[]){(float)i, (float)j, (float)k}, at);
                ret->i16[n++] = p->present[f] && phantom_hu(&marked, at) > MARK / 2.0f;
            }
    return HCT_OK;
}

hct_status phantom_inside(const phantom *p, volume *ret, hct_err *err) {
    hct_status status = make_mask(p, ret, err);
    if (status < 0) return status;
    int64_t n = 0;
    for (int64_t k = 0; k < p->dim[2]; k++)
        for (int64_t j = 0; j < p->dim[1]; j++)
            for (int64_t i = 0; i < p->dim[0]; i++) {
                float at[3];
                to_head(p, (const float[]){(float)i, (float)j, (float)k}, at);
                ret->i16[n++] = phantom_depth(p, at) > 0;
            }
    return HCT_OK;
}

hct_status phantom_render(const phantom *p, volume *ret, hct_err *err) {
    enum { SAMPLES = 3 }; /* points a voxel, spread through its depth: partial volume */
    static const float where[SAMPLES][3] = {{-0.25f, 0.05f, -0.33f}, {0.05f, -0.25f, 0}, {0.2f, 0.2f, 0.33f}};
    hct_status status = volume_alloc(ret, HCT_I16, p->dim, err);
    if (status < 0) return status;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) ret->affine[i][j] = p->affine[i][j];
    int64_t n = 0;
    for (int64_t k = 0; k < p->dim[2]; k++)
        for (int64_t j = 0; j < p->dim[1]; j++)
            for (int64_t i = 0; i < p->dim[0]; i++, n++) {
                float sum = 0;
                for (int s = 0; s < SAMPLES; s++) {
                    float at[3];
                    float index[3] = {(float)i + p->blur * where[s][0], (float)j + p->blur * where[s][1],
                                      (float)k + p->blur * where[s][2]};
                    to_head(p, index, at);
                    sum += phantom_hu(p, at);
                }
                float hu = sum / SAMPLES + p->offset + p->noise * noise_at(p->noise_key, (uint64_t)n);
                ret->i16[n] = (int16_t)lrintf(hu < -1024 ? -1024 : hu);
            }
    return HCT_OK;
}
