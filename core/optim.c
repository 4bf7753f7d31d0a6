/* The optimiser object: groups of parameters, their moments, and the calls that update them. */
#include "internal.h"
#include "hct/optim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATES = 8 };

typedef struct slot {
    int group;
    hct_tensor *param, *m, *v, *copy; /* copy: the caller's, or NULL */
    char *name_m, *name_v;
} slot;

struct hct_optim {
    hct_dev *dev;
    hct_optim_options options;
    slot *slots;
    size_t n, cap;
    int groups;
    int64_t steps[HCT_OPTIM_GROUPS];
    hct_tensor *rates; /* F32 [RATES * HCT_OPTIM_GROUPS] */
    hct_id norms;
};

static int per_param(const hct_optim *o) { return o->options.kind == HCT_SGD ? 1 : 2; }

hct_optim *hct_optim_new(hct_dev *dev, const hct_optim_options *options, hct_err *err) {
    hct_optim *o = calloc(1, sizeof *o);
    if (!o) {
        hct_fail(err, HCT_ENOMEM, "out of memory for the optimiser");
        return NULL;
    }
    o->dev = dev;
    o->options = *options;
    o->rates = hct_tensor_new(dev, HCT_F32, 1, (int64_t[]){RATES * HCT_OPTIM_GROUPS}, err);
    if (!o->rates) {
        free(o);
        return NULL;
    }
    return o;
}

static void free_slot(slot *s) {
    hct_tensor_free(s->m);
    hct_tensor_free(s->v);
    free(s->name_m);
    free(s->name_v);
}

void hct_optim_free(hct_optim *o) {
    if (!o) return;
    for (size_t i = 0; i < o->n; i++) free_slot(&o->slots[i]);
    free(o->slots);
    hct_tensor_free(o->rates);
    free(o);
}

static char *suffixed(const char *name, const char *suffix) {
    char *s = NULL;
    return asprintf(&s, "%s%s", name, suffix) < 0 ? NULL : s;
}

hct_status hct_optim_add(hct_optim *o, int group, const char *name, hct_tensor *param, hct_err *err) {
    if (group < 0 || group > o->groups || group >= HCT_OPTIM_GROUPS)
        return hct_fail(err, HCT_EINVAL, "parameter group %d: groups are numbered from 0 without gaps, at most %d",
                        group, HCT_OPTIM_GROUPS);
    const hct_view *v = &param->view;
    hct_dtype dtype = v->dtype == HCT_F64 ? HCT_F64 : HCT_F32;
    slot s = {.group = group, .param = param, .name_m = suffixed(name, ".m"), .name_v = suffixed(name, ".v")};
    s.m = hct_tensor_new(o->dev, dtype, v->ndim, v->dim, err);
    if (s.m && per_param(o) == 2) s.v = hct_tensor_new(o->dev, dtype, v->ndim, v->dim, err);
    int made = s.m && (per_param(o) < 2 || s.v);
    if (!made || !s.name_m || !s.name_v || !HCT_PUSH(o->slots, o->n, o->cap, s)) {
        free_slot(&s);
        /* the device said how much */
        return made ? hct_fail(err, HCT_ENOMEM, "out of memory for the moments of '%s'", name) : HCT_ENOMEM;
    }
    if (group == o->groups) o->groups++;
    return HCT_OK;
}

hct_status hct_optim_copy(hct_optim *o, const hct_tensor *param, hct_tensor *copy, hct_err *err) {
    int32_t dtype = copy->view.dtype;
    if (o->options.kind == HCT_SGD || (dtype != HCT_BF16 && dtype != HCT_F16))
        return hct_fail(err, HCT_EINVAL,
                        "optimiser: copies of parameters are BF16 or F16, and written by Adam and AdamW");
    for (size_t i = 0; i < o->n; i++)
        if (o->slots[i].param == param) {
            o->slots[i].copy = copy;
            return HCT_OK;
        }
    return hct_fail(err, HCT_ENOTFOUND, "optimiser: a copy of a parameter that it does not update");
}

