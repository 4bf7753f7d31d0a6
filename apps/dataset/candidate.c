/* Candidates: NIfTI files and DICOM series of a pile, named, hashed, prepared. */
#include "dataset/candidate.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/sources.h"
#include "dicom/pixels.h"
#include "imaging/nifti.h"
#include "support/paths.h"
#include "support/sha256.h"

#define DEGREES (180 / 3.14159265358979323846)

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the list of scans"); }

static size_t first_file(const candidate *c) { return c->series ? c->series->files[0] : c->nifti; }

static int by_first_file(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    size_t i = first_file(x), j = first_file(y);
    if (i != j) return i < j ? -1 : 1;
    return x->series && y->series ? x->series->part - y->series->part : 0;
}

hct_status candidates_of(const pile_file *files, size_t n, const series_filters *f, candidate_list *ret, hct_err *err) {
    *ret = (candidate_list){.files = files, .n_files = n};
    size_t volumes = 0;
    for (size_t i = 0; i < n; i++) volumes += files[i].kind == PILE_NIFTI;
    hct_status s = series_group(files, n, &ret->series, err);
    if (s == HCT_OK && !(ret->items = calloc(volumes + ret->series.n + 1, sizeof *ret->items))) s = no_memory(err);
    for (size_t i = 0; i < n && s == HCT_OK; i++)
        if (files[i].kind == PILE_NIFTI) ret->items[ret->n++].nifti = i;
    for (size_t i = 0; i < ret->series.n && s == HCT_OK; i++) {
        candidate *c = &ret->items[ret->n++];
        c->series = &ret->series.items[i];
        if (f) s = verdict_of(c->series, files, f, verdict_equal, (void *)(uintptr_t)files, &c->verdict, err);
    }
    if (s == HCT_OK) qsort(ret->items, ret->n, sizeof *ret->items, by_first_file);
    if (s < 0) candidates_free(ret);
    return s;
}

void candidates_free(candidate_list *l) {
    for (size_t i = 0; i < l->n; i++) verdict_free(&l->items[i].verdict);
    free(l->items);
    series_list_free(&l->series);
    *l = (candidate_list){0};
}

const pile_file *candidate_file(const candidate_list *l, const candidate *c) { return &l->files[first_file(c)]; }

/* ---- names ---- */

/* How much of two paths is the same folders. */
static size_t common_folders(const char *a, const char *b, size_t n) {
    size_t same = 0, cut = 0;
    while (same < n && a[same] == b[same]) {
        if (a[same] == '/') cut = same;
        same++;
    }
    if (same == n && (b[n] == '/' || b[n] == 0)) cut = n;
    return cut;
}

/* What the input is called that a file was found below: the path without what is relative. */
static char *input_name(const pile_file *f) {
    size_t n = strlen(f->path), m = strlen(f->relative);
    char *root = strndup(f->path, n > m ? n - m : 0), *real, *name;
    if (!root) return NULL;
    for (size_t k = strlen(root); k > 1 && root[k - 1] == '/'; k--) root[k - 1] = 0;
    bool nameless = strspn(path_base(root), ".") == strlen(path_base(root));
    real = nameless ? realpath(*root ? root : ".", NULL) : NULL;
    name = strdup(path_base(real ? real : root));
    free(real);
    free(root);
    return name;
}

static char *without_ending(const char *name) {
    const char *dot = strrchr(name, '.');
    static const char *const endings[] = {".dcm", ".dicom", ".ima"};
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(dot, endings[i])) return strndup(name, (size_t)(dot - name));
    return strdup(name);
}

char *candidate_place(const candidate_list *l, const candidate *c) {
    if (!c->series) return strdup(l->files[c->nifti].relative);
    const series *s = c->series;
    const char *first = l->files[s->files[0]].relative, *slash = strrchr(first, '/');
    size_t n = slash ? (size_t)(slash - first) : 0;
    for (size_t i = 1; i < s->n_files; i++) n = common_folders(first, l->files[s->files[i]].relative, n);
    if (n >= 1 && first[n - 1] == '!') n--; /* an archive itself */
    if (n) return strndup(first, n);
    return s->n_files == 1 ? without_ending(path_base(first)) : input_name(&l->files[s->files[0]]);
}

static void to_id(char *text) {
    char *to = text;
    for (const char *c = text; *c; c++) {
        if (c[0] == '!' && c[1] == '/') continue;
        *to++ = *c == '/' ? '_' : *c;
    }
    *to = 0;
}

