/* The measurement report: its series, its tree of content items. */
#include "dicom/sr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/paths.h"

#define SR_CLASS "1.2.840.10008.5.1.4.1.1.88.34"
#define OWN "99HEADCT"

typedef struct image {
    char series[OBJECT_UID], class_uid[OBJECT_UID], instance[OBJECT_UID];
} image;

typedef struct scored {
    char series[OBJECT_UID];
    char place[64]; /* "series 3" */
    char input[65];
    double *probability;
    size_t first, n; /* its images */
} scored;

struct sr {
    sr_facts facts;
    dicom_object study; /* patient and study */
    char study_uid[OBJECT_UID];
    image *images;
    size_t n_images, room;
    scored *scored;
    size_t n_scored;
};

typedef struct code {
    const char *value, *scheme, *meaning;
} code;

static hct_status out_of_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "out of memory for a report"); }

sr *sr_new(const sr_facts *f, hct_err *err) {
    const char *bad = object_is_plain(f->model) ? NULL : f->model;
    for (int k = 0; k < f->n_tasks; k++)
        if (!object_is_plain(f->task[k].name) || strlen(f->task[k].name) > 64) bad = f->task[k].name;
    if (bad) {
        hct_fail(err, HCT_EINVAL,
                 "'%s': a DICOM report takes names of 64 printable ASCII characters at most, without backslashes", bad);
        return NULL;
    }
    sr *r = calloc(1, sizeof *r);
    if (r) r->facts = *f;
    else out_of_memory(err);
    return r;
}

void sr_free(sr *r) {
    if (!r) return;
    object_free(&r->study);
    for (size_t i = 0; i < r->n_scored; i++) free(r->scored[i].probability);
    free(r->scored);
    free(r->images);
    free(r);
}

static bool take_uid(const char *uid, char ret[OBJECT_UID]) {
    if (!uid || !text_is_uid(uid)) return false;
    memcpy(ret, uid, strlen(uid) + 1);
    return true;
}

static hct_status add_images(sr *r, const pile_file *files, const series *s, hct_err *err) {
    for (size_t i = 0; i < s->n_files; i++) {
        const dicom_header *h = &files[s->files[i]].header;
        if (r->n_images == r->room) {
            size_t room = r->room ? 2 * r->room : 256;
            image *more = realloc(r->images, room * sizeof *more);
            if (!more) return out_of_memory(err);
            r->images = more;
            r->room = room;
        }
        image *to = &r->images[r->n_images];
        if (!take_uid(h->series_uid, to->series) || !take_uid(h->class_uid, to->class_uid) ||
            !take_uid(h->instance_uid, to->instance))
            return hct_fail(err, HCT_EINVAL, "%s: has no valid UID of its series, class or instance to refer to",
                            files[s->files[i]].path);
        r->n_images++;
    }
    return HCT_OK;
}

hct_status sr_add(sr *r, const pile_file *files, const series *s, const double *probability, const char *input,
                  hct_err *err) {
    const dicom_header *h = series_header(files, s);
    const size_t first = r->n_images;
    hct_status st = add_images(r, files, s, err);
    if (st == HCT_OK && !r->n_scored) {
        if (!take_uid(h->study_uid, r->study_uid))
            st = hct_fail(err, HCT_EINVAL, "%s: has no valid study UID to refer to", files[s->files[0]].path);
        else st = object_copy_study(&r->study, &files[s->files[0]], err);
    }
    scored *more = st == HCT_OK ? realloc(r->scored, (r->n_scored + 1) * sizeof *more) : NULL;
    double *copy = malloc((size_t)r->facts.n_tasks * sizeof *copy + 1);
    if (more) r->scored = more;
    if (st == HCT_OK && (!more || !copy)) st = out_of_memory(err);
    if (st < 0) {
        r->n_images = first;
        free(copy);
        return st;
    }
    scored *to = &r->scored[r->n_scored++];
    memcpy(copy, probability, (size_t)r->facts.n_tasks * sizeof *copy);
    *to = (scored){.probability = copy, .first = first, .n = r->n_images - first};
    snprintf(to->series, sizeof to->series, "%s", r->images[first].series);
    snprintf(to->input, sizeof to->input, "%s", input);
    if (h->series_number.state == DICOM_THERE)
        snprintf(to->place, sizeof to->place, "series %.0f", h->series_number.value);
    else snprintf(to->place, sizeof to->place, "series %zu of the report", r->n_scored);
    if (s->parts > 1)
        snprintf(to->place + strlen(to->place), sizeof to->place - strlen(to->place), ", volume %d", s->part);
    return HCT_OK;
}

