/* Packed copies: an input in the order in which its kernel reads it, kept from run to run, made again when its
 * tensor was written. */
#include "internal.h"

enum { STEADY_BITS = 64 };

void hct_keep_packed(hct_tape *t) {
    if (t->planned)
        hct_tape_fail(t, HCT_EINVAL, "hct_keep_packed: the tape is planned already; call it before hct_compile");
    t->keep_packed = 1;
}

static const value *home(hct_tape *t, hct_id id) { return hct_value(t, hct_value(t, id)->root); }

uint64_t hct_packed_steady(hct_tape *t, const node *n) {
    uint64_t bits = 0;
    for (uint32_t k = 0; t->keep_packed && k < n->n_in && k < STEADY_BITS; k++)
        if (home(t, n->in[k])->tensor && !home(t, n->in[k])->written) bits |= (uint64_t)1 << k;
    return bits;
}

hct_status hct_packed_plan(hct_tape *t, node *n, uint64_t steady, hct_err *err) {
    const hct_plan *p = &n->plan;
    if (!p->packed) return HCT_OK;
    if (!HCT_HAS(n->kernel, pack) || p->packs >= STEADY_BITS || !(steady >> p->packs & 1))
        return hct_fail(err, HCT_EINVAL,
                        "%s: %s asks for a packed copy of input %u, which is not steady, or it cannot pack",
                        n->op->name, n->kernel->name, p->packs);
    n->views[n->n_in + n->n_out + 1].off = t->packed_bytes;
    t->packed_bytes += (p->packed + HCT_ALIGN - 1) / HCT_ALIGN * HCT_ALIGN;
    return HCT_OK;
}

hct_status hct_packed_refresh(hct_tape *t, hct_err *err) {
    for (size_t i = 0; t->packed && i < t->n_nodes; i++) {
        node *n = &t->nodes[i];
        if (!n->views || !n->plan.packed) continue;
        hct_err why = {0, ""};
        uint64_t now = home(t, n->in[n->plan.packs])->tensor->version;
        if (n->packed_version == now) continue;
        hct_status st = n->kernel->pack(&n->plan, t->dev->stream, &n->views[n->plan.packs],
                                        &n->views[n->n_in + n->n_out + 1], &why);
        if (st < 0) return hct_fail(err, st, "%s: %s", n->op->name, why.msg);
        n->packed_version = now;
    }
    return HCT_OK;
}
