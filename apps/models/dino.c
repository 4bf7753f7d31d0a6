/* DINO: its tensors, forward pass, loss and moving averages, and its row of the table of pretext tasks. */
#include "models/dino.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/comm.h"
#include "models/geometry.h"
#include "models/layers.h"

#define HEAD_EPS 1e-12
#define NORM_MOMENTUM 0.1
#define NORM_EPS 1e-5
#define RUNNING_MEAN ".running_mean"
#define RUNNING_VAR ".running_var"

hct_status dino_check(const dino_config *c, hct_err *err) {
    hct_status st = encoder_check(&c->encoder, err);
    if (st < 0) return st;
    const struct {
        const char *name;
        int64_t v;
    } positive[] = {
        {"hidden", c->head.hidden},
        {"bottleneck", c->head.bottleneck},
        {"prototypes", c->head.prototypes},
    };
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (positive[i].v < 1)
            return hct_fail(err, HCT_EINVAL, "dino: %s is %lld, it must be 1 or more", positive[i].name,
                            (long long)positive[i].v);
    if (c->global < 1 || c->views < 2 || c->views < c->global)
        return hct_fail(
            err, HCT_EINVAL,
            "views: %lld global and %lld local ones make no pair; a scan needs a global view and another one",
            (long long)c->global, (long long)(c->views - c->global));
    return HCT_OK;
}

static void declare_head(params *p, const dino_config *c) {
    int64_t w = encoder_width(&c->encoder), h = c->head.hidden, b = c->head.bottleneck, k = c->head.prototypes;
    const struct { int64_t out, in; } layer[] = {{h, w}, {h, h}, {b, h}};
    for (int i = 0; i < 3; i++) {
        params_add(p, INIT_NORMAL, 1, PARAM_DIMS(layer[i].out, layer[i].in), "head.mlp.%d.weight", 2 * i);
        params_add(p, INIT_ZERO, 1, PARAM_DIMS(layer[i].out), "head.mlp.%d.bias", 2 * i);
        if (!c->head.batch_norm || i == 2) continue;
        params_add(p, INIT_ZERO, 0, PARAM_DIMS(layer[i].out), "head.norm.%d" RUNNING_MEAN, 2 * i);
        params_add(p, INIT_ONE, 0, PARAM_DIMS(layer[i].out), "head.norm.%d" RUNNING_VAR, 2 * i);
    }
    params_add(p, INIT_ONE, 0, PARAM_DIMS(k, 1), "head.last_layer.weight_g");
    params_add(p, INIT_NORMAL, 1, PARAM_DIMS(k, b), "head.last_layer.weight_v");
}

/* The student's tensor of a teacher's; NULL for others. */
static const param *source_of(const params *p, const param *item) {
    size_t n = strlen(DINO_TEACHER);
    return strncmp(item->name, DINO_TEACHER, n) ? NULL : params_find(p, item->name + n);
}

/* Whether the teacher's is a moving average of this one: a fixed table is the same in both, and each keeps running
 * statistics of its own. */
static int averages(const param *from) {
    return from && (from->init != INIT_GIVEN || from->trained) && !strstr(from->name, RUNNING_MEAN) &&
           !strstr(from->name, RUNNING_VAR);
}

void dino_declare(params *p, const dino_config *c) {
    c->encoder.kind->declare(p, &c->encoder);
    declare_head(p, c);
    size_t first = p->n;
    params_scope(p, DINO_TEACHER);
    c->encoder.kind->declare(p, &c->encoder);
    declare_head(p, c);
    params_scope(p, "");
    for (size_t i = first; i < p->n; i++) {
        p->items[i].trained = 0;
        p->items[i].follows = averages(source_of(p, &p->items[i]));
    }
    params_add(p, INIT_ZERO, 0, PARAM_DIMS(c->head.prototypes), "center");
}

hct_status dino_copy_teacher(params *p, hct_err *err) {
    for (size_t i = 0; i < p->n; i++) {
        const param *from = source_of(p, &p->items[i]);
        hct_status st = from ? param_copy(from, &p->items[i], err) : HCT_OK;
        if (st < 0) return st;
    }
    return HCT_OK;
}

hct_status dino_inputs_new(dino_inputs *in, hct_dev *dev, hct_err *err) {
    in->temps = hct_tensor_new(dev, HCT_F32, PARAM_DIMS(2), err);
    in->rates = in->temps ? hct_tensor_new(dev, HCT_F32, PARAM_DIMS(4), err) : NULL;
    if (in->rates) return HCT_OK;
    dino_inputs_free(in);
    return err ? err->code : HCT_ENOMEM;
}

