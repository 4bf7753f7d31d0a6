/* Family checkpoint: genuine files of torch.save through our reader. What stands beside the tensors, every tensor
 * that a plain model takes over, its outputs after `headct import`'s code, a classifier's head, AdamW's moments by
 * name. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "model.h"
#include "models/geometry.h"
#include "scratch.h"
#include "tap.h"
#include "models/build.h"
#include "models/vit_encoder.h"
#include "training/optimizer.h"
#include "weights/import.h"

static const golden_tol EXACT = {0, 0, -1};

typedef struct bench {
    const golden_case *c;
    const cJSON *file; /* its object; string: its name */
    hct_dev *dev;
    char path[1200];
    torch_file *f;
    const pickle *p;
} bench;

static const char *label(const bench *b, const char *what) {
    static char text[300];
    snprintf(text, sizeof text, "%s: %s", b->file->string, what);
    return text;
}

static const cJSON *member(const cJSON *j, const char *key) { return cJSON_GetObjectItemCaseSensitive(j, key); }

static hct_st_file *expected(const bench *b, const char *stem) {
    char name[200];
    golden_case named = *b->c;
    snprintf(name, sizeof name, "%s_expected", stem);
    snprintf(named.name, sizeof named.name, "%s", name);
    return golden_tensors(&named, "");
}

/* Key i of a dict, as JSON lists them. */
static int key_is(const bench *b, pickle_id dict, uint32_t i, const cJSON *want) {
    const pickle_value *d = pickle_at(b->p, dict);
    return d->kind == PICKLE_DICT && 2 * i + 1 < d->n && cJSON_IsString(want) &&
           pickle_is_text(b->p, d->item[2 * i], want->valuestring);
}

static void check_contents(const bench *b) {
    pickle_id root = pickle_root(b->p), dict = pickle_member(b->p, root, "state_dict"),
              teacher = pickle_member(b->p, root, "momentum_model_state_dict");
    const cJSON *keys = member(b->file, "top_level_keys"), *first = member(b->file, "first_keys"),
                *last = member(b->file, "last_keys");
    uint32_t tensors = pickle_at(b->p, dict)->kind == PICKLE_DICT ? pickle_at(b->p, dict)->n / 2 : 0, same = 0;
    int n = cJSON_GetArraySize(keys), n_first = cJSON_GetArraySize(first), n_last = cJSON_GetArraySize(last);
    for (int i = 0; i < n; i++) same += (uint32_t)key_is(b, root, (uint32_t)i, cJSON_GetArrayItem(keys, i));
    for (int i = 0; i < n_first; i++) same += (uint32_t)key_is(b, dict, (uint32_t)i, cJSON_GetArrayItem(first, i));
    for (int i = 0; i < n_last; i++)
        same += (uint32_t)key_is(b, dict, tensors - (uint32_t)(n_last - i), cJSON_GetArrayItem(last, i));
    golden_check_number(b->c, label(b, "keys as listed"), same, n + n_first + n_last, EXACT);
    golden_check_number(b->c, label(b, "tensors"), tensors, golden_number(b->file, "state_dict_tensors"), EXACT);
    const cJSON *momentum = member(b->file, "momentum");
    const pickle_value *t = pickle_at(b->p, teacher);
    golden_check_number(b->c, label(b, "tensors of the teacher"), t->kind == PICKLE_DICT ? (double)(t->n / 2) : -1,
                        cJSON_IsNumber(momentum) ? momentum->valuedouble : -1, EXACT);
    static const char *const numbers[] = {"epoch", "best_loss"};
    for (int i = 0; i < 2; i++) {
        double v = NAN;
        torch_number(b->f, pickle_member(b->p, root, numbers[i]), &v);
        golden_check_number(b->c, label(b, numbers[i]), v, golden_value(member(b->file, numbers[i])), EXACT);
    }
}

