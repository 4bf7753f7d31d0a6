/* Streams and events. What is enqueued becomes a graph: each piece of work follows what its stream and the events that
 * the stream waited for say, and nothing else; it is run at once, as late as possible, or at random, as that graph
 * allows. An order that the backend did not ask for is not kept. */
#include "device.h"

#include <stdlib.h>
#include <string.h>

static op **pending;
static size_t n_pending, cap_pending;
static int streams;
static struct CUstream_st default_stream = {
    .of = {0, 0}}; /* the default stream; not ordered with the others, which are all made
                                                     without that (CU_STREAM_NON_BLOCKING) */
double emu_clock;

static char order(void) {
    static char first;
    if (!first) first = *emu_word("EMU_ORDER", "eager");
    return first;
}
bool emu_eager(void) { return order() == 'e'; }
static bool at_random(void) { return order() == 'r'; }

/* ---- work and its runs ---- */

work *emu_work(void (*run)(void *), void (*drop)(void *), const void *arg, size_t bytes, int device) {
    work *w = malloc(sizeof *w + bytes);
    *w = (work){.run = run, .drop = drop, .refs = 1, .device = device};
    memcpy(w->arg, arg, bytes);
    return w;
}

work *emu_computing(work *w) { return w->computes = true, w; }

void emu_work_free(work *w) {
    if (!w || --w->refs) return;
    if (w->drop) w->drop(w->arg);
    free(w);
}

op *emu_op_new(work *w, int n_after, op *const *after) {
    op *o = calloc(1, sizeof *o);
    o->refs = 1;
    o->work = w;
    o->after = malloc(((size_t)n_after + 1) * sizeof *o->after);
    for (int i = 0; i < n_after; i++)
        if (after[i] && !after[i]->done) {
            after[i]->refs++;
            o->after[o->n_after++] = after[i];
        }
    return o;
}

void emu_op_free(op *o) {
    if (!o || --o->refs) return;
    for (int i = 0; i < o->n_after; i++) emu_op_free(o->after[i]);
    emu_work_free(o->work);
    free(o->after);
    free(o);
}

static void run_now(op *o) {
    o->done = true;
    if (o->work && !(o->work->computes && emu_skips())) o->work->run(o->work->arg);
    emu_work_free(o->work);
    o->work = NULL;
    for (int i = 0; i < o->n_after; i++) emu_op_free(o->after[i]);
    o->n_after = 0;
}

/* Depth first, without recursion: a stream's work is a long chain. */
void emu_run(op *last) {
    size_t n = 0, cap = 64;
    op **stack = malloc(cap * sizeof *stack);
    if (last && !last->done) last->refs++, stack[n++] = last;
    while (n) {
        op *o = stack[n - 1];
        bool ready = true;
        int from = at_random() && o->n_after ? (int)emu_random((uint32_t)o->n_after) : 0;
        for (int i = 0; i < o->n_after && ready; i++) {
            op *before = o->after[(i + from) % o->n_after];
            if (before->done) continue;
            ready = false;
            if (n == cap) stack = realloc(stack, (cap *= 2) * sizeof *stack);
            before->refs++;
            stack[n++] = before;
        }
        if (!ready) continue;
        if (!o->done) run_now(o);
        n--;
        emu_op_free(o);
    }
    free(stack);
}

void emu_pending(op *o) {
    if (n_pending == cap_pending) pending = realloc(pending, (cap_pending = 2 * cap_pending + 256) * sizeof *pending);
    o->refs++;
    pending[n_pending++] = o;
}

static void forget(size_t i) {
    emu_op_free(pending[i]);
    pending[i] = pending[--n_pending];
}

void emu_run_all(void) {
    while (n_pending) {
        size_t i = at_random() ? emu_random((uint32_t)n_pending) : n_pending - 1;
        emu_run(pending[i]);
        forget(i);
    }
}

void emu_run_some(void) {
    while (at_random() && n_pending && emu_random(3) == 0) {
        size_t i = emu_random((uint32_t)n_pending);
        bool ready = true;
        for (int k = 0; k < pending[i]->n_after; k++) ready = ready && pending[i]->after[k]->done;
        if (ready && !pending[i]->done) emu_run(pending[i]);
        if (pending[i]->done) forget(i);
    }
    for (size_t i = n_pending; n_pending > 4096 && i-- > 0;) /* what others' waits have run */
        if (pending[i]->done) forget(i);
}

/* ---- streams ---- */

CUstream emu_stream(CUstream s) {
    if (s) return s;
    owner now;
    if (emu_current(&now) == CUDA_SUCCESS) default_stream.of = now;
    return &default_stream;
}

void emu_put(CUstream s, work *w) {
    if (s->captured) {
        int id = emu_node(s->captured, w, s->tips, s->n_tips);
        s->tips = realloc(s->tips, sizeof *s->tips);
        s->tips[0] = id;
        s->n_tips = 1;
        return;
    }
    op *o = emu_op_new(w, 1, &s->last);
    emu_op_free(s->last);
    s->last = o;
    if (emu_eager()) {
        emu_run(o);
    } else {
        emu_pending(o);
        emu_run_some();
    }
}

void emu_finish(CUstream s) {
    if (s->last) emu_run(s->last);
}

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    EMU_CALL;
    owner of;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    if (flags != CU_STREAM_NON_BLOCKING) emu_complain("a stream is made that waits for the default stream");
    *stream = calloc(1, sizeof **stream);
    (*stream)->of = of;
    (*stream)->number = ++streams;
    return CUDA_SUCCESS;
}

