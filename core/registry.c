/* The registry: which ops, kernels, and backends exist, and the host table that plugins register through. */
#include "internal.h"
#include "hct/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hct_grow(void **array, size_t count, size_t *capacity, size_t item_size) {
    if (count < *capacity) return 1;
    size_t cap = *capacity ? *capacity * 2 : 16;
    void *p = realloc(*array, cap * item_size);
    if (!p) return 0;
    *array = p;
    *capacity = cap;
    return 1;
}

static hct_ctx *ctx_of(const hct_host *h) { return h->self; }

static hct_status out_of_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "out of memory in the registry"); }

static hct_status add_op(const hct_host *host, const hct_op *op, hct_err *err) {
    hct_ctx *ctx = ctx_of(host);
    if (!op || !HCT_HAS(op, name) || !HCT_HAS(op, infer))
        return hct_fail(err, HCT_EVERSION, "an op without name or shape rule (struct size %u) is refused",
                        op ? op->size : 0);
    if (hct_op_find(ctx, op->name)) return hct_fail(err, HCT_EINVAL, "op '%s' is there already", op->name);
    return HCT_PUSH(ctx->ops, ctx->n_ops, ctx->cap_ops, op) ? HCT_OK : out_of_memory(err);
}

static hct_status add_kernel(const hct_host *host, const hct_kernel *k, hct_err *err) {
    hct_ctx *ctx = ctx_of(host);
    if (!k || !HCT_HAS(k, name) || !HCT_HAS(k, op) || !HCT_HAS(k, backend) || !HCT_HAS(k, plan) || !HCT_HAS(k, run))
        return hct_fail(err, HCT_EVERSION,
                        "a kernel without name, op, backend, plan or run (struct size %u) is refused", k ? k->size : 0);
    if (!HCT_PUSH(ctx->kernels, ctx->n_kernels, ctx->cap_kernels, k)) return out_of_memory(err);
    size_t i = ctx->n_kernels - 1;
    for (; i > 0 && ctx->kernels[i - 1]->priority < k->priority; i--) ctx->kernels[i] = ctx->kernels[i - 1];
    ctx->kernels[i] = k;
    return HCT_OK;
}

static hct_status add_backend(const hct_host *host, const hct_backend *b, hct_err *err) {
    hct_ctx *ctx = ctx_of(host);
    if (!b || !HCT_HAS(b, name) || !HCT_HAS(b, probe) || !HCT_HAS(b, open) || !HCT_HAS(b, close) ||
        !HCT_HAS(b, alloc) || !HCT_HAS(b, free) || !HCT_HAS(b, copy) || !HCT_HAS(b, stream_new) ||
        !HCT_HAS(b, stream_sync) || !HCT_HAS(b, stream_free))
        return hct_fail(err, HCT_EVERSION, "a backend that lacks a required function (struct size %u) is refused",
                        b ? b->size : 0);
    for (size_t i = 0; i < ctx->n_backends; i++)
        if (!strcmp(ctx->backends[i]->name, b->name))
            return hct_fail(err, HCT_EINVAL, "backend '%s' is there already", b->name);
    return HCT_PUSH(ctx->backends, ctx->n_backends, ctx->cap_backends, b) ? HCT_OK : out_of_memory(err);
}

static void log_line(const hct_host *host, const char *line) {
    (void)host;
    hct_log(HCT_LOG_INFO, "headct: %s", line);
}

hct_status hct_registry_init(hct_ctx *ctx, hct_err *err) {
    ctx->host = (hct_host){.size = sizeof ctx->host,
                           .major = HCT_MAJOR,
                           .minor = HCT_MINOR,
                           .self = ctx,
                           .add_backend = add_backend,
                           .add_op = add_op,
                           .add_kernel = add_kernel,
                           .log = log_line,
                           .comm = hct_comm_world()};
    hct_host_fill_tape(&ctx->host);
    return hct_register_core_ops(ctx, err);
}

hct_ctx *hct_open(const hct_options *options, hct_err *err) {
    hct_ctx *ctx = calloc(1, sizeof *ctx);
    if (!ctx) {
        out_of_memory(err);
        return NULL;
    }
    hct_settings_read(ctx);
    if (hct_registry_init(ctx, err) < 0) goto fail;
    for (size_t i = 0; options && i < options->n_plugins; i++)
        if (hct_load_plugin(ctx, options->plugins[i], err) < 0) goto fail;
    hct_load_default(ctx);
    return ctx;
fail:
    hct_close(ctx);
    return NULL;
}

void hct_close(hct_ctx *ctx) {
    if (!ctx) return;
    for (size_t i = 0; i < ctx->n_plugins; i++) free(ctx->plugins[i].path);
    free(ctx->plugins);
    free(ctx->ops);
    free(ctx->kernels);
    free(ctx->backends);
    free(ctx->force);
    free(ctx);
}

size_t hct_op_count(const hct_ctx *ctx) { return ctx->n_ops; }
const hct_op *hct_op_at(const hct_ctx *ctx, size_t i) { return i < ctx->n_ops ? ctx->ops[i] : NULL; }
const hct_op *hct_op_find(const hct_ctx *ctx, const char *name) {
    for (size_t i = 0; i < ctx->n_ops; i++)
        if (!strcmp(ctx->ops[i]->name, name)) return ctx->ops[i];
    return NULL;
}
size_t hct_kernel_count(const hct_ctx *ctx) { return ctx->n_kernels; }
const hct_kernel *hct_kernel_at(const hct_ctx *ctx, size_t i) { return i < ctx->n_kernels ? ctx->kernels[i] : NULL; }
size_t hct_backend_count(const hct_ctx *ctx) { return ctx->n_backends; }
const hct_backend *hct_backend_at(const hct_ctx *ctx, size_t i) {
    return i < ctx->n_backends ? ctx->backends[i] : NULL;
}
size_t hct_plugin_count(const hct_ctx *ctx) { return ctx->n_plugins; }
const hct_plugin *hct_plugin_at(const hct_ctx *ctx, size_t i, const char **ret_path) {
    if (i >= ctx->n_plugins) return NULL;
    if (ret_path) *ret_path = ctx->plugins[i].path;
    return ctx->plugins[i].desc;
}
