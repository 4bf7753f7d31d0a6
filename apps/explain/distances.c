/* Attention distance, model beside model. */
#include "explain/distances.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluation/sheet.h"
#include "explain/overlay.h"
#include "explain/saliency.h"
#include "explain/scan_views.h"
#include "figures/picture.h"
#include "hct/log.h"
#include "support/device.h"
#include "support/paths.h"

enum { MODELS = 16, TALL = 320 };

typedef struct column {
    char name[64], *path;
} column;

typedef struct work {
    const distances_options *o;
    hct_dev *dev;
    column column[MODELS];
    size_t n;
    sheet *table;
    FILE *said;
} work;

static hct_status add_column(work *w, const char *name, char *path, hct_err *err) {
    if (!path) return hct_fail(err, HCT_ENOMEM, "out of memory");
    if (w->n == MODELS) {
        free(path);
        return hct_fail(err, HCT_EINVAL, "%s: more than %d models make a picture nobody can read", w->o->run, MODELS);
    }
    snprintf(w->column[w->n].name, sizeof w->column[0].name, "%s", name);
    w->column[w->n++].path = path;
    return HCT_OK;
}

/* The pre-trained encoder, then the run's one model or one a task. */
static hct_status find_columns(work *w, hct_err *err) {
    const char *run = w->o->run;
    char **names = NULL, *own = run ? path_join(run, "weights.safetensors") : NULL;
    size_t n = 0;
    hct_status st = w->o->weights ? add_column(w, "pre-trained", strdup(w->o->weights), err) : HCT_OK;
    int one = own && path_is_file(own);
    if (st == HCT_OK && one) st = add_column(w, "fine-tuned", strdup(own), err);
    if (st == HCT_OK && run && !one) st = path_list(run, "", &names, &n, err);
    for (size_t i = 0; i < n; i++) {
        char *folder = path_join(run, names[i]), *path = folder ? path_join(folder, "weights.safetensors") : NULL;
        if (st == HCT_OK && path && path_is_file(path)) st = add_column(w, names[i], strdup(path), err);
        free(folder);
        free(path);
        free(names[i]);
    }
    free(names);
    free(own);
    if (st == HCT_OK && !w->n) st = hct_fail(err, HCT_ENOTFOUND, "%s: holds no weights.safetensors", run);
    return st;
}

static void put_rows(work *w, const char *scan, const char *model, const saliency_heads *h) {
    size_t patches = (size_t)(h->cells[0] * h->cells[1] * h->cells[2]);
    double all = 0;
    for (int64_t l = 0; l < h->layers; l++)
        for (int64_t head = 0; head < h->heads; head++) {
            double sum = 0;
            for (size_t i = 0; i < patches; i++)
                sum += h->distance[(size_t)(l * h->heads + head) * patches + i] / (double)patches;
            all += sum / (double)(h->layers * h->heads);
            sheet_text(w->table, scan);
            sheet_text(w->table, model);
            sheet_count(w->table, (size_t)l + 1);
            sheet_count(w->table, (size_t)head + 1);
            sheet_number(w->table, sum, 2);
        }
    if (w->said) fprintf(w->said, "%s, %s: attention reaches %.1f mm in the mean\n", scan, model, all);
}

/* A map over the prepared volume, row-major. */
static float *over_volume(const double *cells, const int64_t dim[3], const scan_views *v, const input_spec *spec,
                          hct_err *err) {
    volume laid = {0};
    saliency_map map = {.value = (double *)(uintptr_t)cells};
    memcpy(map.dim, dim, sizeof map.dim);
    float *out = overlay_make(&map, &v->prepared, spec, &v->prepared, &laid, err) == HCT_OK
                     ? volume_row_major(&laid, err)
                     : NULL;
    volume_free(&laid);
    return out;
}

