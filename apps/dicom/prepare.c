/* Slices of a series to a prepared volume. */
#include "dicom/prepare.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/pixels.h"
#include "dicom/series_parts.h"
#include "imaging/scan.h"
#include "support/workers.h"

enum { FRAMES_AT_ONCE = 32 };

/* Slices of one file that one thread reads: places in `order`, [from, to). */
typedef struct batch {
    size_t from, to;
} batch;

typedef struct work {
    const pile_file *files;
    const series *s;
    const prepare_series_options *o;
    prepared_series *info;
    stack_resampler *resampler; /* NULL: slices are only looked at */
    body_map map;
    float *keep;   /* room for all slices as they are; NULL: not wanted */
    bool look;     /* whether the map is to be filled */
    size_t *order; /* places of slices, by file and frame */
    batch *batches;
    size_t n_batches;
    pthread_mutex_t lock; /* guards info */
} work;

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory to read a DICOM series"); }

/* ---- what is read when ---- */

static int by_file(const void *a, const void *b, void *context) {
    const series *s = context;
    const series_slice *x = &s->slices[*(const size_t *)a], *y = &s->slices[*(const size_t *)b];
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return x->frame < y->frame ? -1 : x->frame > y->frame;
}

static hct_status plan(work *w, hct_err *err) {
    size_t n = w->s->n_slices;
    w->order = malloc(n * sizeof *w->order);
    w->batches = malloc(n * sizeof *w->batches);
    if (!w->order || !w->batches) return no_memory(err);
    for (size_t i = 0; i < n; i++) w->order[i] = i;
    qsort_r(w->order, n, sizeof *w->order, by_file, (void *)(uintptr_t)w->s);
    for (size_t i = 0; i < n; i++) {
        batch *last = w->n_batches ? &w->batches[w->n_batches - 1] : NULL;
        bool same = last && w->s->slices[w->order[last->from]].file == w->s->slices[w->order[i]].file;
        if (same && last->to - last->from < FRAMES_AT_ONCE) last->to++;
        else w->batches[w->n_batches++] = (batch){i, i + 1};
    }
    return HCT_OK;
}

/* ---- one file ---- */

static void note_slice(work *w, int64_t k, const float *hu, const dicom_header *h, int64_t frame) {
    hu_stats stats;
    int64_t columns = (int64_t)h->columns.value, rows = (int64_t)h->rows.value;
    hu_stats_begin(&stats);
    hu_stats_plane(&stats, hu, columns, rows, k, (int64_t)w->s->n_slices);
    body_map_plane(&w->map, k, hu);
    pthread_mutex_lock(&w->lock);
    hu_stats_add(&w->info->hu, &stats);
    w->info->wrapped += dicom_is_wrapped(h, frame);
    pthread_mutex_unlock(&w->lock);
}

/* The slices of a batch, whose file is open. */
static hct_status take_batch(work *w, const batch *b, dicom_bytes *bytes, hct_err *err) {
    size_t file = w->s->slices[w->order[b->from]].file;
    const dicom_header *h = &w->files[file].header;
    size_t n = (size_t)(h->rows.value * h->columns.value);
    const dicom_hu_options options = {.unwrap = w->o->unwrap};
    dicom_pixels *p = NULL;
    int32_t *stored = malloc(n * sizeof *stored);
    float *hu = malloc(n * sizeof *hu);
    hct_status s = stored && hu ? dicom_pixels_open(bytes, h, &p, err) : no_memory(err);
    for (size_t i = b->from; i < b->to && s == HCT_OK; i++) {
        int64_t k = (int64_t)w->order[i], frame = w->s->slices[k].frame;
        s = dicom_pixels_frame(p, frame, stored, err);
        if (s == HCT_OK) s = dicom_hu(h, frame, stored, &options, hu, w->files[file].path, err);
        if (s == HCT_OK && w->look) note_slice(w, k, hu, h, frame);
        if (s == HCT_OK && w->keep) memcpy(w->keep + (size_t)k * n, hu, n * sizeof *hu);
        if (s == HCT_OK && w->resampler) s = stack_add(w->resampler, k, hu, err);
    }
    dicom_pixels_close(p);
    free(stored);
    free(hu);
    return s;
}

static bool is_wanted(const work *w, const batch *b) {
    if (w->look || w->keep) return true;
    for (size_t i = b->from; i < b->to; i++)
        if (stack_wants(w->resampler, (int64_t)w->order[i])) return true;
    return false;
}

static hct_status take_file(void *context, int64_t i, hct_err *err) {
    work *w = context;
    const batch *b = &w->batches[i];
    const pile_file *f = &w->files[w->s->slices[w->order[b->from]].file];
    pile_open_file o = {0};
    if (f->archive || !is_wanted(w, b)) return HCT_OK;
    hct_status s = pile_open(f, &o, err);
    if (s == HCT_OK) s = take_batch(w, b, o.bytes, err);
    pile_close(&o);
    return s;
}

/* ---- members of archives: each archive once, from its start ---- */

typedef struct members {
    work *w;
    const pile_file **list;
    size_t *batch_of; /* first batch of each */
} members;

