/* The checks of a series in their order. */
#include "dicom/verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dicom/pixels.h"
#include "dicom/series_parts.h"
#include "dicom/verdict_texts.h"

const char *verdict_word(verdict_reason r) {
    static const char *const words[] = {
#define X(name, word, filtered) word,
        VERDICT_REASONS(X)
#undef X
    };
    return words[r];
}

void verdict_free(verdict *v) {
    for (size_t i = 0; i < v->n; i++) free(v->findings[i].sentence);
    free(v->findings);
    *v = (verdict){0};
}

bool verdict_is_no_scan(const verdict *v) {
    if (!v->refusal) return false;
    switch (v->refusal->reason) {
    case REASON_NO_IMAGE:
    case REASON_LOCALIZER:
    case REASON_SECONDARY:
    case REASON_REFORMAT:
    case REASON_PERFUSION:
    case REASON_DOSE:
    case REASON_NOT_CHOSEN: return true;
    default: return false;
    }
}

hct_status verdict_add(verdict *v, verdict_reason reason, verdict_weight weight, hct_err *err, const char *fmt, ...) {
    char *sentence = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&sentence, fmt, ap) < 0) sentence = NULL;
    va_end(ap);
    verdict_finding *more = realloc(v->findings, (v->n + 1) * sizeof *more);
    if (more) v->findings = more;
    if (!more || !sentence) {
        free(sentence);
        return hct_fail(err, HCT_ENOMEM, "no memory for a verdict");
    }
    more[v->n++] = (verdict_finding){reason, weight, sentence};
    v->refusal = NULL; /* the list may have moved */
    for (size_t i = v->n; i-- > 0;)
        if (v->findings[i].weight == VERDICT_REFUSE) v->refusal = &v->findings[i];
    return HCT_OK;
}

/* One series under examination. */
typedef struct exam {
    series *s;
    const pile_file *files;
    const series_filters *f;
    const dicom_header *h; /* of its first slice */
    verdict *v;
    hct_err *err;
    hct_status status;
    size_t dropped, different;
} exam;

#define FIND(e, reason, weight, ...)                                                                                   \
    ((e)->status = (e)->status < 0 ? (e)->status : verdict_add((e)->v, reason, weight, (e)->err, __VA_ARGS__))
#define REFUSE(e, reason, ...) FIND(e, reason, VERDICT_REFUSE, __VA_ARGS__)

/* What a filter says of a tag that is not there. */
static void absent(exam *e, verdict_reason reason, const char *what) {
    if (e->f->absent_refuses) REFUSE(e, reason, "%s is absent", what);
}

/* ---- files ---- */

static bool is_colour(const dicom_header *h) {
    bool grey = !h->photometric || !*h->photometric || strncmp(h->photometric, "MONOCHROME", 10) == 0;
    return !grey || (h->samples.state == DICOM_THERE && h->samples.value != 1);
}

static bool has_image(const dicom_header *h) { return h->has_pixels || h->rows.state == DICOM_THERE; }

/* Files that could not be read and most likely hold slices of this series. */
static void check_strays(exam *e) {
    if (!e->s->n_strays) return;
    const pile_file *file = &e->files[e->s->strays[0]];
    const char *what = file->why ? file->why : file->path, *none = file->why ? "" : ": is no DICOM file";
    if (e->s->n_strays == 1)
        REFUSE(e, REASON_MEMBER_UNREADABLE, "%s%s; most likely it is a slice of this series", what, none);
    else
        REFUSE(e, REASON_MEMBER_UNREADABLE, "%s%s; most likely it and %zu more files are slices of this series", what,
               none, e->s->n_strays - 1);
}

static void check_files(exam *e) {
    size_t images = 0, bad = 0, colour = 0;
    char first[1200] = "";
    for (size_t i = 0; i < e->s->n_files; i++) {
        const pile_file *file = &e->files[e->s->files[i]];
        hct_err why = {0};
        images += has_image(&file->header);
        if (!has_image(&file->header)) continue;
        if (is_colour(&file->header)) colour++;
        else if (dicom_pixels_check(file->path, &file->header, &why) < 0 && bad++ == 0)
            snprintf(first, sizeof first, "%s", why.msg);
    }
    if (!images) REFUSE(e, REASON_NO_IMAGE, "a DICOM object without an image");
    if (bad == 1) REFUSE(e, REASON_UNREADABLE, "%s", first);
    if (bad > 1) REFUSE(e, REASON_UNREADABLE, "%s (and so it is with %zu more files)", first, bad - 1);
    check_strays(e);
    if (e->f->modality[0] && (!e->h->modality || strcasecmp(e->h->modality, e->f->modality) != 0)) {
        if (e->h->modality && *e->h->modality) REFUSE(e, REASON_MODALITY, "its modality is not %s", e->f->modality);
        else absent(e, REASON_MODALITY, "Modality");
    }
    static const verdict_reason kinds[] = {REASON_NO_IMAGE, REASON_LOCALIZER, REASON_SECONDARY,
                                           REASON_REFORMAT, REASON_PERFUSION, REASON_DOSE};
    if (images && !e->f->kinds[e->s->kind]) {
        if (e->s->kind == CLASS_AXIAL) REFUSE(e, REASON_ORIENTATION, "plain slices are not asked for");
        else REFUSE(e, kinds[e->s->kind], "its images are of the kind %s", series_class_name(e->s->kind));
    }
    if (colour) REFUSE(e, REASON_COLOUR, "%zu of its files hold colour, which no CT slice has", colour);
}

