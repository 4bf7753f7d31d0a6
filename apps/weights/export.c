/* Weights for other programs: names and values as they expect them, and a model card. */
#include "weights/export.h"

#include <stdlib.h>
#include <string.h>

#include "models/lora.h"
#include "pickle/torch_write.h"
#include "support/paths.h"
#include "support/json_out.h"
#include "weights/card.h"
#include "weights/onnx_vit.h"

typedef struct exporter {
    const export_options *o;
    hct_st_file *f;
    model_info info;
    hct_st_entry *entry;
    size_t n;
    void **merged; /* [n_merged], values of our own */
    size_t n_merged;
} exporter;

static int starts(const char *name, const char *prefix) { return !strncmp(name, prefix, strlen(prefix)); }

/* What finds an encoder among the tensors of a student and a teacher; NULL: there is one encoder. */
static const char *(*plain_name_of(const exporter *q))(const char *, int) {
    return q->info.role == MODEL_PRETRAINING ? q->info.pretext.kind->plain_name : NULL;
}

/* The name that an entry gets; NULL: it stays behind. */
static const char *name_for_others(const exporter *q, const char *name) {
    const char *(*plain_name)(const char *, int) = plain_name_of(q);
    if (starts(name, "optimizer.") || strstr(name, ".lora_") || !strcmp(name, LORA_SCALE)) return NULL;
    return plain_name ? plain_name(name, q->o->which == EXPORT_STUDENT) : name;
}

/* The values of NAME.weight with the product of its additions, where the file has some. */
static hct_status merge(exporter *q, hct_st_entry *e, hct_err *err) {
    char name[256];
    size_t n = strlen(e->name);
    if (n < 7 || n + 8 > sizeof name || strcmp(e->name + n - 7, ".weight") != 0) return HCT_OK;
    snprintf(name, sizeof name, "%.*s.lora_a", (int)(n - 7), e->name);
    const hct_st_entry *a = hct_st_find(q->f, name), *s = hct_st_find(q->f, LORA_SCALE);
    snprintf(name, sizeof name, "%.*s.lora_b", (int)(n - 7), e->name);
    const hct_st_entry *b = hct_st_find(q->f, name);
    if (!a || !b || !s) return HCT_OK;
    if (e->ndim != 2 || a->ndim != 2 || b->ndim != 2 || hct_st_elements(s) != 1 || b->dim[0] != e->dim[0] ||
        a->dim[1] != e->dim[1] || b->dim[1] != a->dim[0])
        return hct_fail(err, HCT_ESHAPE, "%s: the low-rank additions of '%s' do not fit it", q->o->weights, e->name);
    float *w = malloc((hct_st_elements(e) + 1) * sizeof *w), *xa = malloc((hct_st_elements(a) + 1) * sizeof *xa),
          *xb = malloc((hct_st_elements(b) + 1) * sizeof *xb), scale;
    hct_status st =
        w && xa && xb ? hct_st_to_f32(e, w, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", e->name);
    if (st == HCT_OK) st = hct_st_to_f32(a, xa, err);
    if (st == HCT_OK) st = hct_st_to_f32(b, xb, err);
    if (st == HCT_OK) st = hct_st_to_f32(s, &scale, err);
    if (st == HCT_OK) {
        lora_add(w, xb, xa, (double)scale, e->dim[0], e->dim[1], a->dim[0]);
        *e = (hct_st_entry){.name = e->name,
                            .dtype = HCT_F32,
                            .ndim = 2,
                            .dim = {e->dim[0], e->dim[1]},
                            .data = w,
                            .bytes = hct_st_elements(e) * sizeof *w};
        q->merged[q->n_merged++] = w;
    } else {
        free(w);
    }
    free(xa);
    free(xb);
    return st;
}

static hct_status choose(exporter *q, hct_err *err) {
    if (q->o->which != EXPORT_ALL && !plain_name_of(q))
        return hct_fail(err, HCT_EINVAL,
                        "%s: holds one model, not a student and a teacher; leave --which out (checkpoints/ of a DINO "
                        "run holds both)",
                        q->o->weights);
    size_t all = hct_st_count(q->f);
    q->entry = calloc(all + 1, sizeof *q->entry);
    q->merged = calloc(all + 1, sizeof *q->merged);
    hct_status st = q->entry && q->merged ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < all; i++) {
        hct_st_entry e = *hct_st_at(q->f, i);
        if (!name_for_others(q, e.name)) continue;
        st = merge(q, &e, err);
        e.name = name_for_others(q, e.name);
        q->entry[q->n++] = e;
    }
    return st;
}

