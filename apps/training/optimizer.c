/* From a recipe to an optimiser: its kind, which tensors decay, the rates of a step. */
#include "training/optimizer.h"

/* Two or more axes longer than 1: the weights of products; not biases, norms, tokens. */
static int is_matrix(const hct_tensor *t) {
    const hct_view *v = hct_tensor_view(t);
    int longer = 0;
    for (int i = 0; i < v->ndim; i++) longer += v->dim[i] > 1;
    return longer > 1;
}

int optimizer_decays(const recipe *r, const param *p) { return r->optim.decay == DECAY_ALL || is_matrix(p->tensor); }

hct_optim *optimizer_new(hct_dev *dev, const recipe *r, hct_err *err) {
    static const hct_optim_kind kinds[] = {
        [OPTIMIZER_ADAMW] = HCT_ADAMW, [OPTIMIZER_ADAM] = HCT_ADAM, [OPTIMIZER_SGD] = HCT_SGD};
    static const hct_clip_mode clips[] = {
        [CLIP_NONE] = HCT_CLIP_NONE, [CLIP_GLOBAL] = HCT_CLIP_GLOBAL, [CLIP_TENSOR] = HCT_CLIP_TENSOR};
    hct_optim_options o = {.kind = kinds[r->optim.name],
                           .beta1 = r->optim.betas[0],
                           .beta2 = r->optim.betas[1],
                           .eps = r->optim.eps,
                           .momentum = r->optim.momentum,
                           .clip_mode = clips[r->optim.clip_mode],
                           .clip = r->optim.clip};
    return hct_optim_new(dev, &o, err);
}

hct_status optimizer_add(hct_optim *o, int group, const param *p, hct_err *err) {
    hct_status st = hct_optim_add(o, group, p->name, p->tensor, err);
    return st == HCT_OK && p->copy ? hct_optim_copy(o, p->tensor, p->copy, err) : st;
}

hct_optim *optimizer_of_recipe(hct_dev *dev, const recipe *r, const params *p, hct_err *err) {
    hct_optim *optim = optimizer_new(dev, r, err);
    for (int group = 0; optim && group < 2; group++)
        for (size_t i = 0; i < p->n; i++) {
            if (!p->items[i].trained || optimizer_decays(r, &p->items[i]) != (group == 0)) continue;
            if (optimizer_add(optim, group, &p->items[i], err) == HCT_OK) continue;
            hct_optim_free(optim);
            return NULL;
        }
    return optim;
}

hct_status optimizer_set_rates(hct_optim *o, double lr, double decay, hct_err *err) {
    return hct_optim_step(o, (hct_optim_rate[]){{lr, decay, 1}, {lr, 0, 1}}, err);
}
