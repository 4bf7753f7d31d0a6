/* headct import of encoders by published key names: what is found, what is left out, and what is refused with
 * nothing written.
 *
 *   test_import FOLDER       cases of make_encoders.py
 *   test_import FOLDER OUT   writes small models that take the published inputs to OUT, for tests of the program */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_main.h"
#include "encoder_cases.h"
#include "hct/io.h"
#include "hct/log.h"
#include "models/build.h"
#include "scratch.h"
#include "support/device.h"
#include "weights/import.h"

static const char *folder;
static hct_dev *dev;
static char lines[8192]; /* what was logged */

static void keep_line(void *context, hct_log_level level, const char *line) {
    (void)context, (void)level;
    size_t n = strlen(lines);
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

/* How a file differs from the whole and right one. */
typedef struct changes {
    const char *leave_out, *reshape; /* a tensor's own name */
    const char *add;                 /* a further tensor, by its whole name */
    size_t cut;                      /* bytes that the file is short of */
} changes;

/* The published name of one of ours. */
static void published(const char *prefix, const char *name, char ret[200]) {
    if (strstr(prefix, "visual.trunk.") && !strcmp(name, "projection.weight"))
        snprintf(ret, 200, "%.*svisual.head.proj.weight", (int)(strstr(prefix, "visual.") - prefix), prefix);
    else snprintf(ret, 200, "%s%s", prefix, name);
}

/* A case's tensors under published names. */
static void write_file(const char *path, const cJSON *c, const char *prefix, const changes *how) {
    static const float some[8];
    int64_t dim[5];
    encoder e = case_encoder(c, dim);
    hct_err err = {0};
    const model_info info = {.role = MODEL_ENCODER, .encoder = e};
    params *p = model_new(dev, &info, 1, &err);
    ck_assert_msg(p != NULL, "%s", err.msg);
    case_fill(p);
    hct_st_entry *own, *entry;
    void *bytes;
    ck_assert(params_entries(p, &own, &bytes, &err) == HCT_OK);
    char(*name)[200] = calloc(p->n + 2, sizeof *name);
    entry = calloc(p->n + 3, sizeof *entry);
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (how->leave_out && !strcmp(own[i].name, how->leave_out)) continue;
        entry[n] = own[i];
        if (how->reshape && !strcmp(own[i].name, how->reshape))
            entry[n].ndim = 1, entry[n].dim[0] = (int64_t)(own[i].bytes / sizeof(float));
        published(prefix, own[i].name, name[n]);
        entry[n].name = name[n];
        n++;
    }
    snprintf(name[n], 200, "%sbn1.num_batches_tracked", prefix);
    entry[n] = (hct_st_entry){.name = name[n], .dtype = HCT_I64, .data = some, .bytes = 8};
    n++;
    if (how->add)
        entry[n++] =
            (hct_st_entry){.name = how->add, .dtype = HCT_F32, .ndim = 1, .dim = {2}, .data = some, .bytes = 8};
    ck_assert_msg(hct_st_write(path, entry, n, NULL, 0, &err) == HCT_OK, "%s", err.msg);
    if (how->cut) {
        char *text;
        size_t size;
        ck_assert(hct_read_file(path, &text, &size, &err) == HCT_OK);
        ck_assert(truncate(path, (off_t)(size - how->cut)) == 0);
        free(text);
    }
    free(own);
    free(bytes);
    free(name);
    free(entry);
    params_free(p);
}

