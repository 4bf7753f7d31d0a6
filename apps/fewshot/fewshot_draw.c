/* Which scans teach: K of each class, drawn by seed. */
#include "fewshot/fewshot_draw.h"

#include <stdlib.h>
#include <string.h>

#include "training/sampler.h"

hct_status fewshot_draw_new(fewshot_draw *d, const trial *t, uint64_t seed, hct_err *err) {
    *d = (fewshot_draw){.t = t, .seed = seed, .n_valid = t->n_valid};
    size_t n = t->n + 1;
    size_t **const lists[] = {&d->positive, &d->negative, &d->support, &d->valid, &d->test};
    int ok = (d->label = malloc(n)) && (d->test_label = malloc(n));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) ok &= (*lists[i] = malloc(n * sizeof **lists[i])) != NULL;
    if (!ok) return hct_fail(err, HCT_ENOMEM, "out of memory for %zu scans", t->n);
    for (size_t i = 0; i < t->n_valid; i++) d->valid[i] = t->n_train + i;
    return HCT_OK;
}

void fewshot_draw_free(fewshot_draw *d) {
    free(d->label), free(d->test_label);
    free(d->positive), free(d->negative), free(d->support), free(d->valid), free(d->test);
    *d = (fewshot_draw){0};
}

/* Both classes of the training split, in its own order. */
static void list_classes(fewshot_draw *d) {
    d->n_positive = d->n_negative = 0;
    for (size_t i = 0; i < d->t->n_train; i++) {
        if (d->label[i] == 1) d->positive[d->n_positive++] = i;
        if (d->label[i] == 0) d->negative[d->n_negative++] = i;
    }
}

void fewshot_draw_task(fewshot_draw *d, size_t task) {
    const trial *t = d->t;
    d->task = task;
    d->n_test = d->n_support = 0;
    for (size_t i = 0; i < t->n; i++) d->label[i] = t->said.label[i * t->said.n_tasks + task];
    for (size_t i = t->n_train + t->n_valid; i < t->n; i++) {
        if (d->label[i] < 0) continue;
        d->test_label[d->n_test] = d->label[i];
        d->test[d->n_test++] = i;
    }
    list_classes(d);
}

int fewshot_draw_has_classes(const fewshot_draw *d) {
    size_t positives = 0;
    for (size_t i = 0; i < d->n_test; i++) positives += d->test_label[i] == 1;
    return positives && positives < d->n_test && d->n_positive && d->n_negative;
}

void fewshot_draw_choose(fewshot_draw *d, int64_t draw, size_t positives, size_t negatives) {
    uint64_t seed = d->seed ^ 0x66657773686f74u /* "fewshot" */;
    for (const char *c = d->t->said.task[d->task]; *c; c++) seed = (seed ^ (unsigned char)*c) * 0x100000001b3u;
    list_classes(d);
    sampler_shuffle(seed, (uint64_t)draw, d->positive, d->n_positive, d->positive);
    sampler_shuffle(~seed, (uint64_t)draw, d->negative, d->n_negative, d->negative);
    memcpy(d->support, d->positive, positives * sizeof *d->support);
    memcpy(d->support + positives, d->negative, negatives * sizeof *d->support);
    d->n_support = positives + negatives;
}
