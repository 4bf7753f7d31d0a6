/* Scans to run: found, read, run in batches, refused one by one. */
#include "inference/cohort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataset/loader.h"
#include "dataset/sources.h"
#include "hct/log.h"
#include "imaging/scan.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/sha256.h"
#include "support/stop.h"

enum { BATCH = 8 };

static hct_status out_of_memory(hct_err *err) {
    return hct_fail(err, HCT_ENOMEM, "out of memory for the list of scans");
}

static hct_status add(cohort *c, const char *id, const char *patient, const char *split, const char *path,
                      const char *reason, hct_err *err) {
    cohort_scan *s = &c->scans[c->n++];
    *s = (cohort_scan){.id = strdup(id),
                       .patient = strdup(patient),
                       .split = strdup(split),
                       .path = strdup(path),
                       .reason = reason ? strdup(reason) : NULL};
    return s->id && s->patient && s->split && s->path && (s->reason || !reason) ? HCT_OK : out_of_memory(err);
}

static int by_id(const void *a, const void *b, void *context) {
    const cohort *c = context;
    return strcmp(c->scans[*(const size_t *)a].id, c->scans[*(const size_t *)b].id);
}

static hct_status sort_ids(cohort *c, hct_err *err) {
    c->by_id = malloc((c->n + 1) * sizeof *c->by_id);
    if (!c->by_id) return out_of_memory(err);
    for (size_t i = 0; i < c->n; i++) c->by_id[i] = i;
    qsort_r(c->by_id, c->n, sizeof *c->by_id, by_id, c);
    for (size_t i = 1; i < c->n; i++) {
        const cohort_scan *a = &c->scans[c->by_id[i - 1]], *b = &c->scans[c->by_id[i]];
        if (!strcmp(a->id, b->id))
            return hct_fail(err, HCT_EINVAL, "%s and %s would both be scan '%s': rename one", a->path, b->path, a->id);
    }
    return HCT_OK;
}

hct_status cohort_of_dataset(const char *folder, const char *split, cohort *ret, hct_err *err) {
    cohort c = {.data = dataset_open(folder, err)};
    size_t *list = NULL, n = 0;
    hct_status st = c.data ? dataset_split(c.data, split, &list, &n, err) : err->code;
    if (st == HCT_OK && !n) st = hct_fail(err, HCT_ENOTFOUND, "%s: split '%s' holds no scan", folder, split);
    if (st == HCT_OK && !(c.scans = calloc(n, sizeof *c.scans))) st = out_of_memory(err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        const dataset_scan *s = &c.data->scans[list[i]];
        st = add(&c, s->id, s->patient, s->split ? s->split : "", s->file, NULL, err);
        c.scans[i].at = list[i];
        snprintf(c.scans[i].input, MODEL_HASH, "%s", s->source_sha256);
    }
    if (st == HCT_OK) st = dataset_preparation(c.data, list, n, c.preprocessing, err);
    free(list);
    if (st == HCT_OK) st = sort_ids(&c, err);
    if (st == HCT_OK) *ret = c;
    else cohort_free(&c);
    return st;
}

/* ---- files and folders ---- */

/* The study's UID, and the folder of its first file. */
static hct_status note_place(cohort_scan *s, const candidate_list *l, const candidate *one, hct_err *err) {
    const dicom_header *h = one->series ? series_header(l->files, one->series) : NULL;
    if (h && h->study_uid && *h->study_uid && !(s->study = strdup(h->study_uid))) return out_of_memory(err);
    s->folder = path_folder(candidate_file(l, one)->path);
    return s->folder ? HCT_OK : out_of_memory(err);
}

/* Room for one more. */
static hct_status grow(cohort *c, size_t *room, hct_err *err) {
    if (c->n < *room) return HCT_OK;
    size_t wanted = *room ? 2 * *room : 64;
    cohort_scan *more = realloc(c->scans, wanted * sizeof *more);
    if (!more) return out_of_memory(err);
    c->scans = more;
    *room = wanted;
    return HCT_OK;
}