/* ---- content items ---- */

/* The one item of a code sequence. */
static void put_code(dicom_object *o, uint32_t tag, code c) {
    object_sequence(o, tag);
    object_item(o);
    if (strlen(c.value) <= 16) object_text(o, 0x00080100, "SH", c.value);
    else object_text(o, 0x00080119, "UC", c.value);
    object_text(o, 0x00080102, "SH", c.scheme);
    object_text(o, 0x00080104, "LO", c.meaning);
    object_end(o);
    object_end(o);
}

/* Begins an item of a content sequence; its end is the caller's. */
static void begin(dicom_object *o, const char *relation, const char *type, code name) {
    object_item(o);
    object_text(o, 0x0040a010, "CS", relation);
    object_text(o, 0x0040a040, "CS", type);
    put_code(o, 0x0040a043, name);
}

static void put_text(dicom_object *o, const char *relation, code name, const char *text) {
    begin(o, relation, "TEXT", name);
    object_text(o, 0x0040a160, "UT", text);
    object_end(o);
}

static void put_coded(dicom_object *o, const char *relation, code name, code value) {
    begin(o, relation, "CODE", name);
    put_code(o, 0x0040a168, value);
    object_end(o);
}

static void put_uid(dicom_object *o, const char *relation, code name, const char *uid) {
    begin(o, relation, "UIDREF", name);
    object_text(o, 0x0040a124, "UI", uid);
    object_end(o);
}

/* A number between 0 and 1: to ten digits as text, and whole as FloatingPointValue. */
static void put_number(dicom_object *o, code name, double v) {
    char text[32];
    snprintf(text, sizeof text, "%.10g", v);
    begin(o, "CONTAINS", "NUM", name);
    object_sequence(o, 0x0040a300);
    object_item(o);
    put_code(o, 0x004008ea, (code){"1", "UCUM", "no units"});
    object_f64(o, 0x0040a161, v);
    object_text(o, 0x0040a30a, "DS", text);
    object_end(o);
    object_end(o);
    object_end(o);
}

/* What makes an item a container, and the beginning of its content; an end is the caller's. template_id: NULL: none. */
static void begin_content(dicom_object *o, const char *template_id) {
    object_text(o, 0x0040a050, "CS", "SEPARATE");
    if (template_id) {
        object_sequence(o, 0x0040a504);
        object_item(o);
        object_text(o, 0x00080105, "CS", "DCMR");
        object_text(o, 0x0040db00, "CS", template_id);
        object_end(o);
        object_end(o);
    }
    object_sequence(o, 0x0040a730);
}

/* An item that is a container: end_container ends it. */
static void begin_container(dicom_object *o, code name, const char *template_id) {
    begin(o, "CONTAINS", "CONTAINER", name);
    begin_content(o, template_id);
}

static void end_container(dicom_object *o) {
    object_end(o);
    object_end(o);
}

static void put_observer(const sr *r, dicom_object *o, const char *device) {
    const char *context = "HAS OBS CONTEXT";
    put_coded(o, context, (code){"121005", "DCM", "Observer Type"}, (code){"121007", "DCM", "Device"});
    put_uid(o, context, (code){"121012", "DCM", "Device Observer UID"}, device);
    put_text(o, context, (code){"121013", "DCM", "Device Observer Name"}, r->facts.model);
    put_text(o, context, (code){"121014", "DCM", "Device Observer Manufacturer"}, "headct");
    put_text(o, context, (code){"121015", "DCM", "Device Observer Model Name"}, "headct " HEADCT_VERSION);
    put_text(o, context, (code){"121016", "DCM", "Device Observer Serial Number"}, r->facts.weights);
}

static void put_library(const sr *r, dicom_object *o) {
    begin_container(o, (code){"111028", "DCM", "Image Library"}, NULL);
    for (size_t i = 0; i < r->n_scored; i++) {
        const scored *s = &r->scored[i];
        begin_container(o, (code){"126200", "DCM", "Image Library Group"}, NULL);
        put_coded(o, "HAS ACQ CONTEXT", (code){"121139", "DCM", "Modality"},
                  (code){"CT", "DCM", "Computed Tomography"});
        put_uid(o, "HAS ACQ CONTEXT", (code){"112002", "DCM", "Series Instance UID"}, s->series);
        for (size_t k = s->first; k < s->first + s->n; k++) {
            begin(o, "CONTAINS", "IMAGE", (code){"260753009", "SCT", "Source"});
            object_sequence(o, 0x00081199);
            object_reference(o, r->images[k].class_uid, r->images[k].instance);
            object_end(o);
            object_end(o);
        }
        end_container(o);
    }
    end_container(o);
}

