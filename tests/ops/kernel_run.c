/* One kernel on one call: outputs start as NaN between guards, inputs must stay as they were; in place, a second run
 * and packed copies must agree. */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 1024, GUARD_BYTE = 0xA5, FRESH_BYTE = 0xFF /* NaN in every real dtype */ };

bool device_open(device *d, hct_ctx *ctx, const char *spec, hct_err *err) {
    *d = (device){.ctx = ctx};
    size_t n = strcspn(spec, ":");
    for (size_t i = 0; i < hct_backend_count(ctx); i++) {
        const hct_backend *b = hct_backend_at(ctx, i);
        if (strlen(b->name) == n && !strncmp(b->name, spec, n)) d->backend = b;
    }
    if (!d->backend) return hct_fail(err, HCT_ENOTFOUND, "device '%s': no such backend is loaded", spec), false;
    if (d->backend->open(spec[n] ? atoi(spec + n + 1) : 0, &d->device, err) < 0) return false;
    return d->backend->stream_new(d->device, &d->stream, err) == HCT_OK;
}

void device_close(device *d) {
    if (d->stream) d->backend->stream_free(d->stream);
    if (d->device) d->backend->close(d->device);
}

/* ---- memory ---- */

static hct_status write_image(buffer *b, const device *d, hct_err *err) {
    return d->backend->copy(d->device, d->stream, HCT_HOST_TO_DEVICE, b->mem, 0, b->image, 0, b->bytes, err);
}

static hct_status make_buffer(buffer *b, const device *d, uint64_t data, hct_err *err) {
    b->data = data;
    b->bytes = data + 2 * GUARD;
    b->image = malloc(b->bytes);
    if (!b->image) return hct_fail(err, HCT_ENOMEM, "out of memory");
    memset(b->image, GUARD_BYTE, b->bytes);
    memset(b->image + GUARD, FRESH_BYTE, data);
    hct_status st = d->backend->alloc(d->device, b->bytes, &b->mem, err);
    b->view.mem = b->mem;
    b->view.off = GUARD;
    return st;
}

/* Calls visit(element's place in storage, index) in row-major order of the view. */
static int64_t place_of(const hct_view *v, int64_t i) {
    int64_t o = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        o += i % v->dim[d] * v->stride[d];
        i /= v->dim[d];
    }
    return o;
}

static hct_status make_input(buffer *b, const device *d, const call *k, uint32_t i, layout how, hct_err *err) {
    hct_view v = k->in[i];
    size_t size = hct_dtype_size(v.dtype);
    hct_status st = make_buffer(b, d, (uint64_t)layout_place(&v, how, i) * size, err);
    if (st < 0) return st;
    v.off += GUARD;
    v.mem = b->mem;
    b->view = v;
    for (int64_t j = 0; j < hct_numel(&v); j++)
        encode(k->x[i] + j, 1, v.dtype, b->image + v.off + (size_t)place_of(&v, j) * size);
    return HCT_OK;
}

static bool is_into(const call *k, uint32_t i) {
    for (uint32_t o = 0; o < k->n_out; o++)
        if (k->c->into[o] == (int)i + 1) return true;
    return false;
}

hct_status memory_make(kernel_memory *m, const device *d, const hct_kernel *kernel, const call *k, layout how,
                       uint64_t steady, uint64_t unused, int alias_o, int alias_k, hct_err *err) {
    memset(m, 0, sizeof *m);
    hct_view plan_in[MAX_IN], plan_out[MAX_OUT];
    hct_status st = HCT_OK;
    for (uint32_t i = 0; st == HCT_OK && i < k->n_in; i++) {
        st = make_input(&m->in[i], d, k, i, is_into(k, i) ? PLAIN : how, err);
        plan_in[i] = m->in_view[i] = m->in[i].view;
        plan_in[i].mem = NULL;
    }
    for (uint32_t o = 0; st == HCT_OK && o < k->n_out; o++) {
        hct_view v = k->out[o];
        int on = k->c->into[o] ? k->c->into[o] - 1 : (int)o == alias_o ? alias_k : -1;
        if (on < 0) {
            st = make_buffer(&m->out[o], d, (uint64_t)hct_numel(&v) * hct_dtype_size(v.dtype), err);
            v.mem = m->out[o].mem;
            v.off = GUARD;
        } else {
            v = m->in_view[on];
        }
        plan_out[o] = m->out_view[o] = v;
        plan_out[o].mem = NULL;
    }
    if (st < 0) return st;
    hct_problem p = {.size = sizeof p,
                     .op = k->c->op,
                     .in = plan_in,
                     .out = plan_out,
                     .attr = k->c->attr,
                     .n_in = k->n_in,
                     .n_out = k->n_out,
                     .n_attr = k->n_attr,
                     .steady = steady,
                     .unused = unused};
    m->plan.size = sizeof m->plan;
    st = kernel->plan(d->device, &p, &m->plan, err);
    m->planned = st == HCT_OK;
    if (st == HCT_OK && m->plan.leaves & ~unused)
        st = hct_fail(err, HCT_EINVAL, "the plan leaves an output that is used");
    for (uint32_t o = 0; st == HCT_OK && o < k->n_out; o++)
        if (m->plan.leaves >> o & 1) m->out_view[o].mem = NULL;
    if (st == HCT_OK) st = make_buffer(&m->work, d, m->plan.workspace, err);
    return st == HCT_OK && m->plan.packed ? make_buffer(&m->packed, d, m->plan.packed, err) : st;
}

