/* bench/encoder_rate KIND forward|train BATCH RUNS [profile]: an encoder of the table at its published size, random
 * weights, made-up input. Prints "KIND MODE BATCH: SECONDS s (median of RUNS), MIB MiB at most, value V"; with profile
 * the time by kernel of one more run. train: forward, backward and AdamW on the mean of the embedding.
 * bench/encoders.py runs it beside PyTorch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "hct/optim.h"
#include "models/build.h"
#include "support/device.h"
#include "support/measure.h"

static int fail(const hct_err *e) {
    fprintf(stderr, "encoder_rate: %s\n", e->msg);
    return 1;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_line(void *context, const char *line) {
    (void)context;
    puts(line);
}

int main(int argc, char **argv) {
    hct_err err = {0, ""};
    const encoder_kind *kind = argc > 4 ? encoder_find(argv[1]) : NULL;
    if (!kind) return fprintf(stderr, "usage: encoder_rate KIND forward|train BATCH RUNS [profile]\n"), 2;
    int train = !strcmp(argv[2], "train");
    int64_t batch = atoll(argv[3]), runs = atoll(argv[4]);
    model_info info = {.role = MODEL_ENCODER, .encoder = encoder_default(kind)};
    hct_dev *dev = device_open(getenv("HEADCT_DEVICE") ? getenv("HEADCT_DEVICE") : "cpu", &err);
    params *p = dev ? model_new(dev, &info, 1, &err) : NULL;
    int64_t dim[5] = {batch, info.encoder.input.n_windows};
    input_dims(&info.encoder.input, dim + 2);
    size_t n = (size_t)batch * input_floats(&info.encoder.input);
    hct_tensor *x = p ? hct_tensor_new(dev, HCT_F32, 5, dim, &err) : NULL;
    if (!x) return fail(&err);
    float *host = malloc(n * sizeof *host), value = 0;
    for (size_t i = 0; i < n; i++) host[i] = (float)(i % 97) / 97;
    if (hct_tensor_write(x, host, &err) < 0) return fail(&err);
    free(host);
    hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
    encoder_values v = {.training = train};
    kind->forward(t, p, &info.encoder, hct_use(t, x), &v);
    hct_id loss = hct_mean(t, v.embedding, HCT_AXES(2), 0);
    hct_keep(t, loss);
    hct_optim *o = NULL;
    if (train) {
        o = hct_optim_new(dev, &(hct_optim_options){.kind = HCT_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
                          &err);
        for (size_t i = 0; o && i < p->n; i++)
            if (p->items[i].trained && hct_optim_add(o, 0, p->items[i].name, p->items[i].tensor, &err) < 0)
                return fail(&err);
        hct_backward(t, loss, 0);
        hct_optim_record(o, t);
    } else {
        hct_keep_packed(t);
    }
    if (hct_compile(t, &err) < 0) return fail(&err);
    double *seconds = malloc((size_t)(runs + 1) * sizeof *seconds);
    for (int64_t i = -1; i < runs; i++) {
        if (o && hct_optim_step(o, &(hct_optim_rate){1e-4, 0.05, 1}, &err) < 0) return fail(&err);
        double start = measure_now();
        if (hct_run(t, &err) < 0 || hct_read(t, loss, &value, &err) < 0) return fail(&err);
        if (i >= 0) seconds[i] = measure_now() - start;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("%s %s %lld: %.3f s (median of %lld), %.0f MiB at most, value %g\n", kind->name, argv[2], (long long)batch,
           seconds[runs / 2], (long long)runs, (double)use.ru_maxrss / 1024, (double)value);
    if (argc > 5 && hct_profile(t, print_line, NULL, &err) < 0) return fail(&err);
    free(seconds);
    hct_tape_free(t);
    hct_optim_free(o);
    hct_tensor_free(x);
    params_free(p);
    device_close(dev);
    return 0;
}