/* The real one returns at once and lets the work end, whose memory may go meanwhile: here that is a complaint. */
EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
    EMU_CALL;
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    CUresult code = emu_valid(&stream->of, "a stream");
    if (stream->last && !stream->last->done)
        emu_complain("stream %d is destroyed before its work has ended", stream->number);
    emu_op_free(stream->last);
    free(stream->tips);
    free(stream);
    return code;
}

EXPORT CUresult cuStreamSynchronize(CUstream stream) {
    EMU_CALL;
    int refused;
    CUstream s = emu_stream(stream);
    CUresult code = emu_valid(&s->of, "a stream");
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("wait for a stream");
    if (emu_fails("sync", CUDA_ERROR_UNKNOWN, &refused)) return (CUresult)refused;
    emu_finish(s);
    emu_note("sync %d", s->number);
    return emu_valid(&s->of, "a stream"); /* what went wrong meanwhile */
}

EXPORT CUresult cuStreamQuery(CUstream stream) {
    EMU_CALL;
    static int asked;
    CUstream s = emu_stream(stream);
    CUresult code = emu_valid(&s->of, "a stream");
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("ask a stream");
    if (++asked % 3) {
        emu_run_some();
        return CUDA_ERROR_NOT_READY;
    }
    emu_finish(s);
    emu_note("sync %d", s->number);
    return emu_valid(&s->of, "a stream");
}

/* ---- events ---- */

EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags) {
    EMU_CALL;
    (void)flags;
    owner of;
    CUresult code = emu_current(&of);
    if (code != CUDA_SUCCESS) return code;
    *event = calloc(1, sizeof **event);
    (*event)->of = of;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventDestroy_v2(CUevent event) {
    EMU_CALL;
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    CUresult code = emu_valid(&event->of, "an event");
    emu_op_free(event->at);
    free(event->tips);
    free(event);
    return code;
}

static CUresult both(CUstream s, CUevent e) {
    CUresult code = emu_valid(&s->of, "a stream");
    return code == CUDA_SUCCESS ? emu_valid(&e->of, "an event") : code;
}

EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    EMU_CALL;
    CUstream s = emu_stream(stream);
    CUresult code = both(s, event);
    if (code != CUDA_SUCCESS) return code;
    emu_op_free(event->at);
    event->at = NULL;
    event->recorded = true;
    event->stream = s->number;
    event->clock = emu_clock;
    event->captured = s->captured;
    event->n_tips = 0;
    if (s->captured) {
        event->capture = s->captured->number;
        event->tips = realloc(event->tips, ((size_t)s->n_tips + 1) * sizeof *event->tips);
        if (s->n_tips) memcpy(event->tips, s->tips, (size_t)s->n_tips * sizeof *event->tips);
        event->n_tips = s->n_tips;
        emu_note("record on %d", s->number);
    } else if (s->last) {
        s->last->refs++;
        event->at = s->last;
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventSynchronize(CUevent event) {
    EMU_CALL;
    CUresult code = emu_valid(&event->of, "an event");
    if (code != CUDA_SUCCESS) return code;
    NOT_WHILE_CAPTURING("wait for an event");
    if (event->captured) {
        emu_complain("the host waits for an event of a capture");
        return CUDA_ERROR_CAPTURED_EVENT;
    }
    if (event->at) emu_run(event->at);
    return emu_valid(&event->of, "an event");
}

#ifndef EMU_BARE
EXPORT CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) {
    EMU_CALL;
    if (!from->recorded || !to->recorded) return CUDA_ERROR_INVALID_HANDLE;
    return *ms = (float)(to->clock - from->clock), CUDA_SUCCESS;
}
#endif

/* A stream that waits for an event of a capture takes part in it from now on. */
static CUresult join(CUstream s, CUevent e) {
    struct CUgraph_st *g = emu_capturing;
    if (!g || e->captured != g || e->capture != g->number) {
        emu_complain("a stream waits for an event of a capture that has ended");
        return CUDA_ERROR_CAPTURED_EVENT;
    }
    if (!s->captured) {
        s->captured = g;
        s->n_tips = 0;
        g->joined = realloc(g->joined, ((size_t)g->n_joined + 1) * sizeof *g->joined);
        g->joined[g->n_joined++] = s;
    }
    s->tips = realloc(s->tips, ((size_t)(s->n_tips + e->n_tips) + 1) * sizeof *s->tips);
    for (int i = 0; i < e->n_tips; i++) s->tips[s->n_tips++] = e->tips[i];
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
    EMU_CALL;
    (void)flags;
    CUstream s = emu_stream(stream);
    CUresult code = both(s, event);
    if (code != CUDA_SUCCESS) return code;
    emu_note("stream %d waits for %d", s->number, event->stream);
    if (event->captured) return join(s, event);
    if (s->captured) {
        emu_complain("a captured stream waits for an event outside of the capture");
        s->captured->broken = true;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (!event->at || event->at->done) return CUDA_SUCCESS;
    op *o = emu_op_new(NULL, 2, (op *const[]){s->last, event->at});
    emu_op_free(s->last);
    s->last = o;
    emu_pending(o);
    return CUDA_SUCCESS;
}