static void record_group(hct_optim *o, hct_tape *t, int group, hct_id rates, size_t norm_at, size_t n) {
    uint32_t states = (uint32_t)per_param(o), k = 0, m = 0;
    hct_id *in = malloc((2 + n * (3 + states)) * sizeof *in), *out = malloc(n * (2 + states) * sizeof *out);
    size_t copies = 0;
    if (!in || !out) {
        hct_tape_fail(t, HCT_ENOMEM, "out of memory for the optimiser");
    } else {
        in[k++] = rates;
        in[k++] = o->norms;
        for (size_t i = 0; i < o->n; i++) {
            const slot *s = &o->slots[i];
            hct_id p = hct_use(t, s->param);
            if (s->group != group || !hct_grad(t, p)) continue;
            in[k++] = out[m++] = p;
            in[k++] = hct_grad(t, p);
            in[k++] = out[m++] = hct_use(t, s->m);
            if (states == 2) in[k++] = out[m++] = hct_use(t, s->v);
            if (s->copy) in[k++] = out[m++] = hct_use(t, s->copy), copies++;
        }
        if (copies && copies != n)
            hct_tape_fail(t, HCT_EINVAL, "optimiser: some parameters of group %d have copies, others do not", group);
        const hct_optim_options *q = &o->options;
        hct_attr a[] = {HCT_INT("at", group * RATES),
                        HCT_INT("norm_at", (int64_t)norm_at),
                        HCT_INT("clip_mode", q->clip_mode),
                        HCT_REAL("clip", q->clip),
                        HCT_REAL("beta1", q->beta1),
                        HCT_REAL("beta2", q->beta2),
                        HCT_REAL("eps", q->eps),
                        HCT_REAL("momentum", q->momentum),
                        HCT_INT("decoupled", q->kind == HCT_ADAMW),
                        HCT_INT("copy", copies != 0)};
        hct_emit_into(t, q->kind == HCT_SGD ? "sgd" : "adam", in, k, a, 10, out, m);
    }
    free(in);
    free(out);
}

void hct_optim_reduce(hct_optim *o, hct_tape *t, uint64_t bucket_bytes) {
    const hct_comm *comm = hct_comm_world();
    uint64_t total = 0;
    if (!comm || t->buckets) return;
    for (size_t i = 0; i < o->n; i++) total += o->slots[i].param->bytes;
    t->buckets = hct_buckets_new(o->n, bucket_bytes ? bucket_bytes : hct_buckets_limit(total), comm->ranks);
    if (!t->buckets) {
        hct_tape_fail(t, HCT_ENOMEM, "out of memory for gradient buckets");
        return;
    }
    for (size_t i = 0; i < o->n; i++) hct_buckets_add(t->buckets, hct_param(t, o->slots[i].param));
}

hct_id hct_optim_record(hct_optim *o, hct_tape *t) {
    hct_id *grads = malloc((o->n + 1) * sizeof *grads), rates = hct_use(t, o->rates);
    size_t n = 0, of_group[HCT_OPTIM_GROUPS] = {0};
    if (!grads) return hct_tape_fail(t, HCT_ENOMEM, "out of memory for the optimiser");
    for (int g = 0; g < o->groups; g++) /* in the order in which the groups' calls take them */
        for (size_t i = 0; i < o->n; i++) {
            hct_id d = o->slots[i].group == g ? hct_grad(t, hct_use(t, o->slots[i].param)) : 0;
            if (d) grads[n++] = d, of_group[g]++;
        }
    if (!n) hct_tape_fail(t, HCT_EINVAL, "optimiser: no parameter has a gradient; record it after hct_backward");
    hct_emit(t, "grad_norm", grads, (uint32_t)n, NULL, 0, &o->norms, 1);
    hct_keep(t, o->norms);
    size_t at = 0;
    for (int g = 0; g < o->groups; g++) {
        if (of_group[g]) record_group(o, t, g, rates, at, of_group[g]);
        at += of_group[g];
    }
    free(grads);
    return o->norms;
}

hct_status hct_optim_step(hct_optim *o, const hct_optim_rate *rate, hct_err *err) {
    float block[RATES * HCT_OPTIM_GROUPS] = {0};
    for (int g = 0; g < o->groups; g++) {
        float *r = block + g * RATES;
        o->steps[g] += rate[g].active != 0;
        double s = (double)o->steps[g];
        r[0] = (float)rate[g].lr;
        r[1] = (float)rate[g].decay;
        r[2] = (float)(1 - pow(o->options.beta1, s));
        r[3] = (float)(1 - pow(o->options.beta2, s));
        r[4] = rate[g].active != 0;
    }
    return hct_tensor_write(o->rates, block, err);
}

hct_status hct_optim_norm(hct_optim *o, hct_tape *t, double *ret, hct_err *err) {
    int64_t n = hct_numel(hct_shape(t, o->norms));
    hct_view last = hct_resolve(t, o->norms);
    float norm = 0;
    hct_status st = hct_tape_error(t, err);
    if (st < 0) return st;
    st = t->dev->backend->copy(t->dev->device, t->dev->stream, HCT_DEVICE_TO_HOST, &norm, 0, last.mem,
                               last.off + (uint64_t)(n - 1) * sizeof norm, sizeof norm, err);
    *ret = norm;
    return st;
}

size_t hct_optim_state_count(const hct_optim *o) { return o->n * (size_t)per_param(o); }
hct_tensor *hct_optim_state_at(const hct_optim *o, size_t i, const char **ret_name) {
    const slot *s = &o->slots[i / (size_t)per_param(o)];
    int second = per_param(o) == 2 && i % 2;
    *ret_name = second ? s->name_v : s->name_m;
    return second ? s->v : s->m;
}
int64_t hct_optim_steps(const hct_optim *o, int group) { return o->steps[group]; }
void hct_optim_set_steps(hct_optim *o, int group, int64_t steps) { o->steps[group] = steps; }
int hct_optim_group_count(const hct_optim *o) { return o->groups; }
