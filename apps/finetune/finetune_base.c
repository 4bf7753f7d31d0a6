/* What many fits share. */
#include <stdlib.h>
#include <string.h>

#include "finetune/finetune.h"
#include "models/build.h"
#include "run/model.h"

static hct_status open_encoder(const recipe *r, finetune_base *b, hct_err *err) {
    const char *path = r->finetune.weights;
    if (!*path && r->finetune.init == START_WEIGHTS)
        return hct_fail(err, HCT_EINVAL,
                        "finetune.weights is not set; name a weights file (--weights), or set finetune.init=random to "
                        "train from scratch");
    if (!*path) return model_of_recipe(r, NULL, &b->info, err);
    if (!(b->encoder = model_open(b->dev, path, &b->info, err))) return err ? err->code : HCT_EFORMAT;
    hct_status st = weights_hash(b->encoder, b->info.parent, err);
    if (r->finetune.init == START_RANDOM) { /* its sizes, other values */
        params_free(b->encoder);
        b->encoder = NULL;
        *b->info.parent = '\0';
    }
    return st;
}

hct_status finetune_open(const recipe *r, hct_dev *dev, const dataset *d, finetune_base *ret, hct_err *err) {
    *ret = (finetune_base){.dev = dev, .data = d};
    hct_status st = open_encoder(r, ret, err);
    if (st == HCT_OK) {
        const loader_options lo = {.input = ret->info.encoder.input,
                                   .threads = (int)r->train.workers,
                                   .disk_cache = r->train.disk_cache,
                                   .cache_bytes = (size_t)r->train.cache_mb << 20};
        if (!(ret->load = loader_new(d, &lo, err))) st = err ? err->code : HCT_ENOMEM;
    }
    if (st < 0) finetune_close(ret);
    return st;
}

void finetune_close(finetune_base *b) {
    loader_free(b->load);
    params_free(b->encoder);
    *b = (finetune_base){0};
}
