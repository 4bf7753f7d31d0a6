/* Where a series' slices lie: their order, distances, gaps, tilt. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/series_parts.h"

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory to measure a DICOM series"); }

static int by_number(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median of n numbers, which are sorted by it; of an even number the lower; NAN of none. */
static double median(double *values, size_t n) {
    if (!n) return NAN;
    qsort(values, n, sizeof *values, by_number);
    return values[(n - 1) / 2];
}

static int by_position(const void *a, const void *b) {
    const series_slice *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return x->frame < y->frame ? -1 : x->frame > y->frame;
}

/* Sorts by position. false: some slice has none. */
static bool place(series *s, const pile_file *files) {
    for (size_t i = 0; i < s->n_slices; i++)
        if (!is_placed(files, &s->slices[i])) return false;
    const dicom_frame *f = frame_of(files, &s->slices[0]);
    memcpy(s->row, f->row, sizeof s->row);
    memcpy(s->column, f->column, sizeof s->column);
    s->orientation_unclear = fabs(dot3(f->row, f->column)) > 1e-3;
    cross3(s->row, s->column, s->normal);
    double length = sqrt(dot3(s->normal, s->normal)), least = INFINITY;
    for (int i = 0; i < 3; i++) s->normal[i] /= length;
    for (size_t i = 0; i < s->n_slices; i++) {
        s->slices[i].at = dot3(frame_of(files, &s->slices[i])->position, s->normal);
        least = fmin(least, s->slices[i].at);
    }
    for (size_t i = 0; i < s->n_slices; i++) s->slices[i].at -= least;
    qsort(s->slices, s->n_slices, sizeof *s->slices, by_position);
    return true;
}

/* Runs of gaps that are equal within a tenth. */
typedef struct run {
    size_t from, n;
    double gap;
} run;

static size_t find_runs(const double *gap, size_t n, run *ret) {
    size_t runs = 0;
    for (size_t i = 0; i < n; i++) {
        if (runs && fabs(gap[i] - ret[runs - 1].gap) <= 0.1 * fmin(gap[i], ret[runs - 1].gap) + 0.05) ret[runs - 1].n++;
        else ret[runs++] = (run){i, 1, gap[i]};
    }
    return runs;
}

/* The gap beside run r, of the nearest stretch of three equal gaps or more before (step -1) or behind it; 0: none. */
static double beside(const run *r, size_t runs, size_t at, int step) {
    for (size_t k = at; step < 0 ? k-- > 0 : ++k < runs;)
        if (r[k].n >= 3) return r[k].gap;
    return 0;
}

/* The gap (from 0) behind which a slice is missing: wider than 1.5 times what lies on both sides of it, and alone:
 * where three or more in a row are as wide, that is how the scan was made. Of a stack with hardly two equal gaps, one
 * wider than 1.5 times every other. n: none. */
static size_t wide_gap(const double *gap, size_t n, run *r) {
    size_t runs = find_runs(gap, n, r), regular = 0;
    for (size_t k = 0; k < runs; k++) regular += r[k].n >= 3 ? r[k].n : 0;
    if (2 * regular >= n) {
        for (size_t k = 0; k < runs; k++) {
            double most = fmax(beside(r, runs, k, -1), beside(r, runs, k, 1));
            if (r[k].n < 3 && r[k].gap > SERIES_GAP_FACTOR * most) return r[k].from;
        }
        return n;
    }
    size_t widest = 0;
    double second = 0;
    for (size_t i = 1; i < n; i++)
        if (gap[i] > gap[widest]) widest = i;
    for (size_t i = 0; i < n; i++)
        if (i != widest) second = fmax(second, gap[i]);
    return second > 0 && gap[widest] > SERIES_GAP_FACTOR * second ? widest : n;
}

/* Distances of neighbours, those at one place left out. */
static hct_status measure_gaps(series *s, hct_err *err) {
    double *gap = malloc((s->n_slices + 1) * sizeof *gap);
    size_t *behind = malloc((s->n_slices + 1) * sizeof *behind), n = 0, last = 0;
    run *runs = malloc((s->n_slices + 1) * sizeof *runs);
    hct_status status = gap && behind && runs ? HCT_OK : no_memory(err);
    s->same_place = 0;
    for (size_t i = 1; i < s->n_slices && status == HCT_OK; i++) {
        double apart = s->slices[i].at - s->slices[last].at;
        if (apart < SERIES_SAME_PLACE_UM * 1e-3) {
            s->same_place++;
            continue;
        }
        gap[n] = apart;
        behind[n++] = i;
        last = i;
    }
    if (status == HCT_OK) {
        size_t wide = wide_gap(gap, n, runs);
        s->wide_at = wide < n ? behind[wide] : 0;
        s->gap = n ? median(gap, n) : 0;
    }
    free(gap);
    free(behind);
    free(runs);
    return status;
}