static const struct right {
    const char *name, *prefix, *add;
    import_size set;
} rights[] = {
    {"resnet3d", "module.", "fc.weight", {NULL, 0}},
    {"resnet3d", "", NULL, {NULL, 0}},
    {"resnet3d-dilated", "module.", "module.conv_seg.0.bias", {NULL, 0}},
    {"merlin", "encode_image.i3_resnet.", "encode_text.embeddings.weight", {NULL, 0}},
    {"merlin", "", "logit_scale", {NULL, 0}},
    {"ct-fm", "", NULL, {NULL, 0}},
    {"ct-fm", "encoder.", NULL, {NULL, 0}},
    {"hlip-v1", "module.visual.trunk.", "module.text.transformer.weight", {NULL, 0}},
    {"hlip-2026", "visual.trunk.", "logit_scale", {"slices", 1}},
};
START_TEST(published_names_are_read) {
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        const struct right *k = &rights[i];
        cJSON *c = case_read(folder, k->name);
        int64_t dim[5];
        encoder want = case_encoder(c, dim);
        hct_err err = {0};
        write_file(scratch_path("in.safetensors"), c, k->prefix, &(changes){.add = k->add});
        /* the small ones' heads and pattern are not the published models' */
        const import_size hlip[] = {{"heads", 2}, {"period", 3}, k->set};
        int is_hlip = !strcmp(want.kind->name, "hlip");
        hu_window window[INPUT_WINDOWS];
        for (int w = 0; w < INPUT_WINDOWS; w++) window[w] = (hu_window){40, 80};
        char *in = strdup(scratch_path("in.safetensors")), *out = strdup(scratch_path("out.safetensors"));
        import_options o = {.path = in,
                            .out = out,
                            .window = want.kind->own_input ? NULL : window,
                            .n_windows = want.input.n_windows,
                            .set = hlip,
                            .n_set = is_hlip ? k->set.name ? 3 : 2 : 0};
        model_info got;
        lines[0] = 0;
        ck_assert_msg(import_run(&o, &got, &err) == HCT_OK, "%s: %s", k->name, err.msg);
        ck_assert_msg(!k->add || strstr(lines, "unexpected"), "%s: nothing tells of %s", k->name, k->add);
        ck_assert_ptr_eq(got.encoder.kind, want.kind);
        ck_assert_msg(fields_compare(want.kind->fields, want.own, got.encoder.own, NULL, &err) == HCT_OK, "%s: %s",
                      k->name, err.msg);
        model_info back;
        params *p = model_open(dev, out, &back, &err);
        ck_assert_msg(p != NULL, "%s: %s", k->name, err.msg);
        for (size_t t = 0; t < p->n; t++) {
            const hct_view *v = hct_tensor_view(p->items[t].tensor);
            size_t bytes = (size_t)hct_numel(v) * sizeof(float);
            float *a = malloc(bytes + 1), *b = malloc(bytes + 1);
            case_value(p->items[t].name, v->ndim, v->dim, a);
            ck_assert(hct_tensor_read(p->items[t].tensor, b, NULL) == HCT_OK);
            ck_assert_msg(!memcmp(a, b, bytes), "%s: %s has other values", k->name, p->items[t].name);
            free(a);
            free(b);
        }
        params_free(p);
        unlink(in);
        unlink(out);
        free(in);
        free(out);
        cJSON_Delete(c);
    }
}
END_TEST