/* ---- images ---- */

static void check_images(exam *e) {
    const series *s = e->s;
    size_t derived = 0, without = 0, no_hu = 0;
    for (size_t i = 0; i < s->n_slices; i++) {
        const dicom_header *h = &e->files[s->slices[i].file].header;
        const dicom_frame *f = frame_of(e->files, &s->slices[i]);
        char value[64] = "";
        derived +=
            dicom_value(f->type ? f->type : h->image_type, 0, value, sizeof value) && strcasecmp(value, "DERIVED") == 0;
        without += f->slope.state != DICOM_THERE || f->intercept.state != DICOM_THERE || f->slope.value == 0;
        no_hu += h->rescale_type && *h->rescale_type && strcasecmp(h->rescale_type, "HU") != 0 &&
                 strcasecmp(h->rescale_type, "US") != 0; /* US: unspecified */
    }
    if (derived)
        FIND(e, REASON_DERIVED, e->f->derived_refused ? VERDICT_REFUSE : VERDICT_NOTE, "%zu of %zu images are DERIVED",
             derived, s->n_slices);
    if (s->placed && s->orientation_unclear)
        REFUSE(e, REASON_ORIENTATION, "rows and columns of its images are not at right angles");
    if (s->placed && e->f->axial_only && fabs(s->normal[2]) < M_SQRT1_2)
        REFUSE(e, REASON_ORIENTATION, "its slices are not axial");
    if (s->size_changes) REFUSE(e, REASON_SIZE, "rows and columns change inside the series");
    if (frame_of(e->files, &s->slices[0])->spacing_state != DICOM_THERE)
        REFUSE(e, REASON_SPACING, "PixelSpacing is absent, or makes no sense");
    else if (s->spacing_changes) REFUSE(e, REASON_SPACING, "PixelSpacing changes inside the series");
    if (without)
        REFUSE(e, REASON_RESCALE,
               "%zu of %zu images have no rescale slope and intercept: their values are no Hounsfield units", without,
               s->n_slices);
    else if (no_hu)
        REFUSE(e, REASON_RESCALE, "%zu of %zu images say that their values are no Hounsfield units", no_hu,
               s->n_slices);
}

/* ---- the volume ---- */

static const char *path_at(const exam *e, size_t slice) { return e->files[e->s->slices[slice].file].path; }

static void check_places(exam *e, series_equal *equal, void *context) {
    series *s = e->s;
    if (!s->placed) {
        REFUSE(e, REASON_POSITION,
               "ImagePositionPatient or ImageOrientationPatient is absent: nothing tells up from down");
        return;
    }
    if (s->n_slices > 1 && s->same_place == s->n_slices - 1) {
        REFUSE(e, REASON_ONE_POSITION, "all of its %zu images lie at one position", s->n_slices);
        return;
    }
    size_t shared = s->same_place;
    if (shared && !e->v->refusal && equal && e->status == HCT_OK)
        e->status = series_drop_equal(s, e->files, equal, context, &e->dropped, &e->different, e->err);
    else e->different = shared;
    if (e->different)
        REFUSE(e, REASON_DUPLICATES,
               "%zu slices lie where another one does and differ from it: two volumes in one series", e->different);
    if (s->wide_at)
        REFUSE(e, REASON_GAP, "a slice is missing before %s: %.4g mm to its neighbour, elsewhere %.4g mm",
               path_at(e, s->wide_at), s->slices[s->wide_at].at - s->slices[s->wide_at - 1].at, s->gap);
    if (s->off_line > SERIES_OFF_LINE_MM)
        REFUSE(e, REASON_RECENTRED,
               "slices lie up to %.3g mm beside the line of the others: the scan was re-centred on the way",
               s->off_line);
}

static void check_range(exam *e, verdict_reason reason, const char *what, const char *unit, double value,
                        const double range[2]) {
    if (range[0] > range[1]) return;
    if (isnan(value)) absent(e, reason, what);
    else if (value < range[0] || value > range[1])
        REFUSE(e, reason, "%s is %.4g %s, not %.4g to %.4g", what, value, unit, range[0], range[1]);
}

static void check_counts(exam *e) {
    const series *s = e->s;
    if ((int64_t)s->n_slices < e->f->least_slices || s->n_slices < 2)
        REFUSE(e, REASON_FEW_SLICES, "%zu slices, fewer than %lld", s->n_slices,
               (long long)(e->f->least_slices > 2 ? e->f->least_slices : 2));
    check_range(e, REASON_THICKNESS, "SliceThickness", "mm", s->thickness, e->f->thickness);
    check_range(e, REASON_KVP, "KVP", "kV", s->kvp, e->f->kvp);
}

