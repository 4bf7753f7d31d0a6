/* Maps of what a model looks at. */
#include "explain/saliency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explain/attention.h"
#include "models/probe.h"

enum { LAYERS = 64, OTHER_CELLS = 8 };

const char *const saliency_names[SALIENCY_METHODS] = {"class", "rollout", "gradient", "input", "occlusion", "distance"};

int saliency_find(const char *name) {
    for (int m = 0; m < SALIENCY_METHODS; m++)
        if (!strcmp(name, saliency_names[m])) return m;
    return -1;
}

struct saliency {
    hct_dev *dev;
    params *p;
    model_info info;
    int task;              /* -1: none */
    attention_shape shape; /* layers 0: no attention that these methods understand */
    int64_t input[3], cells[3];
    hct_tensor *x;
    hct_tape *plain, *graded; /* the answer alone; attention and gradients */
    hct_id answer[2];         /* of either tape: the logit of the task, [1, 1] */
    hct_id attention[LAYERS], attention_gradient[LAYERS], x_gradient;
};

/* A size of the encoder's kind by name; 0 where it has none such. */
static int64_t own_size(const encoder *e, const char *name) {
    for (const model_field *f = e->kind->fields; f && f->name; f++)
        if (!strcmp(f->name, name)) return (int64_t)field_get(f, e->own);
    return 0;
}

/* Tokens as patches of a grid: told by the kind's sizes, and by the number of tokens that they make. */
static void shape_of(saliency *s) {
    const encoder *e = &s->info.encoder;
    int64_t patch = own_size(e, "patch"), heads = own_size(e, "heads"), layers = e->kind->layers(e),
            tokens = e->kind->tokens(e);
    for (int a = 0; a < 3; a++) s->cells[a] = OTHER_CELLS < s->input[a] ? OTHER_CELLS : s->input[a];
    if (!patch || patch > s->input[0]) return;
    for (int a = 0; a < 3; a++) s->cells[a] = s->input[a] / patch;
    int64_t lead = tokens - s->cells[0] * s->cells[1] * s->cells[2];
    if (!encoder_has_attention(e) || lead != 1 + own_size(e, "registers") || !heads) return;
    if (s->info.pool_mean || s->info.probe_heads || layers > LAYERS) return;
    s->shape = (attention_shape){.layers = layers, .heads = heads, .tokens = tokens, .lead = lead};
    memcpy(s->shape.grid, s->cells, sizeof s->cells);
    for (int d = 0; d < 3; d++) {
        int a = e->input.order[d] - 'x';
        s->shape.step[d] = (double)e->input.crop[a] * e->input.spacing[a] / (double)s->cells[d];
    }
}

static hct_id logit(saliency *s, hct_tape *t, const encoder_values *v) {
    char prefix[MODEL_NAME + 8];
    snprintf(prefix, sizeof prefix, "head.%s.", s->info.task[s->task]);
    hct_id both = head_forward(t, s->p, prefix, s->info.probe_heads, v->embedding, v->tokens, 0);
    return hct_sub(t, hct_slice(t, both, 1, 1, 1), hct_slice(t, both, 1, 0, 1));
}

static hct_status record_plain(saliency *s, hct_err *err) {
    encoder_values v = {.pool_mean = s->info.pool_mean};
    s->plain = hct_tape_new(s->dev, HCT_PROGRAM);
    if (!s->plain) return hct_fail(err, HCT_ENOMEM, "out of memory for the model");
    s->info.encoder.kind->forward(s->plain, s->p, &s->info.encoder, hct_use(s->plain, s->x), &v);
    s->answer[0] = logit(s, s->plain, &v);
    hct_keep(s->plain, s->answer[0]);
    return hct_compile(s->plain, err);
}

