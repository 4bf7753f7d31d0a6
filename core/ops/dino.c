/* DINO's loss and its centre's running mean (Caron et al. 2021, algorithm 1).
 *
 * dino_loss(student [V, B, K], teacher [G, B, K], centre [K], temps [2]) -> loss [], entropy [], lse_student [V, B],
 * lse_teacher [G, B]. Views v < G of the student are the images that the teacher sees. With p_g = softmax((teacher_g
 * - centre) / temps[1]) and q_v = softmax(student_v / temps[0]): loss = mean over (g, v), g != v, and over B, of
 * -sum_k p_g log q_v; entropy = mean over G and B of -sum_k p_g log p_g. Only the log-sum-exps are kept: the
 * backward makes the probabilities anew. */
#include "ops.h"

#include <stdlib.h>

static hct_status check(const hct_problem *p, hct_err *err) {
    const hct_view *s = &p->in[0], *t = &p->in[1];
    HCT_TRY(hct_want_same_real(p, 2, err));
    if (s->ndim != 3 || t->ndim != 3 || s->dim[1] != t->dim[1] || s->dim[2] != t->dim[2])
        return hct_fail(err, HCT_ESHAPE,
                        "student is [views, batch, prototypes], teacher [its views, batch, prototypes]");
    if (t->dim[0] < 1 || s->dim[0] < 2 || t->dim[0] > s->dim[0] || s->dim[1] < 1 || s->dim[2] < 1)
        return hct_fail(err, HCT_ESHAPE, "%lld student views and %lld of the teacher make no pair",
                        (long long)s->dim[0], (long long)t->dim[0]);
    HCT_TRY(hct_want_dims(p, 2, 1, &s->dim[2], err));
    HCT_TRY(hct_want_dtype(p, 2, stat_dtype(s), err));
    HCT_TRY(hct_want_dims(p, 3, 1, (int64_t[]){2}, err));
    return hct_want_dtype(p, 3, HCT_F32, err);
}

static hct_status infer(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 4, 4, err));
    HCT_TRY(check(p, err));
    hct_set(&out[0], p->in[0].dtype, 0, NULL);
    hct_set(&out[1], stat_dtype(&p->in[0]), 0, NULL);
    for (int i = 0; i < 2; i++) hct_set(&out[2 + i], stat_dtype(&p->in[0]), 2, p->in[i].dim);
    return HCT_OK;
}

/* dino_loss.bwd(student, teacher, centre, temps, lse_student, lse_teacher, dloss) -> dstudent_v =
 * dloss (n_v q_v - sum_g p_g) / (temps[0] B pairs), over the n_v teacher views g != v */
static hct_status infer_bwd(const hct_problem *p, hct_view *out, hct_err *err) {
    HCT_TRY(hct_want(p, 7, 1, err));
    HCT_TRY(check(p, err));
    for (uint32_t i = 0; i < 2; i++) HCT_TRY(hct_want_dims(p, 4 + i, 2, p->in[i].dim, err));
    HCT_TRY(hct_want_dims(p, 6, 0, NULL, err));
    hct_set(out, p->in[0].dtype, 3, p->in[0].dim);
    return HCT_OK;
}

static hct_status grad(const hct_host *h, hct_tape *t, const hct_node *n, hct_err *err) {
    for (int i = 1; i < 4; i++)
        if (h->needs_grad(t, n->in[i])) return hct_fail(err, HCT_EINVAL, "input %d has no gradient; detach it", i);
    if (h->grad_of(t, n->out[0]))
        h->add_grad(t, n->in[0],
                    OP1(t, "dino_loss.bwd", n->in[0], n->in[1], n->in[2], n->in[3], n->out[2], n->out[3],
                        h->grad_of(t, n->out[0])));
    return HCT_OK;
}

HCT_OP(op_loss, "dino_loss", .infer = infer, .grad = grad);
HCT_OP(op_loss_bwd, "dino_loss.bwd", .infer = infer_bwd);

hct_id hct_dino_loss(hct_tape *t, hct_id student, hct_id teacher, hct_id centre, hct_id temps, hct_id *ret_entropy) {
    hct_id out[4];
    hct_emit(t, "dino_loss", (hct_id[]){student, teacher, centre, temps}, 4, NULL, 0, out, 4);
    if (ret_entropy) *ret_entropy = out[1];
    return out[0];
}

/* ---- ema(rates F32 [n], then (target, source) each) -> targets, in place: target = rates[at] target + rates[at +
 * 1] source. With attribute "copy" a BF16 copy of the target is the third of each, only written ---- */

static hct_status infer_ema(const hct_problem *p, hct_view *out, hct_err *err) {
    int64_t at = hct_attr_int(p->attr, p->n_attr, "at", 0);
    uint32_t copy = hct_attr_int(p->attr, p->n_attr, "copy", 0) != 0, per = 2 + copy, out_per = 1 + copy;
    if (p->n_in < 1 + per || (p->n_in - 1) % per || p->n_out != (p->n_in - 1) / per * out_per)
        return hct_fail(err, HCT_EINVAL, "takes rates, then a target and a source (and a copy) each");
    HCT_TRY(hct_want_dtype(p, 0, HCT_F32, err));
    if (p->in[0].ndim != 1 || at < 0 || at + 2 > p->in[0].dim[0])
        return hct_fail(err, HCT_ESHAPE, "rates has no two elements at %lld", (long long)at);
    for (uint32_t i = 1, o = 0; i < p->n_in; i += per) {
        if (!is_real(p->in[i].dtype) || !is_real(p->in[i + 1].dtype))
            return hct_fail(err, HCT_EDTYPE, "targets and sources are real");
        for (uint32_t k = 1; k < per; k++) HCT_TRY(hct_want_dims(p, i + k, p->in[i].ndim, p->in[i].dim, err));
        hct_set(&out[o++], p->in[i].dtype, p->in[i].ndim, p->in[i].dim);
        if (copy) HCT_TRY(hct_want_dtype(p, i + 2, HCT_BF16, err));
        if (copy) hct_set(&out[o++], HCT_BF16, p->in[i].ndim, p->in[i].dim);
    }
    return HCT_OK;
}

HCT_OP(op_ema, "ema", .infer = infer_ema);

/* per: values of each; its source is the second and is not written. */
static void emit_ema(hct_tape *t, hct_id rates, int64_t at, const hct_id *each, uint32_t n, uint32_t per) {
    if (!n) return;
    hct_id *in = malloc((2 * per * (size_t)n + 1) * sizeof *in), *out = in + per * (size_t)n + 1;
    uint32_t m = 0;
    if (!in) {
        hct_tape_fail(t, HCT_ENOMEM, "ema: out of memory");
        return;
    }
    in[0] = rates;
    memcpy(in + 1, each, per * (size_t)n * sizeof *in);
    for (uint32_t i = 0; i < per * n; i++)
        if (i % per != 1) out[m++] = each[i];
    hct_emit_into(t, "ema", in, per * n + 1, (hct_attr[]){HCT_INT("at", at), HCT_INT("copy", per == 3)}, 2, out, m);
    free(in);
}

void hct_ema(hct_tape *t, hct_id rates, int64_t at, const hct_id *target_and_source, uint32_t pairs) {
    emit_ema(t, rates, at, target_and_source, pairs, 2);
}

void hct_ema_copy(hct_tape *t, hct_id rates, int64_t at, const hct_id *target_source_copy, uint32_t n) {
    emit_ema(t, rates, at, target_source_copy, n, 3);
}

const hct_op *const hct_ops_dino[] = {&op_loss, &op_loss_bwd, &op_ema, NULL};