static hct_status add_candidate(cohort *c, size_t unit, size_t item, size_t *room, hct_err *err) {
    const candidate_list *l = &c->files->candidates;
    const candidate *one = &l->items[item];
    char *reason = candidate_refusal(one), *place = candidate_place(l, one),
         *id = place ? cohort_files_id(c->files, one, err) : NULL;
    hct_status s = !place || (!reason && one->verdict.refusal) ? out_of_memory(err) : id ? HCT_OK : HCT_EIO;
    if (s == HCT_OK) s = grow(c, room, err);
    if (s == HCT_OK && verdict_is_no_scan(&one->verdict)) text_printf(&c->left_out, "left out '%s': %s\n", id, reason);
    else if (s == HCT_OK) {
        s = add(c, id, id, "", one->series ? place : candidate_file(l, one)->path, reason, err);
        c->scans[c->n - 1].found = (cohort_source){unit, item};
        if (s == HCT_OK) s = note_place(&c->scans[c->n - 1], l, one, err);
    }
    free(reason);
    free(place);
    free(id);
    return s;
}

static hct_status add_missing(cohort *c, const char *path, int code, size_t *room, hct_err *err) {
    char *base = source_id(path_base(path)), *id = base ? cohort_files_new_id(c->files, base, err) : NULL, why[4200];
    snprintf(why, sizeof why, "%s: %s", path, strerror(code));
    hct_status s = id ? grow(c, room, err) : out_of_memory(err);
    if (s == HCT_OK) s = add(c, id, id, "", path, why, err);
    if (s == HCT_OK) c->scans[c->n - 1].missing = true;
    free(base);
    free(id);
    return s;
}

static hct_status add_units(cohort *c, size_t *room, hct_err *err) {
    hct_status s = HCT_OK;
    for (size_t i = 0; i < c->files->n && s == HCT_OK; i++) {
        const candidate_list *l = cohort_files_unit(c->files, i, err);
        if (!l) s = err ? err->code : HCT_EIO;
        for (size_t k = 0; s == HCT_OK && k < l->n; k++) s = add_candidate(c, i, k, room, err);
    }
    return s;
}

hct_status cohort_preparation(char ret[MODEL_HASH], hct_err *err) {
    char buffer[512];
    const char *steps = scan_preprocessing_with(&(scan_options){0}, buffer);
    return sha256_bytes(steps, strlen(steps), ret, err);
}

hct_status cohort_of_files(const char *const *paths, size_t n, const char *filters, cohort *ret, hct_err *err) {
    cohort c = {0};
    const char **there = calloc(n + 1, sizeof *there);
    int *missing = calloc(n + 1, sizeof *missing);
    size_t n_there = 0, room = 0;
    struct stat st;
    hct_status s = there && missing ? cohort_preparation(c.preprocessing, err) : out_of_memory(err);
    for (size_t i = 0; s == HCT_OK && i < n; i++) {
        if (stat(paths[i], &st) < 0) missing[i] = errno;
        else there[n_there++] = paths[i];
    }
    if (s == HCT_OK && !(c.files = cohort_files_open(there, n_there, filters, err))) s = err ? err->code : HCT_EIO;
    if (s == HCT_OK) s = add_units(&c, &room, err);
    for (size_t i = 0; s == HCT_OK && i < n; i++)
        if (missing[i]) s = add_missing(&c, paths[i], missing[i], &room, err);
    if (s == HCT_OK) s = cohort_files_unread(c.files, &c.left_out, err);
    if (s == HCT_OK && !c.n) {
        hct_log(HCT_LOG_WARNING, "%s", text_so_far(&c.left_out));
        s = hct_fail(err, HCT_ENOTFOUND, "%s%s: no scan there (no .nii, .nii.gz or series of DICOM slices)",
                     n ? paths[0] : "", n > 1 ? " and the other inputs" : "");
    }
    free(there);
    free(missing);
    if (s == HCT_OK) s = sort_ids(&c, err);
    if (s == HCT_OK) *ret = c;
    else cohort_free(&c);
    return s;
}