static hct_status take_member(void *context, size_t i, dicom_bytes *bytes, hct_err *err) {
    members *m = context;
    const work *w = m->w;
    hct_status s = HCT_OK;
    for (size_t b = m->batch_of[i]; s == HCT_OK && b < w->n_batches; b++) {
        if (&w->files[w->s->slices[w->order[w->batches[b].from]].file] != m->list[i]) break;
        if (is_wanted(w, &w->batches[b])) s = take_batch(m->w, &w->batches[b], bytes, err);
    }
    return s;
}

static hct_status take_archives(work *w, hct_err *err) {
    members m = {w, malloc((w->n_batches + 1) * sizeof *m.list), malloc((w->n_batches + 1) * sizeof *m.batch_of)};
    bool *done = calloc(w->n_batches + 1, sizeof *done);
    hct_status s = m.list && m.batch_of && done ? HCT_OK : no_memory(err);
    for (size_t first = 0; first < w->n_batches && s == HCT_OK; first++) {
        const pile_file *f = &w->files[w->s->slices[w->order[w->batches[first].from]].file], *before = NULL;
        size_t n = 0;
        if (!f->archive || done[first]) continue;
        for (size_t b = first; b < w->n_batches; b++) {
            const pile_file *g = &w->files[w->s->slices[w->order[w->batches[b].from]].file];
            if (!g->archive || strcmp(g->archive, f->archive) != 0) continue;
            done[b] = true;
            if (g == before) continue;
            m.list[n] = before = g;
            m.batch_of[n++] = b;
        }
        s = pile_visit_members(m.list, n, take_member, &m, err);
    }
    free(m.list);
    free(m.batch_of);
    free(done);
    return s;
}

static hct_status read_all(work *w, hct_err *err) {
    hct_status s = workers_run(w->o->jobs, (int64_t)w->n_batches, take_file, w, err);
    return s == HCT_OK ? take_archives(w, err) : s;
}

/* ---- the head ---- */

/* Where the body lies on the grid that the resampler has. */
static hct_status find_body(work *w, const slice_stack *stack, double grid[4][4], hct_err *err) {
    body_slices at = {.origin = stack->position};
    for (int i = 0; i < 3; i++) {
        at.step_x[i] = stack->row[i] * stack->spacing[0];
        at.step_y[i] = stack->column[i] * stack->spacing[1];
        at.step_z[i] = (stack->position[stack->n - 1][i] - stack->position[0][i]) / (double)(stack->n - 1);
    }
    return body_find(&w->map, &at, grid, &w->info->body, err);
}

static void cut_of(const stack_resampler *r, const int64_t size[3], int64_t off[3]) {
    int64_t dim[3];
    double affine[4][4];
    stack_grid(r, dim, affine);
    for (int a = 0; a < 3; a++) off[a] = size[a] >= dim[a] ? (size[a] - dim[a]) / 2 : size[a] / 2 - dim[a] / 2;
}

static hct_status warn(const work *w, const series_filters *f, verdict *v, hct_err *err) {
    hct_status s = HCT_OK;
    hu_fault fault = hu_check(&w->info->hu);
    if (!v) return s;
    if (w->info->wrapped)
        s = verdict_add(v, REASON_WRAPPED, VERDICT_WARN, err,
                        w->o->unwrap ? "12-bit values of %zu slices may have wrapped below -1000: mended"
                                     : "12-bit values of %zu slices may have wrapped below -1000: they can be mended "
                                       "(--fix-rsna-wrap)",
                        w->info->wrapped);
    if (s == HCT_OK && fault != HU_FINE && (!f || f->hu != FILTER_KEEP))
        s = verdict_add(v, REASON_HU, f && f->hu == FILTER_REFUSE ? VERDICT_REFUSE : VERDICT_WARN, err, "%s: %s",
                        hu_fault_word(fault), hu_fault_sentence(fault));
    if (s == HCT_OK && w->info->beyond > 0)
        s = verdict_add(v, REASON_HEAD_OUTSIDE, VERDICT_WARN, err,
                        "the body reaches %.0f mm out of the cube that a model sees", w->info->beyond);
    return s;
}

/* ---- the whole ---- */