/* "w.NAME" of f against entries of the same names; every one of them, and those alone where `all`. */
static void check_entries(const bench *b, const hct_st_file *f, const char *prefix, const hct_st_entry *sorted,
                          size_t n) {
    for (size_t i = 0; i < hct_st_count(f); i++) {
        const char *name = hct_st_at(f, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        const hct_st_entry *e = geometry_find(sorted, n, name + strlen(prefix));
        size_t want_n, got_n = e ? hct_st_elements(e) : 0;
        double *want = golden_f64(f, name, &want_n), *got = calloc(got_n + 1, sizeof *got);
        if (e) hct_st_to_f64(e, got, NULL);
        golden_check_f64(b->c, label(b, name), got, got_n, want, want_n, EXACT);
        free(want);
        free(got);
    }
}

static int listed(const cJSON *names, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, names) if (!strcmp(item->valuestring, name)) return 1;
    return 0;
}

/* What the file holds beyond the model. */
static void check_unused(const bench *b, const params *p, const cJSON *names) {
    state_dict s;
    hct_err err = {0, ""};
    if (!tap_ok(state_dict_read(&(weights_source){.torch = b->f}, b->path, STATE_DICT_STUDENT, NULL, &s, &err) ==
                    HCT_OK,
                "%s (%s)", label(b, "state dict"), err.msg))
        return;
    double unused = 0, right = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (params_find(p, s.entry[i].name)) continue;
        unused++;
        right += listed(names, s.entry[i].name);
    }
    golden_check_number(b->c, label(b, "unused tensors"), unused, cJSON_GetArraySize(names), EXACT);
    golden_check_number(b->c, label(b, "unused tensors by name"), right, cJSON_GetArraySize(names), EXACT);
    state_dict_free(&s);
}

/* One model that takes the file over: imported, its tensors, its tokens. */
static void check_model(const bench *b, const cJSON *load) {
    hct_st_file *want = expected(b, load->string), *in = NULL;
    golden_case named = *b->c;
    snprintf(named.name, sizeof named.name, "input");
    hct_err err = {0, ""};
    const char *out = scratch_path("imported.safetensors");
    model_info info = {0};
    import_options o = {.path = b->path,
                        .out = out,
                        .heads = (int64_t)golden_number(b->c->json, "config.heads"),
                        .norm_eps = 1e-6,
                        .encoder_only = 1,
                        .drop_registers = golden_number(load, "registers_in_target") == 0};
    hu_window windows[INPUT_WINDOWS] = {{40, 80}, {40, 80}, {40, 80}, {40, 80}, {40, 80}, {40, 80}, {40, 80}, {40, 80}};
    o.window = windows;
    o.n_windows = (int)golden_number(b->c->json, "config.ch");
    int ok = want && (in = golden_tensors(&named, "")) && import_run(&o, NULL, &err) == HCT_OK;
    params *p = ok ? model_open(b->dev, out, &info, &err) : NULL;
    if (tap_ok(p != NULL, "%s is imported (%s)", label(b, load->string), err.msg)) {
        hct_st_file *own = hct_st_open(out, &err);
        const vit_config vit = vit_of(&info.encoder);
        golden_check_number(b->c, label(b, "registers"), (double)vit.registers,
                            golden_number(load, "registers_in_target"), EXACT);
        golden_check_number(b->c, label(b, "qkv bias"), vit.qkv_bias, golden_bool(load, "qkv_bias_in_target", false),
                            EXACT);
        if (own) check_entries(b, want, "w.", hct_st_at(own, 0), hct_st_count(own));
        check_unused(b, p, member(load, "unused_in_file"));
        hct_tensor *x = model_tensor(b->dev, in, "x");
        hct_tape *t = hct_tape_new(b->dev, HCT_EAGER);
        size_t n;
        float *tokens = model_read(t, vit_forward(t, p, &vit, hct_use(t, x), NULL), &n);
        golden_check_tensor(b->c, want, "out", tokens, n, GOLDEN_FORWARD);
        free(tokens);
        hct_tape_free(t);
        hct_tensor_free(x);
        hct_st_close(own);
    }
    params_free(p);
    hct_st_close(in);
    hct_st_close(want);
}

