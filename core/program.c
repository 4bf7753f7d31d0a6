/* The program executor: drops what nothing needs, plans every kernel, lays all temporaries out in one arena,
 * replays. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int is_view(const node *n) { return (n->op->flags & HCT_OP_VIEW) != 0; }

/* Backwards: a call is live if it writes a tensor, a kept value, or something a live call reads. */
static void mark_live(hct_tape *t) {
    for (size_t i = 1; i < t->n_values; i++) t->values[i].read = t->values[t->values[i].root].keep;
    t->stats.nodes = t->stats.nodes_dead = 0;
    for (size_t i = t->n_nodes; i-- > 0;) {
        node *n = &t->nodes[i];
        int live = n->into;
        for (uint32_t o = 0; o < n->n_out; o++) live |= t->values[n->out[o]].read;
        n->live = live != 0;
        for (uint32_t k = 0; live && k < n->n_in; k++) t->values[n->in[k]].read = 1;
        if (is_view(n)) continue;
        t->stats.nodes += n->live;
        t->stats.nodes_dead += !n->live;
    }
}

static void mark_life(hct_tape *t) {
    for (size_t i = 0; i < t->n_values; i++) t->values[i].first = t->values[i].last = -1;
    for (size_t i = 0; i < t->n_nodes; i++) {
        const node *n = &t->nodes[i];
        if (!n->live || is_view(n)) continue;
        for (uint32_t k = 0; k < n->n_in + n->n_out; k++) {
            value *r = hct_value(t, hct_value(t, n->in[k])->root); /* out[] follows in[] in memory */
            if (r->first < 0) r->first = (int32_t)i;
            r->last = (int32_t)i;
        }
    }
    for (size_t i = 0; i < t->n_values; i++)
        if (t->values[i].keep && t->values[i].first >= 0) t->values[i].last = (int32_t)t->n_nodes;
}

static uint64_t unused_outputs(hct_tape *t, const node *n) {
    uint64_t bits = 0;
    for (uint32_t o = 0; !n->into && o < n->n_out && o < 64; o++)
        if (!hct_value(t, n->out[o])->read) bits |= (uint64_t)1 << o;
    return bits;
}

static hct_status plan_kernels(hct_tape *t, hct_err *err) {
    t->workspace_bytes = t->packed_bytes = 0;
    for (size_t i = 0; i < t->n_nodes; i++) {
        node *n = &t->nodes[i];
        if (!n->live || is_view(n)) continue;
        n->views = calloc(n->n_in + n->n_out + 2, sizeof *n->views);
        if (!n->views) return hct_fail(err, HCT_ENOMEM, "out of memory while planning");
        hct_problem p;
        hct_problem_of(t, n, n->views, &p);
        p.steady = hct_packed_steady(t, n);
        p.unused = unused_outputs(t, n);
        hct_status st = hct_dispatch(t->dev, &p, &n->kernel, &n->plan, err);
        if (st == HCT_OK) st = hct_packed_plan(t, n, p.steady, err);
        if (st == HCT_OK && n->plan.leaves & ~p.unused)
            st = hct_fail(err, HCT_EINVAL, "%s: %s leaves an output unwritten that something reads", n->op->name,
                          n->kernel->name);
        if (st < 0) return st;
        t->stats.flops += hct_node_flops(&p);
        if (n->plan.workspace > t->workspace_bytes) t->workspace_bytes = n->plan.workspace;
    }
    return HCT_OK;
}

/* Whether out[o] of node i may take over the memory of in[k]: the kernel allows it, and the memory dies here. */
static int can_take_over(hct_tape *t, size_t i, uint32_t o, uint32_t k, const int32_t *block_of,
                         const hct_block *blocks) {
    const node *n = &t->nodes[i];
    if (o > 7 || k > 7 || !(n->plan.may_alias >> (o * 8 + k) & 1)) return 0;
    const value *in = hct_value(t, n->in[k]), *out = hct_value(t, n->out[o]), *root = hct_value(t, in->root);
    int32_t b = block_of[in->root];
    if (b < 0 || blocks[b].last != (int32_t)i || root->first == (int32_t)i) return 0;
    if (in->view.off || !hct_is_contiguous(&in->view) || hct_view_bytes(&in->view) != hct_view_bytes(&root->view) ||
        hct_view_bytes(&in->view) != hct_view_bytes(&out->view))
        return 0;
    for (uint32_t j = 0; j < n->n_in; j++) { /* no other input may look at that memory in another order */
        const value *other = hct_value(t, n->in[j]);
        if (block_of[other->root] == b && memcmp(&other->view, &in->view, sizeof in->view) != 0) return 0;
    }
    for (uint32_t j = 0; j < o; j++)
        if (block_of[n->out[j]] == b) return 0;
    return 1;
}

