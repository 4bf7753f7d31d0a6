/* headct bench: how fast, and in how much memory, a model runs here. */
#include <argp.h>
#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/bench_views.h"
#include "commands/command.h"
#include "models/build.h"
#include "run/model.h"
#include "support/allocations.h"
#include "support/device.h"
#include "support/text.h"
#include "inference/embedder.h"
#include "support/measure.h"
#include "pretrain/method.h"

static const char doc[] =
    "Times the forward pass and the training step (MAE; DINO with --recipe of one) of a model on made-up data, after "
    "planning them: memory predicted and measured, "
    "floating-point operations, rate, allocations made while steps run.\v"
    "Allocations on the host (malloc, mmap and their kin) are counted where BUILD/tests/support/count_allocations.so "
    "is preloaded.\n\n"
    "Examples:\n"
    "  headct bench --model vit-b12 --batch 4\n"
    "  headct bench --recipe recipes/demo.yaml --profile\n"
    "  headct bench --model vit-b16 --forward --steps 10\n"
    "  headct bench --recipe recipes/dino.yaml --train --device cuda --precision bf16 --batch 64\n"
    "  headct bench --views views.safetensors --batch 8\n"
    "  headct bench --tune --device cuda --precision bf16 --batch 64";

typedef struct settings {
    const char *model, *recipe_file, *device, *views, *precision, *tune;
    int64_t batch, steps;
    int profile, forward_only, train_only;
} settings;

