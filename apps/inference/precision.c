/* The precision of a run over scans, by name. */
#include "inference/precision.h"

#include <string.h>

static const char *const names[] = {[RUN_F32] = "f32", [RUN_BF16] = "bf16", [RUN_INT8] = "int8"};

int precision_find(const char *text, run_precision *ret) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text, names[i])) return *ret = (run_precision)i, 1;
    return 0;
}

const char *precision_name(run_precision precision) { return names[precision]; }

hct_status precision_set(params *p, run_precision precision, hct_err *err) {
    if (precision == RUN_INT8 && strcmp(hct_device_backend(p->dev), "cpu") != 0)
        return hct_fail(err, HCT_EINVAL,
                        "--precision int8: is there on the CPU alone; with --device %s leave it out, or take bf16",
                        hct_device_backend(p->dev));
    p->int8 = precision == RUN_INT8;
    return params_compute(p, precision == RUN_BF16 ? HCT_BF16 : HCT_F32, err);
}