static void make_blocks(hct_tape *t, int32_t *block_of, hct_block *blocks, size_t *ret_n) {
    size_t nb = 0;
    for (size_t i = 0; i < t->n_values; i++) block_of[i] = -1;
    for (size_t i = 0; i < t->n_nodes; i++) {
        const node *n = &t->nodes[i];
        if (!n->live || is_view(n) || n->into) continue;
        for (uint32_t o = 0; o < n->n_out; o++) {
            value *v = hct_value(t, n->out[o]);
            if (o < 64 && n->plan.leaves >> o & 1) {
                v->first = -1; /* no memory */
                continue;
            }
            for (uint32_t k = 0; k < n->n_in && block_of[n->out[o]] < 0; k++)
                if (can_take_over(t, i, o, k, block_of, blocks))
                    block_of[n->out[o]] = block_of[hct_value(t, n->in[k])->root];
            if (block_of[n->out[o]] < 0) {
                uint64_t bytes = (hct_view_bytes(&v->view) + HCT_ALIGN - 1) / HCT_ALIGN * HCT_ALIGN;
                blocks[nb] = (hct_block){.bytes = bytes ? bytes : HCT_ALIGN, .first = (int32_t)i, .last = v->last};
                block_of[n->out[o]] = (int32_t)nb++;
            } else if (v->last > blocks[block_of[n->out[o]]].last) {
                blocks[block_of[n->out[o]]].last = v->last;
            }
        }
    }
    *ret_n = nb;
}

static hct_status lay_out(hct_tape *t, hct_err *err) {
    int32_t *block_of = malloc(t->n_values * sizeof *block_of);
    hct_block *blocks = malloc(t->n_values * sizeof *blocks);
    hct_status st = HCT_OK;
    size_t nb = 0;
    if (block_of && blocks) {
        make_blocks(t, block_of, blocks, &nb);
        t->arena_bytes = hct_layout(blocks, nb, &t->stats.arena_lower_bound);
    }
    if (!block_of || !blocks || t->arena_bytes == UINT64_MAX) {
        t->arena_bytes = 0;
        st = hct_fail(err, HCT_ENOMEM, "out of memory while laying out the arena");
    }
    for (size_t i = 1; st == HCT_OK && i < t->n_values; i++)
        if (block_of[i] >= 0) t->values[i].view.off = blocks[block_of[i]].offset;
    free(block_of);
    free(blocks);
    return st;
}

static uint64_t tensor_bytes(const hct_tape *t) {
    uint64_t sum = 0;
    for (size_t i = 1; i < t->n_values; i++)
        if (t->values[i].tensor) sum += t->values[i].tensor->bytes;
    return sum;
}

hct_status hct_plan_only(hct_tape *t, hct_err *err) {
    hct_status st = hct_tape_error(t, err);
    if (st < 0 || t->planned) return st;
    if (t->mode != HCT_PROGRAM) return hct_fail(err, HCT_EINVAL, "only a tape made with HCT_PROGRAM can be compiled");
    mark_live(t);
    mark_life(t);
    if ((st = hct_tape_error(t, err)) < 0 || (st = plan_kernels(t, err)) < 0 || (st = lay_out(t, err)) < 0) return st;
    t->planned = 1;
    t->stats.arena = t->arena_bytes;
    t->stats.workspace = t->workspace_bytes;
    t->stats.packed = t->packed_bytes;
    t->stats.tensors = tensor_bytes(t);
    return HCT_OK;
}