static hct_status record_graded(saliency *s, hct_err *err) {
    hct_tape *t = s->graded = hct_tape_new(s->dev, HCT_PROGRAM);
    encoder_values v = {.pool_mean = s->info.pool_mean, .attention = s->shape.layers ? s->attention : NULL};
    if (!t) return hct_fail(err, HCT_ENOMEM, "out of memory for the model");
    hct_id x = hct_param(t, s->x);
    s->info.encoder.kind->forward(t, s->p, &s->info.encoder, x, &v);
    for (int64_t l = 0; l < s->shape.layers; l++) hct_keep(t, s->attention[l]);
    if (s->task >= 0) {
        s->answer[1] = logit(s, t, &v);
        hct_keep(t, s->answer[1]);
        hct_backward(t, s->answer[1], hct_fill(t, HCT_F32, 2, (int64_t[]){1, 1}, 1));
        if ((s->x_gradient = hct_grad(t, x))) hct_keep(t, s->x_gradient);
        for (int64_t l = 0; l < s->shape.layers; l++)
            if ((s->attention_gradient[l] = hct_grad(t, s->attention[l]))) hct_keep(t, s->attention_gradient[l]);
    }
    return hct_compile(t, err);
}

saliency *saliency_new(hct_dev *dev, params *p, const model_info *info, const char *task, hct_err *err) {
    saliency *s = calloc(1, sizeof *s);
    if (!s) {
        hct_fail(err, HCT_ENOMEM, "out of memory");
        return NULL;
    }
    *s = (saliency){.dev = dev, .p = p, .info = *info, .task = -1};
    hct_status st = HCT_OK;
    for (int k = 0; task && k < info->n_tasks; k++)
        if (!strcmp(info->task[k], task)) s->task = k;
    if (task && s->task < 0)
        st = hct_fail(err, HCT_ENOTFOUND, "the model has no task '%s'%s%s", task,
                      info->n_tasks ? "; the first one is " : "",
                      info->n_tasks ? info->task[0] : ": it is no classifier");
    int64_t dim[5] = {1, info->encoder.input.n_windows};
    input_dims(&info->encoder.input, dim + 2);
    memcpy(s->input, dim + 2, sizeof s->input);
    shape_of(s);
    if (st == HCT_OK && s->shape.layers) st = attention_check(&s->shape, err);
    if (st == HCT_OK && !(s->x = hct_tensor_new(dev, HCT_F32, 5, dim, err))) st = err ? err->code : HCT_ENOMEM;
    if (st == HCT_OK) return s;
    saliency_free(s);
    return NULL;
}

void saliency_free(saliency *s) {
    if (!s) return;
    hct_tape_free(s->plain);
    hct_tape_free(s->graded);
    hct_tensor_free(s->x);
    free(s);
}

int saliency_allows(const saliency *s, saliency_method m) {
    if (m == SALIENCY_INPUT || m == SALIENCY_OCCLUSION) return s->task >= 0;
    return s->shape.layers > 0 && (m != SALIENCY_GRADIENT || s->task >= 0);
}

static int64_t cells(const int64_t dim[3]) { return dim[0] * dim[1] * dim[2]; }

static hct_status read_answer(saliency *s, int graded, double *ret, hct_err *err) {
    float v;
    hct_status st = hct_read(graded ? s->graded : s->plain, s->answer[graded], &v, err);
    if (st == HCT_OK) *ret = v;
    return st;
}

/* All layers' attention or its gradient, [layers, heads, N, N]; the caller's. */
static float *read_layers(saliency *s, const hct_id *id, hct_err *err) {
    size_t each = (size_t)(s->shape.heads * s->shape.tokens * s->shape.tokens);
    float *all = calloc((size_t)s->shape.layers * each + 1, sizeof *all);
    if (!all) hct_fail(err, HCT_ENOMEM, "out of memory for attention");
    for (int64_t l = 0; all && l < s->shape.layers; l++)
        if (id[l] && hct_read(s->graded, id[l], all + (size_t)l * each, err) < 0) {
            free(all);
            return NULL;
        }
    return all;
}

/* The class token's row of R, R = R + A' R from the first layer up with R = I at first, A' = mean over heads of the
 * positive part of A dA; by the row from the last layer down, as a vector: row + row A'. */
static void chefer(const attention_shape *s, const float *a, const float *g, double *row, double *next) {
    size_t n = (size_t)s->tokens;
    memset(row, 0, n * sizeof *row);
    row[0] = 1;
    for (int64_t l = s->layers - 1; l >= 0; l--) {
        memcpy(next, row, n * sizeof *row);
        for (int64_t h = 0; h < s->heads; h++)
            for (size_t i = 0; i < n; i++) {
                size_t at = ((size_t)(l * s->heads + h) * n + i) * n;
                for (size_t j = 0; row[i] > 0 && j < n; j++) {
                    double both = (double)a[at + j] * (double)g[at + j];
                    if (both > 0) next[j] += row[i] * both / (double)s->heads;
                }
            }
        memcpy(row, next, n * sizeof *row);
    }
}

