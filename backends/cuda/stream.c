/* Streams and captured graphs. */
#include "gpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CUresult make_stage(hct_stream *s, int k) {
    void *at = NULL;
    CUresult code = cu->cuMemHostAlloc(&at, CUDA_STAGE, 0);
    s->stage[k] = at;
    return code == CUDA_SUCCESS ? cu->cuEventCreate(&s->staged[k], CU_EVENT_DISABLE_TIMING) : code;
}

hct_status cuda_stream_new(hct_device *d, hct_stream **ret, hct_err *err) {
    hct_stream *s = calloc(1, sizeof *s);
    if (!s) return hct_plugin_fail(err, HCT_ENOMEM, "out of memory");
    s->device = d;
    void *complaint = NULL;
    CUresult code = cuda_enter(d);
    if (code == CUDA_SUCCESS) code = cu->cuStreamCreate(&s->stream, CU_STREAM_NON_BLOCKING);
    if (code == CUDA_SUCCESS) code = cu->cuStreamCreate(&s->side, CU_STREAM_NON_BLOCKING);
    if (code == CUDA_SUCCESS) code = cu->cuEventCreate(&s->here, CU_EVENT_DISABLE_TIMING);
    if (code == CUDA_SUCCESS) code = cu->cuEventCreate(&s->there, CU_EVENT_DISABLE_TIMING);
    if (code == CUDA_SUCCESS) code = cu->cuEventCreate(&s->reached, CU_EVENT_DISABLE_TIMING);
    for (int k = 0; code == CUDA_SUCCESS && k < 2; k++)
        code = cu->cuEventCreate(&s->crossing[k], CU_EVENT_DISABLE_TIMING);
    for (int k = 0; code == CUDA_SUCCESS && k < CUDA_STAGES; k++) code = make_stage(s, k);
    if (code == CUDA_SUCCESS) code = cu->cuMemHostAlloc(&complaint, 4 * sizeof(int32_t), 0);
    s->complaint = complaint;
    if (code != CUDA_SUCCESS) {
        cuda_stream_free(s);
        return cuda_fail(err, code, "making a stream");
    }
    s->shown = (hct_cuda_stream){sizeof s->shown, s->stream, &d->shown};
    pthread_mutex_lock(&cuda_lock);
    s->next = d->streams;
    d->streams = s;
    pthread_mutex_unlock(&cuda_lock);
    *ret = s;
    return HCT_OK;
}