hct_status hct_compile(hct_tape *t, hct_err *err) {
    hct_status st = hct_plan_only(t, err);
    if (st < 0 || t->compiled) return st;
    uint64_t arena = t->arena_bytes, workspace = t->workspace_bytes;
    t->arena_bytes = t->workspace_bytes = 0;
    if ((st = hct_dev_alloc(t->dev, arena, &t->arena, err)) < 0) return st;
    t->arena_bytes = arena;
    if ((st = hct_dev_alloc(t->dev, workspace, &t->workspace, err)) < 0) return st;
    t->workspace_bytes = workspace;
    if (t->packed_bytes && (st = hct_dev_alloc(t->dev, t->packed_bytes, &t->packed, err)) < 0) return st;
    for (size_t i = 1; i < t->n_values; i++)
        if (t->values[i].root == (hct_id)i && !t->values[i].tensor && t->values[i].first >= 0)
            t->values[i].view.mem = t->arena;
    for (size_t i = 0; i < t->n_nodes; i++) {
        node *n = &t->nodes[i];
        if (!n->views) continue;
        for (uint32_t k = 0; k < n->n_in + n->n_out; k++) n->views[k] = hct_resolve(t, n->in[k]);
        n->views[n->n_in + n->n_out].mem = t->workspace;
        if (n->plan.packed) n->views[n->n_in + n->n_out + 1].mem = t->packed;
    }
    t->compiled = 1;
    return HCT_OK;
}

static int can_capture(const hct_tape *t) {
    const hct_backend *b = t->dev->backend;
    const char *wish = getenv("HCT_GRAPH");
    if (t->dev->waits) return 0; /* nothing can be waited for while it is captured */
    if (!HCT_HAS(b, capture_begin) || !HCT_HAS(b, capture_end) || !HCT_HAS(b, graph_launch) || !HCT_HAS(b, graph_free))
        return 0;
    for (size_t i = 0; i < t->n_nodes; i++)
        if (t->nodes[i].views && !(t->nodes[i].plan.flags & HCT_CAPTURE_SAFE)) return 0;
    return !wish || *wish != '0';
}

static hct_status run_calls(hct_tape *t, hct_err *err) {
    hct_status st = HCT_OK;
    for (size_t i = 0; st == HCT_OK && i < t->n_nodes; i++)
        if (t->nodes[i].views) st = hct_node_run(t, &t->nodes[i], err);
    return st;
}

/* Steps are run call by call from now on: a graph is worth time, and never worth a training. Said once a device. */
static void give_up_graph(hct_tape *t, const char *why) {
    char line[400];
    if (t->graph) t->dev->backend->graph_free(t->dev->stream, t->graph);
    t->graph = NULL;
    t->captures = 0;
    snprintf(line, sizeof line, "%s: no graph of a step can be used, its calls are run one by one: %s",
             t->dev->backend->name, why);
    if (!t->dev->graph_refused++) t->dev->ctx->host.log(&t->dev->ctx->host, line);
}

/* The whole step as one graph of the backend's. What calls enqueue meanwhile is recorded, not run. */
static void capture(hct_tape *t) {
    const hct_backend *b = t->dev->backend;
    hct_err why = {0, ""}, late = {0, ""};
    hct_status st = b->capture_begin(t->dev->stream, &why);
    if (st == HCT_OK) {
        st = run_calls(t, &why);
        hct_status ended = b->capture_end(t->dev->stream, &t->graph, &late);
        if (st == HCT_OK && ended < 0) st = hct_fail(&why, ended, "%s", late.msg);
    }
    if (st != HCT_OK) give_up_graph(t, why.msg);
}

/* run_calls, as it was captured; or itself, where the graph is refused. */
static hct_status launch(hct_tape *t, hct_err *err) {
    hct_err why = {0, ""};
    hct_status st = t->dev->backend->graph_launch(t->dev->stream, t->graph, &why);
    if (st != HCT_OK) {
        give_up_graph(t, why.msg);
        return run_calls(t, err);
    }
    for (size_t i = 0; i < t->n_nodes; i++)
        if (t->nodes[i].views) hct_node_wrote(t, &t->nodes[i]);
    return HCT_OK;
}

/* The first run is never captured: it warms up what is lazy. */
static hct_status run_step(hct_tape *t, hct_err *err) {
    hct_status st = hct_packed_refresh(t, err);
    if (t->runs == 0) t->captures = can_capture(t);
    if (st == HCT_OK && t->runs == 1 && t->captures) capture(t);
    if (st == HCT_OK) st = t->graph ? launch(t, err) : run_calls(t, err);
    t->runs++;
    return st;
}