char *candidate_id(const candidate_list *l, const candidate *c, bool alone) {
    char *place = candidate_place(l, c), *id = NULL;
    if (!place) return NULL;
    if (!c->series) id = source_id(place);
    else {
        const dicom_header *h = series_header(l->files, c->series);
        char number[48] = "", part[24] = "";
        if (!alone && h->series_number.state == DICOM_THERE)
            snprintf(number, sizeof number, "_s%g", h->series_number.value);
        else if (!alone) snprintf(number, sizeof number, "_s");
        if (c->series->parts > 1) snprintf(part, sizeof part, "%sp%d", alone ? "_" : "", c->series->part);
        size_t n = strlen(place) + sizeof number + sizeof part;
        id = malloc(n);
        if (id) snprintf(id, n, "%s%s%s", place, number, part);
    }
    free(place);
    if (id) to_id(id);
    return id;
}

char *candidate_identity(const candidate_list *l, const candidate *c) {
    if (c->series) return series_key(l->files, c->series);
    const pile_file *f = &l->files[c->nifti];
    char *real = realpath(f->archive ? f->archive : f->path, NULL), *text = NULL;
    if (asprintf(&text, "nifti\x1f%s\x1f%lld", real ? real : f->path, f->archive ? (long long)f->member : 0) < 0)
        text = NULL;
    free(real);
    return text;
}

/* ---- what it was made from ---- */

void candidate_state(const candidate_list *l, const candidate *c, source_state *ret) {
    *ret = (source_state){0};
    size_t n = c->series ? c->series->n_files : 1;
    for (size_t i = 0; i < n; i++) {
        const pile_file *f = &l->files[c->series ? c->series->files[i] : c->nifti];
        ret->bytes += (int64_t)f->size;
        if (f->mtime_ns > ret->mtime_ns) ret->mtime_ns = f->mtime_ns;
    }
}

static hct_status hash_bytes(sha256 *hash, const pile_file *f, dicom_bytes *bytes, hct_err *err) {
    enum { PIECE = 1 << 20 };
    for (uint64_t at = 0; at < f->size; at += PIECE) {
        size_t n = f->size - at < PIECE ? (size_t)(f->size - at) : PIECE;
        const unsigned char *piece = dicom_bytes_at(bytes, at, n);
        if (!piece) return hct_fail(err, HCT_EIO, "%s: cannot be read to its end", f->path);
        sha256_add(hash, piece, n);
    }
    return HCT_OK;
}

typedef struct members {
    sha256 *hash;
    const pile_file *const *files;
} members;

static hct_status hash_member(void *context, size_t i, dicom_bytes *bytes, hct_err *err) {
    members *m = context;
    const char *name = path_base(m->files[i]->path);
    sha256_add(m->hash, name, strlen(name) + 1);
    return hash_bytes(m->hash, m->files[i], bytes, err);
}

static hct_status hash_one(sha256 *hash, const pile_file *f, bool named, hct_err *err) {
    pile_open_file o = {0};
    hct_status s = pile_open(f, &o, err);
    if (s == HCT_OK && named) sha256_add(hash, path_base(f->path), strlen(path_base(f->path)) + 1);
    if (s == HCT_OK) s = hash_bytes(hash, f, o.bytes, err);
    pile_close(&o);
    return s;
}

static int by_path(const void *a, const void *b) {
    return strcmp((*(const pile_file *const *)a)->path, (*(const pile_file *const *)b)->path);
}

hct_status candidate_hash(const candidate_list *l, const candidate *c, char ret[65], hct_err *err) {
    sha256 *hash = sha256_begin();
    hct_status s = HCT_OK;
    if (!c->series) s = hash_one(hash, &l->files[c->nifti], false, err);
    size_t n = c->series ? c->series->n_files : 0;
    const pile_file **files = malloc((n + 1) * sizeof *files);
    if (!files) s = no_memory(err);
    for (size_t i = 0; i < n && files; i++) files[i] = &l->files[c->series->files[i]];
    if (files) qsort(files, n, sizeof *files, by_path);
    for (size_t from = 0, to; from < n && s == HCT_OK; from = to) {
        for (to = from + 1; files[from]->archive && to < n && files[to]->archive &&
                            strcmp(files[to]->archive, files[from]->archive) == 0;)
            to++;
        members m = {hash, files + from};
        if (files[from]->archive) s = pile_visit_members(files + from, to - from, hash_member, &m, err);
        else s = hash_one(hash, files[from], true, err);
    }
    free(files);
    hct_status end = sha256_end(hash, ret, s == HCT_OK ? err : NULL);
    return s < 0 ? s : end;
}