void cuda_stream_free(hct_stream *s) {
    pthread_mutex_lock(&cuda_lock);
    for (hct_stream **at = &s->device->streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    pthread_mutex_unlock(&cuda_lock);
    cuda_enter(s->device);
    if (s->stream && !s->failed) cu->cuStreamSynchronize(s->stream);
    if (s->side && !s->failed) cu->cuStreamSynchronize(s->side); /* an exchange that nothing waited for */
    for (int k = 0; k < CUDA_STAGES; k++) {
        if (s->staged[k]) cu->cuEventDestroy(s->staged[k]);
        if (s->stage[k]) cu->cuMemFreeHost(s->stage[k]);
    }
    if (s->complaint) cu->cuMemFreeHost(s->complaint);
    if (s->here) cu->cuEventDestroy(s->here);
    if (s->there) cu->cuEventDestroy(s->there);
    if (s->reached) cu->cuEventDestroy(s->reached);
    for (int k = 0; k < 2; k++)
        if (s->crossing[k]) cu->cuEventDestroy(s->crossing[k]);
    if (s->side) cu->cuStreamDestroy(s->side);
    if (s->stream) cu->cuStreamDestroy(s->stream);
    free(s);
}

/* With several ranks the wait looks at NCCL's state too: a rank that died would otherwise be waited for without end. */
static CUresult wait(hct_stream *s, hct_status *ret_state, hct_err *err) {
    *ret_state = HCT_OK;
    if (!cuda_comm) return cu->cuStreamSynchronize(s->stream);
    CUresult code;
    while ((code = cu->cuStreamQuery(s->stream)) == CUDA_ERROR_NOT_READY) {
        if ((*ret_state = cuda_collective_state(err)) < 0) return CUDA_SUCCESS;
        sched_yield();
    }
    return code;
}

hct_status cuda_stream_sync(hct_stream *s, hct_err *err) {
    hct_status st = HCT_OK;
    if (s->failed) return hct_plugin_fail(err, HCT_EDEVICE, "CUDA: the device failed before");
    double start = cuda_time(s->device);
    CUresult code = cuda_enter(s->device);
    if (code == CUDA_SUCCESS) code = wait(s, &st, err);
    s->device->times.waits += cuda_time(s->device) - start;
    if (st < 0) {
        s->failed = 1;
        return st;
    }
    if (code == CUDA_SUCCESS && s->uses_status) {
        code = cu->cuMemcpyDtoHAsync(s->complaint, s->device->status, 4 * sizeof(int32_t), s->stream);
        if (code == CUDA_SUCCESS) code = cu->cuStreamSynchronize(s->stream);
    }
    if (code != CUDA_SUCCESS) {
        s->failed = cuda_is_lost(code);
        return cuda_fail(err, code, "waiting for the device");
    }
    if (!s->uses_status || !s->complaint[0]) return HCT_OK;
    cu->cuMemsetD8Async(s->device->status, 0, 4 * sizeof(int32_t), s->stream);
    return hct_plugin_fail(err, HCT_EINVAL, "%s: %d of them, one is %d", hk_complaint(s->complaint[1]), s->complaint[0],
                           s->complaint[2]);
}

hct_status cuda_stream_after(hct_stream *s, hct_stream *other, hct_err *err) {
    if (s->failed || other->failed) return hct_plugin_fail(err, HCT_EDEVICE, "CUDA: the device failed before");
    CUresult code = cuda_enter(s->device);
    if (code == CUDA_SUCCESS) code = cu->cuEventRecord(other->reached, other->stream);
    if (code == CUDA_SUCCESS) code = cu->cuStreamWaitEvent(s->stream, other->reached, 0);
    return code == CUDA_SUCCESS ? HCT_OK : cuda_fail(err, code, "ordering two streams");
}

CUresult cuda_order_all(hct_device *d) {
    CUresult code = cuda_enter(d);
    for (hct_stream *s = d->streams; s && code == CUDA_SUCCESS; s = s->next) {
        if (s->failed || s->capturing) continue; /* while it is captured, nothing of its own takes memory */
        code = cu->cuEventRecord(s->crossing[0], s->stream);
        if (code == CUDA_SUCCESS && cuda_comm) code = cu->cuEventRecord(s->crossing[1], s->side);
        if (code == CUDA_SUCCESS && cuda_comm) code = cu->cuStreamWaitEvent(s->stream, s->crossing[1], 0);
    }
    for (hct_stream *s = d->streams; s && code == CUDA_SUCCESS; s = s->next)
        for (hct_stream *o = d->streams; o && code == CUDA_SUCCESS; o = o->next) {
            if (s == o || s->failed || s->capturing || o->failed || o->capturing) continue;
            code = cu->cuStreamWaitEvent(s->stream, o->crossing[0], 0);
            if (code == CUDA_SUCCESS && cuda_comm) code = cu->cuStreamWaitEvent(s->stream, o->crossing[1], 0);
        }
    return code;
}

hct_status cuda_capture_begin(hct_stream *s, hct_err *err) {
    CUresult code = cuda_enter(s->device);
    if (code == CUDA_SUCCESS) code = cu->cuStreamBeginCapture(s->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    s->capturing = code == CUDA_SUCCESS;
    return s->capturing ? HCT_OK : cuda_fail(err, code, "beginning to capture a step");
}

hct_status cuda_capture_end(hct_stream *s, void **ret_graph, hct_err *err) {
    CUgraph graph = NULL;
    CUgraphExec ready = NULL;
    s->capturing = 0;
    cuda_enter(s->device);
    CUresult code = cu->cuStreamEndCapture(s->stream, &graph);
    if (code == CUDA_SUCCESS) code = cu->cuGraphInstantiate(&ready, graph, 0);
    if (graph) cu->cuGraphDestroy(graph);
    if (code != CUDA_SUCCESS) return cuda_fail(err, code, "capturing a step");
    *ret_graph = ready;
    return HCT_OK;
}

hct_status cuda_graph_launch(hct_stream *s, void *graph, hct_err *err) {
    if (s->failed) return hct_plugin_fail(err, HCT_EDEVICE, "CUDA: the device failed before");
    CUresult code = cuda_enter(s->device);
    if (code == CUDA_SUCCESS) code = cu->cuGraphLaunch(graph, s->stream);
    s->device->times.graphs++;
    return code == CUDA_SUCCESS ? HCT_OK : cuda_fail(err, code, "starting a captured step");
}

void cuda_graph_free(hct_stream *s, void *graph) {
    cuda_enter(s->device);
    if (!s->failed) cu->cuStreamSynchronize(s->stream);
    cu->cuGraphExecDestroy(graph);
}
