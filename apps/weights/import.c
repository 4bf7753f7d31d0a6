/* Checkpoints of others, read and described. */
#include "weights/import.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/log.h"
#include "models/geometry.h"
#include "support/json_out.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/text.h"
#include "models/build.h"
#include "support/device.h"

#define REGISTERS "register_tokens"

/* A head's tensors come from a file of their own, under the prefix "head.TASK.". */
typedef struct head_file {
    weights_source f;
    state_dict s;
} head_file;

typedef struct importer {
    const import_options *o;
    weights_source f;
    char *told; /* the description that headct left in the file; NULL: none */
    state_dict s;
    size_t not_finite; /* values, the first of them in: */
    char first_not_finite[128];
    head_file *head; /* [o->n_heads] */
    model_info info;
    load_report report;
} importer;

static void drop(state_dict *s, const char *name) {
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->entry[i].name, name) != 0) continue;
        memmove(&s->entry[i], &s->entry[i + 1], (s->n - i - 1) * sizeof *s->entry);
        s->n--;
        return;
    }
}

/* Tasks of heads in the file itself: each "head.TASK.linear.weight", as headct export writes them. */
static hct_status find_tasks(importer *q, hct_err *err) {
    const char *end = ".linear.weight";
    for (size_t i = 0; i < q->s.n; i++) {
        const char *name = q->s.entry[i].name;
        size_t n = strlen(name), tail = strlen(end);
        if (strncmp(name, "head.", 5) != 0 || n <= 5 + tail || strcmp(name + n - tail, end) != 0) continue;
        if (q->info.n_tasks == MODEL_TASKS || n - 5 - tail >= MODEL_NAME)
            return hct_fail(err, HCT_EFORMAT, "%s: more than %d heads, or a head's name is too long", q->o->path,
                            MODEL_TASKS);
        snprintf(q->info.task[q->info.n_tasks++], MODEL_NAME, "%.*s", (int)(n - 5 - tail), name + 5);
    }
    for (size_t i = 0; i < q->o->n_heads; i++) {
        const char *task = q->o->head[i].task;
        for (int k = 0; k < q->info.n_tasks; k++)
            if (!strcmp(q->info.task[k], task)) return hct_fail(err, HCT_EINVAL, "task '%s' has two heads", task);
        if (q->info.n_tasks == MODEL_TASKS || strlen(task) >= MODEL_NAME || !*task)
            return hct_fail(err, HCT_EINVAL, "--classifier: at most %d tasks with names of 1 to %d characters",
                            MODEL_TASKS, MODEL_NAME - 1);
        snprintf(q->info.task[q->info.n_tasks++], MODEL_NAME, "%s", task);
    }
    return HCT_OK;
}

static hct_status set_windows(importer *q, hct_err *err) {
    const import_options *o = q->o;
    input_spec *input = &q->info.encoder.input;
    const hu_window *w = o->window ? o->window : paper_windows;
    int n = o->window ? o->n_windows : 3;
    if (q->info.encoder.kind->own_input && !o->window && !o->crop) return HCT_OK;
    if (input->n_windows != n)
        return hct_fail(err, HCT_EINVAL,
                        "%s: takes %d channels, there %s %d windows; give one HU window a channel with --windows "
                        "CENTRE:WIDTH,...",
                        o->path, input->n_windows, o->window ? "are" : "are by default the paper's", n);
    for (int i = 0; i < n; i++) input->window[i] = w[i];
    for (int a = 0; o->crop && a < 3; a++) input->crop[a] = o->crop;
    return HCT_OK;
}

static void set_field(const model_field *fields, void *own, const char *name, double value) {
    const model_field *f = field_find(fields, name);
    if (f && value > 0) field_set(f, own, value);
}

