/* What kind an image is, and series that hold several volumes. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dicom/series_parts.h"

/* ---- kinds ---- */

/* Whether one of the words of text (letters and digits between anything else) is in the list, which ends with NULL. */
static bool has_word(const char *text, const char *const *list) {
    while (text && *text) {
        while (*text && !isalnum((unsigned char)*text)) text++;
        size_t n = 0;
        while (isalnum((unsigned char)text[n])) n++;
        for (const char *const *w = list; n && *w; w++)
            if (strlen(*w) == n && strncasecmp(*w, text, n) == 0) return true;
        text += n;
    }
    return false;
}

series_class class_of(const dicom_header *h, const dicom_frame *f) {
    static const char *const scout[] = {"LOCALIZER", "SCOUT", "SURVIEW",    "TOPOGRAM", "TOPO",
                                        "SCANOGRAM", "SCANO", "SCANOSCOPE", NULL};
    static const char *const reformat[] = {"MPR",   "MPVR", "REFORMATTED", "REFORMAT",  "PROJECTION", "MIP",
                                           "MINIP", "VRT",  "RENDERED",    "3D",        "SSD",        "CURVED",
                                           "VR",    "CPR",  "AVERAGE",     "RENDERING", NULL};
    static const char *const perfusion[] = {"PERFUSION", "RCBF", "RCBV", "CBF", "CBV",
                                            "MTT",       "TTP",  "TMAX", "TTD", NULL};
    static const char *const dose[] = {"DOSE", "SCREENSAVE", "SCREEN", NULL};
    static const char secondary[] = "1.2.840.10008.5.1.4.1.1.7"; /* and .7.1 to .7.4 */
    const char *type = f->type ? f->type : h->image_type;
    size_t n = sizeof secondary - 1;
    if (h->class_uid && strncmp(h->class_uid, secondary, n) == 0 && (!h->class_uid[n] || h->class_uid[n] == '.'))
        return CLASS_SECONDARY;
    if (has_word(type, scout) || has_word(h->scan_options, scout)) return CLASS_LOCALIZER;
    if (has_word(type, dose)) return CLASS_DOSE;
    if (has_word(type, perfusion)) return CLASS_PERFUSION;
    return has_word(type, reformat) ? CLASS_REFORMAT : CLASS_AXIAL;
}

/* ---- parts ---- */

typedef struct splitter {
    const pile_file *files;
    const size_t *members;
    size_t n_members;
    series_slice *slices;
    size_t n;
    size_t *label; /* of each slice: its part */
    size_t labels;
} splitter;

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory to split DICOM series"); }

/* A file of several frames that does not describe each gives one slice, without a place. */
static hct_status list_slices(splitter *p, hct_err *err) {
    size_t total = 0;
    for (size_t i = 0; i < p->n_members; i++) total += (size_t)p->files[p->members[i]].header.n_described;
    p->slices = calloc(total + 1, sizeof *p->slices);
    p->label = calloc(total + 1, sizeof *p->label);
    if (!p->slices || !p->label) return no_memory(err);
    for (size_t i = 0; i < p->n_members; i++)
        for (int64_t k = 0; k < p->files[p->members[i]].header.n_described; k++)
            p->slices[p->n++] = (series_slice){.file = p->members[i], .frame = k};
    return HCT_OK;
}

/* Says whether two slices of one part belong together. */
typedef bool alike(const pile_file *files, const series_slice *a, const series_slice *b);

static bool same_kind(const pile_file *files, const series_slice *a, const series_slice *b) {
    return class_of(&files[a->file].header, frame_of(files, a)) == class_of(&files[b->file].header, frame_of(files, b));
}

/* Within 0.1 degrees; what has no orientation is alike. */
static bool same_orientation(const pile_file *files, const series_slice *a, const series_slice *b) {
    const dicom_frame *f = frame_of(files, a), *g = frame_of(files, b);
    if (f->orientation_state != DICOM_THERE || g->orientation_state != DICOM_THERE)
        return f->orientation_state == g->orientation_state;
    double least = cos(0.1 * M_PI / 180);
    return dot3(f->row, g->row) > least && dot3(f->column, g->column) > least;
}

static bool same_size(const pile_file *files, const series_slice *a, const series_slice *b) {
    const dicom_header *h = &files[a->file].header, *g = &files[b->file].header;
    return h->rows.value == g->rows.value && h->columns.value == g->columns.value;
}