static hct_status by_attention(saliency *s, saliency_method m, double *map, hct_err *err) {
    const attention_shape *shape = &s->shape;
    size_t n = (size_t)shape->tokens, each = (size_t)shape->heads * n * n;
    float *a = read_layers(s, s->attention, err),
          *g = a && m == SALIENCY_GRADIENT ? read_layers(s, s->attention_gradient, err) : NULL;
    hct_status st = !a || (m == SALIENCY_GRADIENT && !g) ? HCT_ENOMEM : HCT_OK;
    if (st == HCT_OK && m == SALIENCY_CLASS) attention_of_class(shape, a + (size_t)(shape->layers - 1) * each, map);
    if (st == HCT_OK && m == SALIENCY_ROLLOUT) st = attention_rollout(shape, a, map, err);
    if (st == HCT_OK && m == SALIENCY_DISTANCE) {
        size_t heads = (size_t)(shape->layers * shape->heads), patches = n - (size_t)shape->lead;
        double *each_head = malloc(heads * patches * sizeof *each_head + 1);
        if (each_head) attention_distance(shape, a, 0, each_head);
        else st = hct_fail(err, HCT_ENOMEM, "out of memory for %zu heads", heads);
        for (size_t i = 0; each_head && i < heads * patches; i++) map[i % patches] += each_head[i] / (double)heads;
        free(each_head);
    }
    if (st == HCT_OK && m == SALIENCY_GRADIENT) {
        double *row = calloc(2 * n, sizeof *row);
        if (row) {
            chefer(shape, a, g, row, row + n);
            memcpy(map, row + shape->lead, (n - (size_t)shape->lead) * sizeof *map);
        } else {
            st = hct_fail(err, HCT_ENOMEM, "out of memory for %zu tokens", n);
        }
        free(row);
    }
    free(a);
    free(g);
    return st;
}

static hct_status by_input(saliency *s, const float *input, double *map, hct_err *err) {
    int64_t channels = s->info.encoder.input.n_windows, n = cells(s->input);
    float *g = malloc((size_t)(channels * n) * sizeof *g + 1);
    hct_status st = g ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a gradient");
    if (st == HCT_OK && !s->x_gradient)
        st = hct_fail(err, HCT_EINVAL, "the task's answer does not depend on the input");
    if (st == HCT_OK) st = hct_read(s->graded, s->x_gradient, g, err);
    for (int64_t i = 0; st == HCT_OK && i < n; i++) {
        map[i] = 0;
        for (int64_t c = 0; c < channels; c++) map[i] += fabs((double)g[c * n + i] * (double)input[c * n + i]);
    }
    free(g);
    return st;
}

/* Black of channel c after the scale that the model wants. */
static float black(const input_spec *in, int64_t c) {
    return (float)((0 - in->mean[c]) / (in->deviation[c] != 0 ? in->deviation[c] : 1));
}

static hct_status by_occlusion(saliency *s, const float *input, double whole,
                               int (*tell)(void *context, int64_t done, int64_t of), void *context, double *map,
                               hct_err *err) {
    const input_spec *in = &s->info.encoder.input;
    int64_t channels = in->n_windows, n = cells(s->input), all = cells(s->cells);
    float *x = malloc((size_t)(channels * n) * sizeof *x + 1);
    hct_status st = x ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a scan");
    for (int64_t cell = 0; cell < all && st == HCT_OK; cell++) {
        int64_t low[3], high[3], rest = cell;
        for (int a = 2; a >= 0; a--) {
            int64_t i = rest % s->cells[a];
            low[a] = i * s->input[a] / s->cells[a];
            high[a] = (i + 1) * s->input[a] / s->cells[a];
            rest /= s->cells[a];
        }
        memcpy(x, input, (size_t)(channels * n) * sizeof *x);
        int changed = 0;
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = low[0]; i < high[0]; i++)
                for (int64_t j = low[1]; j < high[1]; j++)
                    for (int64_t k = low[2]; k < high[2]; k++) {
                        float *at = &x[((c * s->input[0] + i) * s->input[1] + j) * s->input[2] + k],
                              dark = black(in, c);
                        changed |= *at != dark;
                        *at = dark;
                    }
        double now = whole; /* a cell that is black already changes nothing */
        if (changed) st = hct_tensor_write(s->x, x, err);
        if (changed && st == HCT_OK) st = hct_run(s->plain, err);
        if (changed && st == HCT_OK) st = read_answer(s, 0, &now, err);
        map[cell] = whole - now;
        if (st == HCT_OK && tell && tell(context, cell + 1, all))
            st = hct_fail(err, HCT_EINTERRUPTED, "stopped after %lld of %lld cells", (long long)cell + 1,
                          (long long)all);
    }
    free(x);
    return st;
}

