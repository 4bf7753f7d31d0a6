/* What a pre-training recipe will take, from its recorded program. */
#include "planning/plan.h"

#include <stdlib.h>

#include "imaging/scan.h"
#include "models/build.h"
#include "pretrain/method.h"
#include "run/checkpoint.h"
#include "run/fraction.h"
#include "run/model.h"
#include "support/device.h"
#include "support/measure.h"

static double gib(uint64_t bytes) { return (double)bytes / (1 << 30); }

/* What the loader's threads hold beside the program: each a prepared volume (int16), inflated and as voxels, while
 * it reads one; all of them the inputs kept. */
static void print_loading(const method *kind, const recipe *r, const model_info *info, size_t scans, FILE *out) {
    loader_options o = method_input(kind, r, info);
    uint64_t thread = 2 * (uint64_t)PREPARED_SIZE * PREPARED_SIZE * PREPARED_SIZE * sizeof(int16_t),
             inputs = scans * (uint64_t)loader_options_item(&o);
    int all = scans && inputs <= o.cache_bytes;
    fprintf(out, "loading    %d thread%s of about %.2f GiB each beside it; ", o.threads, o.threads == 1 ? "" : "s",
            gib(thread));
    fprintf(out, "%s %.2f GiB of inputs kept (train.cache_mb)\n", all ? "all" : "up to",
            gib(all ? inputs : o.cache_bytes));
}

static hct_status scans_of(const recipe *r, size_t *ret, hct_err *err) {
    size_t *part = NULL;
    dataset *d = dataset_open(r->data.dataset, err);
    hct_status st = d ? training_split(d, r, &part, ret, err) : err->code;
    free(part);
    dataset_close(d);
    return st;
}

static void print_model(const method *kind, const recipe *r, const model_info *info, int64_t parameters, FILE *out) {
    const encoder *e = &info->encoder;
    text_buffer more = {0};
    fprintf(out, "model      %lld parameters; %s encoder:", (long long)parameters, e->kind->name);
    for (const model_field *f = e->kind->fields; f->name; f++)
        if (f->type == FIELD_WHOLE)
            fprintf(out, "%s %s %g", f == e->kind->fields ? "" : ",", f->name, field_get(f, e->own));
    fprintf(out, ", %lld tokens", (long long)e->kind->tokens(e));
    if (kind->describe) kind->describe(r, info, &more);
    fprintf(out, "%s\n", text_so_far(&more));
    text_free(&more);
}

static double size_of(const encoder *e, const char *name) {
    const model_field *f = field_find(e->kind->fields, name);
    return f ? field_get(f, e->own) : 0;
}

static hct_status print_card(const card *c, const hct_tape *program, const encoder *e, int64_t scans, FILE *out,
                             hct_err *err) {
    hct_status st = card_print(c, program, scans, out, err);
    if (st == HCT_OK && size_of(e, "patch") >= 2)
        card_print_sizes(e->input.size[0], (int64_t)size_of(e, "patch"), (int64_t)size_of(e, "width"),
                         (int64_t)size_of(e, "depth"), (int64_t)size_of(e, "mlp"), out);
    return st;
}

hct_status plan_print(const recipe *r, const card *card, FILE *out, hct_err *err) {
    model_info info;
    const method *kind;
    hct_status st = method_of_recipe(r, &kind, err);
    if (st == HCT_OK) st = method_model(kind, r, &info, err);
    hct_dev *dev = st == HCT_OK ? device_open(r->train.device, err) : NULL;
    params *p = dev ? model_new(dev, &info, (uint64_t)r->seed, err) : NULL;
    hct_optim *o = p && model_precision(p, r, err) == HCT_OK ? method_optimizer(kind, dev, r, p, err) : NULL;
    method_step step = {0};
    size_t scans = 0;
    const method_setup setup = {.dev = dev,
                                .p = p,
                                .r = r,
                                .info = &info,
                                .batch = r->optim.batch,
                                .micro = r->optim.accumulate,
                                .optim = o,
                                .plan_only = 1};
    if (st == HCT_OK) st = o ? method_open(&step, kind, &setup, err) : err->code;
    if (st == HCT_OK && *r->data.dataset) st = scans_of(r, &scans, err);
    if (st == HCT_OK) {
        hct_program_stats s = hct_stats(step.tape);
        int64_t per_step = recipe_effective_batch(r, 1);
        double rate = measure_product_rate(dev), seconds = rate > 0 ? s.flops / rate : 0;
        print_model(kind, r, &info, params_count(p), out);
        uint64_t host = step.host_bytes, copy = checkpoint_copy_bytes(p, o);
        fprintf(out,
                "memory     %.2f GiB: weights, gradients' and optimiser's state and inputs %.2f, packed %.2f, arena "
                "%.2f, workspace %.2f, host input %.2f, checkpoint on its way to the disk %.2f\n",
                gib(s.tensors + s.packed + s.arena + s.workspace + host + copy), gib(s.tensors), gib(s.packed),
                gib(s.arena), gib(s.workspace), gib(host), gib(copy));
        print_loading(kind, r, &info, scans, out);
        fprintf(out, "step       %lld scans (%lld x %lld), %u calls, %.1f GFLOP\n", (long long)per_step,
                (long long)r->optim.batch, (long long)r->optim.accumulate, s.nodes, s.flops / 1e9);
        fprintf(out,
                "rate       products run at %.1f GFLOP/s here: a step takes %.2f s or more, %.2f scans/s or less\n",
                rate / 1e9, seconds, seconds > 0 ? (double)per_step / seconds : 0);
        if (scans) {
            int64_t steps = (int64_t)scans / per_step * r->optim.epochs;
            fprintf(out, "run        %zu scans, %lld steps in %lld epochs: %.1f hours or more\n", scans,
                    (long long)steps, (long long)r->optim.epochs, (double)steps * seconds / 3600);
        }
    }
    if (st == HCT_OK && card) st = print_card(card, step.tape, &info.encoder, recipe_effective_batch(r, 1), out, err);
    method_close(&step);
    hct_optim_free(o);
    params_free(p);
    device_close(dev);
    return st;
}