static const struct wrong {
    const char *name, *prefix, *as, *says;
    changes how;
    import_size set;
} wrongs[] = {
    {"merlin", "", NULL, "'layer2.1.bn2.running_var'", {.leave_out = "layer2.1.bn2.running_var"}, {NULL, 0}},
    {"merlin", "", NULL, "'layer2.1.conv2.weight' has another shape", {.reshape = "layer2.1.conv2.weight"}, {NULL, 0}},
    {"merlin", "", NULL, "in.safetensors", {.cut = 1000}, {NULL, 0}},
    {"merlin", "", "ct-fm", "holds no tensor 'conv_init.weight'", {0}, {NULL, 0}},
    {"merlin", "", "hlip", "holds no tensor 'patch_embed.proj.weight'", {0}, {NULL, 0}},
    {"merlin", "", "resnet3d", "conv1.weight must be [channels, inputs, 7, 7, 7]", {0}, {NULL, 0}},
    {"merlin", "", "merling", "there is no such kind", {0}, {NULL, 0}},
    {"merlin", "", NULL, "holds no tensor 'layer3.0.conv3.weight'", {.leave_out = "layer3.0.conv3.weight"}, {NULL, 0}},
    {"ct-fm", "some.", NULL, "of no encoder that headct knows", {.leave_out = "conv_init.weight"}, {NULL, 0}},
    {"ct-fm", "", NULL, "'layers.1.downsample.weight'", {.leave_out = "layers.1.downsample.weight"}, {NULL, 0}},
    {"hlip-2026", "visual.trunk.", NULL, "no tensor tells its 'slices'", {0}, {NULL, 0}},
    {"hlip-2026", "visual.trunk.", NULL, "has no such size", {0}, {"slice", 1}},
    {"hlip-2026", "visual.trunk.", NULL, "the tensors' shapes tell it", {0}, {"depth", 1}},
    {"hlip-v1", "visual.trunk.", NULL, "'projection.weight'", {.leave_out = "projection.weight"}, {"heads", 2}},
};
START_TEST(wrong_files_are_refused) {
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        const struct wrong *k = &wrongs[i];
        cJSON *c = case_read(folder, k->name);
        char *in = strdup(scratch_path("in.safetensors")), *out = strdup(scratch_path("out.safetensors"));
        hct_err err = {0};
        write_file(in, c, k->prefix, &k->how);
        import_size set[] = {{"heads", 2}, {"period", 3}, k->set};
        int is_hlip = !strncmp(k->name, "hlip", 4);
        if (is_hlip && k->set.name && strcmp(k->set.name, "heads")) set[1] = (import_size){"slices", 1};
        import_options o = {.path = in,
                            .out = out,
                            .as = k->as,
                            .set = set,
                            .n_set = !is_hlip                                      ? 0
                                     : k->set.name && strcmp(k->set.name, "heads") ? 3
                                                                                   : 2};
        hct_status st = import_run(&o, NULL, &err);
        ck_assert_msg(st < 0, "%s, %s: was imported", k->name, k->says);
        ck_assert_msg(strstr(err.msg, k->says) && !strchr(err.msg, '\n'), "%s: says '%s', not '%s'", k->name, err.msg,
                      k->says);
        ck_assert_msg(access(out, F_OK) != 0, "%s, %s: something was written", k->name, k->says);
        unlink(in);
        free(in);
        free(out);
        cJSON_Delete(c);
    }
}
END_TEST

/* Vision transformers of timm and MONAI: the imported model gives what theirs gives. */
static const struct mapped {
    const char *name;
    library_map map;
} maps[] = {{"map-timm", LIBRARY_TIMM}, {"map-monai", LIBRARY_MONAI}, {"map-perceptron", LIBRARY_MONAI}};

static void write_theirs(const char *path, const cJSON *c) {
    const cJSON *tensors = cJSON_GetObjectItem(c, "tensors"), *one;
    size_t n = 0, all = (size_t)cJSON_GetArraySize(tensors);
    hct_st_entry *entry = calloc(all, sizeof *entry);
    char(*name)[200] = calloc(all, sizeof *name);
    hct_err err = {0};
    cJSON_ArrayForEach(one, tensors) {
        hct_st_entry *e = &entry[n];
        const cJSON *d;
        snprintf(name[n], 200, "net.%s", one->string);
        *e = (hct_st_entry){.name = name[n++], .dtype = HCT_F32};
        cJSON_ArrayForEach(d, one) e->dim[e->ndim++] = (int64_t)d->valuedouble;
        e->bytes = hct_st_elements(e) * sizeof(float);
        float *x = malloc(e->bytes);
        case_value(one->string, e->ndim, e->dim, x);
        e->data = x;
    }
    ck_assert_msg(hct_st_write(path, entry, n, NULL, 0, &err) == HCT_OK, "%s", err.msg);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)entry[i].data);
    free(entry);
    free(name);
}

