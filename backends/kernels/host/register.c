/* Planners as kernels of a backend. */
#include "launch.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 256 };

const hk_op *const hk_library_families[] = {hk_products, hk_conv, NULL};

/* Whether an op's plan is right for one rank only, and belongs to no device of a job with several. */
static int alone(const hk_op *op) { return !strncmp(op->op, "all_reduce", 10); }

static hct_status add(const hct_host *host, const hct_kernel *like, const char *prefix, const hk_op *op, hct_err *err) {
    static hct_kernel kernels[MOST]; /* they live as long as the process */
    static char names[MOST][48];
    static int n;
    int i = 0;
    char name[48];
    snprintf(name, sizeof name, "%s:%s", prefix, op->op);
    while (i < n && strcmp(names[i], name) != 0) i++; /* a second context takes the same ones */
    if (i == MOST) return hct_plugin_fail(err, HCT_ENOMEM, "too many kernels");
    if (i == n) {
        n++;
        memcpy(names[i], name, sizeof name);
        kernels[i] = *like;
        kernels[i].size = sizeof(hct_kernel);
        kernels[i].name = names[i];
        kernels[i].op = op->op;
        if (!like->dtypes) kernels[i].dtypes = op->dtypes;
    }
    return host->add_kernel(host, &kernels[i], err);
}

hct_status hk_add_kernels(const hct_host *host, const hk_op *const *families, const hct_kernel *like,
                          const char *prefix, int several_ranks, hct_err *err) {
    hct_status st = HCT_OK;
    for (const hk_op *const *f = families; *f; f++)
        for (const hk_op *op = *f; st == HCT_OK && op->op; op++)
            if (!(several_ranks && alone(op))) st = add(host, like, prefix, op, err);
    return st;
}