/* The kind whose keys these are; none: the first, which says what it misses. */
static hct_status find_kind(const importer *q, const encoder_kind **ret, hct_err *err) {
    const hct_st_entry *e = q->s.entry;
    if (q->o->as) {
        text_buffer all = {0};
        for (const encoder_kind *const *k = encoder_kinds; *k; k++)
            text_printf(&all, "%s%s", *k == *encoder_kinds ? "" : ", ", (*k)->name);
        hct_status st = (*ret = encoder_find(q->o->as))
                            ? HCT_OK
                            : hct_fail(err, HCT_EINVAL, "--as %s: there is no such kind of encoder, but %s", q->o->as,
                                       text_so_far(&all));
        if (st == HCT_OK && !(*ret)->sizes)
            st = hct_fail(err, HCT_EINVAL, "--as %s: is read from headct's own files only", q->o->as);
        text_free(&all);
        return st;
    }
    for (const encoder_kind *const *k = encoder_kinds; *k; k++)
        if ((*k)->recognises && (*k)->recognises(e, q->s.n)) return *ret = *k, HCT_OK;
    *ret = encoder_kinds[0];
    if (!geometry_find(e, q->s.n, "linear.weight")) {
        text_buffer keys = {0};
        for (size_t i = 0; i < q->s.names && i < 6; i++) text_printf(&keys, "%s%s", i ? ", " : "", q->s.name[i]);
        hct_status st = hct_fail(err, HCT_EFORMAT,
                                 "%s: its tensors are of no encoder that headct knows (a vision transformer with the "
                                 "paper's keys has '%s'; see docs/zoo.md); its first keys: %.400s",
                                 q->o->path, (*ret)->key, text_so_far(&keys));
        text_free(&keys);
        return st;
    }
    return hct_fail(err, HCT_EFORMAT,
                    "%s: holds a classifier's head alone; import its backbone's file, with --classifier TASK=%s",
                    q->o->path, q->o->path);
}

static const pretext_kind *find_pretext(const importer *q) {
    for (const pretext_kind *const *k = pretext_kinds; *k && !q->o->encoder_only; k++)
        if ((*k)->recognises && (*k)->recognises(q->s.entry, q->s.n)) return *k;
    return NULL;
}

/* Sizes that an option gives, of those that no shape tells. */
static hct_status set_sizes(const importer *q, encoder *e, hct_err *err) {
    for (size_t i = 0; i < q->o->n_set; i++) {
        const import_size *s = &q->o->set[i];
        const model_field *f = field_find(e->kind->fields, s->name);
        int untold = 0;
        for (const char *const *u = e->kind->untold; u && *u; u++) untold |= !strcmp(*u, s->name);
        if (!f || !untold || !(s->value >= f->low && s->value <= f->high))
            return hct_fail(err, HCT_EINVAL, "--set %s=%g: %s", s->name, s->value,
                            !f        ? "the encoder has no such size"
                            : !untold ? "the tensors' shapes tell it"
                                      : "is out of its range");
        field_set(f, e->own, s->value);
    }
    return HCT_OK;
}

static int is_set(const import_options *o, const char *name) {
    for (size_t i = 0; i < o->n_set; i++)
        if (!strcmp(o->set[i].name, name)) return 1;
    return 0;
}

/* What no tensor tells and no default may be taken for. */
static hct_status check_told(const importer *q, const encoder_kind *kind, hct_err *err) {
    const char *need = kind->must_tell ? kind->must_tell(q->s.entry, q->s.n) : NULL;
    if (!need || is_set(q->o, need)) return HCT_OK;
    const model_field *f = field_find(kind->fields, need);
    return hct_fail(err, HCT_EINVAL, "%s: no tensor tells its '%s': give it with --set %s=%g to %g (docs/zoo.md)",
                    q->o->path, need, need, f ? f->low : 0, f ? f->high : 0);
}

/* The kind's own names for the file's. */
static hct_status rename_tensors(importer *q, const encoder_kind *kind, hct_err *err) {
    state_dict *s = &q->s;
    for (size_t i = 0; kind->plain_name && i < s->n; i++) s->entry[i].name = kind->plain_name(s->entry[i].name);
    size_t kept = 0; /* counters of PyTorch's batch norms are no weights */
    for (size_t i = 0; i < s->n; i++) {
        const char *end = ".num_batches_tracked";
        size_t n = strlen(s->entry[i].name), m = strlen(end);
        if (n > m && !strcmp(s->entry[i].name + n - m, end)) continue;
        s->entry[kept++] = s->entry[i];
    }
    s->n = kept;
    return state_dict_sort(s, q->o->path, err);
}