static void free_scan(cohort_scan *s) {
    free(s->id);
    free(s->patient);
    free(s->split);
    free(s->path);
    free(s->reason);
    free(s->more);
    free(s->study);
    free(s->folder);
    identifiers_free(&s->names);
}

void cohort_free(cohort *c) {
    for (size_t i = 0; i < c->n; i++) free_scan(&c->scans[i]);
    free(c->scans);
    free(c->by_id);
    dataset_close(c->data);
    cohort_files_close(c->files);
    text_free(&c->left_out);
    *c = (cohort){0};
}

hct_status cohort_keep(cohort *c, const bool *keep, hct_err *err) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (keep[c->scans[i].at]) c->scans[n++] = c->scans[i];
        else free_scan(&c->scans[i]);
    }
    c->n = n;
    free(c->by_id);
    return sort_ids(c, err);
}

int64_t cohort_find(const cohort *c, const char *id) {
    for (size_t low = 0, high = c->n; low < high;) {
        size_t middle = low + (high - low) / 2;
        int side = strcmp(c->scans[c->by_id[middle]].id, id);
        if (side == 0) return (int64_t)c->by_id[middle];
        if (side < 0) low = middle + 1;
        else high = middle;
    }
    return -1;
}

hct_status cohort_same_input(const cohort *c, size_t i, const char *input, const char *file, hct_err *err) {
    const cohort_scan *s = &c->scans[i];
    if (!*s->input || !strcmp(s->input, input)) return HCT_OK;
    return hct_fail(err, HCT_EINVAL, "%s: scan '%s' was another input (%.12s, now %.12s); name another file", file,
                    s->id, input, s->input);
}

/* ---- studies ---- */

/* The innermost folder that holds both; a is changed. */
static void shorten_to_common(char *a, const char *b) {
    for (size_t n = strlen(a); n && (strncmp(a, b, n) != 0 || (b[n] != '/' && b[n] != 0 && a[n - 1] != '/'));) {
        char *slash = strrchr(a, '/');
        if (!slash || slash == a) {
            if (slash) a[1] = 0;
            break;
        }
        *slash = 0;
        n = strlen(a);
    }
}

/* The series of one becomes a further one of the other, which is of the same study; its id is NULL then. */
static hct_status join(cohort *c, cohort_scan *to, cohort_scan *from, hct_err *err) {
    hct_status s = cohort_files_forget_id(c->files, from->id, err);
    if (s < 0) return s;
    cohort_source *more = realloc(to->more, (to->n_more + 1) * sizeof *more);
    if (!more) return out_of_memory(err);
    to->more = more;
    more[to->n_more++] = from->found;
    shorten_to_common(to->folder, from->folder);
    free_scan(from);
    *from = (cohort_scan){0};
    return HCT_OK;
}

/* The name of the folder that holds all files of a study. */
static char *study_id(const cohort_scan *s) {
    char *real = realpath(s->folder, NULL), *id = real ? source_id(path_base(real)) : NULL;
    free(real);
    return id;
}

/* Scans that have become part of another one go; studies get their names. */
static hct_status name_studies(cohort *c, hct_err *err) {
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->scans[i].id) c->scans[kept++] = c->scans[i];
    c->n = kept;
    for (size_t i = 0; i < c->n; i++) {
        cohort_scan *s = &c->scans[i];
        if (!s->n_more) continue;
        hct_status st = cohort_files_forget_id(c->files, s->id, err);
        if (st < 0) return st;
        char *base = study_id(s), *id = base ? cohort_files_new_id(c->files, base, err) : NULL;
        free(base);
        if (!id) return out_of_memory(err);
        free(s->id);
        free(s->patient);
        s->id = id;
        if (!(s->patient = strdup(id))) return out_of_memory(err);
    }
    free(c->by_id);
    c->by_id = NULL;
    return sort_ids(c, err);
}

