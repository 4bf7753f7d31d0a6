/* Max, average and adaptive average pooling: pool.cl. */
#include "launch.h"

#include <string.h>

typedef struct pool {
    int64_t d[3], p[3], k[3], stride[3], padding[3], adaptive;
} pool; /* pool.cl's */

/* x: the volume, y: what it is pooled to. */
static pool pool_of(const hct_problem *p, const hct_view *x, const hct_view *y) {
    static const char *const names[] = {"kernel", "stride", "padding"};
    pool z = {.adaptive = !strncmp(p->op, "adaptive", 8)};
    int64_t *const to[] = {z.k, z.stride, z.padding};
    memcpy(z.d, x->dim + 2, sizeof z.d);
    memcpy(z.p, y->dim + 2, sizeof z.p);
    for (int i = 0; i < 3 && !z.adaptive; i++)
        memcpy(to[i], hct_attr_find(p->attr, p->n_attr, names[i])->ints, sizeof z.k);
    return z;
}

/* max_pool3d and its backward, not avg_pool3d's or adaptive_avg_pool3d's. */
static int is_max(const char *op) { return !strncmp(op, "max_pool3d", 10); }

static hct_status plan_pool(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int max = is_max(p->op);
    const pool z = pool_of(p, p->in, p->out);
    hk_ref x = hk_flat(b, 0);
    hk_each(b, "pool", p->in[0].dtype, max ? "max_pool3d" : "avg_pool3d", hct_numel(p->out));
    hk_mem(b, HK_OUT_(0));
    if (max) hk_mem(b, HK_OUT_(1));
    hk_mem(b, x);
    hk_struct(b, &z, sizeof z);
    return HCT_OK;
}

static hct_status plan_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    int max = is_max(p->op);
    const pool z = pool_of(p, p->out, p->in);
    hk_ref dy = hk_flat(b, 0), index = max ? hk_flat(b, 1) : dy;
    /* on a GPU neighbours are better */
    int64_t voxels = hct_numel(p->out), run = b->target->group == 1 && voxels ? z.d[2] : 1;
    hk_each(b, "pool", p->in[0].dtype, max ? "max_pool3d_bwd" : "avg_pool3d_bwd", voxels / run);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, dy);
    if (max) hk_mem(b, index);
    hk_struct(b, &z, sizeof z);
    hk_i64(b, run);
    return HCT_OK;
}

const hk_op hk_pool[] = {
    {"max_pool3d", plan_pool, HK_REAL, 0},
    {"max_pool3d.bwd", plan_bwd, HK_REAL, 0},
    {"avg_pool3d", plan_pool, HK_REAL, 0},
    {"avg_pool3d.bwd", plan_bwd, HK_REAL, 0},
    {"adaptive_avg_pool3d", plan_pool, HK_REAL, 0},
    {"adaptive_avg_pool3d.bwd", plan_bwd, HK_REAL, 0},
    {0},
};
