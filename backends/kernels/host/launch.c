/* Building the list of launches, and laying strided operands out for kernels. */
#include "launch.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const hk_op *const hk_families[] = {hk_elementwise, hk_move,         hk_reduce,    hk_norm, hk_softmax, hk_tokens,
                                    hk_optim,       hk_products,     hk_attention, hk_dino, hk_views,   hk_conv,
                                    hk_pool,        hk_batch_norm3d, hk_fused,     NULL};

const hk_op *hk_find(const hk_op *const *families, const char *op) {
    for (const hk_op *const *f = families; *f; f++)
        for (const hk_op *o = *f; o->op; o++)
            if (!strcmp(o->op, op)) return o;
    return NULL;
}

const char *hk_complaint(int32_t code) {
    return code == 1   ? "an index lies outside the tokens there are"
           : code == 2 ? "a target is no class"
           : code == 3 ? "the crop of a view leaves its volume"
                       : "a kernel complained";
}

/* ---- arrays ---- */

static void *grow(hk *b, void *old, uint32_t n, uint32_t *cap, size_t size, uint32_t more) {
    if (n + more <= *cap) return old;
    uint32_t want = 2 * (n + more) + 16;
    void *p = realloc(old, want * size);
    if (!p) {
        b->no_memory = 1;
        return old;
    }
    *cap = want;
    return p;
}

void hk_free(hk *b) {
    free(b->launch);
    free(b->arg);
    free(b->bytes);
    free(b->place);
    b->place = NULL;
    b->launch = NULL;
    b->arg = NULL;
    b->bytes = NULL;
}

static hk_launch *start(hk *b) {
    b->launch = grow(b, b->launch, b->n_launch, &b->cap_launch, sizeof *b->launch, 1);
    if (b->no_memory) return NULL;
    hk_launch *l = &b->launch[b->n_launch++];
    *l = (hk_launch){.dtype = -1, .first_arg = b->n_arg, .groups = {1, 1}, .moved = -1};
    return l;
}

static hk_launch *last(hk *b) { return b->no_memory || !b->n_launch ? NULL : &b->launch[b->n_launch - 1]; }

static void name(hk_launch *l, const char *program, int32_t dtype, const char *kernel) {
    l->program = program;
    l->kernel = kernel;
    l->dtype = dtype;
}

void hk_rows(hk *b, const char *program, int32_t dtype, const char *kernel, int64_t groups) {
    hk_launch *l = start(b);
    if (!l) return;
    name(l, program, dtype, kernel);
    l->kind = HK_ROWS;
    l->items = b->target->group;
    l->groups[0] = groups;
    if (b->target->subgroups) hk_option(b, "SUBGROUPS=1");
}

void hk_each(hk *b, const char *program, int32_t dtype, const char *kernel, int64_t n) {
    hk_launch *l = start(b);
    if (!l) return;
    name(l, program, dtype, kernel);
    l->kind = HK_EACH;
    l->n = n;
}

void hk_shape(hk *b, uint32_t items, int64_t groups_y) {
    hk_launch *l = last(b);
    if (!l) return;
    l->items = items;
    l->groups[1] = groups_y;
}

void hk_option(hk *b, const char *fmt, ...) {
    hk_launch *l = last(b);
    if (!l) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->option, sizeof l->option, fmt, ap);
    va_end(ap);
}

static void argument(hk *b, hk_arg a) {
    hk_launch *l = last(b);
    b->arg = grow(b, b->arg, b->n_arg, &b->cap_arg, sizeof *b->arg, 1);
    if (!l || b->no_memory) return;
    b->arg[b->n_arg++] = a;
    l->n_args++;
}

void hk_mem(hk *b, hk_ref r) { argument(b, (hk_arg){.is_mem = 1, .ref = r}); }

void hk_struct(hk *b, const void *from, uint32_t size) {
    b->bytes = grow(b, b->bytes, b->n_bytes, &b->cap_bytes, 1, size + 8);
    if (b->no_memory) return;
    uint32_t at = (b->n_bytes + 7) / 8 * 8;
    memcpy(b->bytes + at, from, size);
    b->n_bytes = at + size;
    argument(b, (hk_arg){.size = size, .at = at});
}

