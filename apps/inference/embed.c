/* Embeddings of many scans: one file that grows, and goes on where it was cut off. */
#include "inference/embed.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/device.h"
#include "support/json_out.h"
#include "support/paths.h"
#include "support/measure.h"
#include "support/progress.h"
#include "support/stop.h"
#include "support/text.h"

#define FORMAT "headct-embeddings/1"

typedef struct embedding {
    const embed_options *o;
    cohort *c;
    model_info info;
    char weights[MODEL_HASH];
    size_t width;
    float *row;       /* [c->n, width] */
    char *done;       /* [c->n] */
    double saved;     /* when */
    struct stat seen; /* the file as this run read or wrote it; zero: none */
} embedding;

static struct stat look(const embedding *q) {
    struct stat st;
    return stat(q->o->out, &st) == 0 ? st : (struct stat){0};
}

static hct_status check_unseen(const embedding *q, hct_err *err) {
    struct stat now = look(q);
    if (now.st_ino == q->seen.st_ino && now.st_mtim.tv_sec == q->seen.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == q->seen.st_mtim.tv_nsec)
        return HCT_OK;
    return hct_fail(
        err, HCT_EINVAL,
        "%s: another program wrote it meanwhile, and is not written over; run it again, or name another file",
        q->o->out);
}

/* A JSON list of one text of every scan that is done. */
static char *list_of(const embedding *q, const char *(*text)(const cohort_scan *), hct_err *err) {
    json_out j = {0};
    json_array(&j, NULL);
    for (size_t i = 0; i < q->c->n; i++)
        if (q->done[i]) json_text(&j, NULL, text(&q->c->scans[i]));
    json_end(&j);
    return json_take(&j, q->o->out, err);
}

static const char *id_of(const cohort_scan *s) { return s->id; }
static const char *patient_of(const cohort_scan *s) { return s->patient; }
static const char *split_of(const cohort_scan *s) { return s->split; }
static const char *input_of(const cohort_scan *s) { return s->input; }
static const char *path_of(const cohort_scan *s) { return s->names.path; }
static const char *study_of(const cohort_scan *s) { return s->names.study_uid; }
static const char *series_of(const cohort_scan *s) { return s->names.series_uid; }
static const char *accession_of(const cohort_scan *s) { return s->names.accession; }

/* Lists of one text a row, under their keys in the metadata; those from CLEAR on only where scans are named in
 * clear. */
enum { LISTS = 8, CLEAR = 4 };
static const struct {
    const char *key, *(*text)(const cohort_scan *);
} lists_of[LISTS] = {{"scans", id_of},           {"patients", patient_of},
                     {"splits", split_of},       {"input_sha256", input_of},
                     {"paths", path_of},         {"study_uids", study_of},
                     {"series_uids", series_of}, {"accession_numbers", accession_of}};

static const char *output_of(const embedding *q) {
    const encoder_kind *kind = q->info.encoder.kind;
    return kind->outputs ? kind->outputs[q->info.encoder.output] : "embedding";
}

static hct_status save(embedding *q, hct_err *err) {
    char *lists[LISTS] = {NULL}, *model = weights_describe(&q->info, err);
    size_t n = 0, n_lists = q->c->clear ? LISTS : CLEAR;
    float *rows = malloc((q->c->n + 1) * q->width * sizeof *rows);
    int ok = rows && model;
    for (size_t i = 0; ok && i < n_lists; i++) ok = (lists[i] = list_of(q, lists_of[i].text, err)) != NULL;
    for (size_t i = 0; ok && i < q->c->n; i++)
        if (q->done[i]) memcpy(rows + n++ * q->width, q->row + i * q->width, q->width * sizeof *rows);
    hct_st_entry e = {.name = "embeddings",
                      .dtype = HCT_F32,
                      .ndim = 2,
                      .dim = {(int64_t)n, (int64_t)q->width},
                      .data = rows,
                      .bytes = n * q->width * sizeof *rows};
    hct_st_pair meta[8 + LISTS] = {
        {"format", FORMAT},
        {"model", model},
        {"weights_sha256", q->weights},
        {"recipe_sha256", q->info.recipe},
        {"preprocessing_sha256", q->c->preprocessing},
        {"output", output_of(q)},
        {"identifiers", cohort_naming(q->c)},
    };
    size_t n_meta = 7;
    if (q->o->model.precision) meta[n_meta++] = (hct_st_pair){"precision", precision_name(q->o->model.precision)};
    for (size_t i = 0; i < n_lists; i++) meta[n_meta++] = (hct_st_pair){lists_of[i].key, lists[i]};
    hct_status st = check_unseen(q, err);
    if (st == HCT_OK)
        st = ok ? hct_st_write(q->o->out, &e, 1, meta, n_meta, err)
                : hct_fail(err, HCT_ENOMEM, "%s: out of memory", q->o->out);
    for (size_t i = 0; i < LISTS; i++) free(lists[i]);
    free(model);
    free(rows);
    q->saved = measure_now();
    if (st == HCT_OK) q->seen = look(q);
    return st;
}