/* The graph, with the description and the names of its tasks, as a JSON list, for whoever runs it. */
static hct_status write_onnx(const exporter *q, const model_info *info, const char *text, hct_err *err) {
    onnx_graph g = {0};
    json_out tasks = {0};
    json_array(&tasks, NULL);
    for (int k = 0; k < info->n_tasks; k++) json_text(&tasks, NULL, info->task[k]);
    json_end(&tasks);
    char *list = json_take(&tasks, q->o->out, err);
    const hct_st_pair meta[] = {{"headct", text}, {"tasks", list}};
    hct_status st = list ? HCT_OK : err->code;
    const onnx_source s = {q->o->weights, info, q->entry, q->n, q->o->from_volume};
    if (st == HCT_OK) st = onnx_vit(&s, &g, err);
    if (st == HCT_OK) st = onnx_save(&g, q->o->out, meta, info->role == MODEL_CLASSIFIER ? 2 : 1, err);
    onnx_free(&g);
    free(list);
    return st;
}

static hct_status write_weights(exporter *q, hct_err *err) {
    int one_of_two = plain_name_of(q) != NULL;
    const char *which = q->o->which == EXPORT_STUDENT ? "student" : "teacher";
    model_info info = q->info;
    if (one_of_two) info.role = MODEL_ENCODER;
    char *text = weights_describe(&info, err);
    const hct_st_pair meta[] = {
        {"headct", text},
        {"format", WEIGHTS_FORMAT},
        {"exported", which},
    };
    size_t n = one_of_two ? 3 : 2;
    hct_status st = HCT_ENOMEM;
    if (text && q->o->format == EXPORT_ONNX) st = write_onnx(q, &info, text, err);
    else if (text && q->o->format == EXPORT_TORCH) st = torch_write(q->o->out, q->entry, q->n, meta, n, err);
    else if (text) st = hct_st_write(q->o->out, q->entry, q->n, meta, n, err);
    free(text);
    return st;
}

/* The run's folder: that of the file, or above it where that is checkpoints/. */
static char *folder_of(const char *path) {
    const char *base = path_base(path);
    char *folder = base == path ? strdup(".") : strndup(path, (size_t)(base - path) - 1);
    if (!folder || strcmp(path_base(folder), "checkpoints") != 0) return folder;
    const char *last = path_base(folder);
    char *run = last == folder ? strdup(".") : strndup(folder, (size_t)(last - folder));
    free(folder);
    return run;
}

static hct_status write_card(const exporter *q, hct_err *err) {
    char *run = q->o->run ? strdup(q->o->run) : folder_of(q->o->weights);
    if (!run) return hct_fail(err, HCT_ENOMEM, "out of memory");
    const char *which = !plain_name_of(q) ? NULL : q->o->which == EXPORT_STUDENT ? "student" : "teacher";
    hct_status st =
        card_write(&(card){q->o->card, path_base(q->o->out), q->o->weights, which, run, &q->info, q->n}, err);
    free(run);
    return st;
}

hct_status export_run(const export_options *o, hct_err *err) {
    exporter q = {.o = o, .f = hct_st_open(o->weights, err)};
    if (!q.f) return err->code;
    hct_status st = weights_info(q.f, o->weights, &q.info, err);
    if (st == HCT_OK) st = choose(&q, err);
    if (st == HCT_OK) st = write_weights(&q, err);
    if (st == HCT_OK && o->card) st = write_card(&q, err);
    for (size_t i = 0; i < q.n_merged; i++) free(q.merged[i]);
    free(q.merged);
    free(q.entry);
    hct_st_close(q.f);
    return st;
}
