/* headct backends: what was found, and what each can do. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands/command.h"
#include "hct/hct.h"
#include "hct/log.h"

static const char doc[] =
    "Lists the backends and plugins that are loaded, the devices each backend sees, the libraries "
    "it opens (version, file, or why not), how many ops it has kernels for and which are missing.\v"
    "Example:\n  headct backends\n\n"
    "Plugins are looked for in each folder of HCT_PLUGIN_PATH, then in the installed plugin "
    "folder. HCT_VERBOSE=dispatch prints which kernel "
    "is chosen for each call and why others refuse; HCT_KERNEL=op=name forces one. What is "
    "unknown in them is said on stderr.";

enum { OPT_KERNELS = 256 };

static const struct argp_option options[] = {
    {"kernels", OPT_KERNELS, NULL, 0, "list every kernel by name and priority", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    (void)arg;
    if (key != OPT_KERNELS) return ARGP_ERR_UNKNOWN;
    *(int *)state->input = 1;
    return 0;
}

static int has_kernel(const hct_ctx *ctx, const char *backend, const char *op) {
    for (size_t i = 0; i < hct_kernel_count(ctx); i++)
        if (!strcmp(hct_kernel_at(ctx, i)->op, op) && !strcmp(hct_kernel_at(ctx, i)->backend, backend)) return 1;
    return 0;
}

static void print_backend(const hct_ctx *ctx, const hct_backend *b, int kernels) {
    printf("backend %s\n", b->name);
    hct_err err = {0, ""};
    char text[512];
    int devices = 0;
    while (b->probe(devices, text, sizeof text, &err) == HCT_OK)
        printf("  device %s:%d  %s\n", b->name, devices, text), devices++;
    if (!devices) printf("  no device: %s\n", err.msg);
    for (int i = 0; HCT_HAS(b, library) && b->library(i, text, sizeof text, &err) == HCT_OK; i++)
        printf("  library %s\n", text);
    size_t have = 0, ops = 0;
    char missing[1024] = "";
    for (size_t i = 0; i < hct_op_count(ctx); i++) {
        const hct_op *op = hct_op_at(ctx, i);
        if (op->flags & HCT_OP_VIEW) continue;
        ops++;
        int here = has_kernel(ctx, b->name, op->name);
        have += (size_t)here;
        size_t used = strlen(missing);
        if (!here) snprintf(missing + used, sizeof missing - used, " %s", op->name);
    }
    printf("  kernels for %zu of %zu ops%s%s\n", have, ops, *missing ? "; missing:" : "", missing);
    for (size_t i = 0; kernels && i < hct_kernel_count(ctx); i++) {
        const hct_kernel *k = hct_kernel_at(ctx, i);
        if (!strcmp(k->backend, b->name)) printf("    %-20s %-28s priority %d\n", k->op, k->name, k->priority);
    }
}

int command_backends(int argc, char **argv) {
    int kernels = 0;
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &kernels);
    hct_err err = {0, ""};
    hct_ctx *ctx = hct_open(NULL, &err);
    if (!ctx) return command_end(argv[0], err.code, &err);
    for (size_t i = 0; i < hct_backend_count(ctx); i++) print_backend(ctx, hct_backend_at(ctx, i), kernels);
    for (size_t i = 0; i < hct_plugin_count(ctx); i++) {
        const char *path;
        const hct_plugin *p = hct_plugin_at(ctx, i, &path);
        printf("plugin %s %s  %s\n", p->name, p->version, path);
    }
    int none = hct_backend_count(ctx) == 0;
    if (none)
        hct_log(HCT_LOG_WARNING,
                "headct backends: none is loaded; set HCT_PLUGIN_PATH to the folder that holds hct_backend_cpu.so");
    hct_close(ctx);
    return none ? EXIT_ERROR : EXIT_OK;
}