/* ---- preparing ---- */

static void describe_series(const series *s, const pile_file *files, candidate_facts *ret) {
    const dicom_header *h = series_header(files, s);
    ret->info = (scan_info){.dicom = 1,
                            .dim = {(int64_t)h->columns.value, (int64_t)h->rows.value, (int64_t)s->n_slices},
                            .spacing = {h->frames[0].spacing[1], h->frames[0].spacing[0], s->gap}};
    ret->thickness = s->thickness;
    ret->kvp = s->kvp;
    ret->tilt = s->tilted ? atan(hypot(s->shear[0], s->shear[1])) * DEGREES : 0;
}

/* Whether a volume is images of a usual size, and only a few of them. */
static bool is_few(const int64_t dim[3], int64_t least) {
    int least_at = 0;
    for (int a = 1; a < 3; a++)
        if (dim[a] < dim[least_at]) least_at = a;
    for (int a = 0; a < 3; a++)
        if (a != least_at && dim[a] < 64) return false;
    return dim[least_at] < least;
}

static hct_status read_nifti(const pile_file *file, volume *ret, hct_err *err) {
    if (!file->archive) return nifti_read(file->path, ret, err);
    pile_open_file opened = {0};
    hct_status s = pile_open(file, &opened, err);
    if (s == HCT_OK) s = nifti_read_memory(file->path, opened.owned, (size_t)file->size, ret, err);
    pile_close(&opened);
    return s;
}

static hct_status prepare_nifti(const candidate_list *l, candidate *c, const series_filters *f,
                                const candidate_options *o, volume *ret, candidate_facts *facts, hct_err *err) {
    const pile_file *file = &l->files[c->nifti];
    scan_findings found = {0};
    hct_err why = {0};
    hct_status s = read_nifti(file, ret, err);
    if (s < 0) return s;
    memcpy(facts->info.dim, ret->dim, sizeof facts->info.dim);
    volume_spacing(ret, facts->info.spacing);
    s = scan_prepare_with(ret, &o->scan, &found, &why);
    if (s < 0) return hct_fail(err, s, "%s: %.900s", file->path, why.msg);
    facts->beyond = found.beyond;
    facts->wrapped = (size_t)found.unwrapped;
    if (f && is_few(facts->info.dim, f->least_slices))
        return verdict_add(&c->verdict, REASON_FEW_SLICES, VERDICT_REFUSE, err,
                           "%lld x %lld x %lld voxels: fewer than %lld "
                           "slices",
                           (long long)facts->info.dim[0], (long long)facts->info.dim[1], (long long)facts->info.dim[2],
                           (long long)f->least_slices);
    if (found.unwrapped)
        s = verdict_add(&c->verdict, REASON_WRAPPED, VERDICT_WARN, err, "12-bit values that had wrapped were mended");
    hu_fault fault = hu_check(&found.hu);
    if (s == HCT_OK && fault != HU_FINE && (!f || f->hu != FILTER_KEEP))
        s = verdict_add(&c->verdict, REASON_HU, f && f->hu == FILTER_REFUSE ? VERDICT_REFUSE : VERDICT_WARN, err,
                        "%s: %s", hu_fault_word(fault), hu_fault_sentence(fault));
    if (s == HCT_OK && found.beyond > 0)
        s = verdict_add(&c->verdict, REASON_HEAD_OUTSIDE, VERDICT_WARN, err,
                        "the body reaches %.0f mm out of the cube that a model sees", found.beyond);
    return s;
}

/* The folder through dcm2niix: it must hold no other series. */
static hct_status prepare_like_dcm2niix(const candidate_list *l, const candidate *c, const candidate_options *o,
                                        volume *ret, hct_err *err) {
    char *folder = path_folder(l->files[c->series->files[0]].path);
    hct_status s = folder ? scan_read(folder, ret, NULL, err) : no_memory(err);
    scan_findings found;
    if (s == HCT_OK) s = scan_prepare_with(ret, &o->scan, &found, err);
    free(folder);
    return s;
}