static const struct argp_option options[] = {
    {"model", 'm', "NAME", 0, "vit-b12 (ViT-Base, patches of 12^3; default) or vit-b16", 0},
    {"recipe", 'r', "FILE", 0, "the model of a recipe instead", 0},
    {"batch", 'b', "N", 0, "scans of a batch (default: 4 forward, 1 training; with --recipe its own)", 0},
    {"steps", 'n', "N", 0, "timed steps (default 5); two more run first, untimed", 0},
    {"device", 'D', "NAME", 0, "cpu, or another backend that 'headct backends' lists", 0},
    {"precision", 'P', "NAME", 0, "f32 or bf16 (train.precision)", 0},
    {"views", 'v', "FILE", 0,
     "time the making of DINO's views of --batch phantom scans instead, and write them to FILE (safetensors)", 0},
    {"tune", 'T', "N", OPTION_ARG_OPTIONAL,
     "find the fastest matrix products for this device, and keep them. CUDA: times cuBLASLt's algorithms for the "
     "model's products, seconds; OpenCL: runs "
     "CLBlast's tuners (Debian: clblast-utils), two to twenty minutes, or as long as one in N of their configurations "
     "takes (on a CPU 512 if not given)",
     0},
    {"profile", 'p', NULL, 0, "time by kernel of one more step", 0},
    {"forward", 'f', NULL, 0, "only the forward pass", 0},
    {"train", 't', NULL, 0, "only the training step", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    settings *s = state->input;
    int64_t n;
    switch (key) {
    case 'm': s->model = arg; break;
    case 'r': s->recipe_file = arg; break;
    case 'D': s->device = arg; break;
    case 'v': s->views = arg; break;
    case 'P': s->precision = arg; break;
    case 'T':
        s->tune = arg ? arg : "auto";
        if (arg && (!text_int64(arg, &n) || n < 1 || n > 1000000))
            argp_error(state, "--tune=%s: a whole number from 1 is needed", arg);
        break;
    case 'p': s->profile = 1; break;
    case 'f': s->forward_only = 1; break;
    case 't': s->train_only = 1; break;
    case 'b':
        if (!text_int64(arg, &s->batch) || s->batch < 1 || s->batch > 4096)
            argp_error(state, "--batch %s: a whole number from 1 to 4096 is needed", arg);
        break;
    case 'n':
        if (!text_int64(arg, &s->steps) || s->steps < 1 || s->steps > 100000)
            argp_error(state, "--steps %s: a whole number from 1 is needed", arg);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

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

/* Runs a compiled tape and prints what it took. predicted: tensors, their packed copies, arena, workspace and the
 * host's input. Memory is measured as growth since before. Allocations are counted from the second step on. */
static void print_line(void *context, const char *text) {
    (void)context;
    puts(text);
}

static hct_status time_tape(const settings *s, hct_dev *dev, hct_tape *t, const char *what, const char *precision,
                            int64_t scans, uint64_t host_input, footprint before, hct_err *err) {
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
    uint64_t predicted = p.tensors + p.packed + p.arena + p.workspace + host_input;
    if (st == HCT_OK) {
        qsort(seconds, (size_t)s->steps, sizeof *seconds, by_value);
        double median = seconds[s->steps / 2];
        printf("%s, %lld scan%s, %s on %s\n", what, (long long)scans, scans == 1 ? "" : "s", precision,
               hct_device_backend(dev));
        printf("  time         %.3f s median of %lld (%.3f to %.3f), %.2f scans/s\n", median, (long long)s->steps,
               seconds[0], seconds[s->steps - 1], (double)scans / median);
        printf("  work         %.1f GFLOP in matrix products, %.1f GFLOP/s\n", p.flops / 1e9, p.flops / median / 1e9);
        printf("  memory       %.1f MiB predicted (weights and state %.0f, packed %.0f, arena %.0f, workspace %.0f, "
               "host input %.0f), %.1f MiB measured, and %.1f of code\n",
               mib(predicted), mib(p.tensors), mib(p.packed), mib(p.arena), mib(p.workspace), mib(host_input),
               mib(grown), mib(code));
        printf("  arena        %.3f of the lower bound of live bytes\n",
               p.arena_lower_bound ? (double)p.arena / (double)p.arena_lower_bound : 1.0);
        printf("  program      %u calls (%u dropped)\n", p.nodes, p.nodes_dead);
        printf("  allocations  %" PRIu64 " on the device in steps 2 to %lld", calls, (long long)s->steps + 2);
        if (host) printf(", %ld on the host (and %ld by oneDNN)\n", (long)counter->host, (long)counter->onednn);
        else printf("; on the host not counted\n");
        if (s->profile) st = hct_profile(t, print_line, NULL, err);
    }
    free(seconds);
    return st;
}

static const char *precision_of(const recipe *r) { return r->train.precision == PRECISION_BF16 ? "BF16" : "F32"; }

static hct_status bench_forward(const settings *s, hct_dev *dev, const recipe *r, hct_err *err) {
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
        for (size_t i = 0; i < (size_t)batch * e.image_floats; i++) e.host[i] = (float)(i % 97) / 97;
        st = hct_tensor_write(e.input, e.host, err);
        free(e.host); /* not part of the model's memory */
        e.host = NULL;
    }
    if (st == HCT_OK) st = time_tape(s, dev, e.tape, "forward", precision_of(r), batch, 0, before, err);
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

static hct_status bench_training(const settings *s, hct_dev *dev, const method *kind, const recipe *r,
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
    if (st == HCT_OK) st = time_tape(s, dev, step.tape, what, precision_of(r), batch, step.host_bytes, before, err);
    method_close(&step);
    hct_optim_free(o);
    params_free(p);
    free(scans);
    return st;
}

/* The recipe's model, or ViT-Base as the paper has it. */
static hct_status model_of(const settings *s, recipe *r, const method **kind, model_info *info, hct_err *err) {
    *r = recipe_default();
    hct_status st = HCT_OK;
    if (s->recipe_file) st = recipe_load(s->recipe_file, r, err);
    else if (!s->model || !strcmp(s->model, "vit-b12")) st = HCT_OK;
    else if (!strcmp(s->model, "vit-b16")) st = recipe_set(r, "model.patch=16", err);
    else st = hct_fail(err, HCT_EINVAL, "--model %s: vit-b12 and vit-b16 are known; for others use --recipe", s->model);
    /* probes and fine-tuning have the same encoder */
    if (st == HCT_OK && !recipe_pretrains(r)) st = recipe_set_key(r, "method", "mae", err);
    if (st == HCT_OK) st = recipe_set_key(r, "train.precision", s->precision, err);
    if (st == HCT_OK) st = method_of_recipe(r, kind, err);
    return st < 0 ? st : method_model(*kind, r, info, err);
}

int command_bench(int argc, char **argv) {
    settings s = {.steps = 5};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &s);
    recipe r;
    model_info info;
    hct_err err = {0, ""};
    const method *kind = NULL;
    hct_status st = model_of(&s, &r, &kind, &info, &err);
    if (s.tune) setenv("HEADCT_TUNE", s.tune, 1); /* the backends' word for it */
    hct_dev *dev = st == HCT_OK ? device_open(s.device, &err) : NULL;
    if (st == HCT_OK && !dev) st = err.code;
    if (st == HCT_OK && s.tune && !strcmp(hct_device_backend(dev), "cpu"))
        st = hct_fail(&err, HCT_EINVAL,
                      "--tune is for OpenCL and CUDA devices, not cpu; add --device opencl or --device cuda");
    if (st == HCT_OK && s.views) st = bench_views(dev, s.views, s.batch ? s.batch : 4, s.steps, &err);
    if (st == HCT_OK && !s.views && !s.train_only) st = bench_forward(&s, dev, &r, &err);
    if (st == HCT_OK && !s.views && !s.forward_only)
        st = bench_training(&s, dev, kind, &r, &info, s.batch ? s.batch : s.recipe_file ? r.optim.batch : 1, &err);
    device_close(dev);
    return command_end(argv[0], st, &err);
}
