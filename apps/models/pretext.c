/* The table of pretext tasks. */
#include "models/pretext.h"

#include <string.h>

#include "models/dino.h"
#include "models/vit_mae.h"

const pretext_kind *const pretext_kinds[] = {&pretext_mae, &pretext_dino, NULL};

const pretext_kind *pretext_find(const char *name) {
    for (const pretext_kind *const *k = pretext_kinds; *k; k++)
        if (!strcmp((*k)->name, name)) return *k;
    return NULL;
}

hct_status pretext_check(const pretext *x, const encoder *e, hct_err *err) {
    for (const model_field *f = x->kind->fields; f->name; f++) {
        double v = field_get(f, x->own);
        if (!(v >= f->low && v <= f->high))
            return hct_fail(err, HCT_EINVAL, "%s: %s is %g; %g to %g are possible", x->kind->name, f->name, v, f->low,
                            f->high);
    }
    return x->kind->check(x, e, err);
}