static void free_buffer(buffer *b, const device *d) {
    if (b->mem) d->backend->free(d->device, b->mem);
    free(b->image);
}

void memory_free(kernel_memory *m, const device *d, const hct_kernel *kernel) {
    if (m->planned && HCT_HAS(kernel, release)) kernel->release(&m->plan);
    for (int i = 0; i < MAX_IN; i++) free_buffer(&m->in[i], d);
    for (int o = 0; o < MAX_OUT; o++) free_buffer(&m->out[o], d);
    free_buffer(&m->work, d);
    free_buffer(&m->packed, d);
}

hct_status memory_run(kernel_memory *m, const device *d, const hct_kernel *kernel, hct_err *err) {
    const hct_view ws[] = {m->work.view, m->packed.view};
    return kernel->run(&m->plan, d->stream, m->in_view, m->out_view, ws, err);
}

/* ---- checks ---- */

static unsigned char *read_back(const buffer *b, const device *d, hct_err *err) {
    unsigned char *now = malloc(b->bytes);
    if (!now) abort();
    if (d->backend->copy(d->device, d->stream, HCT_DEVICE_TO_HOST, now, 0, b->mem, 0, b->bytes, err) == HCT_OK)
        return now;
    free(now);
    return NULL;
}

static bool guards_whole(const buffer *b, const unsigned char *now, const char *what, uint32_t i, hct_err *why) {
    for (uint64_t g = 0; g < GUARD; g++) {
        uint64_t after = GUARD + b->data + g;
        if (now[g] != GUARD_BYTE)
            return hct_fail(why, HCT_EINVAL, "%s %u: written %llu bytes before its start", what, i,
                            (unsigned long long)(GUARD - g)),
                   false;
        if (now[after] != GUARD_BYTE)
            return hct_fail(why, HCT_EINVAL, "%s %u: written %llu bytes past its end", what, i,
                            (unsigned long long)g + 1),
                   false;
    }
    return true;
}

static const buffer *home(const kernel_memory *m, const call *k, uint32_t o) {
    for (uint32_t i = 0; i < k->n_in; i++)
        if (m->in[i].mem == m->out_view[o].mem) return &m->in[i];
    return &m->out[o];
}

static bool is_target(const kernel_memory *m, const call *k, uint32_t i) {
    for (uint32_t o = 0; o < k->n_out; o++)
        if (m->out_view[o].mem == m->in[i].mem) return true;
    return false;
}

static bool check_output(const kernel_memory *m, const device *d, const call *k, uint32_t o, hct_err *why) {
    const buffer *b = home(m, k, o);
    unsigned char *now = read_back(b, d, why);
    int64_t n = hct_numel(&k->out[o]);
    double *got = malloc(((size_t)n + 1) * sizeof *got);
    if (!got) abort();
    bool ok = now && guards_whole(b, now, "output", o, why);
    if (ok) {
        decode(now + GUARD, n, k->out[o].dtype, got);
        ok = call_compare(k, o, got, why);
    }
    free(now);
    free(got);
    return ok;
}

static bool check_untouched(const kernel_memory *m, const device *d, const call *k, hct_err *why) {
    for (uint32_t i = 0; i < k->n_in; i++) {
        if (is_target(m, k, i)) continue;
        unsigned char *now = read_back(&m->in[i], d, why);
        bool same = now && !memcmp(now, m->in[i].image, m->in[i].bytes);
        free(now);
        if (!same) return hct_fail(why, HCT_EINVAL, "input %u was changed", i), false;
    }
    bool ok = true;
    for (int i = 0; ok && i < (m->packed.mem ? 2 : 1); i++) {
        const buffer *b = i ? &m->packed : &m->work;
        unsigned char *now = read_back(b, d, why);
        ok = now && guards_whole(b, now, i ? "packed copy" : "workspace", 0, why);
        free(now);
    }
    return ok;
}