START_TEST(other_libraries_are_mapped) {
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        cJSON *c = case_read(folder, maps[i].name);
        char *in = strdup(scratch_path("in.safetensors")), *out = strdup(scratch_path("out.safetensors"));
        const hu_window window[2] = {{40, 80}, {80, 200}};
        hct_err err = {0};
        model_info info;
        write_theirs(in, c);
        import_options o = {.path = in, .out = out, .map = maps[i].map, .heads = 2, .window = window, .n_windows = 2};
        ck_assert_msg(import_run(&o, NULL, &err) == HCT_OK, "%s: %s", maps[i].name, err.msg);
        params *p = model_open(dev, out, &info, &err);
        ck_assert_msg(p != NULL, "%s: %s", maps[i].name, err.msg);
        int64_t dim[5];
        for (int d = 0; d < 5; d++)
            dim[d] = (int64_t)cJSON_GetArrayItem(cJSON_GetObjectItem(c, "input"), d)->valuedouble;
        float *x = case_input(dim), *got;
        hct_tensor *image = hct_tensor_new(dev, HCT_F32, 5, dim, &err);
        hct_tape *t = hct_tape_new(dev, HCT_PROGRAM);
        encoder_values v = {0};
        ck_assert(image && hct_tensor_write(image, x, &err) == HCT_OK);
        info.encoder.kind->forward(t, p, &info.encoder, hct_use(t, image), &v);
        hct_keep(t, v.embedding);
        ck_assert_msg(hct_compile(t, &err) == HCT_OK && hct_run(t, &err) == HCT_OK, "%s: %s", maps[i].name, err.msg);
        size_t n = (size_t)hct_numel(hct_shape(t, v.embedding)), at = 0;
        got = malloc(n * sizeof *got);
        ck_assert(hct_read(t, v.embedding, got, &err) == HCT_OK);
        const cJSON *want = cJSON_GetObjectItem(cJSON_GetObjectItem(c, "eval"), "embedding"), *w;
        ck_assert_int_eq(cJSON_GetArraySize(want), (int)n);
        cJSON_ArrayForEach(w, want) {
            ck_assert_msg(fabs((double)got[at] - w->valuedouble) <= 2e-6 * (1 + fabs(w->valuedouble)),
                          "%s: %zu is %.8g, not %.8g", maps[i].name, at, (double)got[at], w->valuedouble);
            at++;
        }
        free(got);
        free(x);
        hct_tape_free(t);
        hct_tensor_free(image);
        params_free(p);
        unlink(in);
        unlink(out);
        free(in);
        free(out);
        cJSON_Delete(c);
    }
}
END_TEST

/* Small models that take the published inputs, as files under published names: FOLDER/merlin.safetensors, ... */
static const char *out_folder;
START_TEST(models_are_written) {
    static const struct {
        const char *name, *prefix;
        int64_t input[5];
    } all[] = {{"merlin", "encode_image.i3_resnet.", {1, 1, 160, 224, 224}},
               {"ct-fm", "", {1, 4, 48, 128, 128}},
               {"hlip-v1", "module.visual.trunk.", {1, 3, 48, 224, 224}}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[1024];
        cJSON *c = case_read(folder, all[i].name), *sizes = cJSON_GetObjectItem(c, "sizes");
        for (int d = 0; d < 5; d++)
            cJSON_SetNumberValue(cJSON_GetArrayItem(cJSON_GetObjectItem(c, "input"), d), (double)all[i].input[d]);
        if (!strcmp(all[i].name, "hlip-v1")) {
            static const char *const size[] = {"grid0", "grid1", "grid2", "patch0", "patch1", "patch2", "sequence"};
            static const double value[] = {6, 14, 14, 8, 16, 16, 40};
            for (int k = 0; k < 7; k++) cJSON_SetNumberValue(cJSON_GetObjectItem(sizes, size[k]), value[k]);
        }
        snprintf(path, sizeof path, "%s/%s.safetensors", out_folder, all[i].name);
        write_file(path, c, all[i].prefix, &(changes){0});
        cJSON_Delete(c);
    }
}
END_TEST

int main(int argc, char **argv) {
    hct_err err = {0};
    if (argc < 2) return 2;
    folder = argv[1];
    if (!(dev = device_open("cpu", &err))) return 1;
    hct_log_to(keep_line, NULL);
    out_folder = argc > 2 ? argv[2] : NULL;
    int failed =
        out_folder ? CHECK_RUN("models", models_are_written)
                   : CHECK_RUN("import", published_names_are_read, wrong_files_are_refused, other_libraries_are_mapped);
    device_close(dev);
    return failed;
}