static hct_status describe_encoder(importer *q, const encoder_kind *kind, const pretext_kind *pretext, hct_err *err) {
    const import_options *o = q->o;
    encoder *e = &q->info.encoder;
    hct_status st = HCT_OK;
    *e = encoder_default(kind);
    if (o->heads) set_field(kind->fields, e->own, "heads", (double)o->heads);
    else if (kind->presume) st = kind->presume(q->s.entry, q->s.n, o->path, e, err);
    if (pretext && pretext->adjust) pretext->adjust(e);
    if (o->map) set_field(kind->fields, e->own, "norm_eps", o->map == LIBRARY_TIMM ? 1e-6 : 1e-5);
    if (o->map) set_field(kind->fields, e->own, "block_eps", o->map == LIBRARY_TIMM ? 1e-6 : 1e-5);
    set_field(kind->fields, e->own, "norm_eps", o->norm_eps);
    if (st == HCT_EINVAL && o->n_set)
        st = HCT_OK; /* options say what could not be presumed, or encoder_check what is not said */
    if (st == HCT_OK) st = set_sizes(q, e, err);
    return st == HCT_OK ? kind->sizes(q->s.entry, q->s.n, o->path, e, err) : st;
}

static hct_status describe_pretext(importer *q, const pretext_kind *kind, hct_err *err) {
    const import_options *o = q->o;
    pretext *x = &q->info.pretext;
    hct_status st = HCT_OK;
    q->info.role = MODEL_PRETRAINING;
    x->kind = kind;
    set_field(kind->fields, x->own, "decoder_heads", (double)o->decoder_heads);
    if (kind->presume) st = kind->presume(q->s.entry, q->s.n, o->path, x, err);
    return st == HCT_OK ? kind->sizes(q->s.entry, q->s.n, o->path, &q->info.encoder, x, err) : st;
}

/* As headct export left it in the file; options say it again. */
static hct_status describe_as_told(importer *q, hct_err *err) {
    const import_options *o = q->o;
    hct_err why = {0};
    char *format = weights_source_told(&q->f, "format");
    hct_status st = weights_read_description(q->told, format, &q->info, &why);
    free(format);
    encoder *e = &q->info.encoder, held;
    if (st == HCT_OK) {
        set_field(e->kind->fields, e->own, "heads", (double)o->heads);
        set_field(e->kind->fields, e->own, "norm_eps", o->norm_eps);
        held = *e;
        st = encoder_check(e, &why);
    }
    if (st == HCT_OK && e->kind->sizes) st = e->kind->sizes(q->s.entry, q->s.n, o->path, &held, &why);
    if (st == HCT_OK) st = fields_compare(e->kind->fields, e->own, held.own, e->kind->untold, &why);
    if (st < 0) return hct_fail(err, st, "%s: its headct description is damaged: %.900s", o->path, why.msg);
    if (o->encoder_only && q->info.role == MODEL_PRETRAINING) q->info.role = MODEL_ENCODER;
    if (o->window && o->n_windows != e->input.n_windows)
        return hct_fail(err, HCT_EINVAL, "%s: takes %d channels, --windows gives %d", o->path, e->input.n_windows,
                        o->n_windows);
    for (int i = 0; o->window && i < o->n_windows; i++) e->input.window[i] = o->window[i];
    for (int a = 0; o->crop && a < 3; a++) e->input.crop[a] = o->crop;
    for (size_t i = 0; i < o->n_heads; i++)
        return hct_fail(err, HCT_EINVAL, "%s: was written by headct export, with its heads; --classifier is for others",
                        o->path);
    return HCT_OK;
}

static hct_status describe(importer *q, hct_err *err) {
    if (q->told) return describe_as_told(q, err);
    if (q->o->map) {
        hct_status mapped =
            library_map_apply(q->o->map, &q->s, q->o->path, q->o->window ? q->o->n_windows : PAPER_WINDOWS, err);
        if (mapped < 0) return mapped;
    }
    const encoder_kind *kind;
    const pretext_kind *pretext = find_pretext(q);
    hct_status st = find_kind(q, &kind, err);
    q->info.role = MODEL_ENCODER;
    if (st == HCT_OK) st = check_told(q, kind, err);
    if (st == HCT_OK) st = rename_tensors(q, kind, err);
    if (st == HCT_OK) st = describe_encoder(q, kind, pretext, err);
    if (st == HCT_OK && pretext) st = describe_pretext(q, pretext, err);
    if (st == HCT_OK) st = set_windows(q, err);
    if (st == HCT_OK && !pretext) st = find_tasks(q, err);
    if (st == HCT_OK && pretext && q->o->n_heads)
        st = hct_fail(err, HCT_EINVAL, "%s: is a checkpoint of %s; a classifier belongs to a fine-tuned backbone",
                      q->o->path, pretext->name);
    if (q->info.n_tasks) q->info.role = MODEL_CLASSIFIER;
    return st;
}