/* A head's file: its tensors by name. */
static void check_head(const bench *b, const char *stem) {
    hct_st_file *want = expected(b, stem);
    state_dict s;
    hct_err err = {0, ""};
    if (tap_ok(want && state_dict_read(&(weights_source){.torch = b->f}, b->path, STATE_DICT_STUDENT, NULL, &s, &err) ==
                           HCT_OK,
               "%s (%s)", label(b, "state dict"), err.msg)) {
        check_entries(b, want, "w.", s.entry, s.n);
        state_dict_free(&s);
    }
    hct_st_close(want);
}

/* AdamW's state is a dict by number; JSON says which number is which parameter. */
static void check_optimizer(const bench *b, const char *stem) {
    char name[200];
    snprintf(name, sizeof name, "%s_optimizer", stem);
    const cJSON *names = member(b->file, "optimizer_index_to_name"), *item;
    pickle_id states = pickle_member(b->p, pickle_member(b->p, pickle_root(b->p), "optimizer"), "state");
    const pickle_value *d = pickle_at(b->p, states);
    golden_check_number(b->c, label(b, "parameters with optimiser state"), d->kind == PICKLE_DICT ? d->n / 2 : 0,
                        golden_number(b->file, "optimizer_param_states"), EXACT);
    if (!names) return;
    hct_st_file *want = expected(b, name);
    size_t seen = 0;
    for (uint32_t i = 0; want && d->kind == PICKLE_DICT && i + 1 < d->n; i += 2) {
        char number[24], key[300];
        snprintf(number, sizeof number, "%lld", (long long)pickle_at(b->p, d->item[i])->whole);
        item = member(names, number);
        static const char *const moments[] = {"exp_avg", "exp_avg_sq", "step"};
        for (int k = 0; item && k < 3; k++) {
            snprintf(key, sizeof key, "%s.%s", moments[k], item->valuestring);
            if (!hct_st_find(want, key)) continue;
            hct_st_entry e;
            hct_err err = {0, ""};
            size_t n, m = 0;
            double *w = golden_f64(want, key, &n), *got = NULL;
            if (torch_entry(b->f, pickle_member(b->p, d->item[i + 1], moments[k]), key, &e, &err) == HCT_OK &&
                (got = calloc((m = hct_st_elements(&e)) + 1, sizeof *got)))
                hct_st_to_f64(&e, got, NULL);
            golden_check_f64(b->c, label(b, key), got, m, w, n, EXACT);
            seen++;
            free(w);
            free(got);
        }
    }
    golden_check_number(b->c, label(b, "moments found"), (double)seen, want ? (double)hct_st_count(want) : -1, EXACT);
    hct_st_close(want);
}

static void check_file(const golden_case *c, const cJSON *file, hct_dev *dev) {
    bench b = {.c = c, .file = file, .dev = dev};
    hct_err err = {0, ""};
    char stem[128];
    snprintf(b.path, sizeof b.path, "%s/%s", c->folder, file->string);
    snprintf(stem, sizeof stem, "%s", file->string);
    if (strrchr(stem, '.')) *strrchr(stem, '.') = 0;
    b.f = torch_open(b.path, &err);
    if (!tap_ok(b.f != NULL, "%s/%s: %s opens (%s)", c->family, c->name, file->string, err.msg)) return;
    b.p = torch_values(b.f);
    check_contents(&b);
    const cJSON *loads = member(file, "load_into_plain_vit"), *load;
    cJSON_ArrayForEach(load, loads) check_model(&b, load);
    if (!loads) check_head(&b, stem);
    check_optimizer(&b, stem);
    torch_close(b.f);
}

int main(void) {
    if (!golden_begin()) return golden_done();
    hct_dev *dev = model_device();
    golden_case *c;
    for (size_t i = 0; (c = golden_open("checkpoint", i)); golden_close(c), i++) {
        const cJSON *files = golden_item(c->json, "files"), *file;
        tap_ok(cJSON_GetArraySize(files) > 0, "%s/%s: lists files", c->family, c->name);
        cJSON_ArrayForEach(file, files) check_file(c, file, dev);
    }
    model_device_close(dev);
    return golden_done();
}
