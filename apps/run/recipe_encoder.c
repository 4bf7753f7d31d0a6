/* A recipe takes over what a weights file decides. */
#include "run/recipe_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "models/weights.h"
#include "recipe/recipe_keys.h"

enum { DECIDED = 64 };

/* The keys that an encoder decides, and their values in *from. */
static hct_status fill(recipe *from, const encoder *e, const char *keys[DECIDED], int *ret_n, hct_err *err) {
    const input_spec *s = &e->input;
    int n = 0;
    from->data.windows.n = s->n_windows;
    for (int i = 0; i < s->n_windows; i++)
        from->data.windows.at[i] = (recipe_window){s->window[i].centre, s->window[i].width};
    keys[n++] = "data.windows";
    if (!e->kind->own_input) { /* a volume of its own is no cube that these could describe */
        from->data.crop = s->crop[0];
        from->data.image = s->size[0];
        keys[n++] = "data.crop";
        keys[n++] = "data.image";
    }
    keys[n++] = "model.kind";
    hct_status st = recipe_set_key(from, "model.kind", e->kind->name, err);
    for (const model_field *f = e->kind->fields; st == HCT_OK && f->name && n < DECIDED; f++) {
        if (!f->key) continue;
        st = recipe_put_number(from, f->key, field_get(f, e->own), err);
        keys[n++] = f->key;
    }
    *ret_n = n;
    return st;
}

/* One key from `from` to r. */
static hct_status take(recipe *r, const recipe *from, const char *path, const char *weights, hct_err *err) {
    const recipe_key *k = recipe_key_find(path, strlen(path));
    text_buffer now = {0}, wanted = {0};
    recipe_key_text(k, r, &now);
    recipe_key_text(k, from, &wanted);
    const char *a = text_get(&now, path, err), *b = a ? text_get(&wanted, path, err) : NULL;
    hct_status st = b ? HCT_OK : HCT_ENOMEM;
    if (st == HCT_OK && strcmp(a, b) != 0)
        st = r->given[k - recipe_keys] ? hct_fail(err, HCT_EINVAL,
                                                  "%s: the recipe says %s, but the encoder of %s was made with %s; "
                                                  "leave the key out, or name other weights",
                                                  path, a, weights, b)
                                       : recipe_key_assign(k, b, r, err);
    text_free(&now);
    text_free(&wanted);
    return st;
}

hct_status recipe_take_weights(recipe *r, const char *weights, hct_err *err) {
    hct_st_file *f = hct_st_open(weights, err);
    if (!f) return err->code;
    model_info info;
    recipe own = *r, from = *r;
    const char *keys[DECIDED];
    int n = 0;
    hct_status st = weights_info(f, weights, &info, err);
    hct_st_close(f);
    if (st == HCT_OK) st = fill(&from, &info.encoder, keys, &n, err);
    for (int i = 0; st == HCT_OK && i < n; i++) st = take(&own, &from, keys[i], weights, err);
    if (st == HCT_OK) *r = own;
    return st;
}

hct_status recipe_take_encoder(recipe *r, hct_err *err) {
    const char *weights = recipe_probes(r)      ? r->probe.weights
                          : recipe_finetunes(r) ? r->finetune.weights
                                                : r->model.weights;
    return *weights ? recipe_take_weights(r, weights, err) : HCT_OK;
}