/* The entry of one of the model's tensors; NULL where there is none. */
static const hct_st_entry *entry_of(const importer *q, const char *name) {
    const hct_st_entry *e = geometry_find(q->s.entry, q->s.n, name);
    for (size_t i = 0; !e && i < q->o->n_heads; i++) {
        char prefix[MODEL_NAME + 8];
        size_t n = (size_t)snprintf(prefix, sizeof prefix, "head.%s.", q->o->head[i].task);
        if (!strncmp(name, prefix, n)) e = geometry_find(q->head[i].s.entry, q->head[i].s.n, name + n);
    }
    return e;
}

static int same_shape(const hct_st_entry *e, const hct_view *v) {
    return e->ndim == v->ndim && !memcmp(e->dim, v->dim, (size_t)v->ndim * sizeof *v->dim);
}

static void put_shape(text_buffer *line, int32_t ndim, const int64_t *dim) {
    text_printf(line, "[");
    for (int i = 0; i < ndim; i++) text_printf(line, "%s%lld", i ? ", " : "", (long long)dim[i]);
    text_printf(line, "]");
}

/* One tensor of the table. */
static void tell(size_t nth, hct_log_level level, const char *what, const char *name, const hct_st_entry *e,
                 const hct_view *v) {
    text_buffer line = {0};
    if (nth < IMPORT_TOLD) {
        text_printf(&line, "  %-10s  %s  ", what, name);
        if (e) put_shape(&line, e->ndim, e->dim);
        if (e && v) text_printf(&line, ", the model's is ");
        if (v) put_shape(&line, v->ndim, v->dim);
    } else if (nth == IMPORT_TOLD) {
        text_printf(&line, "  %-10s  ... and more", what);
    }
    if (text_length(&line)) hct_log(level, "%s", text_so_far(&line));
    text_free(&line);
}

/* Which tensors of the file are the model's. Nothing is loaded where one is missing or of another shape. */
static hct_status compare(importer *q, const params *p, hct_err *err) {
    load_report *r = &q->report;
    *r = (load_report){0};
    for (size_t i = 0; i < p->n; i++) {
        const char *name = p->items[i].name;
        const hct_view *v = hct_tensor_view(p->items[i].tensor);
        const hct_st_entry *e = entry_of(q, name);
        if (!e) {
            if (!r->missing) snprintf(r->first_missing, sizeof r->first_missing, "%s", name);
            tell(r->missing++, HCT_LOG_WARNING, "missing", name, NULL, v);
        } else if (!same_shape(e, v)) {
            if (!r->wrong_shape) snprintf(r->first_wrong, sizeof r->first_wrong, "%s", name);
            tell(r->wrong_shape++, HCT_LOG_WARNING, "mismatched", name, e, v);
        } else {
            r->matched++;
        }
    }
    for (size_t i = 0; i < q->s.n; i++) {
        if (params_find(p, q->s.entry[i].name)) continue;
        if (!r->unused) snprintf(r->first_unused, sizeof r->first_unused, "%s", q->s.entry[i].name);
        tell(r->unused++, HCT_LOG_INFO, "unexpected", q->s.entry[i].name, &q->s.entry[i], NULL);
    }
    if (r->wrong_shape)
        return hct_fail(err, HCT_ESHAPE,
                        "%s: '%s'%s another shape than the model's other tensors ask for (%zu of %zu); nothing was "
                        "written",
                        q->o->path, r->first_wrong, r->wrong_shape > 1 ? " and others have" : " has", r->wrong_shape,
                        p->n);
    if (r->missing)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: %zu of its model's %zu tensors are missing (first: '%s'); nothing was written", q->o->path,
                        r->missing, p->n, r->first_missing);
    return HCT_OK;
}

static hct_status fill(importer *q, const params *p, hct_err *err) {
    hct_status st = compare(q, p, err);
    for (size_t i = 0; st == HCT_OK && i < p->n; i++) {
        const char *name = p->items[i].name;
        const hct_st_entry *e = entry_of(q, name);
        float *x = malloc((hct_st_elements(e) + 1) * sizeof *x);
        st = x ? hct_st_to_f32(e, x, err) : hct_fail(err, HCT_ENOMEM, "out of memory for '%s'", name);
        size_t wrong = 0, n = st == HCT_OK ? hct_st_elements(e) : 0;
        for (size_t k = 0; k < n; k++) wrong += !isfinite(x[k]);
        if (wrong && !q->not_finite) snprintf(q->first_not_finite, sizeof q->first_not_finite, "%s", name);
        q->not_finite += wrong;
        if (st == HCT_OK) st = hct_tensor_write(p->items[i].tensor, x, err);
        free(x);
    }
    return st;
}