static hct_status take(void *context, const size_t *scans, size_t n, const float *cls, const double *probability,
                       hct_err *err) {
    embedding *q = context;
    (void)probability;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < q->width; k++)
            if (!isfinite(cls[i * q->width + k]))
                return hct_fail(err, HCT_EINVAL, "%s: scan '%s': its embedding holds %g; the weights are damaged",
                                q->o->model.path, q->c->scans[scans[i]].id, (double)cls[i * q->width + k]);
        memcpy(q->row + scans[i] * q->width, cls + i * q->width, q->width * sizeof *cls);
        q->done[scans[i]] = 1;
    }
    return measure_now() - q->saved >= q->o->every ? save(q, err) : HCT_OK;
}

/* ---- what an earlier run left ---- */

static hct_status same(const embedding *q, const hct_st_file *f, const char *key, const char *now, hct_err *err) {
    const char *was = hct_st_meta(f, key);
    if (was && !strcmp(was, now)) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "%s: its rows have another %s (%.20s, now %.20s); name another file", q->o->out,
                    key, was ? was : "none", now);
}

static hct_status take_rows(embedding *q, const hct_st_file *f, size_t *ret_kept, hct_err *err) {
    const char *ids = hct_st_meta(f, "scans"), *inputs = hct_st_meta(f, "input_sha256");
    cJSON *scans = cJSON_Parse(ids ? ids : ""), *input = cJSON_Parse(inputs ? inputs : "");
    const hct_st_entry *e = hct_st_find(f, "embeddings");
    int n = cJSON_GetArraySize(scans);
    hct_status st = HCT_OK;
    if (!e || e->dtype != HCT_F32 || e->ndim != 2 || e->dim[0] != n || e->dim[1] != (int64_t)q->width ||
        cJSON_GetArraySize(input) != n)
        st = hct_fail(err, HCT_EFORMAT, "%s: its embeddings and its list of scans do not fit; name another file",
                      q->o->out);
    const cJSON *id = scans ? scans->child : NULL, *hash = input ? input->child : NULL;
    for (int i = 0; st == HCT_OK && i < n; i++, id = id->next, hash = hash->next) {
        const char *name = cJSON_GetStringValue(id), *made_of = cJSON_GetStringValue(hash);
        int64_t at = name ? cohort_find(q->c, name) : -1;
        if (at < 0 || !made_of) {
            st = hct_fail(err, HCT_EINVAL, "%s: holds scan '%s', which is not asked for; name another file", q->o->out,
                          name ? name : "?");
            break;
        }
        if ((st = cohort_same_input(q->c, (size_t)at, made_of, q->o->out, err)) < 0) break;
        snprintf(q->c->scans[at].input, MODEL_HASH, "%s", made_of);
        memcpy(q->row + (size_t)at * q->width, (const char *)e->data + (size_t)i * q->width * sizeof(float),
               q->width * sizeof(float));
        *ret_kept += !q->done[at];
        q->done[at] = 1;
    }
    cJSON_Delete(scans);
    cJSON_Delete(input);
    return st;
}

static hct_status resume(embedding *q, size_t *ret_kept, hct_err *err) {
    q->seen = look(q);
    if (!path_is_file(q->o->out)) return HCT_OK;
    hct_st_file *f = hct_st_open(q->o->out, err);
    if (!f) return err->code;
    hct_status st = same(q, f, "format", FORMAT, err);
    if (st == HCT_OK) st = same(q, f, "weights_sha256", q->weights, err);
    if (st == HCT_OK) st = same(q, f, "preprocessing_sha256", q->c->preprocessing, err);
    const char *was = hct_st_meta(f, "output"); /* older files lack it */
    if (st == HCT_OK && strcmp(was ? was : "embedding", output_of(q)) != 0)
        st = hct_fail(err, HCT_EINVAL, "%s: its rows are another output (%s, now %s); name another file", q->o->out,
                      was ? was : "embedding", output_of(q));
    const char *precision = hct_st_meta(f, "precision"), *now = precision_name(q->o->model.precision); /* none: f32 */
    if (st == HCT_OK && strcmp(precision ? precision : precision_name(RUN_F32), now) != 0)
        st = hct_fail(err, HCT_EINVAL, "%s: its rows have another precision (%s, now %s); name another file", q->o->out,
                      precision ? precision : precision_name(RUN_F32), now);
    if (st == HCT_OK) st = take_rows(q, f, ret_kept, err);
    hct_st_close(f);
    return st;
}