void hk_table(hk *b, const void *from, uint32_t size, const hk_address *at, uint32_t n) {
    hk_struct(b, from, size);
    b->place = grow(b, b->place, b->n_place, &b->cap_place, sizeof *b->place, n);
    if (b->no_memory || !b->n_arg) return;
    b->arg[b->n_arg - 1].place = b->n_place;
    b->arg[b->n_arg - 1].places = n;
    memcpy(b->place + b->n_place, at, n * sizeof *at);
    b->n_place += n;
}

void hk_i64(hk *b, int64_t v) { hk_struct(b, &v, sizeof v); }
void hk_i32(hk *b, int32_t v) { hk_struct(b, &v, sizeof v); }
void hk_f32(hk *b, double v) {
    float f = (float)v;
    hk_struct(b, &f, sizeof f);
}

hk_ref hk_work(hk *b, uint64_t bytes) {
    hk_ref r = {HK_WORK, 0, b->workspace, bytes};
    b->workspace += (bytes + HK_ALIGN - 1) / HK_ALIGN * HK_ALIGN;
    return r;
}

void hk_multiply(hk *b, const hk_product *g) {
    hk_product p = *g;
    p.temp_bytes = b->product_temp ? b->product_temp(b->self, &p) : 0;
    /* products of one call run one after another: they share it */
    for (uint32_t i = 0; i < b->n_launch && p.temp_bytes && b->product_temp; i++) {
        const hk_product *o = &b->launch[i].product;
        if (b->launch[i].kind != HK_PRODUCT || o->temp_bytes < p.temp_bytes) continue;
        p.temp = o->temp;
        p.temp_bytes = o->temp_bytes;
        break;
    }
    if (p.temp_bytes && !p.temp.place) p.temp = hk_work(b, p.temp_bytes);
    hk_launch *l = start(b);
    if (!l) return;
    l->kind = HK_PRODUCT;
    l->program = "library";
    l->kernel = "product";
    l->product = p;
}

/* ---- accounts ---- */

void hk_moves(hk *b, int64_t bytes) {
    hk_launch *l = last(b);
    if (l) l->moved = bytes;
}

/* Of a view's elements; those that a stride of 0 repeats count once. */
static int64_t bytes_of_view(const hct_view *v) {
    int64_t n = (int64_t)hct_dtype_bytes(v->dtype);
    for (int d = 0; d < v->ndim; d++)
        if (v->stride[d] != 0 || v->dim[d] == 0) n *= v->dim[d];
    return n;
}

static int64_t bytes_of(const hk *b, const hk_ref *r) {
    switch (r->place) {
    case HK_IN: return bytes_of_view(&b->problem->in[r->index]);
    case HK_OUT: return bytes_of_view(&b->problem->out[r->index]);
    case HK_WORK: return (int64_t)r->bytes;
    default: return 0;
    }
}

static int same_place(const hk_ref *a, const hk_ref *b) {
    return a->place == b->place && a->index == b->index && a->off == b->off;
}

static int64_t bytes_of_operands(const hk *b, const hk_launch *l) {
    int64_t bytes = 0;
    const hk_arg *a = b->arg + l->first_arg;
    for (uint32_t i = 0; i < l->n_args; i++) {
        uint32_t before = 0;
        while (before < i && !(a[before].is_mem && a[i].is_mem && same_place(&a[before].ref, &a[i].ref))) before++;
        if (a[i].is_mem && before == i) bytes += bytes_of(b, &a[i].ref);
    }
    return bytes;
}

static int64_t bytes_of_product(const hk_product *g, int32_t dtype) {
    int64_t size = (int64_t)hct_dtype_bytes(dtype), result = g->wide ? (int64_t)sizeof(float) : size;
    int64_t each_a = g->batch > 1 && !g->step_a ? 1 : g->batch, each_b = g->batch > 1 && !g->step_b ? 1 : g->batch;
    return size * (each_a * g->m * g->k + each_b * g->k * g->n + (g->has_bias ? g->n : 0)) +
           result * g->batch * g->m * g->n * (g->beta != 0 ? 2 : 1);
}

void hk_account(const hk *b, hct_plan *plan) {
    for (uint32_t i = 0; i < b->n_launch; i++) {
        const hk_launch *l = &b->launch[i];
        if (l->kind == HK_EACH ? l->n == 0 : l->kind == HK_ROWS && l->groups[0] * l->groups[1] == 0) continue;
        plan->launches++;
        plan->library += l->kind == HK_PRODUCT;
        int64_t bytes = l->kind == HK_PRODUCT ? bytes_of_product(&l->product, b->problem->in[0].dtype)
                        : l->moved >= 0       ? l->moved
                                              : bytes_of_operands(b, l);
        plan->moved += (uint64_t)bytes;
        if (l->kind == HK_PRODUCT) plan->moved_library += (uint64_t)bytes;
    }
}