static picture_tile tile_of(const scan_views *v, const float *scan, const float *overlay, const hu_window *w,
                            slice_plane plane, const char *caption) {
    picture_tile t = {.volume = scan,
                      .plane = plane,
                      .at = -1,
                      .low = w->centre - w->width / 2,
                      .high = w->centre + w->width / 2,
                      .caption = caption,
                      .overlay = overlay};
    memcpy(t.dim, v->prepared.dim, sizeof t.dim);
    return t;
}

static char *picture_path(const work *w, const char *kind, const char *scan, const char *what) {
    char *path = NULL;
    return asprintf(&path, "%s/%s_%s_%s.png", w->o->out, kind, scan, what) < 0 ? NULL : path;
}

/* The axial slice that holds the most attention of all heads together at one voxel. */
static int64_t brightest_slice(float *const *maps, size_t n, const int64_t dim[3]) {
    double best = -1;
    int64_t slice = dim[2] / 2;
    for (int64_t i = 0; i < dim[0] * dim[1] * dim[2]; i++) {
        double sum = 0;
        for (size_t m = 0; m < n; m++) sum += (double)maps[m][i];
        if (sum > best) best = sum, slice = i % dim[2];
    }
    return slice;
}

static hct_status draw_heads(work *w, const scan_views *v, const float *scan, const column *c, const input_spec *spec,
                             const saliency_heads *h, hct_err *err) {
    enum { SHOWN = 16 };
    picture_tile tiles[SHOWN];
    char captions[SHOWN][32];
    float *maps[SHOWN] = {NULL};
    size_t patches = (size_t)(h->cells[0] * h->cells[1] * h->cells[2]),
           n = (size_t)(h->heads < SHOWN ? h->heads : SHOWN);
    double high = 0;
    hct_status st = HCT_OK;
    for (size_t i = 0; i < n * patches; i++) high = fmax(high, h->of_class[i]);
    for (size_t i = 0; i < n && st == HCT_OK; i++) {
        snprintf(captions[i], sizeof captions[i], "head %zu", i + 1);
        if (!(maps[i] = over_volume(h->of_class + i * patches, h->cells, v, spec, err))) st = HCT_ENOMEM;
        tiles[i] = tile_of(v, scan, maps[i], &spec->window[0], SLICE_AXIAL, captions[i]);
        tiles[i].overlay_high = high;
    }
    for (size_t i = 0; st == HCT_OK && i < n; i++) tiles[i].at = brightest_slice(maps, n, v->prepared.dim);
    char *path = picture_path(w, "heads", v->id, c->name);
    if (st == HCT_OK)
        st = path ? picture_write(tiles, n, TALL / 2, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    free(path);
    for (size_t i = 0; i < n; i++) free(maps[i]);
    return st;
}

/* One model's distances over a scan; *ret_map is the caller's. */
static hct_status measure(work *w, const scan_views *v, const float *scan, const column *c, float **ret_map,
                          hu_window *ret_window, hct_err *err) {
    model_info info;
    char hash[MODEL_HASH];
    saliency_heads h = {.layers = 0};
    params *p = model_file_open(w->dev, &(model_file_options){.path = c->path}, &info, hash, err);
    if (!p) return err->code;
    const input_spec *spec = &info.encoder.input;
    hct_status st =
        info.plain || *spec->form
            ? hct_fail(err, HCT_EINVAL, "%s: does not say how its input is cut from a prepared scan", c->path)
            : HCT_OK;
    saliency *s = st == HCT_OK ? saliency_new(w->dev, p, &info, NULL, err) : NULL;
    float *input = s ? malloc(input_floats(spec) * sizeof *input) : NULL;
    if (st == HCT_OK && !input) st = s ? hct_fail(err, HCT_ENOMEM, "out of memory for a scan") : err->code;
    if (st == HCT_OK) st = input_make(spec, &v->prepared, input, err);
    if (st == HCT_OK) st = saliency_read_heads(s, input, &h, err);
    size_t patches = (size_t)(h.cells[0] * h.cells[1] * h.cells[2]), each = (size_t)(h.layers * h.heads);
    double *mean = st == HCT_OK ? calloc(patches + 1, sizeof *mean) : NULL;
    if (st == HCT_OK && !mean) st = hct_fail(err, HCT_ENOMEM, "out of memory for a map");
    for (size_t i = 0; st == HCT_OK && i < each * patches; i++) mean[i % patches] += h.distance[i] / (double)each;
    if (st == HCT_OK) {
        put_rows(w, v->id, c->name, &h);
        *ret_window = spec->window[0];
        if (!(*ret_map = over_volume(mean, h.cells, v, spec, err))) st = HCT_ENOMEM;
    }
    if (st == HCT_OK) st = draw_heads(w, v, scan, c, spec, &h, err);
    free(mean);
    free(h.of_class);
    free(h.distance);
    free(input);
    saliency_free(s);
    params_free(p);
    return st;
}

static hct_status draw_planes(work *w, const scan_views *v, const float *scan, float *const *map,
                              const hu_window *window, hct_err *err) {
    static const char *const planes[] = {"sagittal", "coronal", "axial"};
    double low = INFINITY, high = -INFINITY;
    hct_status st = HCT_OK;
    for (size_t m = 0; m < w->n; m++)
        for (int64_t i = 0; i < volume_count(&v->prepared); i++) {
            double x = (double)map[m][i]; /* 0: outside of what the model saw */
            if (x > 0) low = fmin(low, x), high = fmax(high, x);
        }
    for (int plane = 0; plane < 3 && st == HCT_OK; plane++) {
        picture_tile tiles[MODELS];
        for (size_t m = 0; m < w->n; m++) {
            tiles[m] = tile_of(v, scan, map[m], window, (slice_plane)plane, w->column[m].name);
            tiles[m].overlay_low = low;
            tiles[m].overlay_high = high;
        }
        char *path = picture_path(w, "attention", v->id, planes[plane]);
        st = path ? picture_write(tiles, w->n, TALL, path, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        free(path);
    }
    return st;
}

static hct_status one_scan(work *w, const char *path, size_t *refused, hct_err *err) {
    scan_views v = {.id = NULL};
    hct_err why = {0};
    float *map[MODELS] = {NULL}, *scan = NULL;
    hu_window window = {40, 80};
    hct_status st = scan_views_read(path, &v, &why);
    if (st < 0 && st != HCT_ENOMEM && st != HCT_EDEVICE) {
        hct_log(HCT_LOG_WARNING, "%s", why.msg);
        ++*refused;
        scan_views_free(&v);
        return HCT_OK;
    }
    if (st < 0) hct_fail(err, st, "%s", why.msg);
    if (st == HCT_OK && !(scan = volume_row_major(&v.prepared, err))) st = HCT_ENOMEM;
    for (size_t m = 0; m < w->n && st == HCT_OK; m++) st = measure(w, &v, scan, &w->column[m], &map[m], &window, err);
    if (st == HCT_OK) st = draw_planes(w, &v, scan, map, &window, err);
    for (size_t m = 0; m < w->n; m++) free(map[m]);
    free(scan);
    scan_views_free(&v);
    return st;
}

hct_status distances_run(const distances_options *o, FILE *said, size_t *ret_refused, hct_err *err) {
    work w = {.o = o, .said = said};
    *ret_refused = 0;
    hct_status st = find_columns(&w, err);
    if (st == HCT_OK && !(w.dev = device_open(o->device, err))) st = err->code;
    if (st == HCT_OK) st = path_make_folders(o->out, err);
    w.table = sheet_new("attention_distance", "Mean attention distance", "scan,model,layer,head,distance_mm");
    for (size_t i = 0; i < o->n_scans && st == HCT_OK; i++) st = one_scan(&w, o->scans[i], ret_refused, err);
    if (st == HCT_OK && sheet_rows(w.table)) st = sheet_write(w.table, o->out, err);
    sheet_free(w.table);
    for (size_t i = 0; i < w.n; i++) free(w.column[i].path);
    device_close(w.dev);
    return st;
}
