/* oneDNN's matrix products as kernels of the CPU backend. */
#include "onednn.h"

#include <stdlib.h>
#include <string.h>

static dnnl_engine_t engine; /* one for all plans: it holds no memory and no threads of its own */

int onednn_open(void) { return engine || dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success; }

/* ---- begin, end, failures ---- */

void onednn_refuse(onednn_build *b, const char *why) {
    if (b->status == HCT_OK) b->status = hct_plugin_fail(b->err, HCT_NOTIMPL, "%s", why);
}

void onednn_check(onednn_build *b, dnnl_status_t got, const char *what) {
    if (got == dnnl_success || b->status != HCT_OK) return;
    if (got == dnnl_out_of_memory) b->status = hct_plugin_fail(b->err, HCT_ENOMEM, "out of memory");
    else
        b->status = hct_plugin_fail(b->err, HCT_NOTIMPL, "oneDNN %d.%d has no %s for this", dnnl_version()->major,
                                    dnnl_version()->minor, what);
}

void onednn_want_dense(onednn_build *b) {
    const hct_problem *p = b->problem;
    for (uint32_t i = 0; i < p->n_in; i++)
        if (!hct_is_contiguous(&p->in[i])) onednn_refuse(b, "an operand has gaps");
}

static int is_broadcast(const hct_view *v) {
    for (int d = 0; d < v->ndim; d++)
        if (v->stride[d] == 0 && v->dim[d] > 1) return 1;
    return 0;
}

int onednn_begin(onednn_build *b, const hct_problem *p, hct_plan *plan, hct_err *err) {
    *b = (onednn_build){.problem = p, .plan = plan, .err = err};
    if (p->in[0].dtype == HCT_BF16 &&
        (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) != dnnl_cpu_isa_avx512_core_bf16)
        onednn_refuse(b, "bfloat16 needs a processor with AVX512_BF16; oneDNN would emulate it slowly");
    for (uint32_t i = 0; i < p->n_in + p->n_out; i++) {
        const hct_view *v = i < p->n_in ? &p->in[i] : &p->out[i - p->n_in];
        if (hct_numel(v) == 0) onednn_refuse(b, "an operand is empty");
        if (is_broadcast(v)) onednn_refuse(b, "an operand is broadcast (an axis has stride 0)");
    }
    if (b->status != HCT_OK) return 0;
    b->call = calloc(1, sizeof *b->call);
    if (!b->call) {
        b->status = hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
        return 0;
    }
    plan->state = b->call;
    onednn_check(b, dnnl_stream_create(&b->call->stream, engine, dnnl_stream_default_flags), "stream");
    if (b->status != HCT_OK) onednn_release(plan);
    return b->status == HCT_OK;
}

hct_status onednn_end(onednn_build *b) {
    if (b->described) dnnl_primitive_desc_destroy(b->described);
    if (b->status != HCT_OK) {
        onednn_release(b->plan);
        return b->status;
    }
    b->plan->flags = HCT_DETERMINISTIC;
    b->plan->workspace = b->workspace;
    return HCT_OK;
}

void onednn_release(hct_plan *p) {
    onednn_call *c = p->state;
    if (!c) return;
    for (int i = 0; i < c->n_step; i++)
        if (c->step[i].primitive) dnnl_primitive_destroy(c->step[i].primitive);
    for (int i = 0; i < c->n_memory; i++) dnnl_memory_destroy(c->memory[i].memory);
    if (c->stream) dnnl_stream_destroy(c->stream);
    free(c);
    p->state = NULL;
}

/* ---- descriptors ---- */

static dnnl_data_type_t type_of(int32_t dtype) {
    return dtype == HCT_BF16 ? dnnl_bf16 : dtype == HCT_I32 ? dnnl_s32 : dnnl_f32;
}

dnnl_memory_desc_t onednn_strided(onednn_build *b, int32_t dtype, int n, const int64_t *dim, const int64_t *stride) {
    dnnl_memory_desc_t md = {0};
    onednn_check(b, dnnl_memory_desc_init_by_strides(&md, n, dim, type_of(dtype), stride), "layout with these strides");
    return md;
}

dnnl_memory_desc_t onednn_dense(onednn_build *b, int32_t dtype, int n, const int64_t *dim) {
    return onednn_strided(b, dtype, n, dim, NULL);
}

dnnl_memory_desc_t onednn_any(onednn_build *b, int32_t dtype, int n, const int64_t *dim) {
    dnnl_memory_desc_t md = {0};
    onednn_check(b, dnnl_memory_desc_init_by_tag(&md, n, dim, type_of(dtype), dnnl_format_tag_any), "layout");
    return md;
}