static void put_algorithm(const sr *r, dicom_object *o, const scored *s, const sr_task *t) {
    const char *const named[][2] = {{"weights_sha256", t->weights},
                                    {"recipe_sha256", r->facts.recipe},
                                    {"preprocessing_sha256", r->facts.preprocessing},
                                    {"input_sha256", s->input}};
    const char *relation = "HAS CONCEPT MOD";
    put_text(o, relation, (code){"111001", "DCM", "Algorithm Name"}, r->facts.model);
    put_text(o, relation, (code){"111003", "DCM", "Algorithm Version"}, "headct " HEADCT_VERSION);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        char text[100];
        if (!*named[i][1]) continue;
        snprintf(text, sizeof text, "%s=%s", named[i][0], named[i][1]);
        put_text(o, relation, (code){"111002", "DCM", "Algorithm Parameters"}, text);
    }
}

static hct_status put_group(const sr *r, dicom_object *o, size_t i, int k, hct_err *err) {
    const scored *s = &r->scored[i];
    const sr_task *t = &r->facts.task[k];
    char tracking[OBJECT_UID], named[160];
    const char *const made_of[] = {"headct tracking", s->series, s->place, s->input, t->weights, t->name};
    hct_status st = object_uid(made_of, 6, tracking, err);
    snprintf(named, sizeof named, "%s, %s", t->name, s->place);
    begin_container(o, (code){"125007", "DCM", "Measurement Group"}, "1501");
    put_text(o, "HAS OBS CONTEXT", (code){"112039", "DCM", "Tracking Identifier"}, named);
    put_uid(o, "HAS OBS CONTEXT", (code){"112040", "DCM", "Tracking Unique Identifier"}, tracking);
    put_uid(o, "HAS OBS CONTEXT", (code){"112002", "DCM", "Series Instance UID"}, s->series);
    put_coded(o, "CONTAINS", (code){"121071", "DCM", "Finding"}, (code){t->name, OWN, t->name});
    put_algorithm(r, o, s, t);
    put_number(o, (code){"PROBABILITY", OWN, "Probability of the finding"}, s->probability[k]);
    if (!isnan(t->threshold)) {
        const bool above = s->probability[k] >= t->threshold;
        if (isfinite(t->threshold))
            put_number(o, (code){"THRESHOLD", OWN, "Threshold chosen on validation"}, t->threshold);
        put_coded(o, "CONTAINS", (code){"ABOVE", OWN, "Probability reaches the threshold"},
                  above ? (code){"373066001", "SCT", "Yes"} : (code){"373067005", "SCT", "No"});
    }
    end_container(o);
    return st;
}

/* Every image once, by series: what PACS look for. */
static int by_place(const void *a, const void *b) {
    const image *x = a, *y = b;
    int side = strcmp(x->series, y->series);
    return side ? side : strcmp(x->instance, y->instance);
}

static hct_status put_evidence(const sr *r, dicom_object *o, hct_err *err) {
    image *sorted = malloc((r->n_images + 1) * sizeof *sorted);
    if (!sorted) return out_of_memory(err);
    memcpy(sorted, r->images, r->n_images * sizeof *sorted);
    qsort(sorted, r->n_images, sizeof *sorted, by_place);
    object_sequence(o, 0x0040a375);
    object_item(o);
    object_text(o, 0x0020000d, "UI", r->study_uid);
    object_sequence(o, 0x00081115);
    for (size_t i = 0, k; i < r->n_images; i = k) {
        object_item(o);
        object_text(o, 0x0020000e, "UI", sorted[i].series);
        object_sequence(o, 0x00081199);
        for (k = i; k < r->n_images && !strcmp(sorted[k].series, sorted[i].series); k++) {
            if (k > i && !by_place(&sorted[k - 1], &sorted[k])) continue;
            object_reference(o, sorted[k].class_uid, sorted[k].instance);
        }
        object_end(o);
        object_end(o);
    }
    for (int ends = 0; ends < 3; ends++) object_end(o);
    free(sorted);
    return HCT_OK;
}