/* What series of one study have in common. */
static const char *study_of(const cohort_scan *s) { return s->study ? s->study : s->folder; }

static int by_study(const void *a, const void *b, void *context) {
    const cohort *c = context;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int side = strcmp(study_of(&c->scans[i]), study_of(&c->scans[j]));
    return side ? side : i < j ? -1 : i > j;
}

hct_status cohort_join_studies(cohort *c, hct_err *err) {
    if (c->data) return HCT_OK;
    size_t *order = malloc((c->n + 1) * sizeof *order), n = 0;
    hct_status st = order ? HCT_OK : out_of_memory(err);
    for (size_t i = 0; order && i < c->n; i++)
        if (!c->scans[i].missing && !c->scans[i].reason) order[n++] = i;
    if (n) qsort_r(order, n, sizeof *order, by_study, c);
    for (size_t i = 0, k; st == HCT_OK && i < n; i = k) {
        char *study = strdup(study_of(&c->scans[order[i]])); /* its folder changes as it is joined */
        if (!study) st = out_of_memory(err);
        for (k = i + 1; st == HCT_OK && k < n && !strcmp(study, study_of(&c->scans[order[k]])); k++)
            st = join(c, &c->scans[order[i]], &c->scans[order[k]], err);
        free(study);
    }
    free(order);
    return st == HCT_OK ? name_studies(c, err) : st;
}

size_t cohort_refused(const cohort *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) n += c->scans[i].reason != NULL;
    return n;
}

size_t cohort_tell_refused(const cohort *c) {
    const char *line = text_so_far(&c->left_out);
    for (size_t n; *line; line += n) {
        n = strcspn(line, "\n");
        hct_log(HCT_LOG_WARNING, "%.*s", (int)n, line);
        n += line[n] == '\n';
    }
    for (size_t i = 0; i < c->n; i++)
        if (c->scans[i].reason) hct_log(HCT_LOG_WARNING, "refused scan '%s': %s", c->scans[i].id, c->scans[i].reason);
    return cohort_refused(c);
}

int64_t cohort_batch(const cohort *c) { return c->n < BATCH ? (c->n ? (int64_t)c->n : 1) : BATCH; }

/* ---- names ---- */

static hct_status name_dataset(cohort *c, const char *key_path, hct_err *err) {
    dataset_key key;
    const char **ids = malloc((c->n + 1) * sizeof *ids);
    identifiers *all = calloc(c->n + 1, sizeof *all);
    hct_status s = ids && all ? HCT_OK : out_of_memory(err);
    if (s == HCT_OK) s = key_open(key_path, c->data->folder, &key, err);
    if (s == HCT_OK) {
        for (size_t i = 0; i < c->n; i++) ids[i] = c->scans[i].id;
        s = identifiers_of_dataset(c->data->folder, &key, ids, c->n, all, err);
        key_free(&key);
    }
    for (size_t i = 0; s == HCT_OK && i < c->n; i++) c->scans[i].names = all[i];
    free(ids);
    free(all);
    return s;
}

hct_status cohort_name_clear(cohort *c, const char *key, hct_err *err) {
    hct_status s = c->data ? name_dataset(c, key, err) : HCT_OK;
    for (size_t i = 0; s == HCT_OK && !c->data && i < c->n; i++) {
        cohort_scan *one = &c->scans[i];
        const candidate *found = one->missing ? NULL : cohort_files_find(c->files, one->found, err);
        if (found) s = identifiers_of_candidate(&c->files->candidates, found, &one->names, err);
        else s = one->missing ? identifiers_of_path(one->path, &one->names, err) : err ? err->code : HCT_EIO;
    }
    c->clear = s == HCT_OK;
    return s;
}

static const char *series_name(const cohort_scan *s, const char *other) {
    return s->names.series_uid && *s->names.series_uid ? s->names.series_uid : other;
}