/* Of what is body, roughly: air and padding would be most of it. By counting whole HU, those above MOST_HU together. */
static hct_status measure_hu(const volume *v, double ret[3], hct_err *err) {
    enum { MOST_HU = 3071, VALUES = MOST_HU - BODY_HU + 1 };
    static const double shares[3] = {0.05, 0.5, 0.95};
    int64_t *count = calloc(VALUES, sizeof *count), total = 0, sum = 0;
    if (!count) return hct_fail(err, HCT_ENOMEM, "no memory to count HU");
    for (int64_t i = 0; i < volume_count(v); i++) {
        double hu = v->dtype == HCT_I16 ? v->i16[i] : rint((double)v->f32[i]);
        if (hu <= BODY_HU) continue;
        count[(int64_t)(hu < MOST_HU ? hu : MOST_HU) - BODY_HU]++;
        total++;
    }
    for (int k = 0, at = 0; k < 3; k++) {
        ret[k] = NAN;
        while (total && at < VALUES && (double)(sum + count[at]) < shares[k] * (double)total) sum += count[at++];
        if (total) ret[k] = at + BODY_HU;
    }
    free(count);
    return HCT_OK;
}

hct_status candidate_prepare(const candidate_list *l, candidate *c, const series_filters *f, const candidate_options *o,
                             volume *ret, candidate_facts *facts, hct_err *err) {
    *ret = (volume){0};
    *facts = (candidate_facts){.thickness = NAN, .kvp = NAN, .tilt = NAN, .hu = {NAN, NAN, NAN}};
    hct_status s;
    if (c->series) describe_series(c->series, l->files, facts);
    if (!c->series) s = prepare_nifti(l, c, f, o, ret, facts, err);
    else if (o->like_dcm2niix) s = prepare_like_dcm2niix(l, c, o, ret, err);
    else {
        prepared_series done;
        const prepare_series_options how = {
            .exact = o->scan.exact, .center_head = o->scan.center_head, .unwrap = o->scan.unwrap, .jobs = o->jobs};
        s = prepare_series(l->files, c->series, f, &how, ret, &done, &c->verdict, err);
        facts->beyond = done.beyond;
        facts->wrapped = done.wrapped;
    }
    if (s == HCT_OK && c->verdict.refusal)
        s = hct_fail(err, HCT_EINVAL, "%s: %.900s", candidate_file(l, c)->path, c->verdict.refusal->sentence);
    if (s == HCT_OK) s = measure_hu(ret, facts->hu, err);
    if (s < 0) volume_free(ret);
    return s;
}

hct_status candidate_form(const candidate_list *l, const candidate *c, const candidate_options *o, const form *f,
                          volume *ret, hct_err *err) {
    scan_source from = {0};
    hct_err why = {0};
    *ret = (volume){0};
    hct_status s = c->series ? series_source(l->files, c->series, o->scan.unwrap, o->jobs, &from, err)
                             : read_nifti(&l->files[c->nifti], &from.v, err);
    if (s < 0) return s;
    s = form_make(f, &from, ret, &why);
    return s < 0 ? hct_fail(err, s, "%s: for %s: %.900s", candidate_file(l, c)->path, f->name, why.msg) : HCT_OK;
}

hct_status candidate_middle(const candidate_list *l, const candidate *c, float **ret, int64_t *ret_columns,
                            int64_t *ret_rows, hct_err *err) {
    *ret = NULL;
    if (!c->series || !c->series->n_slices) return hct_fail(err, HCT_ENOTFOUND, "has no slices");
    const series_slice *one = &c->series->slices[c->series->n_slices / 2];
    const pile_file *f = &l->files[one->file];
    int64_t columns = (int64_t)f->header.columns.value, rows = (int64_t)f->header.rows.value;
    if (columns < 1 || rows < 1 || columns * rows > 1 << 26) return hct_fail(err, HCT_ESHAPE, "%s: no image", f->path);
    pile_open_file o = {0};
    dicom_pixels *p = NULL;
    int32_t *stored = malloc((size_t)(columns * rows) * sizeof *stored);
    float *hu = malloc((size_t)(columns * rows) * sizeof *hu);
    hct_status s = stored && hu ? pile_open(f, &o, err) : no_memory(err);
    if (s == HCT_OK) s = dicom_pixels_open(o.bytes, &f->header, &p, err);
    if (s == HCT_OK) s = dicom_pixels_frame(p, one->frame, stored, err);
    if (s == HCT_OK) s = dicom_hu(&f->header, one->frame, stored, &(dicom_hu_options){0}, hu, f->path, err);
    dicom_pixels_close(p);
    pile_close(&o);
    free(stored);
    if (s == HCT_OK) {
        *ret = hu;
        *ret_columns = columns;
        *ret_rows = rows;
    } else free(hu);
    return s;
}

char *candidate_refusal(const candidate *c) {
    char *text = NULL;
    if (!c->verdict.refusal) return NULL;
    if (asprintf(&text, "%s: %s", verdict_word(c->verdict.refusal->reason), c->verdict.refusal->sentence) < 0)
        text = NULL;
    return text;
}