static hct_status put_content(const sr *r, dicom_object *o, const char *device, hct_err *err) {
    hct_status st = HCT_OK;
    object_text(o, 0x0040a040, "CS", "CONTAINER");
    put_code(o, 0x0040a043, (code){"126000", "DCM", "Imaging Measurement Report"});
    begin_content(o, "1500");
    put_coded(o, "HAS CONCEPT MOD", (code){"121049", "DCM", "Language of Content Item and Descendants"},
              (code){"en-US", "RFC5646", "English (United States)"});
    put_observer(r, o, device);
    put_coded(o, "HAS CONCEPT MOD", (code){"121058", "DCM", "Procedure reported"}, (code){"24725-4", "LN", "CT Head"});
    put_library(r, o);
    begin_container(o, (code){"126010", "DCM", "Imaging Measurements"}, NULL);
    for (size_t i = 0; i < r->n_scored; i++)
        for (int k = 0; k < r->facts.n_tasks && st == HCT_OK; k++) st = put_group(r, o, i, k, err);
    end_container(o);
    put_text(o, "CONTAINS", (code){"121106", "DCM", "Comment"},
             "Scores of a research model, not verified by a person. headct is no medical device.");
    object_end(o);
    return st;
}

/* What makes the report what it is: the model and, for each series, its images' hash, scores and thresholds. */
static hct_status name_report(const sr *r, char ret[OBJECT_UID], hct_err *err) {
    text_buffer all = {0};
    char number[32];
    text_printf(&all, "headct report %s %s %s", HEADCT_VERSION, r->facts.model, r->study_uid);
    for (size_t i = 0; i < r->n_scored; i++) {
        const scored *s = &r->scored[i];
        text_printf(&all, "\n%s %s %s", s->series, s->place, s->input);
        for (int k = 0; k < r->facts.n_tasks; k++) {
            const sr_task *t = &r->facts.task[k];
            text_printf(&all, "\n%s %s %s", t->name, t->weights, text_of_double(s->probability[k], number));
            text_printf(&all, " %s", text_of_double(t->threshold, number));
        }
    }
    const char *text = text_get(&all, "a report", err);
    hct_status st = text ? object_uid(&text, 1, ret, err) : HCT_ENOMEM;
    text_free(&all);
    return st;
}

hct_status sr_write(const sr *r, const char *folder, bool *ret_written, hct_err *err) {
    char uid[OBJECT_UID], series_uid[OBJECT_UID], device[OBJECT_UID], name[OBJECT_UID + 4], about[65];
    dicom_object o = {0};
    const char *const of_series[] = {"headct series", r->study_uid, r->facts.weights};
    const char *const of_device[] = {"headct device", HEADCT_VERSION, r->facts.weights};
    hct_status st = name_report(r, uid, err);
    if (st == HCT_OK) st = object_uid(of_series, 3, series_uid, err);
    if (st == HCT_OK) st = object_uid(of_device, 3, device, err);
    *ret_written = false;
    if (st < 0) return st;
    snprintf(name, sizeof name, "%s.dcm", uid);
    char *path = path_join(folder, name);
    if (!path) return out_of_memory(err);
    if (path_is_file(path)) {
        free(path);
        return HCT_OK;
    }
    snprintf(about, sizeof about, "Scores of %.54s", r->facts.model);
    const object_series own = {.modality = "SR",
                               .class_uid = SR_CLASS,
                               .instance_uid = uid,
                               .series_uid = series_uid,
                               .description = about,
                               .model = r->facts.model,
                               .model_serial = r->facts.weights,
                               .series_number = 9901,
                               .instance_number = 1};
    object_append(&o, &r->study);
    object_own_series(&o, &own);
    object_nothing(&o, 0x00081111);
    object_nothing(&o, 0x0040a372);
    object_text(&o, 0x0040a491, "CS", "COMPLETE");
    object_text(&o, 0x0040a493, "CS", "UNVERIFIED");
    object_sequence(&o, 0x00080110);
    object_item(&o);
    object_text(&o, 0x00080102, "SH", OWN);
    object_text(&o, 0x00080115, "ST", "headct: names of tasks, and what a model says of them");
    object_end(&o);
    object_end(&o);
    st = put_evidence(r, &o, err);
    if (st == HCT_OK) st = put_content(r, &o, device, err);
    if (st == HCT_OK) st = object_write(&o, path, err);
    *ret_written = st == HCT_OK;
    object_free(&o);
    free(path);
    return st;
}