static hct_status write_all(kernel_memory *m, const device *d, const call *k, hct_err *err) {
    hct_status st = write_image(&m->work, d, err);
    if (st == HCT_OK && m->packed.mem) st = write_image(&m->packed, d, err);
    for (uint32_t i = 0; st == HCT_OK && i < k->n_in; i++) st = write_image(&m->in[i], d, err);
    for (uint32_t o = 0; st == HCT_OK && o < k->n_out; o++)
        if (m->out[o].mem) st = write_image(&m->out[o], d, err);
    return st;
}

static bool run_and_check(kernel_memory *m, const device *d, const hct_kernel *kernel, const call *k, hct_err *why) {
    if (write_all(m, d, k, why) < 0 || memory_run(m, d, kernel, why) < 0 || d->backend->stream_sync(d->stream, why) < 0)
        return false;
    for (uint32_t o = 0; o < k->n_out; o++)
        if (!(m->plan.leaves >> o & 1) && !check_output(m, d, k, o, why)) return false;
    return check_untouched(m, d, k, why);
}

static bool run_twice(kernel_memory *m, const device *d, const hct_kernel *kernel, const call *k, hct_err *why) {
    unsigned char *first[MAX_OUT] = {0};
    bool ok = true;
    for (uint32_t o = 0; ok && o < k->n_out; o++) ok = (first[o] = read_back(home(m, k, o), d, why)) != NULL;
    ok = ok && run_and_check(m, d, kernel, k, why);
    for (uint32_t o = 0; o < k->n_out; o++) {
        const buffer *b = home(m, k, o);
        unsigned char *again = ok ? read_back(b, d, why) : NULL;
        if (ok && (!again || memcmp(again, first[o], b->bytes) != 0))
            ok = hct_fail(why, HCT_EINVAL,
                          "output %u: a second run gives other bits, though the plan promises the same", o) == HCT_OK;
        free(again);
        free(first[o]);
    }
    return ok;
}

static bool run_in_place(const device *d, const hct_kernel *kernel, const call *k, uint64_t may_alias, hct_err *why) {
    bool ok = true;
    for (uint32_t o = 0; ok && o < k->n_out; o++)
        for (uint32_t i = 0; ok && i < k->n_in; i++) {
            if (!(may_alias >> (o * 8 + i) & 1)) continue;
            if (hct_numel(&k->in[i]) * (int64_t)hct_dtype_size(k->in[i].dtype) !=
                hct_numel(&k->out[o]) * (int64_t)hct_dtype_size(k->out[o].dtype))
                continue;
            kernel_memory m;
            ok = memory_make(&m, d, kernel, k, PLAIN, 0, 0, (int)o, (int)i, why) == HCT_OK &&
                 run_and_check(&m, d, kernel, k, why);
            if (!ok) {
                hct_err inner = *why;
                hct_fail(why, inner.code, "output %u in place of input %u: %.900s", o, i, inner.msg);
            }
            memory_free(&m, d, kernel);
        }
    return ok;
}

/* Whether output o has the bits it has in plain. */
static bool as_in(const kernel_memory *plain, const kernel_memory *m, const device *d, const call *k, uint32_t o,
                  hct_err *why) {
    const buffer *b = home(m, k, o);
    unsigned char *now = read_back(b, d, why), *want = now ? read_back(home(plain, k, o), d, why) : NULL;
    bool same = want && memcmp(now, want, b->bytes) == 0;
    free(now);
    free(want);
    return same;
}

/* With everything steady; the input itself is spoiled once it is packed, so that the copy must be what is read. The
 * outputs of plain are what they must be. */
static bool run_packed(const kernel_memory *plain, const device *d, const hct_kernel *kernel, const call *k, layout how,
                       hct_err *why) {
    kernel_memory m;
    bool ok = memory_make(&m, d, kernel, k, how, ~(uint64_t)0, 0, -1, -1, why) == HCT_OK;
    if (ok && m.plan.packed) {
        buffer *from = &m.in[m.plan.packs];
        ok = write_all(&m, d, k, why) == HCT_OK &&
             kernel->pack(&m.plan, d->stream, &m.in_view[m.plan.packs], &m.packed.view, why) == HCT_OK &&
             d->backend->stream_sync(d->stream, why) == HCT_OK;
        memset(from->image + GUARD, FRESH_BYTE, from->data);
        ok = ok && write_image(from, d, why) == HCT_OK && memory_run(&m, d, kernel, why) == HCT_OK &&
             d->backend->stream_sync(d->stream, why) == HCT_OK && check_untouched(&m, d, k, why);
    }
    for (uint32_t o = 0; ok && m.plan.packed && o < k->n_out; o++)
        ok = as_in(plain, &m, d, k, o, why) ||
             hct_fail(why, HCT_EINVAL, "output %u: other bits with a packed copy of input %u", o, m.plan.packs) ==
                 HCT_OK;
    memory_free(&m, d, kernel);
    return ok;
}

