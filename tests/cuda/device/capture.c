/* Captured graphs: what is enqueued while a stream is captured becomes nodes, and each launch runs them again, in any
 * order that their edges allow. */
#include "device.h"

#include <stdlib.h>
#include <string.h>

struct CUgraphExec_st {
    owner of;
    struct CUgraph_st *graph;
    int number;
    op *last; /* its launch before: launches of one graph never overlap */
};
struct CUgraph_st *emu_capturing;
static unsigned captures;
static int graphs;

int emu_node(struct CUgraph_st *g, work *w, const int *after, int n_after) {
    if (g->n_nodes == g->cap_nodes)
        g->nodes = realloc(g->nodes, (size_t)(g->cap_nodes = 2 * g->cap_nodes + 64) * sizeof *g->nodes);
    node *n = &g->nodes[g->n_nodes];
    n->work = w;
    n->n_after = n_after;
    n->after = malloc(((size_t)n_after + 1) * sizeof *n->after);
    if (n_after) memcpy(n->after, after, (size_t)n_after * sizeof *after);
    return g->n_nodes++;
}

static void graph_free(struct CUgraph_st *g) {
    if (!g || --g->refs) return;
    for (int i = 0; i < g->n_nodes; i++) {
        emu_work_free(g->nodes[i].work);
        free(g->nodes[i].after);
    }
    free(g->nodes);
    free(g->joined);
    free(g);
}

EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
    EMU_CALL;
    int refused;
    if (!stream || mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) return CUDA_ERROR_INVALID_VALUE;
    CUresult code = emu_valid(&stream->of, "a stream");
    if (code != CUDA_SUCCESS) return code;
    if (emu_fails("capture", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, &refused)) return (CUresult)refused;
    if (emu_capturing) return CUDA_ERROR_ILLEGAL_STATE;
    struct CUgraph_st *g = calloc(1, sizeof *g);
    g->of = stream->of;
    g->refs = 1;
    g->origin = stream;
    g->number = ++captures;
    emu_capturing = stream->captured = g;
    stream->n_tips = 0;
    emu_note("begin capture on %d", stream->number);
    return CUDA_SUCCESS;
}

/* Whether all that joined streams did last is followed by what the first stream did last. */
static bool all_joined(const struct CUgraph_st *g) {
    bool *reached = calloc((size_t)g->n_nodes + 1, sizeof *reached), joined = true;
    for (int i = 0; i < g->origin->n_tips; i++) reached[g->origin->tips[i]] = true;
    for (int i = g->n_nodes; i-- > 0;) /* a node follows earlier ones only */
        for (int k = 0; reached[i] && k < g->nodes[i].n_after; k++) reached[g->nodes[i].after[k]] = true;
    for (int j = 0; j < g->n_joined; j++)
        for (int i = 0; i < g->joined[j]->n_tips; i++) joined = joined && reached[g->joined[j]->tips[i]];
    free(reached);
    return joined;
}

EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    EMU_CALL;
    int refused;
    *graph = NULL;
    struct CUgraph_st *g = emu_capturing;
    if (!g || g->origin != stream) return CUDA_ERROR_ILLEGAL_STATE;
    CUresult code = emu_valid(&stream->of, "a stream");
    if (code == CUDA_SUCCESS && g->broken) code = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (code == CUDA_SUCCESS && !all_joined(g)) code = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    if (code == CUDA_SUCCESS && emu_fails("endcapture", CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, &refused))
        code = (CUresult)refused;
    emu_capturing = stream->captured = NULL;
    stream->n_tips = 0;
    for (int j = 0; j < g->n_joined; j++) {
        g->joined[j]->captured = NULL;
        g->joined[j]->n_tips = 0;
    }
    g->n_joined = 0;
    emu_note("end capture on %d", stream->number);
    if (code == CUDA_SUCCESS) *graph = g;
    else graph_free(g);
    return code;
}

EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
    EMU_CALL;
    (void)flags;
    int refused;
    CUresult code = emu_valid(&graph->of, "a graph");
    if (code == CUDA_SUCCESS && emu_fails("instantiate", CUDA_ERROR_OUT_OF_MEMORY, &refused)) code = (CUresult)refused;
    if (code != CUDA_SUCCESS) return code;
    struct CUgraphExec_st *e = calloc(1, sizeof *e);
    e->of = graph->of;
    e->graph = graph;
    e->number = ++graphs;
    graph->refs++;
    *exec = e;
    emu_note("graph %d", graphs);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphDestroy(CUgraph graph) {
    EMU_CALL;
    graph_free(graph);
    return CUDA_SUCCESS;
}

/* The driver does not say whether a graph that is under way may go: here that is a complaint. */
EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) {
    EMU_CALL;
    CUresult code = emu_valid(&exec->of, "a captured graph");
    if (code == CUDA_SUCCESS && exec->last && !exec->last->done)
        emu_complain("graph %d is destroyed before its work has ended", exec->number);
    emu_note("free graph %d", exec->number);
    emu_op_free(exec->last);
    graph_free(exec->graph);
    free(exec);
    return code;
}

EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
    EMU_CALL;
    int refused;
    CUstream s = emu_stream(stream);
    CUresult code = emu_valid(&s->of, "a stream");
    if (code == CUDA_SUCCESS) code = emu_valid(&exec->of, "a captured graph");
    if (code != CUDA_SUCCESS) return code;
    if (emu_fails("graph", CUDA_ERROR_UNKNOWN, &refused)) return (CUresult)refused;
    emu_note("launch graph %d on %d", exec->number, s->number);
    struct CUgraph_st *g = exec->graph;
    op **made = calloc((size_t)g->n_nodes + 1, sizeof *made);
    for (int i = 0; i < g->n_nodes; i++) {
        const node *n = &g->nodes[i];
        op **after = malloc(((size_t)n->n_after + 2) * sizeof *after);
        for (int k = 0; k < n->n_after; k++) after[k] = made[n->after[k]];
        after[n->n_after] = s->last;
        after[n->n_after + 1] = exec->last;
        n->work->refs++;
        made[i] = emu_op_new(n->work, n->n_after + 2, after);
        free(after);
    }
    made[g->n_nodes] = s->last;
    op *end = emu_op_new(NULL, g->n_nodes + 1, made);
    for (int i = 0; i < g->n_nodes; i++) emu_op_free(made[i]);
    free(made);
    emu_op_free(s->last);
    emu_op_free(exec->last);
    end->refs++;
    s->last = exec->last = end;
    if (emu_eager()) {
        emu_run(end);
    } else {
        emu_pending(end);
        emu_run_some();
    }
    return CUDA_SUCCESS;
}