static void check_extent(exam *e) {
    const series *s = e->s;
    double across = fmin(s->extent[0], s->extent[1]), matrix = fmin(e->h->rows.value, e->h->columns.value);
    if (s->placed && s->extent[2] < e->f->least_coverage)
        REFUSE(e, REASON_COVERAGE, "it covers %.4g mm along its normal, less than %.4g", s->extent[2],
               e->f->least_coverage);
    if (matrix < (double)e->f->least_matrix)
        REFUSE(e, REASON_MATRIX, "its images have %.4g pixels along a side, fewer than %lld", matrix,
               (long long)e->f->least_matrix);
    if (across < e->f->least_extent)
        REFUSE(e, REASON_EXTENT, "its field of view is %.4g mm, less than %.4g", across, e->f->least_extent);
}

static void note(exam *e) {
    const series *s = e->s;
    bool lossy = e->h->syntax && e->h->syntax->lossy, inverted = false;
    for (size_t i = 0; i < s->n_slices; i++) {
        const dicom_header *h = &e->files[s->slices[i].file].header;
        lossy = lossy || (h->lossy && strcmp(h->lossy, "01") == 0);
        inverted = inverted || (h->photometric && strcmp(h->photometric, "MONOCHROME1") == 0);
    }
    if (e->dropped)
        FIND(e, REASON_COPIES, VERDICT_NOTE, "%zu slices are equal to others at their place and left out", e->dropped);
    if (s->placed && s->tilted)
        FIND(e, REASON_TILT, VERDICT_NOTE, "its slices slide by %.3g and %.3g mm per mm (a tilted gantry): resolved",
             s->shear[0], s->shear[1]);
    if (s->placed && s->n_slices > 1 && !s->same_place && !s->even)
        FIND(e, REASON_UNEVEN, VERDICT_NOTE, "distances of its slices differ: resolved");
    if (lossy) FIND(e, REASON_LOSSY, VERDICT_NOTE, "its images went through lossy compression");
    if (inverted)
        FIND(e, REASON_MONOCHROME1, VERDICT_WARN,
             "MONOCHROME1: its values are taken as they are, only their display is inverted");
}

hct_status verdict_of(series *s, const pile_file *files, const series_filters *f, series_equal *equal, void *context,
                      verdict *ret, hct_err *err) {
    *ret = (verdict){0};
    exam e = {.s = s, .files = files, .f = f, .h = series_header(files, s), .v = ret, .err = err};
    check_files(&e);
    if (has_image(e.h)) {
        check_images(&e);
        check_places(&e, equal, context);
        check_counts(&e);
        text_checks texts;
        verdict_texts(files, s, f, &texts);
        for (size_t i = 0; i < texts.n; i++) REFUSE(&e, texts.of[i].reason, "%s", texts.of[i].sentence);
        check_extent(&e);
        note(&e);
    }
    if (e.status < 0) verdict_free(ret);
    return e.status;
}

/* ---- slices at one place ---- */

static hct_status hu_of(const pile_file *f, int64_t frame, float **ret, hct_err *err) {
    size_t n = (size_t)(f->header.rows.value * f->header.columns.value);
    int32_t *stored = malloc(n * sizeof *stored);
    pile_open_file o = {0};
    dicom_pixels *p = NULL;
    *ret = malloc(n * sizeof **ret);
    hct_status s = stored && *ret ? pile_open(f, &o, err) : hct_fail(err, HCT_ENOMEM, "%s: no memory", f->path);
    if (s == HCT_OK) s = dicom_pixels_open(o.bytes, &f->header, &p, err);
    if (s == HCT_OK) s = dicom_pixels_frame(p, frame, stored, err);
    if (s == HCT_OK) s = dicom_hu(&f->header, frame, stored, NULL, *ret, f->path, err);
    dicom_pixels_close(p);
    pile_close(&o);
    free(stored);
    if (s < 0) {
        free(*ret);
        *ret = NULL;
    }
    return s;
}

int verdict_equal(void *context, const series_slice *a, const series_slice *b, hct_err *err) {
    const pile_file *files = context;
    const dicom_header *h = &files[a->file].header, *g = &files[b->file].header;
    float *one = NULL, *other = NULL;
    if (h->rows.value != g->rows.value || h->columns.value != g->columns.value) return 0;
    size_t n = (size_t)(h->rows.value * h->columns.value);
    hct_status s = hu_of(&files[a->file], a->frame, &one, err);
    if (s == HCT_OK) s = hu_of(&files[b->file], b->frame, &other, err);
    int same = s == HCT_OK && memcmp(one, other, n * sizeof *one) == 0;
    free(one);
    free(other);
    return s < 0 ? s : same;
}