/* Where the weights come from, as JSON. */
static char *origin(const importer *q, hct_err *err) {
    char hash[SHA256_HEX];
    if (sha256_file(q->o->path, hash, err) < 0) return NULL;
    json_out j = {0};
    json_object(&j, NULL);
    json_text(&j, "file", path_base(q->o->path));
    json_text(&j, "key", q->s.key);
    json_text(&j, "sha256", hash);
    json_end(&j);
    return json_take(&j, q->o->path, err);
}

static hct_status open_files(importer *q, hct_err *err) {
    const import_options *o = q->o;
    const char *wanted[16] = {NULL};
    size_t n = 0;
    for (const encoder_kind *const *k = encoder_kinds; *k && n < 14; k++)
        if ((*k)->key) wanted[n++] = (*k)->key;
    if (o->map) wanted[n++] = library_map_key(o->map);
    hct_status st = weights_source_open(o->path, &q->f, err);
    if (st == HCT_OK) st = state_dict_read(&q->f, o->path, o->which, wanted, &q->s, err);
    if (st == HCT_OK) q->told = weights_source_told(&q->f, "headct");
    if (st == HCT_OK && q->f.torch && *pickle_unknown(torch_values(q->f.torch)))
        hct_log(HCT_LOG_INFO,
                "%s: holds Python objects beside its tensors ('%s'); they are not looked at, and nothing of "
                "them was run",
                o->path, pickle_unknown(torch_values(q->f.torch)));
    q->head = calloc(o->n_heads + 1, sizeof *q->head);
    if (st == HCT_OK && !q->head) st = hct_fail(err, HCT_ENOMEM, "out of memory");
    for (size_t i = 0; st == HCT_OK && i < o->n_heads; i++) {
        st = weights_source_open(o->head[i].path, &q->head[i].f, err);
        if (st == HCT_OK)
            st = state_dict_read(&q->head[i].f, o->head[i].path, STATE_DICT_STUDENT, NULL, &q->head[i].s, err);
    }
    if (st == HCT_OK && o->drop_registers) {
        if (geometry_find(q->s.entry, q->s.n, REGISTERS))
            hct_log(HCT_LOG_WARNING,
                    "%s: its register tokens are left out; outputs differ from those of the trained model", o->path);
        drop(&q->s, REGISTERS);
    }
    return st;
}

static void close_files(importer *q) {
    for (size_t i = 0; q->head && i < q->o->n_heads; i++) {
        state_dict_free(&q->head[i].s);
        weights_source_close(&q->head[i].f);
    }
    free(q->head);
    state_dict_free(&q->s);
    weights_source_close(&q->f);
    free(q->told);
}

hct_status import_run(const import_options *o, model_info *ret, hct_err *err) {
    importer q = {.o = o};
    hct_status st = open_files(&q, err);
    if (st == HCT_OK) st = describe(&q, err);
    hct_dev *dev = NULL;
    params *p = NULL;
    char *from = NULL;
    if (st == HCT_OK && (!(dev = device_open("cpu", err)) || !(p = model_new(dev, &q.info, 0, err)))) st = err->code;
    if (st == HCT_OK) st = fill(&q, p, err);
    if (st == HCT_OK && !(from = origin(&q, err))) st = err->code;
    if (st == HCT_OK) st = weights_save(o->out, p, &q.info, (hct_st_pair[]){{"imported_from", from}}, 1, err);
    if (st == HCT_OK) load_report_print(&q.report, o->path);
    if (st == HCT_OK && q.not_finite)
        hct_log(HCT_LOG_WARNING,
                "%s: %zu of its values are NaN or infinite (the first in '%s'): whatever is made with "
                "these weights will be too",
                o->path, q.not_finite, q.first_not_finite);
    if (st == HCT_OK && ret) *ret = q.info;
    free(from);
    params_free(p);
    device_close(dev);
    close_files(&q);
    return st;
}