hct_status hct_start(hct_tape *t, hct_err *err) {
    char name[40];
    if (!t->compiled) return hct_fail(err, HCT_EINVAL, "compile the tape before running it");
    if (!t->dev->ranges) return run_step(t, err);
    snprintf(name, sizeof name, "step %llu", (unsigned long long)t->runs + 1);
    t->dev->backend->range_push(t->dev->stream, name);
    hct_status st = run_step(t, err);
    t->dev->backend->range_pop(t->dev->stream);
    return st;
}

hct_status hct_run(hct_tape *t, hct_err *err) {
    hct_status st = hct_start(t, err);
    return st == HCT_OK ? t->dev->backend->stream_sync(t->dev->stream, err) : st;
}

hct_program_stats hct_stats(const hct_tape *t) { return t->stats; }

/* ---- time by kernel ---- */

typedef struct line {
    const char *name;
    double seconds, bytes, flops; /* bytes: of its operands, each counted once */
    size_t calls;
} line;

static int slowest_first(const void *a, const void *b) {
    double x = ((const line *)a)->seconds, y = ((const line *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

static double now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* What a call moves and computes. */
static hct_call call_of(const node *n) {
    hct_call c = {.op = n->op->name, .kernel = n->kernel->name, .dtype = (hct_dtype)n->views[0].dtype};
    hct_problem p = {.size = sizeof p,
                     .op = n->op->name,
                     .in = n->views,
                     .out = n->views + n->n_in,
                     .attr = n->attr,
                     .n_in = n->n_in,
                     .n_out = n->n_out,
                     .n_attr = n->n_attr};
    for (uint32_t k = 0; k < n->n_in + n->n_out; k++) c.bytes += (double)hct_view_bytes(&n->views[k]);
    c.flops = hct_node_flops(&p);
    c.launches = n->plan.launches ? n->plan.launches : 1;
    c.library = n->plan.library;
    c.moved = n->plan.launches ? (double)n->plan.moved : c.bytes;
    c.moved_library = (double)n->plan.moved_library;
    hct_node_product(&p, &c);
    return c;
}

hct_status hct_calls(const hct_tape *t, void (*call)(void *context, const hct_call *), void *context, hct_err *err) {
    if (!t->planned && !t->compiled) return hct_fail(err, HCT_EINVAL, "plan or compile the tape first");
    for (size_t i = 0; i < t->n_nodes; i++) {
        if (!t->nodes[i].views) continue;
        hct_call c = call_of(&t->nodes[i]);
        call(context, &c);
    }
    return HCT_OK;
}

hct_status hct_profile(hct_tape *t, void (*print)(void *context, const char *text), void *context, hct_err *err) {
    if (!t->compiled) return hct_fail(err, HCT_EINVAL, "compile the tape before running it");
    line *lines = calloc(t->n_nodes + 1, sizeof *lines);
    if (!lines) return hct_fail(err, HCT_ENOMEM, "out of memory");
    size_t n = 0;
    double total = 0;
    hct_status st = hct_packed_refresh(t, err);
    for (size_t i = 0; st == HCT_OK && i < t->n_nodes; i++) {
        if (!t->nodes[i].views) continue;
        double start = now();
        st = hct_node_run(t, &t->nodes[i], err);
        if (st == HCT_OK) st = t->dev->backend->stream_sync(t->dev->stream, err);
        double took = now() - start;
        size_t k = 0;
        while (k < n && strcmp(lines[k].name, t->nodes[i].kernel->name) != 0) k++;
        if (k == n) lines[n++].name = t->nodes[i].kernel->name;
        lines[k].seconds += took;
        lines[k].calls++;
        const hct_call c = call_of(&t->nodes[i]);
        lines[k].bytes += c.bytes;
        lines[k].flops += c.flops;
        total += took;
    }
    qsort(lines, n, sizeof *lines, slowest_first);
    for (size_t k = 0; st == HCT_OK && k < n; k++) {
        char text[256];
        double seconds = lines[k].seconds > 0 ? lines[k].seconds : 1;
        snprintf(text, sizeof text, "%8.2f ms %5.1f%% %6zu calls  %8.1f GB/s %8.3f TFLOP/s  %s", 1e3 * lines[k].seconds,
                 100 * lines[k].seconds / (total > 0 ? total : 1), lines[k].calls, 1e-9 * lines[k].bytes / seconds,
                 1e-12 * lines[k].flops / seconds, lines[k].name);
        print(context, text);
    }
    free(lines);
    return st;
}