dnnl_memory_desc_t onednn_view(onednn_build *b, const hct_view *v) {
    return hct_is_contiguous(v) ? onednn_dense(b, v->dtype, v->ndim, v->dim)
                                : onednn_strided(b, v->dtype, v->ndim, v->dim, v->stride);
}

/* ---- primitives ---- */

static void append_gelu(onednn_build *b, dnnl_primitive_attr_t attr) {
    dnnl_post_ops_t ops = NULL;
    onednn_check(b, dnnl_post_ops_create(&ops), "post-ops");
    if (!ops) return;
    onednn_check(b, dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_erf, 0, 0), "GELU");
    onednn_check(b, dnnl_primitive_attr_set_post_ops(attr, ops), "post-ops");
    dnnl_post_ops_destroy(ops);
}

/* Scratch memory is the plan's workspace. */
static dnnl_primitive_attr_t attributes(onednn_build *b) {
    dnnl_primitive_attr_t attr = NULL;
    onednn_check(b, dnnl_primitive_attr_create(&attr), "attributes");
    if (attr) (void)dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (attr && b->gelu) append_gelu(b, attr);
    return attr;
}

static dnnl_primitive_desc_t create(onednn_build *b, const void *desc, const_dnnl_primitive_desc_t hint) {
    dnnl_primitive_desc_t pd = NULL;
    if (b->status != HCT_OK) return NULL;
    dnnl_primitive_attr_t attr = attributes(b);
    if (b->status == HCT_OK) onednn_check(b, dnnl_primitive_desc_create(&pd, desc, attr, engine, hint), "kernel");
    if (attr) dnnl_primitive_attr_destroy(attr);
    return pd;
}

void onednn_describe(onednn_build *b, const void *desc, const void *forward) {
    dnnl_primitive_desc_t hint = forward ? create(b, forward, NULL) : NULL;
    b->described = create(b, desc, hint);
    if (hint) dnnl_primitive_desc_destroy(hint);
    const char *name = "";
    if (b->described) (void)dnnl_primitive_desc_query(b->described, dnnl_query_impl_info_str, 0, (void *)&name);
    if (!strncmp(name, "ref", 3)) onednn_refuse(b, "oneDNN has only its plain loops for this");
}

static void append(onednn_build *b, dnnl_primitive_desc_t pd, int n, const onednn_argument *arg) {
    onednn_call *c = b->call;
    if (b->status != HCT_OK) return;
    if (c->n_step == ONEDNN_STEPS || n >= ONEDNN_ARGUMENTS) {
        onednn_refuse(b, "more steps than a plan has room for");
        return;
    }
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    int scratch = pad && dnnl_memory_desc_get_size(pad) ? onednn_temporary(b, pad) : -1;
    if (b->status != HCT_OK) return;
    onednn_step *s = &c->step[c->n_step];
    for (int i = 0; i < n; i++) s->argument[i] = (dnnl_exec_arg_t){arg[i].name, c->memory[arg[i].memory].memory};
    if (scratch >= 0) s->argument[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, c->memory[scratch].memory};
    s->n = n;
    onednn_check(b, dnnl_primitive_create(&s->primitive, pd), "primitive");
    if (b->status == HCT_OK) c->n_step++;
}

