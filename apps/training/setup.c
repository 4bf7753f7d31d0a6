#include "training/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/comm.h"
#include "imaging/scan.h"
#include "models/probe.h"
#include "support/sha256.h"

/* Ranks of one machine take its devices in turn, where none is named by number. */
static const char *device_of_rank(const hct_ctx *ctx, const char *spec, char own[64]) {
    const hct_comm *c = hct_comm_world();
    if (!c || strchr(spec, ':')) return spec;
    int devices = 0;
    char text[256];
    hct_err ignored;
    for (size_t i = 0; i < hct_backend_count(ctx); i++)
        if (!strcmp(hct_backend_at(ctx, i)->name, spec))
            while (hct_backend_at(ctx, i)->probe(devices, text, sizeof text, &ignored) == HCT_OK) devices++;
    if (devices < 2) return spec;
    snprintf(own, 64, "%s:%d", spec, c->local_rank % devices);
    return own;
}

hct_dev *device_open(const char *spec, hct_err *err) {
    hct_ctx *ctx = hct_open(NULL, err);
    char own[64];
    int open = !spec || !*spec || !strcmp(spec, "auto");
    const char *env = getenv("HEADCT_DEVICE");
    if (open) spec = env && *env ? env : "cpu";
    if (ctx) spec = device_of_rank(ctx, spec, own);
    hct_dev *dev = ctx ? hct_device_open(ctx, spec, err) : NULL;
    if (!dev) hct_close(ctx);
    return dev;
}

void device_close(hct_dev *dev) {
    if (!dev) return;
    hct_ctx *ctx = hct_device_context(dev);
    hct_device_close(dev);
    hct_close(ctx);
}

hct_status model_of_recipe(const recipe *r, model_info *ret, hct_err *err) {
    int mae = r->method == METHOD_MAE;
    *ret = (model_info){.kind = mae                        ? MODEL_MAE
                                : r->method == METHOD_DINO ? MODEL_DINO
                                                           : MODEL_CLASSIFIER,
                        .dino = {r->dino.hidden, r->dino.bottleneck, r->dino.prototypes, r->dino.batch_norm},
                        .n_windows = (int)r->data.windows.n,
                        .crop = r->data.crop};
    ret->mae = (mae_config){.encoder = {.image = r->data.image,
                                        .patch = r->model.patch,
                                        .channels = r->data.windows.n,
                                        .width = r->model.width,
                                        .depth = r->model.depth,
                                        .heads = r->model.heads,
                                        .mlp = r->model.mlp,
                                        .registers = r->model.registers,
                                        .qkv_bias = r->model.qkv_bias,
                                        .position_trained = r->model.position == POSITION_TRAINED,
                                        .init_normal = r->model.init == FIRST_NORMAL,
                                        .norm_eps = mae ? 1e-5 : 1e-6},
                            .width = r->model.decoder.width,
                            .depth = r->model.decoder.depth,
                            .heads = r->model.decoder.heads,
                            .mlp = r->model.decoder.mlp,
                            .decoder_bias = r->model.decoder.bias,
                            .mask_ratio = r->model.mask_ratio,
                            .normalize = r->model.norm_pix};
    ret->pool_mean = (r->method == METHOD_FINETUNE ? r->finetune.pool : r->probe.pool) == POOL_MEAN;
    if (r->method == METHOD_PROBE && r->probe.kind == PROBE_ATTENTIVE) ret->probe_heads = r->probe.heads;
    for (int i = 0; i < ret->n_windows; i++)
        ret->window[i] = (hu_window){r->data.windows.at[i].center, r->data.windows.at[i].width};
    hct_status st = recipe_hash(r, ret->recipe, err);
    const char *steps = scan_preprocessing(0);
    return st < 0 ? st : sha256_bytes(steps, strlen(steps), ret->preprocessing, err);
}

/* The tensors of a model, all 0 but for tables that follow from its sizes. */
static params *declare(hct_dev *dev, const model_info *info, hct_err *err) {
    params *p = params_new(dev);
    hct_status st = p ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for the model");
    if (st == HCT_OK) st = info->kind == MODEL_MAE ? mae_check(&info->mae, err) : vit_check(&info->mae.encoder, err);
    if (st == HCT_OK) {
        if (info->kind == MODEL_MAE) mae_declare(p, &info->mae);
        else if (info->kind == MODEL_DINO)
            dino_declare(p, &(dino_config){.encoder = info->mae.encoder, .head = info->dino});
        else vit_declare(p, &info->mae.encoder);
        for (int i = 0; info->kind == MODEL_CLASSIFIER && i < info->n_tasks; i++) {
            char prefix[MODEL_NAME + 8];
            snprintf(prefix, sizeof prefix, "head.%s.", info->task[i]);
            head_declare(p, prefix, info->mae.encoder.width, 2, info->probe_heads);
        }
        st = params_check(p, err);
    }
    if (st == HCT_OK) return p;
    params_free(p);
    return NULL;
}

params *model_new(hct_dev *dev, const model_info *info, uint64_t seed, hct_err *err) {
    params *p = declare(dev, info, err);
    hct_status st = p ? params_init(p, seed, err) : HCT_EINVAL;
    if (st == HCT_OK && info->kind == MODEL_DINO) st = dino_copy_teacher(p, err);
    if (st == HCT_OK) return p;
    params_free(p);
    return NULL;
}

hct_status model_precision(params *p, const recipe *r, hct_err *err) {
    p->recompute = r->train.recompute;
    return params_compute(p, r->train.precision == PRECISION_BF16 ? HCT_BF16 : HCT_F32, err);
}

params *model_of_file(hct_dev *dev, const hct_st_file *f, const char *path, const model_info *info, int quiet,
                      hct_err *err) {
    params *p = declare(dev, info, err); /* the file has every tensor: nothing is drawn */
    if (!p) return NULL;
    load_report report = {0};
    hct_status st = vit_load(p, &info->mae.encoder, f, path, "", &report, err);
    if (!quiet) load_report_print(&report, path);
    if (st == HCT_OK && report.missing)
        st = hct_fail(err, HCT_EFORMAT, "%s: %zu tensors of its model are missing (first: %s)", path, report.missing,
                      report.first_missing);
    if (st == HCT_OK) return p;
    params_free(p);
    return NULL;
}

params *model_open(hct_dev *dev, const char *path, model_info *ret_info, hct_err *err) {
    hct_st_file *f = hct_st_open(path, err);
    hct_status st = f ? weights_info(f, path, ret_info, err) : HCT_EIO;
    params *p = st == HCT_OK ? model_of_file(dev, f, path, ret_info, 0, err) : NULL;
    hct_st_close(f);
    return p;
}

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