/* ---- strided operands ---- */

void hk_contiguous(hct_view *v) {
    int64_t s = 1;
    for (int d = v->ndim - 1; d >= 0; d--) {
        v->stride[d] = s;
        s *= v->dim[d];
    }
}

int64_t hk_row_count(const hct_view *v, int inner) {
    int64_t n = 1;
    for (int d = 0; d < v->ndim - inner; d++) n *= v->dim[d];
    return n;
}

void hk_walk_init(hk_walk *w, int k, const hct_view *const *v) {
    memset(w, 0, sizeof *w);
    for (int d = 0; d < v[0]->ndim; d++) {
        if (v[0]->dim[d] == 1) continue;
        int merge = w->ndim > 0;
        for (int j = 0; merge && j < k; j++) merge = w->stride[j][w->ndim - 1] == v[j]->stride[d] * v[0]->dim[d];
        if (!merge) w->dim[w->ndim++] = 1;
        w->dim[w->ndim - 1] *= v[0]->dim[d];
        for (int j = 0; j < k; j++) w->stride[j][w->ndim - 1] = v[j]->stride[d];
    }
}

int hk_walk_flat(const hk_walk *w, int k) {
    if (!w->ndim) return 1;
    if (w->ndim != 1) return 0;
    for (int j = 0; j < k; j++)
        if (w->stride[j][0] != 1) return 0;
    return 1;
}

void hk_copy(hk *b, hk_ref to, const hct_view *to_view, hk_ref from, const hct_view *from_view) {
    hk_walk w;
    int64_t n = hct_numel(to_view);
    hk_walk_init(&w, 2, (const hct_view *const[]){to_view, from_view});
    size_t size = hct_dtype_bytes(to_view->dtype);
    static const char *const names[3][4] = {
        {"copy_8_strided", "copy_16_strided", "copy_32_strided", "copy_64_strided"},
        {"copy_8", "copy_16", "copy_32", "copy_64"},
        {"copy_8_runs", "copy_16_runs", "copy_32_runs", "copy_64_runs"},
    };
    if (n == 0) return;
    int flat = hk_walk_flat(&w, 2), last = (int)w.ndim - 1;
    /* on a GPU neighbours are better */
    int64_t run =
        last > 0 && w.stride[0][last] == 1 && w.stride[1][last] == 1 && b->target->group == 1 ? w.dim[last] : 1;
    if (run >= 4) {
        flat = 2;
        n /= run;
        w.ndim--;
    }
    hk_each(b, "move", -1, names[flat][size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3], n);
    hk_moves(b, 2 * hct_numel(to_view) * (int64_t)size);
    hk_mem(b, to);
    hk_mem(b, from);
    if (flat != 1) hk_struct(b, &w, sizeof w);
    if (flat == 2) hk_i64(b, run);
}

static hk_ref copied(hk *b, uint32_t i) {
    const hct_view *v = &b->problem->in[i];
    hct_view flat = *v;
    hk_contiguous(&flat);
    hk_ref r = hk_work(b, (uint64_t)hct_numel(v) * hct_dtype_bytes(v->dtype));
    hk_copy(b, r, &flat, HK_IN_(i), v);
    return r;
}

hk_ref hk_flat(hk *b, uint32_t i) { return hct_is_contiguous(&b->problem->in[i]) ? HK_IN_(i) : copied(b, i); }

hk_ref hk_rows_of(hk *b, uint32_t i, int64_t *ret_step) {
    const hct_view *v = &b->problem->in[i];
    int64_t c = v->ndim ? v->dim[v->ndim - 1] : 1, expect = -1;
    int even = v->ndim == 0 || c <= 1 || v->stride[v->ndim - 1] == 1;
    *ret_step = c;
    for (int d = v->ndim - 2; even && d >= 0; d--) {
        if (v->dim[d] == 1) continue;
        if (expect < 0) *ret_step = v->stride[d];
        else even = v->stride[d] == expect;
        expect = v->stride[d] * v->dim[d];
    }
    if (even) return HK_IN_(i);
    *ret_step = c;
    return copied(b, i);
}