void onednn_reorder(onednn_build *b, int from, int to) {
    dnnl_primitive_desc_t pd = NULL;
    if (b->status != HCT_OK) return;
    dnnl_primitive_attr_t attr = attributes(b);
    onednn_check(b,
                 dnnl_reorder_primitive_desc_create(&pd, &b->call->memory[from].md, engine, &b->call->memory[to].md,
                                                    engine, attr),
                 "reorder");
    append(b, pd, 2, (onednn_argument[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (attr) dnnl_primitive_attr_destroy(attr);
}

void onednn_later(onednn_build *b, int from, int to) {
    if (b->status == HCT_OK) b->later[b->n_later].from = from, b->later[b->n_later++].to = to;
}

void onednn_execute(onednn_build *b, int n, const onednn_argument *arg) {
    append(b, b->described, n, arg);
    if (b->described) dnnl_primitive_desc_destroy(b->described);
    b->described = NULL;
    for (int i = 0; i < b->n_later; i++) onednn_reorder(b, b->later[i].from, b->later[i].to);
    b->n_later = 0;
}

void onednn_append(onednn_build *b, onednn_step loop) {
    if (b->status == HCT_OK && b->call->n_step == ONEDNN_STEPS) onednn_refuse(b, "more steps than a plan has room for");
    if (b->status == HCT_OK) b->call->step[b->call->n_step++] = loop;
}

/* ---- memories ---- */

static int add_memory(onednn_build *b, onednn_home home, uint64_t place, const dnnl_memory_desc_t *md) {
    onednn_call *c = b->call;
    if (b->status != HCT_OK) return -1;
    if (c->n_memory == ONEDNN_MEMORIES) {
        onednn_refuse(b, "more memories than a plan has room for");
        return -1;
    }
    onednn_memory *m = &c->memory[c->n_memory];
    *m = (onednn_memory){.md = *md, .home = home, .place = place};
    onednn_check(b, dnnl_memory_create(&m->memory, md, engine, DNNL_MEMORY_NONE), "memory");
    return b->status == HCT_OK ? c->n_memory++ : -1;
}

int onednn_input(onednn_build *b, uint32_t i, const dnnl_memory_desc_t *md) { return add_memory(b, AT_INPUT, i, md); }
int onednn_output(onednn_build *b, uint32_t o, const dnnl_memory_desc_t *md) { return add_memory(b, AT_OUTPUT, o, md); }
int onednn_temporary(onednn_build *b, const dnnl_memory_desc_t *md) {
    int m = add_memory(b, AT_WORKSPACE, b->workspace, md);
    if (m >= 0) b->workspace += (dnnl_memory_desc_get_size(md) + 127) / 128 * 128;
    return m;
}

/* The memory the described primitive works on in place of `given`: that itself where it lies as wanted. */
static int wanted(onednn_build *b, int given, dnnl_query_t what) {
    if (b->status != HCT_OK) return -1;
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(b->described, what, 0);
    return dnnl_memory_desc_equal(md, &b->call->memory[given].md) ? given : onednn_temporary(b, md);
}

int onednn_source(onednn_build *b, int given, dnnl_query_t what) {
    int m = wanted(b, given, what);
    if (m != given) onednn_reorder(b, given, m);
    return m;
}

int onednn_target(onednn_build *b, int given, dnnl_query_t what) {
    int m = wanted(b, given, what);
    if (m != given) onednn_later(b, m, given);
    return m;
}

int onednn_float_input(onednn_build *b, uint32_t i, const dnnl_memory_desc_t *md) {
    dnnl_memory_desc_t own = onednn_dense(b, b->problem->in[i].dtype, md->ndims, md->dims);
    int given = onednn_input(b, i, &own), m = own.data_type == md->data_type ? given : onednn_temporary(b, md);
    if (m != given) onednn_reorder(b, given, m);
    return m;
}

int onednn_float_output(onednn_build *b, uint32_t o, const dnnl_memory_desc_t *md) {
    dnnl_memory_desc_t own = onednn_dense(b, b->problem->out[o].dtype, md->ndims, md->dims);
    int given = onednn_output(b, o, &own), m = own.data_type == md->data_type ? given : onednn_temporary(b, md);
    if (m != given) onednn_later(b, m, given);
    return m;
}

/* ---- run ---- */

hct_status onednn_run(const hct_plan *p, hct_stream *stream, const hct_view *in, const hct_view *out,
                      const hct_view *ws, hct_err *err) {
    (void)stream;
    onednn_call *c = p->state;
    dnnl_status_t got = dnnl_success;
    for (int i = 0; i < c->n_memory; i++) {
        onednn_memory *m = &c->memory[i];
        void *at = m->home == AT_INPUT    ? hct_ptr(&in[m->place])
                   : m->home == AT_OUTPUT ? hct_ptr(&out[m->place])
                                          : (char *)hct_ptr(ws) + m->place;
        if (at == m->at) continue; /* a program's addresses never change */
        got = dnnl_memory_set_data_handle_v2(m->memory, at, c->stream);
        if (got != dnnl_success)
            return hct_plugin_fail(err, HCT_EDEVICE, "oneDNN: an address is refused (status %d)", (int)got);
        m->at = at;
    }
    for (int i = 0; got == dnnl_success && i < c->n_step; i++) {
        const onednn_step *s = &c->step[i];
        if (s->primitive) {
            got = dnnl_primitive_execute(s->primitive, c->stream, s->n, s->argument);
        } else {
            void *at[ONEDNN_ARGUMENTS];
            for (int j = 0; j < s->n; j++) at[j] = c->memory[s->of[j]].at;
            s->loop(at, s);
        }
    }
    return got == dnnl_success ? HCT_OK
                               : hct_plugin_fail(err, HCT_EDEVICE, "oneDNN: a primitive fails (status %d)", (int)got);
}
