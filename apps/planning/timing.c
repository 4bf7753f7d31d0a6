/* Times forward passes and training steps of a model on made-up data. */
#include "planning/timing.h"

#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>

#include "inference/embedder.h"
#include "models/build.h"
#include "planning/view_timing.h"
#include "pretrain/method.h"
#include "run/checkpoint.h"
#include "run/model.h"
#include "support/allocations.h"
#include "support/device.h"
#include "support/measure.h"

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct footprint {
    uint64_t resident, from_files; /* measure.h */
} footprint;

static footprint footprint_now(void) { return (footprint){measure_resident(), measure_from_files()}; }

static footprint footprint_before(void) {
#ifdef __GLIBC__
    malloc_trim(0); /* what an earlier tape has freed would be taken again without growth */
#endif
    return footprint_now();
}

/* Runs a compiled tape and prints what it took. predicted: tensors, their packed copies, arena, workspace, the
 * host's input and the copy that a checkpoint is written from. Memory is measured as growth since before.
 * Allocations are counted from the second step on. */
static void print_line(void *context, const char *text) { fprintf(context, "%s\n", text); }

static hct_status time_tape(const timing_options *s, hct_dev *dev, hct_tape *t, const char *what, const char *precision,
                            int64_t scans, uint64_t host_input, uint64_t copy, footprint before, hct_err *err) {
    double *seconds = calloc((size_t)s->steps + 1, sizeof *seconds);
    hct_status st = seconds ? hct_run(t, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    allocation_counter none, *host = allocation_counter_find();
    allocation_counter *counter = host ? host : &none;
    uint64_t calls = hct_device_memory(dev).calls;
    counter->host = counter->onednn = 0;
    counter->counting = 1;
    if (st == HCT_OK) st = hct_run(t, err); /* devices that capture a step do it the second time */
    for (int64_t i = 0; st == HCT_OK && i < s->steps; i++) {
        double start = measure_now();
        st = hct_run(t, err);
        seconds[i] = measure_now() - start;
    }
    counter->counting = 0;
    calls = hct_device_memory(dev).calls - calls;
    footprint now = footprint_now();
    uint64_t grown = now.resident - before.resident,
             code = now.from_files > before.from_files ? now.from_files - before.from_files : 0;
    hct_program_stats p = hct_stats(t);
    uint64_t predicted = p.tensors + p.packed + p.arena + p.workspace + host_input + copy;
    if (st == HCT_OK) {
        qsort(seconds, (size_t)s->steps, sizeof *seconds, by_value);
        double median = seconds[s->steps / 2];
        fprintf(s->out, "%s, %lld scan%s, %s on %s\n", what, (long long)scans, scans == 1 ? "" : "s", precision,
                hct_device_backend(dev));
        fprintf(s->out, "  time         %.3f s median of %lld (%.3f to %.3f), %.2f scans/s\n", median,
                (long long)s->steps, seconds[0], seconds[s->steps - 1], (double)scans / median);
        fprintf(s->out, "  work         %.1f GFLOP in matrix products, %.1f GFLOP/s\n", p.flops / 1e9,
                p.flops / median / 1e9);
        fprintf(s->out,
                "  memory       %.1f MiB predicted (weights and state %.0f, packed %.0f, arena %.0f, workspace %.0f, "
                "host input %.0f, checkpoint %.0f), %.1f MiB measured, and %.1f of code\n",
                mib(predicted), mib(p.tensors), mib(p.packed), mib(p.arena), mib(p.workspace), mib(host_input),
                mib(copy), mib(grown), mib(code));
        fprintf(s->out, "  arena        %.3f of the lower bound of live bytes\n",
                p.arena_lower_bound ? (double)p.arena / (double)p.arena_lower_bound : 1.0);
        fprintf(s->out, "  program      %u calls (%u dropped)\n", p.nodes, p.nodes_dead);
        fprintf(s->out, "  allocations  %" PRIu64 " on the device in steps 2 to %lld", calls, (long long)s->steps + 2);
        if (host)
            fprintf(s->out, ", %ld on the host (and %ld by oneDNN)\n", (long)counter->host, (long)counter->onednn);
        else fprintf(s->out, "; on the host not counted\n");
        if (s->profile) st = hct_profile(t, print_line, s->out, err);
    }
    free(seconds);
    return st;
}

static const char *precision_of(const recipe *r) { return r->train.precision == PRECISION_BF16 ? "BF16" : "F32"; }

static hct_status bench_forward(const timing_options *s, hct_dev *dev, const recipe *r, hct_err *err) {
    model_info encoder;
    hct_status made = model_of_recipe(r, NULL, &encoder, err);
    encoder.role = MODEL_ENCODER;
    if (made < 0) return made;
    footprint before = footprint_before();
    int64_t batch = s->batch ? s->batch : 4;
    params *p = model_new(dev, &encoder, 1, err);
    embedder e = {0};
    hct_status st = p && model_precision(p, r, err) == HCT_OK
                        ? embedder_new(&e, dev, p, &encoder, batch, INT64_MAX, err)
                        : err->code;
    if (st == HCT_OK) {
        batch = e.batch;
        for (size_t i = 0; i < (size_t)batch * e.image_floats; i++) e.host[i] = (float)(i % 97) / 97;
        st = hct_tensor_write(e.input, e.host, err);
        free(e.host); /* not part of the model's memory */
        e.host = NULL;
    }
    if (st == HCT_OK) st = time_tape(s, dev, e.tape, "forward", precision_of(r), batch, 0, 0, before, err);
    embedder_free(&e);
    params_free(p);
    return st;
}

/* What a scan's numbers are does not matter, only that they are none that a device finds easy: floats of a window, or
 * int16 HU where the method cuts its views from cubes. */
static void make_up(const method_step *step, const loader_options *input) {
    for (int64_t b = 0; b < step->batch; b++) {
        if (!input->input.n_windows)
            for (size_t i = 0; i < step->item / sizeof(int16_t); i++)
                ((int16_t *)method_item(step, b))[i] = (int16_t)((i * 37 + (size_t)b) % 2003) - 1000;
        else
            for (size_t i = 0; i < step->item / sizeof(float); i++)
                ((float *)method_item(step, b))[i] = (float)((i + (size_t)b) % 97) / 97;
    }
}

static hct_status bench_training(const timing_options *s, hct_dev *dev, const method *kind, const recipe *r,
                                 const model_info *info, int64_t batch, hct_err *err) {
    footprint before = footprint_before();
    params *p = model_new(dev, info, 1, err);
    hct_optim *o = p && model_precision(p, r, err) == HCT_OK ? method_optimizer(kind, dev, r, p, err) : NULL;
    method_step step = {0};
    const method_setup setup = {.dev = dev, .p = p, .r = r, .info = info, .batch = batch, .micro = 1, .optim = o};
    hct_status st = o ? method_open(&step, kind, &setup, err) : err->code;
    size_t *scans = calloc((size_t)batch, sizeof *scans);
    if (st == HCT_OK && !scans) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    if (st == HCT_OK) {
        const loader_options input = method_input(kind, r, info);
        make_up(&step, &input);
        st = method_fill(&step, 0, &(method_draw){.seed = 1, .scan = scans, .valid = batch}, err);
    }
    if (st == HCT_OK) st = method_rates(kind, o, r, 1e-4, 0.05, 0, err);
    if (st == HCT_OK) st = method_set(&step, 0, 0, 1, err);
    char what[64];
    snprintf(what, sizeof what, "%s step", kind->title);
    const checkpoint whole = {.p = p, .optim = o, .info = info};
    checkpoint_copy *copy = st == HCT_OK ? checkpoint_copy_new(&whole, err) : NULL;
    if (st == HCT_OK) st = copy ? checkpoint_take(copy, &(run_state){0}, err) : err->code;
    if (st == HCT_OK)
        st = time_tape(s, dev, step.tape, what, precision_of(r), batch, step.host_bytes, checkpoint_copy_bytes(p, o),
                       before, err);
    checkpoint_copy_free(copy);
    method_close(&step);
    hct_optim_free(o);
    params_free(p);
    free(scans);
    return st;
}

/* The recipe's model, or ViT-Base as the paper has it. */
static hct_status model_of(const timing_options *s, recipe *r, const method **kind, model_info *info, hct_err *err) {
    *r = recipe_default();
    hct_status st = HCT_OK;
    char *path = s->recipe_file ? recipe_find(s->recipe_file) : NULL;
    if (s->recipe_file) st = path ? recipe_load(path, r, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    else if (!s->model || !strcmp(s->model, "vit-b12")) st = HCT_OK;
    else if (!strcmp(s->model, "vit-b16")) st = recipe_set(r, "model.patch=16", err);
    else st = hct_fail(err, HCT_EINVAL, "--model %s: vit-b12 and vit-b16 are known; for others use --recipe", s->model);
    free(path);
    /* probes and fine-tuning have the same encoder */
    if (st == HCT_OK && !recipe_pretrains(r)) st = recipe_set_key(r, "method", "mae", err);
    if (st == HCT_OK) st = recipe_set_key(r, "train.precision", s->precision, err);
    if (st == HCT_OK) st = method_of_recipe(r, kind, err);
    return st < 0 ? st : method_model(*kind, r, info, err);
}

hct_status timing_run(const timing_options *s, hct_err *err) {
    recipe r;
    model_info info;
    const method *kind = NULL;
    hct_status st = model_of(s, &r, &kind, &info, err);
    if (s->tune) setenv("HEADCT_TUNE", s->tune, 1); /* the backends' word for it */
    hct_dev *dev = st == HCT_OK ? device_open(s->device, err) : NULL;
    if (st == HCT_OK && !dev) st = err->code;
    if (st == HCT_OK && s->tune && !strcmp(hct_device_backend(dev), "cpu"))
        st = hct_fail(err, HCT_EINVAL,
                      "--tune is for OpenCL and CUDA devices, not cpu; add --device opencl or --device cuda");
    if (st == HCT_OK && s->views) st = view_timing(dev, s->views, s->batch ? s->batch : 4, s->steps, s->out, err);
    if (st == HCT_OK && !s->views && !s->train_only) st = bench_forward(s, dev, &r, err);
    if (st == HCT_OK && !s->views && !s->forward_only)
        st = bench_training(s, dev, kind, &r, &info, s->batch ? s->batch : s->recipe_file ? r.optim.batch : 1, err);
    device_close(dev);
    return st;
}