/* How far slices lie beside the line through them all: a tilted gantry moves each by the same amount per millimetre. */
static hct_status measure_line(series *s, const pile_file *files, hct_err *err) {
    double *slope = malloc((s->n_slices + 1) * sizeof *slope);
    if (!slope) return no_memory(err);
    const double *origin = frame_of(files, &s->slices[0])->position;
    s->off_line = 0;
    for (int side = 0; side < 2; side++) {
        const double *along = side ? s->column : s->row;
        size_t n = 0;
        for (size_t i = 1; i < s->n_slices; i++) {
            double up = s->slices[i].at - s->slices[i - 1].at;
            const double *a = frame_of(files, &s->slices[i - 1])->position,
                         *b = frame_of(files, &s->slices[i])->position;
            if (up > SERIES_SAME_PLACE_UM * 1e-3) slope[n++] = (dot3(b, along) - dot3(a, along)) / up;
        }
        s->shear[side] = n ? median(slope, n) : 0;
        for (size_t i = 1; i < s->n_slices; i++) {
            double off = dot3(frame_of(files, &s->slices[i])->position, along) - dot3(origin, along);
            s->off_line = fmax(s->off_line, fabs(off - s->shear[side] * s->slices[i].at));
        }
    }
    free(slope);
    return HCT_OK;
}

static hct_status measure_numbers(series *s, const pile_file *files, hct_err *err) {
    double *thickness = malloc((s->n_slices + 1) * sizeof *thickness), *kvp = malloc((s->n_slices + 1) * sizeof *kvp);
    size_t n = 0, m = 0;
    const series_slice *first = &s->slices[0];
    const dicom_frame *f = frame_of(files, first);
    const dicom_header *h = &files[first->file].header;
    if (!thickness || !kvp) {
        free(thickness);
        free(kvp);
        return no_memory(err);
    }
    s->size_changes = s->spacing_changes = false;
    for (size_t i = 0; i < s->n_slices; i++) {
        const dicom_frame *g = frame_of(files, &s->slices[i]);
        const dicom_header *k = &files[s->slices[i].file].header;
        if (g->thickness.state == DICOM_THERE && g->thickness.value > 0) thickness[n++] = g->thickness.value;
        if (k->kvp.state == DICOM_THERE && k->kvp.value > 0) kvp[m++] = k->kvp.value;
        s->size_changes = s->size_changes || k->rows.value != h->rows.value || k->columns.value != h->columns.value;
        for (int a = 0; a < 2; a++)
            s->spacing_changes = s->spacing_changes || g->spacing_state != f->spacing_state ||
                                 fabs(g->spacing[a] - f->spacing[a]) > 1e-4 * f->spacing[a];
    }
    s->thickness = median(thickness, n);
    s->kvp = median(kvp, m);
    s->extent[0] = h->columns.value * f->spacing[1];
    s->extent[1] = h->rows.value * f->spacing[0];
    free(thickness);
    free(kvp);
    return HCT_OK;
}

void series_stack(const series *s, const pile_file *files, double (*position)[3], slice_stack *ret) {
    const dicom_frame *f = frame_of(files, &s->slices[0]);
    const dicom_header *h = &files[s->slices[0].file].header;
    *ret = (slice_stack){.n = (int64_t)s->n_slices,
                         .columns = (int64_t)h->columns.value,
                         .rows = (int64_t)h->rows.value,
                         .spacing = {f->spacing[1], f->spacing[0]},
                         .position = position};
    for (int i = 0; i < 3; i++) { /* left and posterior to right and anterior */
        double turn = i < 2 ? -1 : 1;
        ret->row[i] = turn * s->row[i];
        ret->column[i] = turn * s->column[i];
        for (size_t k = 0; k < s->n_slices; k++) position[k][i] = turn * frame_of(files, &s->slices[k])->position[i];
    }
}

static hct_status measure_shape(series *s, const pile_file *files, hct_err *err) {
    double(*position)[3] = malloc((s->n_slices + 1) * sizeof *position);
    slice_stack stack;
    stack_shape shape;
    if (!position) return no_memory(err);
    series_stack(s, files, position, &stack);
    s->even = s->tilted = false;
    if (stack_measure(&stack, &shape, NULL) == HCT_OK) {
        s->even = shape.even;
        s->tilted = !shape.straight;
    }
    free(position);
    return HCT_OK;
}

hct_status series_measure(series *s, const pile_file *files, hct_err *err) {
    hct_status status = measure_numbers(s, files, err);
    s->placed = status == HCT_OK && place(s, files);
    if (!s->placed) return status;
    status = measure_gaps(s, err);
    if (status == HCT_OK) status = measure_line(s, files, err);
    if (status == HCT_OK && s->same_place == 0) status = measure_shape(s, files, err);
    s->extent[2] = s->slices[s->n_slices - 1].at + s->gap;
    return status;
}

hct_status series_drop_equal(series *s, const pile_file *files, series_equal *equal, void *context, size_t *ret_dropped,
                             size_t *ret_different, hct_err *err) {
    size_t kept = s->n_slices ? 1 : 0;
    *ret_dropped = *ret_different = 0;
    for (size_t i = 1; i < s->n_slices && s->placed; i++) {
        series_slice *last = &s->slices[kept - 1];
        if (s->slices[i].at - last->at < SERIES_SAME_PLACE_UM * 1e-3) {
            int same = equal(context, last, &s->slices[i], err);
            if (same < 0) return same;
            *ret_dropped += same == 1;
            *ret_different += same == 0;
            if (same) continue;
        }
        s->slices[kept++] = s->slices[i];
    }
    if (!*ret_dropped) return HCT_OK;
    s->n_slices = kept;
    return series_measure(s, files, err);
}
