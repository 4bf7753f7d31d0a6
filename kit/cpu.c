/* What all CPU kernels share: the remembered call, views checked and walked. */
#include "kit/cpu.h"

#include <stdlib.h>
#include <string.h>

hct_status cpu_plan_workspace(const hct_problem *p, hct_plan *ret, uint64_t per_thread, hct_err *err) {
    size_t names = 0;
    for (uint32_t i = 0; i < p->n_attr; i++) names += strlen(p->attr[i].name) + 1;
    cpu_call *c = malloc(sizeof *c + p->n_attr * sizeof *c->attr + names);
    if (!c) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    *c = (cpu_call){.n_in = p->n_in,
                    .n_out = p->n_out,
                    .n_attr = p->n_attr,
                    .threads = (uint32_t)cpu_threads(),
                    .per_thread = cpu_round(per_thread)};
    char *text = (char *)(c->attr + p->n_attr);
    for (uint32_t i = 0; i < p->n_attr; i++) {
        c->attr[i] = p->attr[i];
        c->attr[i].name = strcpy(text, p->attr[i].name);
        text += strlen(text) + 1;
    }
    ret->state = c;
    ret->flags = HCT_DETERMINISTIC;
    ret->workspace = c->per_thread * c->threads;
    return HCT_OK;
}

hct_status cpu_plan(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    (void)d;
    return cpu_plan_workspace(p, ret, 0, err);
}

hct_status cpu_plan_in_place(hct_device *d, const hct_problem *p, hct_plan *ret, hct_err *err) {
    ret->may_alias = p->n_in > 1 ? 3 : 1;
    return cpu_plan(d, p, ret, err);
}

void cpu_release(hct_plan *p) {
    free(p->state);
    p->state = NULL;
}

void cpu_loop_init(cpu_loop *l, int k, const hct_view *const *v) {
    *l = (cpu_loop){.k = k};
    for (int d = 0; d < v[0]->ndim; d++) {
        if (v[0]->dim[d] == 1) continue;
        int merge = l->ndim > 0;
        for (int j = 0; merge && j < k; j++) merge = l->stride[j][l->ndim - 1] == v[j]->stride[d] * v[0]->dim[d];
        if (!merge) l->dim[l->ndim++] = 1;
        l->dim[l->ndim - 1] *= v[0]->dim[d];
        for (int j = 0; j < k; j++) l->stride[j][l->ndim - 1] = v[j]->stride[d];
    }
    if (!l->ndim) {
        l->ndim = 1;
        l->dim[0] = 1;
        for (int d = 0; d < v[0]->ndim; d++) l->dim[0] *= v[0]->dim[d]; /* 1, or 0 if an axis is empty */
    }
    l->chunks = (l->dim[l->ndim - 1] + CPU_CHUNK - 1) / CPU_CHUNK;
    l->tasks = l->chunks;
    for (int d = 0; d < l->ndim - 1; d++) l->tasks *= l->dim[d];
}

void cpu_loop_task(const cpu_loop *l, int64_t task, int64_t *offset, int64_t *ret_n) {
    int64_t start = task % l->chunks * CPU_CHUNK, rest = task / l->chunks, inner = l->dim[l->ndim - 1];
    *ret_n = inner - start < CPU_CHUNK ? inner - start : CPU_CHUNK;
    for (int j = 0; j < l->k; j++) offset[j] = start * l->stride[j][l->ndim - 1];
    for (int d = l->ndim - 2; d >= 0; d--) {
        int64_t i = rest % l->dim[d];
        rest /= l->dim[d];
        for (int j = 0; j < l->k; j++) offset[j] += i * l->stride[j][d];
    }
}