void dino_inputs_free(dino_inputs *in) {
    hct_tensor_free(in->temps);
    hct_tensor_free(in->rates);
    *in = (dino_inputs){0};
}

hct_status dino_set(const dino_inputs *in, double student_temp, double teacher_temp, double teacher_momentum,
                    double centre_momentum, hct_err *err) {
    float temps[] = {(float)student_temp, (float)teacher_temp};
    float rates[] = {(float)teacher_momentum, (float)(1 - teacher_momentum), (float)centre_momentum,
                     (float)(1 - centre_momentum)};
    hct_status st = hct_tensor_write(in->temps, temps, err);
    return st < 0 ? st : hct_tensor_write(in->rates, rates, err);
}

/* A hidden layer of the head: linear, batch norm where there is one, GELU. */
static hct_id hidden(hct_tape *t, params *p, int i, hct_id x) {
    char name[16];
    snprintf(name, sizeof name, "head.mlp.%d", i);
    if (!params_has(p, "head.norm.%d" RUNNING_MEAN, i)) return layers_linear_gelu(t, p, name, x);
    hct_id mean = params_master(p, t, "head.norm.%d" RUNNING_MEAN, i),
           var = params_master(p, t, "head.norm.%d" RUNNING_VAR, i);
    return hct_gelu(t, hct_batch_norm(t, layers_linear(t, p, name, x), mean, var, NORM_MOMENTUM, NORM_EPS, 1));
}

/* class tokens [N, width] -> logits [N, K] */
static hct_id head(hct_tape *t, params *p, hct_id x) {
    x = hidden(t, p, 2, hidden(t, p, 0, x));
    x = hct_l2_normalize(t, layers_linear(t, p, "head.mlp.4", x), HEAD_EPS);
    hct_id w = hct_l2_normalize(t, params_use(p, t, "head.last_layer.weight_v"), HEAD_EPS);
    return hct_linear(t, x, hct_mul(t, w, params_use(p, t, "head.last_layer.weight_g")), 0);
}

/* images [N, C, S, S, S] -> logits [views, N / views, K]; *ret_cls [N, width] */
static hct_id branch(hct_tape *t, params *p, const dino_config *c, hct_id images, int64_t views, hct_id *ret_cls) {
    encoder_values v = {0};
    c->encoder.kind->forward(t, p, &c->encoder, images, &v);
    *ret_cls = hct_cast(t, v.embedding, HCT_F32);
    return hct_reshape(t, hct_cast(t, head(t, p, v.embedding), HCT_F32), 3,
                       (int64_t[]){views, hct_shape(t, images)->dim[0] / views, c->head.prototypes});
}

dino_outputs dino_forward(hct_tape *t, params *p, const dino_config *c, hct_id views, const dino_inputs *in) {
    int64_t b = hct_shape(t, views)->dim[1], d[3];
    dino_outputs out;
    input_dims(&c->encoder.input, d);
    hct_id cls, all;
    const hct_view *v = hct_shape(t, views);
    if (v->ndim == 4) all = hct_reshape(t, views, 3, (int64_t[]){c->views * b, v->dim[2], v->dim[3]});
    else all = hct_reshape(t, views, 5, (int64_t[]){c->views * b, c->encoder.input.n_windows, d[0], d[1], d[2]});
    out.student = branch(t, p, c, all, c->views, &cls);
    params_scope(p, DINO_TEACHER);
    out.teacher = branch(t, p, c, hct_slice(t, all, 0, 0, c->global * b), c->global, &out.features);
    params_scope(p, "");
    out.loss =
        hct_dino_loss(t, out.student, out.teacher, params_master(p, t, "center"), hct_use(t, in->temps), &out.entropy);
    return out;
}

