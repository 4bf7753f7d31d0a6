#include "pretrain/step.h"
#include "training/optimizer.h"

static int is_dino(const train_step *s) { return s->r->method == METHOD_DINO; }

hct_status step_new(train_step *s, hct_dev *dev, params *p, const recipe *r, const model_info *info, int64_t batch,
                    int64_t micro, hct_optim *optim, int plan_only, hct_err *err) {
    *s = (train_step){.r = r, .info = info};
    if (is_dino(s)) return dino_step_new(&s->dino, dev, p, r, info, batch, micro, optim, plan_only, err);
    return mae_step_new(&s->mae, dev, p, &info->mae, batch, micro, optim ? &r->views : NULL, optim, plan_only, err);
}

void step_free(train_step *s) {
    if (s->dino.tape) dino_step_free(&s->dino);
    if (s->mae.tape) mae_step_free(&s->mae);
}

hct_tape *step_tape(const train_step *s) { return is_dino(s) ? s->dino.tape : s->mae.tape; }
int64_t step_batch(const train_step *s) { return is_dino(s) ? s->dino.batch : s->mae.batch; }

uint64_t step_host_bytes(const train_step *s) {
    return is_dino(s) ? dino_step_host_bytes(&s->dino) : mae_step_host_bytes(&s->mae, &s->info->mae);
}

void *step_item(train_step *s, int64_t b) {
    return is_dino(s) ? (void *)(s->dino.host + (size_t)b * s->dino.cube)
                      : (void *)(s->mae.image + (size_t)b * s->mae.image_floats);
}

loader_options step_loader(const recipe *r, const model_info *info) {
    loader_options o = {.windows = info->window,
                        .n_windows = info->n_windows,
                        .crop = r->data.crop,
                        .size = r->data.image,
                        .threads = (int)r->train.workers,
                        .disk_cache = r->train.disk_cache,
                        .cache_bytes = (size_t)r->train.cache_mb << 20};
    if (r->method == METHOD_DINO) o.n_windows = 0, o.crop = r->views.region, o.size = views_source(&r->views);
    return o;
}

hct_status step_fill(train_step *s, int64_t m, uint64_t seed, int64_t epoch, int64_t step, const size_t *scan,
                     int64_t valid, hct_err *err) {
    if (is_dino(s)) return dino_step_fill(&s->dino, m, seed, (uint64_t)epoch, scan, err);
    return mae_step_fill(&s->mae, &s->info->mae, m, seed, (uint64_t)epoch, (uint64_t)step, scan, valid, err);
}

hct_status step_set(train_step *s, int64_t epoch, int64_t step, int64_t total, hct_err *err) {
    return is_dino(s) ? dino_step_set(&s->dino, s->r, epoch, step, total, err) : HCT_OK;
}

hct_status step_start(train_step *s, hct_err *err) { return hct_start(step_tape(s), err); }

hct_status step_finish(train_step *s, double *ret_loss, hct_err *err) {
    return is_dino(s) ? dino_step_loss(&s->dino, ret_loss, err) : mae_step_loss(&s->mae, ret_loss, err);
}

hct_status step_run(train_step *s, double *ret_loss, hct_err *err) {
    hct_status st = step_start(s, err);
    return st == HCT_OK ? step_finish(s, ret_loss, err) : st;
}

hct_optim *step_optimizer(hct_dev *dev, const recipe *r, const params *p, hct_err *err) {
    return r->method == METHOD_DINO ? dino_optimizer(dev, r, p, err) : optimizer_of_recipe(dev, r, p, err);
}

hct_status step_rates(hct_optim *o, const recipe *r, double lr, double decay, int64_t epoch, hct_err *err) {
    return r->method == METHOD_DINO ? dino_set_rates(o, r, lr, decay, epoch, err)
                                    : optimizer_set_rates(o, lr, decay, err);
}
