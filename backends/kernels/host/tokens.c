/* gather's backward. */
#include "launch.h"

static hct_status plan_gather_bwd(hk *b, const hct_problem *p, hct_err *err) {
    (void)err;
    const hct_view *dy = &p->in[0], *ix = &p->in[1];
    int64_t tokens = p->out[0].dim[1], k = ix->dim[1], c = dy->dim[2], db = dy->stride[0], dk = dy->stride[1];
    hk_ref g = HK_IN_(0);
    if (dy->stride[2] != 1 && c > 1) {
        g = hk_flat(b, 0);
        db = k * c;
        dk = c;
    }
    hk_each(b, "tokens", dy->dtype, "index_check", dy->dim[0] * k);
    hk_mem(b, HK_IN_(1));
    hk_mem(b, (hk_ref){.place = HK_STATUS});
    hk_i64(b, k);
    hk_i64(b, tokens);
    hk_i64(b, ix->stride[0]);
    hk_i64(b, ix->stride[1]);
    hk_rows(b, "tokens", dy->dtype, "gather_bwd", dy->dim[0] * tokens);
    hk_mem(b, HK_OUT_(0));
    hk_mem(b, g);
    hk_mem(b, HK_IN_(1));
    hk_i64(b, tokens);
    hk_i64(b, k);
    hk_i64(b, c);
    hk_i64(b, db);
    hk_i64(b, dk);
    hk_i64(b, ix->stride[0]);
    hk_i64(b, ix->stride[1]);
    return HCT_OK;
}

const hk_op hk_tokens[] = {{"gather.bwd", plan_gather_bwd, HK_REAL, 0}, {0}};