hct_status cohort_name_by_series(cohort *c, const char *other, hct_err *err) {
    hct_status s = cohort_name_clear(c, NULL, err);
    for (size_t i = 0; s == HCT_OK && i < c->n; i++) {
        const char *name = series_name(&c->scans[i], other);
        size_t number = 1, n = 0;
        for (size_t k = 0; k < c->n; k++) {
            const bool same = !strcmp(series_name(&c->scans[k], other), name);
            n += same;
            number += same && k < i;
        }
        char *id = NULL, *patient = NULL;
        if (n > 1 ? asprintf(&id, "%s_p%zu", name, number) < 0 : asprintf(&id, "%s", name) < 0) id = NULL;
        if (!id || !(patient = strdup(id))) {
            free(id);
            return out_of_memory(err);
        }
        free(c->scans[i].id);
        free(c->scans[i].patient);
        c->scans[i].id = id;
        c->scans[i].patient = patient;
    }
    free(c->by_id);
    c->by_id = NULL;
    return s == HCT_OK ? sort_ids(c, err) : s;
}

const char *cohort_naming(const cohort *c) {
    return c->clear ? "clear: paths, UIDs and accession numbers" : c->data ? "none: ids of the dataset" : "none: ids";
}

/* ---- running ---- */

/* One series or file; its hash is added. */
static hct_status read_one(cohort *c, const cohort_scan *s, cohort_source source, const model_info *info, float *out,
                           char hash[65], hct_err *why) {
    volume v = {0};
    candidate_facts facts;
    const candidate_options o = {.jobs = 0};
    const form *f;
    candidate *found = cohort_files_find(c->files, source, why);
    if (!found) return why->code;
    const candidate_list *l = &c->files->candidates;
    hct_status st = form_of(&info->encoder.input, &f, why);
    if (st == HCT_OK) st = candidate_hash(l, found, hash, why);
    if (st == HCT_OK && f) st = candidate_form(l, found, &o, f, &v, why);
    else if (st == HCT_OK) st = candidate_prepare(l, found, &c->files->filters, &o, &v, &facts, why);
    if (st == HCT_OK) {
        st = input_make(&info->encoder.input, &v, out, why);
        volume_free(&v);
    }
    for (size_t i = 0; st == HCT_OK && i < found->verdict.n; i++)
        if (found->verdict.findings[i].weight == VERDICT_WARN)
            hct_log(HCT_LOG_WARNING, "scan '%s': %s: %s", s->id, verdict_word(found->verdict.findings[i].reason),
                    found->verdict.findings[i].sentence);
    return st;
}

hct_status cohort_read(cohort *c, size_t i, const model_info *info, float *out, hct_err *why) {
    cohort_scan *s = &c->scans[i];
    char hash[65] = "", both[130];
    hct_status st = source_check_name(s->path, s->id, why);
    if (st == HCT_OK) st = read_one(c, s, s->found, info, out, hash, why);
    for (size_t k = 0; st == HCT_OK && k < s->n_more; k++) {
        snprintf(both, sizeof both, "%s", hash);
        st = read_one(c, s, s->more[k], info, out + (k + 1) * input_floats(&info->encoder.input), hash, why);
        snprintf(both + strlen(both), sizeof both - strlen(both), "%s", hash);
        if (st == HCT_OK) st = sha256_bytes(both, strlen(both), hash, why);
    }
    if (st == HCT_OK) snprintf(s->input, MODEL_HASH, "%s", hash);
    return st;
}

/* One input; a scan that cannot be read gets its reason and *ret_read 0. Memory that runs out and a machine that
 * cannot convert DICOM are no scan's fault. */
static hct_status read_input(cohort *c, loader *l, embedder *e, size_t scan, float *out, int *ret_read, hct_err *err) {
    hct_err why = {0, ""};
    cohort_scan *s = &c->scans[scan];
    if (l) {
        int got = loader_next(l, out, NULL, &why);
        if (!got) return hct_fail(err, HCT_EINVAL, "the loader ended early");
    } else {
        cohort_read(c, scan, &e->info, out, &why);
    }
    *ret_read = why.code >= 0;
    if (*ret_read) return HCT_OK;
    if (why.code == HCT_ENOMEM || why.code == HCT_EDEVICE) return hct_fail(err, why.code, "%s", why.msg);
    free(s->reason);
    return (s->reason = strdup(why.msg)) ? HCT_OK : out_of_memory(err);
}

