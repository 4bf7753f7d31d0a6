/* Times the making of DINO's views of phantom scans, and writes them for a peer to compare. */
#include "planning/view_timing.h"

#include <stdlib.h>
#include <string.h>

#include "dataset/views.h"
#include "hct/safetensors.h"
#include "imaging/model_input.h"
#include "imaging/phantom.h"
#include "imaging/scan.h"
#include "support/measure.h"

enum { SIZE = 96, SIDE = PREPARED_SIZE };

static const views_config paper = {.global = 2,
                                   .local = 3,
                                   .global_edge = {112, 224},
                                   .local_edge = {64, 112},
                                   .region = SIDE,
                                   .shrink = 1,
                                   .flip = 0.2,
                                   .shift = 0.1,
                                   .shift_prob = 0.5,
                                   .smooth_prob = 0.2,
                                   .sigma = {0.5, 1},
                                   .gamma_prob = 0.2,
                                   .gamma = {0.2, 1}};

typedef struct work {
    int16_t *volumes;
    float *params, *views;
    hct_tensor *volume, *param, *window;
    hct_tape *tape;
    hct_id out;
} work;

/* Heads as headct phantom draws them, prepared in memory. */
static hct_status make_volumes(int16_t *out, int64_t scans, hct_err *err) {
    phantom_set set = phantom_usual;
    set.seed = 1;
    set.prevalence = 0.4;
    for (int64_t i = 0; i < scans; i++) {
        phantom p;
        volume v;
        phantom_draw(&p, &set, (uint64_t)i, 0);
        hct_status st = phantom_render(&p, &v, err);
        if (st == HCT_OK) st = scan_prepare(&v, 0, err);
        if (st == HCT_OK) memcpy(out + i * SIDE * SIDE * SIDE, v.i16, sizeof(int16_t) * SIDE * SIDE * SIDE);
        volume_free(&v);
        if (st < 0) return st;
    }
    return HCT_OK;
}

static hct_status record(work *w, hct_dev *dev, int64_t scans, int64_t views, hct_err *err) {
    float window[2 * PAPER_WINDOWS];
    for (int i = 0; i < PAPER_WINDOWS; i++)
        window[2 * i] = (float)paper_windows[i].centre, window[2 * i + 1] = (float)paper_windows[i].width;
    w->volume = hct_tensor_new(dev, HCT_I16, 4, (int64_t[]){scans, SIDE, SIDE, SIDE}, err);
    w->param = hct_tensor_new(dev, HCT_F32, 3, (int64_t[]){views, scans, HCT_VIEW_FLOATS}, err);
    w->window = hct_tensor_new(dev, HCT_F32, 2, (int64_t[]){PAPER_WINDOWS, 2}, err);
    w->tape = hct_tape_new(dev, HCT_PROGRAM);
    if (!w->volume || !w->param || !w->window || !w->tape)
        return hct_fail(err, HCT_ENOMEM, "out of memory for %lld scans", (long long)scans);
    hct_status st = hct_tensor_write(w->volume, w->volumes, err);
    if (st == HCT_OK) st = hct_tensor_write(w->param, w->params, err);
    if (st == HCT_OK) st = hct_tensor_write(w->window, window, err);
    if (st < 0) return st;
    hct_emit(w->tape, "ct_views",
             (hct_id[]){hct_use(w->tape, w->volume), hct_use(w->tape, w->param), hct_use(w->tape, w->window)}, 3,
             &HCT_INT("size", SIZE), 1, &w->out, 1);
    hct_keep(w->tape, w->out);
    return hct_compile(w->tape, err);
}

static hct_status write_file(const work *w, const char *file, int64_t scans, int64_t views, hct_err *err) {
    const int64_t cube = SIDE * SIDE * SIDE, view = PAPER_WINDOWS * SIZE * SIZE * SIZE;
    hct_st_entry e[] = {
        {.name = "params",
         .dtype = HCT_F32,
         .ndim = 3,
         .dim = {views, scans, HCT_VIEW_FLOATS},
         .data = w->params,
         .bytes = (uint64_t)(views * scans * HCT_VIEW_FLOATS) * sizeof(float)},
        {.name = "views",
         .dtype = HCT_F32,
         .ndim = 6,
         .dim = {views, scans, PAPER_WINDOWS, SIZE, SIZE, SIZE},
         .data = w->views,
         .bytes = (uint64_t)(views * scans * view) * sizeof(float)},
        {.name = "volumes",
         .dtype = HCT_I16,
         .ndim = 4,
         .dim = {scans, SIDE, SIDE, SIDE},
         .data = w->volumes,
         .bytes = (uint64_t)(scans * cube) * sizeof(int16_t)},
    };
    return hct_st_write(file, e, 3, NULL, 0, err);
}

hct_status view_timing(hct_dev *dev, const char *file, int64_t scans, int64_t repeats, FILE *out, hct_err *err) {
    int64_t views = paper.global + paper.local, rows = views * scans;
    work w = {.volumes = malloc((size_t)scans * SIDE * SIDE * SIDE * sizeof *w.volumes),
              .params = malloc((size_t)(rows * HCT_VIEW_FLOATS) * sizeof *w.params),
              .views = malloc((size_t)rows * PAPER_WINDOWS * SIZE * SIZE * SIZE * sizeof *w.views)};
    hct_status st = w.volumes && w.params && w.views
                        ? make_volumes(w.volumes, scans, err)
                        : hct_fail(err, HCT_ENOMEM, "out of memory for %lld scans", (long long)scans);
    for (int64_t i = 0; st == HCT_OK && i < rows; i++)
        views_draw_crop(&paper, 1, 0, (uint64_t)(i % scans), i / scans, w.params + i * HCT_VIEW_FLOATS);
    if (st == HCT_OK) st = record(&w, dev, scans, views, err);
    if (st == HCT_OK) st = hct_run(w.tape, err);
    if (st == HCT_OK) fprintf(out, "seconds");
    for (int64_t i = 0; st == HCT_OK && i < repeats; i++) {
        double start = measure_now();
        st = hct_run(w.tape, err);
        if (st == HCT_OK) fprintf(out, " %.6f", measure_now() - start);
    }
    if (st == HCT_OK) fprintf(out, "\n%lld scans, %lld views each\n", (long long)scans, (long long)views);
    if (st == HCT_OK) st = hct_read(w.tape, w.out, w.views, err);
    if (st == HCT_OK) st = write_file(&w, file, scans, views, err);
    hct_tape_free(w.tape);
    hct_tensor_free(w.volume);
    hct_tensor_free(w.param);
    hct_tensor_free(w.window);
    free(w.volumes);
    free(w.params);
    free(w.views);
    return st;
}