/* Studies one after the other, all series of each at once. */
static hct_status run_studies(embedding *q, hct_dev *dev, params *p, const size_t *todo, size_t n, hct_err *err) {
    embedder e = {0};
    size_t series = 0;
    float *cls = malloc(q->width * sizeof *cls);
    hct_status st = cls ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    progress bar = progress_begin(q->o->progress, "study", (int64_t)(q->c->n - n), (int64_t)q->c->n, "studies", 1);
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        cohort_scan *s = &q->c->scans[todo[i]];
        hct_err why = {0, ""};
        if (series != 1 + s->n_more) {
            embedder_free(&e);
            series = 1 + s->n_more;
            st = embedder_new_study(&e, dev, p, &q->info, (int64_t)series, err);
        }
        hct_status read = st == HCT_OK ? cohort_read(q->c, todo[i], &q->info, e.host, &why) : HCT_OK;
        if (read == HCT_ENOMEM || read == HCT_EDEVICE) st = hct_fail(err, read, "%s", why.msg);
        if (st == HCT_OK && read < 0) {
            if (!(s->reason = strdup(why.msg))) st = hct_fail(err, HCT_ENOMEM, "out of memory");
        } else if (st == HCT_OK) {
            st = embedder_run(&e, 1, cls, NULL, err);
            if (st == HCT_OK) st = take(q, &todo[i], 1, cls, NULL, err);
        }
        progress_show(&bar, (int64_t)(q->c->n - n + i + 1), "");
        if (st == HCT_OK && i + 1 < n) st = stop_check(q->c->n - n + i + 1, q->c->n, err);
    }
    if (st == HCT_OK) progress_end(&bar, "");
    else progress_break(&bar);
    embedder_free(&e);
    free(cls);
    return st;
}

/* Runs what is missing, saves at the end whatever happened to the run. */
static hct_status run_missing(embedding *q, hct_dev *dev, params *p, hct_err *err) {
    size_t *todo = malloc((q->c->n + 1) * sizeof *todo), n = 0;
    hct_status st = todo ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for the list of scans");
    for (size_t i = 0; st == HCT_OK && i < q->c->n; i++)
        if (!q->done[i] && !q->c->scans[i].reason) todo[n++] = i;
    if (st == HCT_OK && n) {
        embedder e = {0};
        int studies = q->info.encoder.kind->studies && !q->c->data;
        if (studies) st = run_studies(q, dev, p, todo, n, err);
        else st = embedder_new(&e, dev, p, &q->info, cohort_batch(q->c), (int64_t)n, err);
        if (st == HCT_OK && !studies)
            st = cohort_run(q->c, &e, 1, todo, n, &(cohort_sink){q, take}, q->o->progress, err);
        embedder_free(&e);
        hct_err late = {0, ""};
        hct_status saved = save(q, &late);
        if (st == HCT_OK && saved < 0) st = hct_fail(err, saved, "%s", late.msg);
    }
    free(todo);
    return st;
}

/* Which of the encoder's outputs is asked for; a file of another one is not gone on with. */
static hct_status set_output(embedding *q, hct_err *err) {
    const encoder_kind *kind = q->info.encoder.kind;
    text_buffer all = {0};
    int there = 0;
    if (!q->o->output) return HCT_OK;
    for (int i = 0; kind->outputs && kind->outputs[i]; i++) {
        int has = !kind->has_output || kind->has_output(&q->info.encoder, i);
        if (has) text_printf(&all, "%s%s", text_length(&all) ? ", " : "", kind->outputs[i]);
        if (has && !strcmp(kind->outputs[i], q->o->output)) q->info.encoder.output = i, there = 1;
    }
    there |= !strcmp(q->o->output, "embedding");
    hct_status st = there ? HCT_OK
                          : hct_fail(err, HCT_EINVAL, "--output %s: the encoder of %s gives %s", q->o->output,
                                     q->o->model.path, text_length(&all) ? text_so_far(&all) : "its embedding alone");
    text_free(&all);
    return st;
}

hct_status embed_run(const embed_options *o, cohort *c, size_t *ret_kept, hct_err *err) {
    embedding q = {.o = o, .c = c, .saved = measure_now()};
    params *p = NULL;
    *ret_kept = 0;
    hct_dev *dev = device_open(o->device, err);
    hct_status st = dev ? HCT_OK : err->code;
    if (st == HCT_OK && !(p = model_file_open(dev, &o->model, &q.info, q.weights, err))) st = err->code;
    if (st == HCT_OK && q.info.plain)
        st = hct_fail(err, HCT_EINVAL, "%s: holds no headct description; --recipe FILE must say its windows and crop",
                      o->model.path);
    if (st == HCT_OK) st = set_output(&q, err);
    if (st == HCT_OK && q.info.encoder.kind->studies) st = cohort_join_studies(c, err);
    if (st == HCT_OK) st = form_preparation(&q.info.encoder.input, c->preprocessing, err);
    if (st == HCT_OK) {
        q.width = (size_t)encoder_width(&q.info.encoder);
        q.row = malloc((c->n + 1) * q.width * sizeof *q.row);
        q.done = calloc(c->n + 1, 1);
        if (!q.row || !q.done) st = hct_fail(err, HCT_ENOMEM, "out of memory for %zu embeddings", c->n);
    }
    if (st == HCT_OK) weights_warn_preparation(o->model.path, &q.info, c->preprocessing);
    if (st == HCT_OK) st = resume(&q, ret_kept, err);
    if (st == HCT_OK) st = run_missing(&q, dev, p, err);
    free(q.row);
    free(q.done);
    params_free(p);
    device_close(dev);
    return st;
}
