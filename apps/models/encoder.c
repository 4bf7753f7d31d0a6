/* The table of encoders, and what is the same for all of them. */
#include "models/encoder.h"

#include <stdlib.h>
#include <string.h>

#include "models/hlip.h"
#include "models/resnet3d.h"
#include "models/segresnet.h"
#include "models/vit_encoder.h"

/* A build may add rows of its own: -DEXTRA_ENCODERS='&mine,' -DEXTRA_ENCODERS_HEADER='"mine.h"'. */
#ifdef EXTRA_ENCODERS_HEADER
#include EXTRA_ENCODERS_HEADER
#endif
#ifndef EXTRA_ENCODERS
#define EXTRA_ENCODERS
#endif

const encoder_kind *const encoder_kinds[] = {&encoder_vit,   &encoder_resnet3d, &encoder_merlin,
                                             &encoder_ct_fm, &encoder_hlip,     EXTRA_ENCODERS NULL};

const encoder_kind *encoder_find(const char *name) {
    for (const encoder_kind *const *k = encoder_kinds; *k; k++)
        if (!strcmp((*k)->name, name)) return *k;
    return NULL;
}

encoder encoder_default(const encoder_kind *kind) {
    encoder e = {.kind = kind};
    if (kind->size > ENCODER_OWN) abort(); /* a row that cannot be: seen by the first test that touches it */
    kind->defaults(&e);
    return e;
}

hct_status encoder_check(const encoder *e, hct_err *err) {
    hct_status st = input_check(&e->input, err);
    for (const model_field *f = e->kind->fields; st == HCT_OK && f->name; f++) {
        double v = field_get(f, e->own);
        if (!(v >= f->low && v <= f->high))
            st = hct_fail(err, HCT_EINVAL, "model: %s is %g; %g to %g are possible", f->name, v, f->low, f->high);
    }
    return st == HCT_OK ? e->kind->check(e, err) : st;
}

hct_status encoder_load(params *p, const encoder *e, const hct_st_file *f, const char *path, const char *prefix,
                        load_report *report, hct_err *err) {
    return e->kind->load ? e->kind->load(p, e, f, path, prefix, report, err)
                         : params_load(p, f, path, prefix, report, err);
}