/* Resamples; with center_head a first pass over the slices tells where the head is. */
static hct_status resample(work *w, const slice_stack *stack, volume *ret, hct_err *err) {
    int64_t size = w->o->size ? w->o->size : PREPARED_SIZE, cube = w->o->cube ? w->o->cube : MODEL_CUBE, off[3], dim[3];
    double grid[4][4];
    stack_options cut = {.size = {size, size, size}, .dtype = w->o->exact ? HCT_F32 : HCT_I16, .fill = PREPARED_PAD_HU};
    hct_status s = HCT_OK;
    w->look = true;
    s = stack_begin(stack, &cut, &w->resampler, err);
    if (s < 0) return s;
    stack_grid(w->resampler, dim, grid);
    cut_of(w->resampler, cut.size, off);
    if (w->o->center_head) {
        stack_resampler *kept = w->resampler;
        w->resampler = NULL;
        s = read_all(w, err);
        stack_discard(kept);
        w->look = false;
        if (s == HCT_OK) s = find_body(w, stack, grid, err);
        if (s == HCT_OK) body_shift(&w->info->body, off, cut.size, cube, w->info->shift);
        memcpy(cut.shift, w->info->shift, sizeof cut.shift);
        if (s == HCT_OK) s = stack_begin(stack, &cut, &w->resampler, err);
    }
    if (s == HCT_OK) s = read_all(w, err);
    if (s == HCT_OK && w->look) s = find_body(w, stack, grid, err);
    if (s == HCT_OK) {
        for (int a = 0; a < 3; a++) off[a] -= w->info->shift[a];
        w->info->beyond = body_beyond(&w->info->body, off, cut.size, cube);
        stack_resampler *r = w->resampler;
        w->resampler = NULL;
        s = stack_end(r, ret, &w->info->box, err);
    }
    return s;
}

hct_status prepare_series(const pile_file *files, const series *s, const series_filters *f,
                          const prepare_series_options *o, volume *ret, prepared_series *ret_info, verdict *v,
                          hct_err *err) {
    work w = {.files = files, .s = s, .o = o, .info = ret_info};
    slice_stack stack;
    hct_err why = {0};
    *ret = (volume){0};
    *ret_info = (prepared_series){0};
    hu_stats_begin(&ret_info->hu);
    pthread_mutex_init(&w.lock, NULL);
    double(*position)[3] = malloc((s->n_slices + 1) * sizeof *position);
    hct_status status = position ? plan(&w, err) : no_memory(err);
    if (status == HCT_OK) {
        series_stack(s, files, position, &stack);
        status = stack_measure(&stack, &ret_info->shape, &why);
        if (status == HCT_OK)
            status = body_map_begin(&w.map, stack.columns, stack.rows, stack.n, stack.spacing[0], &why);
        if (status < 0) hct_fail(err, status, "%s: %s", files[s->files[0]].path, why.msg);
    }
    if (status == HCT_OK) status = resample(&w, &stack, ret, err);
    stack_discard(w.resampler);
    bool of_content = status == HCT_EFORMAT || status == HCT_EDTYPE || status == HCT_EINVAL || status == HCT_ESHAPE;
    if (status == HCT_OK) status = warn(&w, f, v, err);
    else if (of_content && v && err) verdict_add(v, REASON_UNREADABLE, VERDICT_REFUSE, NULL, "%s", err->msg);
    if (status < 0) volume_free(ret);
    body_map_free(&w.map);
    pthread_mutex_destroy(&w.lock);
    free(position);
    free(w.order);
    free(w.batches);
    return status;
}

hct_status series_source(const pile_file *files, const series *s, bool unwrap, int jobs, scan_source *ret,
                         hct_err *err) {
    const prepare_series_options o = {.unwrap = unwrap, .jobs = jobs};
    prepared_series unused = {0};
    work w = {.files = files, .s = s, .o = &o, .info = &unused};
    slice_stack stack;
    stack_shape shape;
    hct_err why = {0};
    *ret = (scan_source){0};
    pthread_mutex_init(&w.lock, NULL);
    ret->position = malloc((s->n_slices + 1) * sizeof *ret->position);
    hct_status st = ret->position ? plan(&w, err) : no_memory(err);
    if (st == HCT_OK) {
        series_stack(s, files, ret->position, &stack);
        st = stack_measure(&stack, &shape, &why);
        if (st == HCT_OK) st = volume_alloc(&ret->v, HCT_F32, (int64_t[]){stack.columns, stack.rows, stack.n}, &why);
        if (st < 0) hct_fail(err, st, "%s: %s", files[s->files[0]].path, why.msg);
    }
    if (st == HCT_OK) {
        w.keep = ret->v.f32;
        st = read_all(&w, err);
        for (int i = 0; i < 3; i++) {
            const double *first = stack.position[0], *last = stack.position[stack.n - 1];
            ret->v.affine[i][0] = stack.row[i] * stack.spacing[0];
            ret->v.affine[i][1] = stack.column[i] * stack.spacing[1];
            ret->v.affine[i][2] = (last[i] - first[i]) / (double)(stack.n - 1);
            ret->v.affine[i][3] = first[i];
        }
        if (shape.even && shape.straight) {
            free(ret->position);
            ret->position = NULL;
        }
    }
    if (st < 0) scan_source_free(ret);
    pthread_mutex_destroy(&w.lock);
    free(w.order);
    free(w.batches);
    return st;
}

hct_status check_volume(const volume *v, const series_filters *f, verdict *ret, hct_err *err) {
    hu_stats stats;
    hu_stats_volume(&stats, v);
    hu_fault fault = hu_check(&stats);
    if (fault == HU_FINE || (f && f->hu == FILTER_KEEP)) return HCT_OK;
    return verdict_add(ret, REASON_HU, f && f->hu == FILTER_REFUSE ? VERDICT_REFUSE : VERDICT_WARN, err, "%s: %s",
                       hu_fault_word(fault), hu_fault_sentence(fault));
}