static hct_status open_loader(const cohort *c, const embedder *e, const size_t *todo, size_t n, loader **ret,
                              hct_err *err) {
    const loader_options lo = {.input = e->info.encoder.input};
    size_t *order = malloc((n + 1) * sizeof *order);
    *ret = order ? loader_new(c->data, &lo, err) : NULL;
    hct_status st = *ret ? HCT_OK : order ? err->code : out_of_memory(err);
    for (size_t i = 0; st == HCT_OK && i < n; i++) order[i] = c->scans[todo[i]].at;
    if (st == HCT_OK) st = loader_start(*ret, order, n, err);
    free(order);
    return st;
}

static size_t tasks_of(const embedder *e) { return e->info.role == MODEL_CLASSIFIER ? (size_t)e->info.n_tasks : 0; }

/* One batch, whose images are in the first encoder's host memory, through all encoders. some: room for one encoder's
 * probabilities. */
static hct_status run_batch(embedder *e, size_t n_embedders, const size_t *scans, int64_t n, float *cls,
                            double *probability, double *some, const cohort_sink *sink, hct_err *err) {
    if (!n) return HCT_OK;
    size_t tasks = 0, at = 0;
    hct_status st = HCT_OK;
    for (size_t i = 0; i < n_embedders; i++) tasks += tasks_of(&e[i]);
    for (size_t i = 0; st == HCT_OK && i < n_embedders; i++) {
        size_t mine = tasks_of(&e[i]);
        if (i) memcpy(e[i].host, e->host, (size_t)n * e->image_floats * sizeof *e->host);
        st = embedder_run(&e[i], n, i ? NULL : cls, mine ? some : NULL, err);
        for (size_t b = 0; st == HCT_OK && b < (size_t)n; b++)
            memcpy(probability + b * tasks + at, some + b * mine, mine * sizeof *some);
        at += mine;
    }
    return st < 0 ? st : sink->take(sink->context, scans, (size_t)n, cls, probability, err);
}

hct_status cohort_run(cohort *c, embedder *e, size_t n_embedders, const size_t *todo, size_t n, const cohort_sink *sink,
                      FILE *out, hct_err *err) {
    loader *l = NULL;
    size_t *scans = calloc((size_t)e->batch, sizeof *scans), at = 0;
    float *cls = malloc((size_t)(e->batch * encoder_width(&e->info.encoder)) * sizeof *cls);
    size_t room = (size_t)e->batch * (MODEL_TASKS + 1);
    double *probability = malloc(2 * room * sizeof *probability), *some = probability ? probability + room : NULL;
    hct_status st = scans && cls && probability ? HCT_OK : out_of_memory(err);
    if (st == HCT_OK && c->data) st = open_loader(c, e, todo, n, &l, err);
    progress bar = progress_begin(out, "scan", (int64_t)(c->n - n), (int64_t)c->n, "scans", 1);
    while (st == HCT_OK && at < n) {
        int64_t k = 0;
        for (; st == HCT_OK && k < e->batch && at < n; at++) {
            int read;
            st = read_input(c, l, e, todo[at], e->host + (size_t)k * e->image_floats, &read, err);
            if (st == HCT_OK && read) scans[k++] = todo[at];
        }
        if (st == HCT_OK) st = run_batch(e, n_embedders, scans, k, cls, probability, some, sink, err);
        progress_show(&bar, (int64_t)(c->n - n + at), "");
        if (st == HCT_OK && at < n) st = stop_check(c->n - n + at, c->n, err);
    }
    if (st == HCT_OK) progress_end(&bar, "");
    else progress_break(&bar);
    loader_free(l);
    free(scans);
    free(cls);
    free(probability);
    return st;
}