hct_status saliency_run(saliency *s, const float *input, saliency_method m,
                        int (*tell)(void *context, int64_t done, int64_t of), void *context, saliency_map *ret,
                        double *ret_probability, hct_err *err) {
    int plain = m == SALIENCY_OCCLUSION;
    double answer = NAN;
    if (!saliency_allows(s, m))
        return hct_fail(err, HCT_EINVAL, "method '%s' needs %s", saliency_names[m],
                        m == SALIENCY_INPUT || m == SALIENCY_OCCLUSION ? "a classifier and --task"
                        : s->shape.layers                              ? "a classifier and --task"
                                          : "an encoder of patches with attention, whose heads take the class token");
    saliency_map map = {.value = NULL};
    memcpy(map.dim, m == SALIENCY_INPUT ? s->input : s->cells, sizeof map.dim);
    map.value = calloc((size_t)cells(map.dim) + 1, sizeof *map.value);
    hct_status st = map.value ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for a map");
    if (st == HCT_OK && plain && !s->plain) st = record_plain(s, err);
    if (st == HCT_OK && !plain && !s->graded) st = record_graded(s, err);
    if (st == HCT_OK) st = hct_tensor_write(s->x, input, err);
    if (st == HCT_OK) st = hct_run(plain ? s->plain : s->graded, err);
    if (st == HCT_OK && s->task >= 0) st = read_answer(s, !plain, &answer, err);
    if (st == HCT_OK && plain) st = by_occlusion(s, input, answer, tell, context, map.value, err);
    else if (st == HCT_OK && m == SALIENCY_INPUT) st = by_input(s, input, map.value, err);
    else if (st == HCT_OK) st = by_attention(s, m, map.value, err);
    if (st < 0) {
        free(map.value);
        return st;
    }
    *ret = map;
    *ret_probability = 1 / (1 + exp(-answer));
    return HCT_OK;
}

hct_status saliency_read_heads(saliency *s, const float *input, saliency_heads *ret, hct_err *err) {
    const attention_shape *shape = &s->shape;
    size_t n = (size_t)shape->tokens, patches = n - (size_t)shape->lead, heads = (size_t)shape->heads;
    *ret = (saliency_heads){.layers = shape->layers, .heads = shape->heads};
    if (!shape->layers)
        return hct_fail(err, HCT_EINVAL,
                        "attention needs an encoder of patches with attention, whose heads take the "
                        "class token");
    memcpy(ret->cells, s->cells, sizeof ret->cells);
    ret->of_class = malloc(heads * patches * sizeof *ret->of_class);
    ret->distance = malloc((size_t)shape->layers * heads * patches * sizeof *ret->distance);
    hct_status st = ret->of_class && ret->distance ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for attention");
    if (st == HCT_OK && !s->graded) st = record_graded(s, err);
    if (st == HCT_OK) st = hct_tensor_write(s->x, input, err);
    if (st == HCT_OK) st = hct_run(s->graded, err);
    float *a = st == HCT_OK ? read_layers(s, s->attention, err) : NULL;
    if (st == HCT_OK && !a) st = HCT_ENOMEM;
    if (st == HCT_OK) {
        attention_distance(shape, a, 0, ret->distance);
        const float *last = a + (size_t)(shape->layers - 1) * heads * n * n;
        for (size_t h = 0; h < heads; h++)
            for (size_t j = 0; j < patches; j++)
                ret->of_class[h * patches + j] = (double)last[h * n * n + (size_t)shape->lead + j];
    } else {
        free(ret->of_class);
        free(ret->distance);
        *ret = (saliency_heads){.layers = 0};
    }
    free(a);
    return st;
}
