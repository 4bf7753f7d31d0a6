/* Declaring what a description asks for, and filling it from a seed or a file. */
#include "models/build.h"

#include <stdio.h>

#include "models/probe.h"

/* The tensors of a model, all 0 but for tables that follow from its sizes. */
static params *declare(hct_dev *dev, const model_info *info, hct_err *err) {
    params *p = params_new(dev);
    const encoder *e = &info->encoder;
    int pretrains = info->role == MODEL_PRETRAINING;
    hct_status st = p ? encoder_check(e, err) : hct_fail(err, HCT_ENOMEM, "out of memory for the model");
    if (st == HCT_OK && pretrains) st = pretext_check(&info->pretext, e, err);
    if (st == HCT_OK) {
        if (pretrains) info->pretext.kind->declare(p, &info->pretext, e);
        else e->kind->declare(p, e);
        for (int i = 0; info->role == MODEL_CLASSIFIER && i < info->n_tasks; i++) {
            char prefix[MODEL_NAME + 8];
            snprintf(prefix, sizeof prefix, "head.%s.", info->task[i]);
            head_declare(p, prefix, encoder_width(e), 2, info->probe_heads);
        }
        st = params_check(p, err);
    }
    if (st == HCT_OK) return p;
    params_free(p);
    return NULL;
}

params *model_new(hct_dev *dev, const model_info *info, uint64_t seed, hct_err *err) {
    params *p = declare(dev, info, err);
    hct_status st = p ? params_init(p, seed, err) : HCT_EINVAL;
    if (st == HCT_OK && info->role == MODEL_PRETRAINING && info->pretext.kind->begin)
        st = info->pretext.kind->begin(p, err);
    if (st == HCT_OK) return p;
    params_free(p);
    return NULL;
}

params *model_of_file(hct_dev *dev, const hct_st_file *f, const char *path, const model_info *info, int quiet,
                      hct_err *err) {
    params *p = declare(dev, info, err); /* the file has every tensor: nothing is drawn */
    if (!p) return NULL;
    load_report report = {0};
    hct_status st = encoder_load(p, &info->encoder, f, path, "", &report, err);
    if (!quiet) load_report_print(&report, path);
    if (st == HCT_OK && report.missing)
        st = hct_fail(err, HCT_EFORMAT, "%s: %zu tensors of its model are missing (first: %s)", path, report.missing,
                      report.first_missing);
    if (st == HCT_OK) return p;
    params_free(p);
    return NULL;
}

params *model_open(hct_dev *dev, const char *path, model_info *ret_info, hct_err *err) {
    hct_st_file *f = hct_st_open(path, err);
    hct_status st = f ? weights_info(f, path, ret_info, err) : HCT_EIO;
    params *p = st == HCT_OK ? model_of_file(dev, f, path, ret_info, 0, err) : NULL;
    hct_st_close(f);
    return p;
}
