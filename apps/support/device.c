/* Opening a device by name, or as the environment and the rank say. */
#include "support/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/comm.h"

/* Ranks of one machine take its devices in turn, where none is named by number. */
static const char *device_of_rank(const hct_ctx *ctx, const char *spec, char own[64]) {
    const hct_comm *c = hct_comm_world();
    if (!c || strchr(spec, ':')) return spec;
    int devices = 0;
    char text[256];
    hct_err ignored;
    for (size_t i = 0; i < hct_backend_count(ctx); i++)
        if (!strcmp(hct_backend_at(ctx, i)->name, spec))
            while (hct_backend_at(ctx, i)->probe(devices, text, sizeof text, &ignored) == HCT_OK) devices++;
    if (devices < 2) return spec;
    snprintf(own, 64, "%s:%d", spec, c->local_rank % devices);
    return own;
}

hct_dev *device_open(const char *spec, hct_err *err) {
    hct_ctx *ctx = hct_open(NULL, err);
    char own[64];
    int open = !spec || !*spec || !strcmp(spec, "auto");
    const char *env = getenv("HEADCT_DEVICE");
    if (open) spec = env && *env ? env : "cpu";
    if (ctx) spec = device_of_rank(ctx, spec, own);
    hct_dev *dev = ctx ? hct_device_open(ctx, spec, err) : NULL;
    if (!dev) hct_close(ctx);
    return dev;
}

void device_close(hct_dev *dev) {
    if (!dev) return;
    hct_ctx *ctx = hct_device_context(dev);
    hct_device_close(dev);
    hct_close(ctx);
}