static bool same_spacing(const pile_file *files, const series_slice *a, const series_slice *b) {
    const dicom_frame *f = frame_of(files, a), *g = frame_of(files, b);
    if (f->spacing_state != g->spacing_state) return false;
    for (int i = 0; i < 2; i++)
        if (fabs(f->spacing[i] - g->spacing[i]) > 1e-4 * fabs(f->spacing[i])) return false;
    return true;
}

static bool same_pixels(const pile_file *files, const series_slice *a, const series_slice *b) {
    return same_size(files, a, b) && same_spacing(files, a, b);
}

static bool same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

static bool same_acquisition(const pile_file *files, const series_slice *a, const series_slice *b) {
    return frame_of(files, a)->acquisition.value == frame_of(files, b)->acquisition.value;
}
static bool same_temporal(const pile_file *files, const series_slice *a, const series_slice *b) {
    return frame_of(files, a)->temporal.value == frame_of(files, b)->temporal.value;
}
static bool same_stack(const pile_file *files, const series_slice *a, const series_slice *b) {
    return same_text(frame_of(files, a)->stack, frame_of(files, b)->stack);
}
static bool same_kernel(const pile_file *files, const series_slice *a, const series_slice *b) {
    return same_text(files[a->file].header.kernel, files[b->file].header.kernel);
}
static bool same_type(const pile_file *files, const series_slice *a, const series_slice *b) {
    return same_text(files[a->file].header.image_type, files[b->file].header.image_type);
}

/* Labels the slices of part `which` anew by what is alike, from p->labels on; *ret_n: how many. Slices stay with the
 * first one that they are alike. */
static size_t try_labels(const splitter *p, size_t which, alike *same, size_t *label) {
    size_t *first = malloc((p->n + 1) * sizeof *first), found = 0;
    memcpy(label, p->label, p->n * sizeof *label);
    for (size_t i = 0; first && i < p->n; i++) {
        if (p->label[i] != which) continue;
        size_t k = 0;
        while (k < found && !same(p->files, &p->slices[first[k]], &p->slices[i])) k++;
        if (k == found) {
            if (found == 256) break; /* no series holds so many volumes: left as it is */
            first[found++] = i;
        }
        label[i] = p->labels + k;
    }
    free(first);
    return first && found < 256 ? found : 1;
}

/* From where to where the slices of a label lie, along the normal of the first. */
typedef struct range {
    double low, high;
    size_t n, same_place;
    bool placed;
} range;