/* With all outputs but the first unused: those that the plan leaves have no address. */
static bool run_unused(const kernel_memory *plain, const device *d, const hct_kernel *kernel, const call *k, layout how,
                       hct_err *why) {
    kernel_memory m;
    bool ok = memory_make(&m, d, kernel, k, how, 0, ~(uint64_t)1, -1, -1, why) == HCT_OK;
    if (ok && m.plan.leaves)
        ok = write_all(&m, d, k, why) == HCT_OK && memory_run(&m, d, kernel, why) == HCT_OK &&
             d->backend->stream_sync(d->stream, why) == HCT_OK && check_untouched(&m, d, k, why) &&
             (as_in(plain, &m, d, k, 0, why) ||
              hct_fail(why, HCT_EINVAL, "output 0: other bits where outputs are left") == HCT_OK);
    memory_free(&m, d, kernel);
    return ok;
}

verdict kernel_check(const device *d, const hct_kernel *kernel, const call *k, layout how, hct_err *why) {
    kernel_memory m;
    hct_status st = memory_make(&m, d, kernel, k, how, 0, 0, -1, -1, why);
    if (st == HCT_NOTIMPL && k->n_out > 1) { /* it may be one for inference */
        memory_free(&m, d, kernel);
        st = memory_make(&m, d, kernel, k, how, 0, ~(uint64_t)1, -1, -1, why);
    }
    if (st == HCT_NOTIMPL) {
        memory_free(&m, d, kernel);
        return SKIPPED;
    }
    bool ok = st == HCT_OK && run_and_check(&m, d, kernel, k, why);
    if (ok && m.plan.flags & HCT_DETERMINISTIC) ok = run_twice(&m, d, kernel, k, why);
    if (ok && k->n_out > 1) ok = run_unused(&m, d, kernel, k, how, why);
    if (ok && HCT_HAS(kernel, pack)) ok = run_packed(&m, d, kernel, k, how, why);
    if (ok && how == PLAIN && m.plan.may_alias && k->n_in <= 8) ok = run_in_place(d, kernel, k, m.plan.may_alias, why);
    memory_free(&m, d, kernel);
    return ok ? PASSED : FAILED;
}

bool reference_run(const device *d, call *k, hct_err *why) {
    const hct_kernel *best = NULL;
    call wide = *k; /* the same values in F64 */
    for (uint32_t i = 0; i < k->n_in; i++)
        if (real_dtype(wide.in[i].dtype)) wide.in[i].dtype = HCT_F64;
    hct_problem p = {.size = sizeof p,
                     .op = k->c->op,
                     .in = wide.in,
                     .out = wide.out,
                     .attr = k->c->attr,
                     .n_in = k->n_in,
                     .n_out = k->n_out,
                     .n_attr = k->n_attr};
    if (k->op->infer(&p, wide.out, why) != HCT_OK) return false;
    kernel_memory m;
    for (size_t i = 0; i < hct_kernel_count(d->ctx); i++) { /* by falling priority: the last that takes it */
        const hct_kernel *have = hct_kernel_at(d->ctx, i);
        if (strcmp(have->op, k->c->op) != 0 || strcmp(have->backend, d->backend->name) != 0) continue;
        if (have->dtypes && !(have->dtypes >> (k->n_in ? wide.in[0].dtype : wide.out[0].dtype) & 1)) continue;
        if (memory_make(&m, d, have, &wide, PLAIN, 0, 0, -1, -1, why) == HCT_OK) best = have;
        memory_free(&m, d, have);
    }
    if (!best)
        return hct_fail(why, HCT_ENOKERNEL,
                        "'%s' has neither a naive loop here nor an F64 kernel on %s to be the truth", k->c->op,
                        d->backend->name),
               false;
    bool ok = memory_make(&m, d, best, &wide, PLAIN, 0, 0, -1, -1, why) == HCT_OK &&
              write_all(&m, d, &wide, why) == HCT_OK && memory_run(&m, d, best, why) == HCT_OK &&
              d->backend->stream_sync(d->stream, why) == HCT_OK;
    for (uint32_t o = 0; ok && o < k->n_out; o++) {
        unsigned char *now = read_back(home(&m, &wide, o), d, why);
        ok = now != NULL;
        if (ok) decode(now + GUARD, hct_numel(&wide.out[o]), wide.out[o].dtype, k->y[o]);
        free(now);
    }
    memory_free(&m, d, best);
    return ok;
}