void dino_record_averages(hct_tape *t, params *p, const dino_outputs *out, int64_t micro, const dino_inputs *in) {
    hct_id *each = malloc((3 * p->n + 1) * sizeof *each), rates = hct_use(t, in->rates);
    int copies = p->compute != HCT_F32;
    uint32_t n = 0, k = 0;
    if (!each) {
        hct_tape_fail(t, HCT_ENOMEM, "out of memory for the teacher");
        return;
    }
    for (size_t i = 0; i < p->n; i++) {
        const param *item = &p->items[i], *from = source_of(p, item);
        if (!averages(from)) continue;
        n++;
        each[k++] = hct_use(t, item->tensor);
        each[k++] = hct_use(t, from->tensor);
        if (copies) each[k++] = hct_use(t, item->copy);
    }
    if (copies) hct_ema_copy(t, rates, 0, each, n);
    else hct_ema(t, rates, 0, each, n);
    hct_id mean = hct_mean(t, out[0].teacher, HCT_AXES(2), 0);
    for (int64_t m = 1; m < micro; m++) mean = hct_add(t, mean, hct_mean(t, out[m].teacher, HCT_AXES(2), 0));
    if (micro > 1) mean = hct_scale(t, mean, 1 / (double)micro, 0);
    if (hct_comm_world()) hct_all_reduce(t, &mean, 1, 1.0 / hct_comm_world()->ranks);
    hct_ema(t, rates, 2, (hct_id[]){params_master(p, t, "center"), mean}, 1);
    free(each);
}

int dino_is_last_layer(const char *name) { return !strncmp(name, "head.last_layer.", 16); }

/* ---- as a pretext task ---- */

#define AT(member) offsetof(dino_head, member)
static const model_field fields[] = {
    {"hidden", "dino.hidden", AT(hidden), FIELD_WHOLE, 1, 1e9, 0},
    {"bottleneck", "dino.bottleneck", AT(bottleneck), FIELD_WHOLE, 1, 1e9, 0},
    {"prototypes", "dino.prototypes", AT(prototypes), FIELD_WHOLE, 1, 1e9, 0},
    {"batch_norm", "dino.batch_norm", AT(batch_norm), FIELD_FLAG, 0, 1, 1},
    {0},
};

dino_head dino_head_of(const pretext *x) {
    dino_head h;
    memcpy(&h, x->own, sizeof h);
    return h;
}

pretext pretext_of_dino(const dino_head *head) {
    pretext x = {.kind = &pretext_dino};
    memcpy(x.own, head, sizeof *head);
    return x;
}

static hct_status check_pretext(const pretext *x, const encoder *e, hct_err *err) {
    (void)x;
    if (e->kind->batch_norms)
        return hct_fail(err, HCT_EINVAL,
                        "model.kind: %s has batch norms, whose running statistics DINO's teacher would not have; DINO "
                        "takes a vit",
                        e->kind->name);
    return encoder_check(e, err);
}

static void declare_pretext(params *p, const pretext *x, const encoder *e) {
    dino_declare(p, &(dino_config){.encoder = *e, .head = dino_head_of(x)});
}

/* Length of an axis of a tensor; 0 where there is no such tensor or axis. */
static int64_t axis_of(const hct_st_entry *sorted, size_t n, const char *name, int axis) {
    const hct_st_entry *entry = geometry_find(sorted, n, name);
    return entry && axis < entry->ndim ? entry->dim[axis] : 0;
}

static hct_status sizes_of_pretext(const hct_st_entry *sorted, size_t n, const char *path, const encoder *e,
                                   pretext *io, hct_err *err) {
    dino_head h = dino_head_of(io);
    (void)e;
    h.hidden = axis_of(sorted, n, "head.mlp.0.weight", 0);
    h.bottleneck = axis_of(sorted, n, "head.last_layer.weight_v", 1);
    h.prototypes = axis_of(sorted, n, "head.last_layer.weight_v", 0);
    h.batch_norm = geometry_find(sorted, n, "head.norm.0" RUNNING_MEAN) != NULL;
    if (!h.hidden || !h.bottleneck)
        return hct_fail(err, HCT_EFORMAT, "%s: holds no head of DINO (head.mlp.0.weight, head.last_layer.weight_v)",
                        path);
    *io = pretext_of_dino(&h);
    return HCT_OK;
}

static const char *plain_name(const char *name, int student) {
    size_t n = strlen(DINO_TEACHER);
    int teacher = !strncmp(name, DINO_TEACHER, n);
    if (teacher == (student != 0)) return NULL;
    if (teacher) name += n;
    return !strncmp(name, "head.", 5) || !strcmp(name, "center") ? NULL : name;
}

const pretext_kind pretext_dino = {
    .name = "dino",
    .fields = fields,
    .size = sizeof(dino_head),
    .check = check_pretext,
    .declare = declare_pretext,
    .begin = dino_copy_teacher,
    .sizes = sizes_of_pretext,
    .plain_name = plain_name,
};