static int by_number(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static range range_of(const splitter *p, const size_t *label, size_t which, const double normal[3]) {
    range r = {INFINITY, -INFINITY, 0, 0, true};
    double *at = malloc((p->n + 1) * sizeof *at);
    for (size_t i = 0; at && i < p->n; i++) {
        if (label[i] != which) continue;
        r.placed = r.placed && is_placed(p->files, &p->slices[i]);
        at[r.n++] = dot3(frame_of(p->files, &p->slices[i])->position, normal);
    }
    r.placed = r.placed && at && r.n;
    if (r.placed) {
        qsort(at, r.n, sizeof *at, by_number);
        r.low = at[0];
        r.high = at[r.n - 1];
        for (size_t i = 1; i < r.n; i++) r.same_place += at[i] - at[i - 1] < SERIES_SAME_PLACE_UM * 1e-3;
    }
    free(at);
    return r;
}

static bool normal_of(const splitter *p, size_t which, double normal[3]) {
    for (size_t i = 0; i < p->n; i++)
        if (p->label[i] == which && frame_of(p->files, &p->slices[i])->orientation_state == DICOM_THERE) {
            cross3(frame_of(p->files, &p->slices[i])->row, frame_of(p->files, &p->slices[i])->column, normal);
            return true;
        }
    return false;
}

/* Whether two lie in the same place: more than half of the shorter one lies beside the other. */
static bool overlap(const range *a, const range *b) {
    double low = fmax(a->low, b->low), high = fmin(a->high, b->high),
           shorter = fmin(a->high - a->low, b->high - b->low);
    return a->placed && b->placed && high >= low && high - low >= 0.5 * shorter;
}

/* Splits one part where what is alike lies beside the rest of it: whole (both of them), each must be a volume without
 * two slices at one place. What only follows the largest of them stays with it. */
static void split_where_beside(splitter *p, size_t which, alike *same, bool whole, size_t *label) {
    double normal[3];
    size_t found = try_labels(p, which, same, label), largest = 0;
    if (found < 2 || !normal_of(p, which, normal)) return;
    range *r = malloc(found * sizeof *r);
    for (size_t k = 0; r && k < found; k++) {
        r[k] = range_of(p, label, p->labels + k, normal);
        if (r[k].n > r[largest].n) largest = k;
    }
    bool fits = r != NULL;
    for (size_t k = 0; fits && k < found; k++) {
        bool beside = k == largest || overlap(&r[k], &r[largest]);
        if (whole) fits = beside && r[k].n >= 2 && r[k].same_place == 0;
        else if (!beside)
            for (size_t i = 0; i < p->n; i++)
                if (label[i] == p->labels + k) label[i] = p->labels + largest;
    }
    free(r);
    if (!fits) return;
    memcpy(p->label, label, p->n * sizeof *label);
    p->labels += found;
}

static void split_always(splitter *p, size_t which, alike *same, size_t *label) {
    size_t found = try_labels(p, which, same, label);
    if (found < 2) return;
    memcpy(p->label, label, p->n * sizeof *label);
    p->labels += found;
}

static bool shares_places(const splitter *p, size_t which) {
    double normal[3];
    if (!normal_of(p, which, normal)) return false;
    range r = range_of(p, p->label, which, normal);
    return r.placed && r.same_place > 0;
}

static hct_status split(splitter *p, hct_err *err) {
    static alike *const at_one_place[] = {same_acquisition, same_temporal, same_stack, same_kernel, same_type};
    size_t *label = malloc((p->n + 1) * sizeof *label);
    if (!label) return no_memory(err);
    p->labels = 1;
    split_always(p, 0, same_kind, label);
    for (size_t k = 0, n = p->labels; k < n; k++) split_always(p, k, same_orientation, label);
    for (size_t k = 0, n = p->labels; k < n; k++) split_where_beside(p, k, same_pixels, false, label);
    for (size_t a = 0; a < sizeof at_one_place / sizeof *at_one_place; a++)
        for (size_t k = 0, n = p->labels; k < n; k++)
            if (shares_places(p, k)) split_where_beside(p, k, at_one_place[a], true, label);
    free(label);
    return HCT_OK;
}

/* ---- to the list ---- */

static int by_place(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static hct_status put_part(series_list *l, const splitter *p, size_t which, hct_err *err) {
    series s = {0};
    s.files = malloc((p->n + 1) * sizeof *s.files);
    s.slices = malloc((p->n + 1) * sizeof *s.slices);
    series *more = realloc(l->items, (l->n + 1) * sizeof *more);
    if (more) l->items = more;
    hct_status status = s.files && s.slices && more ? HCT_OK : no_memory(err);
    for (size_t i = 0; i < p->n && status == HCT_OK; i++) {
        if (p->label[i] != which) continue;
        s.slices[s.n_slices++] = p->slices[i];
        if (!s.n_files || s.files[s.n_files - 1] != p->slices[i].file) s.files[s.n_files++] = p->slices[i].file;
    }
    if (status == HCT_OK) {
        qsort(s.files, s.n_files, sizeof *s.files, by_place);
        s.kind = class_of(&p->files[s.slices[0].file].header, frame_of(p->files, &s.slices[0]));
        status = series_measure(&s, p->files, err);
    }
    if (status == HCT_OK) {
        more[l->n++] = s;
        return status;
    }
    free(s.files);
    free(s.slices);
    return status;
}

hct_status split_into(series_list *l, const pile_file *files, const size_t *members, size_t n, hct_err *err) {
    splitter p = {.files = files, .members = members, .n_members = n};
    hct_status s = list_slices(&p, err);
    size_t before = l->n;
    if (s == HCT_OK) s = split(&p, err);
    for (size_t k = 0; k < p.labels && s == HCT_OK; k++) {
        bool used = false;
        for (size_t i = 0; i < p.n && !used; i++) used = p.label[i] == k;
        if (used) s = put_part(l, &p, k, err);
    }
    for (size_t i = before; i < l->n; i++) {
        l->items[i].part = (int)(i - before) + 1;
        l->items[i].parts = (int)(l->n - before);
    }
    free(p.slices);
    free(p.label);
    return s;
}
