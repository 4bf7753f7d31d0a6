/* From files to a dataset: what is new or changed is prepared by several threads, what cannot be is listed. */
#include "dataset/prepare.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset/dataset.h"
#include "dataset/index_found.h"
#include "dataset/labels.h"
#include "dataset/scan_tags.h"
#include "dataset/sources.h"
#include "hct/io.h"
#include "imaging/nifti.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/sha256.h"
#include "support/stop.h"
#include "support/workers.h"

enum { GZIP_LEVEL = 1 };   /* prepared volumes are mostly air and noise: higher levels cost time and save little */
enum { LONGEST_ID = 200 }; /* with its ending and that of the file being written it must stay below NAME_MAX, 255 */

typedef struct run {
    const prepare_options *options;
    series_filters filters;
    dataset_key key;
    found found;
    study_pick *pick; /* NULL: all */
    found_unit *units;
    size_t n_units, *mine, n_mine; /* this shard's units */
    label_table labels;
    scan_names *names; /* what rows of labels may call candidates; NULL: there are no labels */
    int64_t *label_ids;
    char preprocessing[SHA256_HEX];
    dataset_index index;
    pthread_mutex_t lock; /* guards index, found, result, progress, done */
    prepare_result *result;
    text_buffer left_out;
    progress progress;
    int64_t done;
} run;

/* A candidate at hand. */
typedef struct work {
    const candidate_list *list;
    candidate *c;
    char id[FOUND_ID], file[FOUND_ID + 32], path[2 * FOUND_ID];
    char provenance[SHA256_HEX], patient[KEY_HEX], patient_name[SCAN_PATIENT];
    char *place, age[16], sex[4];
    candidate_facts facts;
    scan_tags tags;
    fingerprint print;
} work;

static hct_status no_memory(hct_err *err) { return hct_fail(err, HCT_ENOMEM, "no memory for the list of scans"); }

/* ---- labels ---- */

/* Rows find their scans: those of the inputs, by all their names, and what the dataset knows of from before. */
static hct_status match_labels(run *r, hct_err *err) {
    const prepare_options *o = r->options;
    label_matches *m = &r->result->matches;
    hct_status s = scan_names_of_index(r->names, &r->index, true, err);
    if (s == HCT_OK) s = scan_names_ready(r->names, err);
    if (s == HCT_OK) s = labels_match(&r->labels, r->names, &r->key, m, err);
    bool none = s == HCT_OK && r->labels.rows && m->n_missing == r->labels.rows;
    if (s == HCT_OK && m->n_missing && !o->partial && (o->strict || none))
        s = hct_fail(err, HCT_ENOTFOUND,
                     "%s line %d: labels of scan%s %s, which %s neither among the inputs nor in the dataset: add %s or "
                     "remove the line%s%s",
                     o->labels, m->line, m->n_missing > 1 ? "s" : "", m->missing, m->n_missing > 1 ? "are" : "is",
                     m->n_missing > 1 ? "the scans" : "the scan", m->n_missing > 1 ? "s" : "",
                     none ? "; no row has a scan: does column scan hold IDs, paths or SeriesInstanceUIDs "
                            "(--id-column)?"
                          : "");
    return s;
}

static void describe(const run *r, work *w, index_scan *s) {
    memset(s, 0, sizeof *s);
    s->id = w->id;
    s->source = w->place;
    s->file = w->file;
    s->preprocessing = r->preprocessing;
    if (*w->patient) s->patient = w->patient_name;
    int64_t row = r->options->labels ? labels_row(&r->labels, w->id) : -1;
    if (row < 0) return;
    if (r->labels.patients[row]) s->patient = r->labels.patients[row];
    labels_person(&r->labels, (size_t)row, w->age, w->sex);
    s->age = w->age;
    s->sex = w->sex;
    s->labels = r->labels.values + (size_t)row * r->labels.n;
    s->label_ids = r->label_ids;
    s->n_labels = r->labels.n;
}

/* ---- one scan ---- */

/* What is wrong with a scan, not with its place: a disk that fails, a source that is not there today. */
static int is_of_content(hct_status why) {
    return why == HCT_EFORMAT || why == HCT_EINVAL || why == HCT_ESHAPE || why == HCT_EDTYPE;
}

static hct_status list_refusal(run *r, const work *w, const char *word, const char *reason, bool expected,
                               hct_err *err) {
    prepare_result *out = r->result;
    prepare_refusal *more = realloc(out->refused, (out->n_refused + 1) * sizeof *more);
    if (!more) return no_memory(err);
    out->refused = more;
    prepare_refusal *one = &more[out->n_refused++];
    *one = (prepare_refusal){strdup(w->id), strdup(w->place), strdup(reason), word, expected};
    return one->id && one->source && one->reason ? HCT_OK : no_memory(err);
}

/* Lists a scan. What an earlier state of its source gave goes where the source is bad now, and stays where it only
 * could not be read. */
static hct_status refuse(run *r, work *w, hct_status code, const char *reason, hct_err *err) {
    const verdict_finding *f = w->c->verdict.refusal;
    const char *word = f ? verdict_word(f->reason) : verdict_word(REASON_UNREADABLE);
    /* whichever its row says */
    int stays = !is_of_content(code) && (scan_is_prepared(w->path, 0) || scan_is_prepared(w->path, 1));
    char *plain = found_relative(&r->found, reason);
    hct_status s = plain ? HCT_OK : no_memory(err);
    if (s == HCT_OK && !stays) s = index_put_refusal(&r->index, w->id, w->place, plain, err);
    if (s == HCT_OK) s = found_judge(&r->found, w->c, w->id, word, plain, stays, false, err);
    if (s == HCT_OK && !stays) unlink(w->path);
    free(plain);
    return s == HCT_OK ? list_refusal(r, w, word, reason, verdict_is_no_scan(&w->c->verdict), err) : s;
}

/* 1: the prepared file is there and whole, and its source has not changed; s->state is the source's. */
static int up_to_date(run *r, const work *w, index_scan *s, hct_err *why, hct_err *err) {
    source_state old;
    char preprocessing[SHA256_HEX];
    pthread_mutex_lock(&r->lock);
    int there = index_find_scan(&r->index, w->id, &old, preprocessing, err);
    pthread_mutex_unlock(&r->lock);
    if (there < 0) return there;
    candidate_state(w->list, w->c, &s->state);
    if (!there || strcmp(preprocessing, r->preprocessing) != 0 ||
        !scan_is_prepared(w->path, r->options->how.scan.exact))
        return 0;
    if (s->state.bytes == old.bytes && s->state.mtime_ns == old.mtime_ns) return 1;
    return candidate_hash(w->list, w->c, s->state.sha256, why) == HCT_OK && strcmp(s->state.sha256, old.sha256) == 0;
}

/* Reads and prepares; errors in *why are the scan's. */
static hct_status make_volume(const run *r, work *w, index_scan *s, volume *v, hct_err *why) {
    char text[2 * SHA256_HEX];
    if (strlen(w->id) > LONGEST_ID)
        return hct_fail(
            why, HCT_EINVAL,
            "its ID has %zu characters, more than the %d that a file's name holds: shorten its folders' names",
            strlen(w->id), LONGEST_ID);
    hct_status status = source_check_name(candidate_file(w->list, w->c)->path, w->id, why);
    if (status == HCT_OK) status = candidate_hash(w->list, w->c, s->state.sha256, why);
    if (status == HCT_OK) status = candidate_prepare(w->list, w->c, &r->filters, &r->options->how, v, &w->facts, why);
    if (status < 0) return status;
    snprintf(text, sizeof text, "%s %s", r->preprocessing, s->state.sha256);
    status = sha256_bytes(text, strlen(text), w->provenance, why);
    s->provenance = w->provenance;
    if (status == HCT_OK)
        status = scan_tags_of(w->list, w->c, &w->facts, &r->key, w->patient, r->options->clear_dates, &w->tags, why);
    if (status == HCT_OK) status = fingerprint_of(v, &w->print, why);
    s->print = &w->print;
    s->tags = (const char *const(*)[2])w->tags.pairs;
    s->n_tags = w->tags.n;
    return status;
}

static hct_status check_stop(run *r, hct_err *err) {
    pthread_mutex_lock(&r->lock);
    size_t done = (size_t)r->done;
    pthread_mutex_unlock(&r->lock);
    return stop_check(done, r->n_mine, err);
}

static hct_status list_warning(prepare_result *out, const char *id, const verdict_finding *f, hct_err *err) {
    if (!out->warned && !(out->warned = calloc(PREPARE_TOLD, sizeof *out->warned))) return no_memory(err);
    char *line = NULL;
    if (out->n_warned < PREPARE_TOLD &&
        asprintf(&line, "scan '%s': %s: %s", id, verdict_word(f->reason), f->sentence) < 0)
        return no_memory(err);
    if (out->n_warned < PREPARE_TOLD) out->warned[out->n_warned] = line;
    out->n_warned++;
    return HCT_OK;
}

static hct_status note_kept(run *r, work *w, const index_scan *s, bool current, hct_err *err) {
    hct_status status = current ? index_refresh_scan(&r->index, s, err) : index_put_scan(&r->index, s, err);
    if (status == HCT_OK) status = found_judge(&r->found, w->c, w->id, NULL, NULL, false, current, err);
    for (size_t i = 0; i < w->c->verdict.n; i++)
        if (w->c->verdict.findings[i].weight == VERDICT_WARN && status == HCT_OK)
            status = list_warning(r->result, w->id, &w->c->verdict.findings[i], err);
    if (current) r->result->unchanged++;
    else r->result->prepared++;
    return status;
}

/* A slice from the middle of what was left out, where it can be read. */
static hct_status show_left_out(const run *r, const work *w, hct_err *err) {
    float *hu = NULL;
    int64_t columns = 0, rows = 0;
    hct_err ignored = {0};
    if (!r->options->left_out || strlen(w->id) > LONGEST_ID ||
        candidate_middle(w->list, w->c, &hu, &columns, &rows, &ignored) < 0)
        return HCT_OK;
    hct_status s = r->options->left_out(r->options->dataset, w->id, hu, columns, rows, err);
    free(hu);
    return s;
}

/* The scan's volume of the form that is asked for, made from its files where it is not there yet. */
static hct_status make_form(run *r, const work *w, hct_status *ret_made, hct_err *why, hct_err *err) {
    const form *f = r->options->volumes;
    char file[2 * FOUND_ID], path[3 * FOUND_ID], spec[65], had[65], preprocessing[65];
    source_state state;
    volume v = {0};
    snprintf(file, sizeof file, "forms/%s/%s.nii.gz", f->name, w->id);
    snprintf(path, sizeof path, "%.4095s/%.4390s", r->options->dataset, file);
    *ret_made = HCT_OK;
    pthread_mutex_lock(&r->lock);
    int there = index_find_scan(&r->index, w->id, &state, preprocessing, err);
    hct_status s = there < 0 ? there : HCT_OK;
    if (there > 0) s = form_spec(f, state.sha256, spec, err);
    if (there > 0 && s == HCT_OK) s = index_find_form(&r->index, w->id, f->name, had, err);
    pthread_mutex_unlock(&r->lock);
    if (s < 0 || !there || (!strcmp(had, spec) && path_is_file(path))) return s;
    *ret_made = candidate_form(w->list, w->c, &r->options->how, f, &v, why);
    if (*ret_made == HCT_OK) s = nifti_write(path, &v, GZIP_LEVEL, err);
    volume_free(&v);
    if (s < 0 || *ret_made < 0) return s;
    pthread_mutex_lock(&r->lock);
    s = index_put_form(&r->index, w->id, f->name, file, spec, err);
    r->result->formed++;
    pthread_mutex_unlock(&r->lock);
    return s;
}

static hct_status prepare_candidate(run *r, work *w, hct_err *err) {
    hct_err why = {0};
    index_scan s;
    volume v = {0};
    if (w->c->verdict.refusal) {
        char *said = candidate_refusal(w->c);
        pthread_mutex_lock(&r->lock);
        hct_status status = said ? refuse(r, w, HCT_EINVAL, said, err) : no_memory(err);
        pthread_mutex_unlock(&r->lock);
        free(said);
        return status == HCT_OK ? show_left_out(r, w, err) : status;
    }
    hct_status status = scan_patient(w->list, w->c, &r->key, w->patient, err);
    if (status < 0) return status;
    scan_patient_name(w->patient, w->patient_name);
    describe(r, w, &s);
    int current = up_to_date(r, w, &s, &why, err);
    if (current < 0) return current;
    hct_status made = current ? HCT_OK : make_volume(r, w, &s, &v, &why);
    if (made == HCT_EIO) status = check_stop(r, err); /* Ctrl-C ends dcm2niix too */
    /* no scan's fault: the next ones would fail alike */
    if (made == HCT_EDEVICE || made == HCT_ENOMEM) status = hct_fail(err, made, "%s", why.msg);
    if (status == HCT_OK && !current && made == HCT_OK) status = nifti_write(w->path, &v, GZIP_LEVEL, err);
    if (status == HCT_OK && !current && made == HCT_OK && r->options->made)
        status = r->options->made(r->options->dataset, w->id, &v, err);
    volume_free(&v);
    if (status < 0) return status;
    pthread_mutex_lock(&r->lock);
    status = made == HCT_OK ? note_kept(r, w, &s, current, err) : refuse(r, w, made, why.msg, err);
    pthread_mutex_unlock(&r->lock);
    if (status < 0 || made < 0 || !r->options->volumes) return status;
    status = make_form(r, w, &made, &why, err);
    if (status < 0 || made == HCT_OK) return status;
    if (!is_of_content(made)) return hct_fail(err, made, "%s", why.msg);
    pthread_mutex_lock(&r->lock); /* the scan itself stays as it is */
    status = list_refusal(r, w, verdict_word(REASON_UNREADABLE), why.msg, false, err);
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* ---- one unit: a NIfTI file, or the files of one series ---- */

/* The id by which a candidate is known, given anew or found again. */
static hct_status name_candidate(run *r, const candidate_list *l, const candidate *c, char id[FOUND_ID], hct_err *err) {
    int64_t series = 1;
    char mark[KEY_HEX], *base = NULL, *identity = NULL;
    hct_status s = c->series ? found_neighbours(&r->found, candidate_file(l, c), &series, err) : HCT_OK;
    if (s == HCT_OK && c->series && r->options->ids_by_uid) {
        identity = candidate_identity(l, c);
        s = identity ? key_mark(&r->key, "id", identity, mark, err) : no_memory(err);
        mark[16] = 0;
        base = strdup(mark);
    } else if (s == HCT_OK) {
        base = candidate_id(l, c, series <= 1);
    }
    if (s == HCT_OK) s = base ? found_item(&r->found, l, c, base, id, err) : no_memory(err);
    free(base);
    free(identity);
    return s;
}

static hct_status note_names(run *r, const candidate_list *l, const candidate *c, const char *id, hct_err *err) {
    const char *path = candidate_file(l, c)->path,
               *uid = c->series ? series_header(l->files, c->series)->series_uid : "";
    char mark[KEY_HEX] = "", *folder = c->series ? path_folder(path) : strdup(path);
    hct_status s = folder ? HCT_OK : no_memory(err);
    if (s == HCT_OK && uid && *uid) s = key_mark(&r->key, "series", uid, mark, err);
    if (s == HCT_OK) s = scan_names_add(r->names, id, folder, mark, err);
    free(folder);
    return s;
}

static hct_status name_unit(run *r, const found_unit *u, hct_err *err) {
    pile_file *files = NULL;
    size_t n = 0;
    candidate_list l = {0};
    char id[FOUND_ID];
    hct_status s = found_files(&r->found, u, &files, &n, err);
    if (s == HCT_OK) s = candidates_of(files, n, NULL, &l, err);
    for (size_t i = 0; i < l.n && s == HCT_OK; i++) {
        s = name_candidate(r, &l, &l.items[i], id, err);
        if (s == HCT_OK && r->names) s = note_names(r, &l, &l.items[i], id, err);
    }
    candidates_free(&l);
    found_files_free(files, n);
    return s;
}

static hct_status prepare_unit(void *context, int64_t i, hct_err *err) {
    run *r = context;
    const found_unit *u = &r->units[r->mine[i]];
    pile_file *files = NULL;
    size_t n = 0;
    candidate_list l = {0};
    hct_status s = check_stop(r, err);
    if (s < 0) return s;
    pthread_mutex_lock(&r->lock);
    s = found_files(&r->found, u, &files, &n, err);
    pthread_mutex_unlock(&r->lock);
    if (s == HCT_OK) s = candidates_of(files, n, &r->filters, &l, err);
    for (size_t k = 0; k < l.n && s == HCT_OK; k++) {
        work *w = calloc(1, sizeof *w);
        if (!w) s = no_memory(err);
        else if (k) s = check_stop(r, err);
        if (s == HCT_OK) {
            w->list = &l;
            w->c = &l.items[k];
            w->place = candidate_place(&l, w->c);
            pthread_mutex_lock(&r->lock);
            s = w->place ? found_id(&r->found, &l, w->c, w->id, err) : no_memory(err);
            pthread_mutex_unlock(&r->lock);
            snprintf(w->file, sizeof w->file, "scans/%s.nii.gz", w->id);
            snprintf(w->path, sizeof w->path, "%.4095s/%.4390s", r->options->dataset, w->file);
        }
        if (s == HCT_OK && w->c->series) s = study_pick_apply(r->pick, w->id, &w->c->verdict, err);
        if (s == HCT_OK) s = prepare_candidate(r, w, err);
        if (w) free(w->place);
        free(w);
    }
    candidates_free(&l);
    found_files_free(files, n);
    if (s < 0) return s;
    pthread_mutex_lock(&r->lock);
    progress_show(&r->progress, ++r->done, "");
    pthread_mutex_unlock(&r->lock);
    return HCT_OK;
}

/* ---- the whole ---- */

static int by_id(const void *a, const void *b) {
    return strcmp(((const prepare_refusal *)a)->id, ((const prepare_refusal *)b)->id);
}

/* Folders of prepared scans are no sources. */
static bool leaves_out(void *context, const char *folder) {
    run *r = context;
    char *parent = path_folder(folder);
    bool prepared = parent && source_holds_prepared(folder, parent, r->options->dataset);
    free(parent);
    if (prepared) text_printf(&r->left_out, "%s%s", text_length(&r->left_out) ? ", " : "", folder);
    return prepared;
}

/* Says what could not be read, and so is part of no scan. */
static hct_status list_unread(run *r, hct_err *err) {
    prepare_result *out = r->result;
    sqlite3_stmt *q =
        index_query(&r->index, err, "SELECT path, why FROM files WHERE kind='unread' AND seen>=? ORDER BY root, path",
                    "i", r->found.run);
    int step = q ? 1 : HCT_EIO;
    if (!(out->unread = calloc(PREPARE_TOLD, sizeof *out->unread))) step = no_memory(err);
    while (step > 0 && out->n_unread < PREPARE_TOLD && (step = index_step(&r->index, q, err)) > 0) {
        const char *path = (const char *)sqlite3_column_text(q, 0), *why = (const char *)sqlite3_column_text(q, 1);
        bool named = path && why && strncmp(why, path, strlen(path)) == 0;
        if (asprintf(&out->unread[out->n_unread], "%s%s%s",
                     named  ? ""
                     : path ? path
                            : "",
                     named ? "" : ": ", why ? why : "cannot be read") < 0)
            out->unread[out->n_unread] = NULL, step = no_memory(err);
        else out->n_unread++;
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

static hct_status make_folders(run *r, hct_err *err) {
    static const char *const folders[] = {"scans", "inputs", "qc"}; /* that others may have been killed in */
    hct_status s = HCT_OK;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && s == HCT_OK; i++) {
        char *path = path_join(r->options->dataset, folders[i]);
        s = !path ? no_memory(err) : i == 0 ? path_make_folders(path, err) : HCT_OK;
        if (s == HCT_OK) hct_leftovers_remove(path);
        free(path);
    }
    return s;
}

/* Units that a layout takes for no scans. */
static void leave_unwanted(run *r) {
    size_t kept = 0;
    for (size_t i = 0; i < r->n_units; i++) {
        found_unit u = r->units[i];
        const char *path = u.path[0] == '/' ? u.path + 1 : u.path;
        if (r->options->wanted(r->options->wanted_context, path)) {
            r->units[i] = r->units[kept];
            r->units[kept++] = u;
        }
    }
    for (size_t i = kept; i < r->n_units; i++) {
        free(r->units[i].grp);
        free(r->units[i].path);
    }
    r->n_units = kept;
}

/* Every file into the index, every candidate to its id, in one order whatever the number of threads. */
static hct_status find_scans(run *r, hct_err *err) {
    const prepare_options *o = r->options;
    hct_status s = found_begin(&r->index, &r->key, &r->found, err);
    if (s == HCT_OK) s = found_walk(&r->found, o->inputs, o->n_inputs, leaves_out, r, err);
    r->result->files = r->found.counts;
    if (s == HCT_OK) s = found_units(&r->found, &r->units, &r->n_units, err);
    if (s == HCT_OK && o->wanted) leave_unwanted(r);
    bool begun = s == HCT_OK && index_exec(&r->index, "BEGIN IMMEDIATE", err) == HCT_OK;
    if (s == HCT_OK && !begun) s = err ? err->code : HCT_EIO;
    for (size_t i = 0; i < r->n_units && s == HCT_OK; i++) s = name_unit(r, &r->units[i], err);
    if (begun && s == HCT_OK) s = index_exec(&r->index, "COMMIT", err);
    else if (begun) index_exec(&r->index, "ROLLBACK", NULL);
    if (s == HCT_OK && o->one_per_study != STUDY_ALL &&
        !(r->pick = study_pick_new(&r->found, r->units, r->n_units, &r->filters, o->one_per_study, err)))
        s = err ? err->code : HCT_ENOMEM;
    if (s == HCT_OK && !r->n_units && !r->found.counts.of[PILE_UNREAD])
        s = hct_fail(err, HCT_ENOTFOUND, "%s%s: no scan there (no .nii, .nii.gz or DICOM file)%s", o->inputs[0],
                     o->n_inputs > 1 ? " and the other inputs" : "",
                     text_length(&r->left_out) ? " but prepared ones, of a dataset" : "");
    return s;
}

/* All dates of a dataset are shifted, or none. */
static hct_status check_dates(run *r, hct_err *err) {
    const char *now = r->options->clear_dates ? "clear" : "shifted";
    bool other = false;
    hct_status s = index_run(&r->index, err, "INSERT OR IGNORE INTO settings VALUES('dates', ?)", "s", now);
    sqlite3_stmt *q =
        s == HCT_OK ? index_query(&r->index, err, "SELECT value<>? FROM settings WHERE key='dates'", "s", now) : NULL;
    int step = q ? index_step(&r->index, q, err) : HCT_EIO;
    if (step > 0) other = sqlite3_column_int64(q, 0) != 0;
    sqlite3_finalize(q);
    if (s == HCT_OK && step < 0) s = step;
    if (s == HCT_OK && other)
        s = hct_fail(err, HCT_EINVAL,
                     "%s: its dates are %s, and --clear-dates asks for the other: make a dataset of its own",
                     r->index.path, r->options->clear_dates ? "shifted" : "clear");
    return s;
}

/* Which series were wanted, and in which other way a dataset's scans were chosen, in words that name no file. */
static hct_status note_filters(run *r, hct_err *err) {
    const prepare_options *o = r->options;
    char text[160];
    snprintf(text, sizeof text, "%.80s%s%s%s%s", r->filters.mark, o->strict ? ", strict" : "",
             o->one_per_study == STUDY_ALL ? "" : ", one per study: ",
             o->one_per_study == STUDY_ALL ? "" : study_choice_word(o->one_per_study),
             o->ids_by_uid ? ", ids by uid" : "");
    return index_run(&r->index, err, "INSERT OR REPLACE INTO settings VALUES('filters', ?)", "s", text);
}

static hct_status set_up(run *r, hct_err *err) {
    const prepare_options *o = r->options;
    char buffer[512];
    const char *text = scan_preprocessing_with(&o->how.scan, buffer);
    char *index = path_join(o->dataset, "index.sqlite");
    hct_status s = index ? sha256_bytes(text, strlen(text), r->preprocessing, err) : no_memory(err);
    bool is_new = index && !path_is_file(index), made = false;
    if (s == HCT_OK) s = sources_check_output(o->dataset, err);
    if (s == HCT_OK) s = sources_check(o->inputs, o->n_inputs, o->dataset, err);
    if (s == HCT_OK) s = filters_read(o->filters ? o->filters : "any-head-ct", &r->filters, err);
    if (s == HCT_OK && o->strict) r->filters.hu = FILTER_REFUSE;
    if (s == HCT_OK && o->labels) s = labels_read(o->labels, &o->form, &r->labels, err);
    if (s == HCT_OK && o->labels && !(r->names = scan_names_new())) s = no_memory(err);
    if (s == HCT_OK) s = key_open(o->key, o->dataset, &r->key, err);
    if (s == HCT_OK && r->key.made && !(r->result->made_key = strdup(r->key.path))) s = no_memory(err);
    if (s == HCT_OK) s = index_open(&r->index, o->dataset, 1, err);
    made = s == HCT_OK;
    if (s == HCT_OK) s = check_dates(r, err);
    if (s == HCT_OK) s = find_scans(r, err);
    if (s == HCT_OK) s = note_filters(r, err);
    if (s == HCT_OK && text_length(&r->left_out) &&
        !(r->result->left_out = text_take(&r->left_out, "the list of inputs", err)))
        s = no_memory(err);
    if (s == HCT_OK) s = list_unread(r, err);
    if (s == HCT_OK && o->labels) s = match_labels(r, err);
    if (s < 0 && is_new && made) { /* nothing is left of a dataset that does not come about */
        found_end(&r->found);
        index_close(&r->index);
        unlink(index);
        rmdir(o->dataset);
    }
    free(index);
    if (s < 0) return s;
    r->mine = malloc((r->n_units + 1) * sizeof *r->mine);
    r->label_ids = calloc(r->labels.n + 1, sizeof *r->label_ids);
    if (!r->mine || !r->label_ids) s = no_memory(err);
    if (s == HCT_OK) s = make_folders(r, err);
    if (s == HCT_OK && o->volumes) {
        char *folder = NULL;
        if (asprintf(&folder, "%s/forms/%s", o->dataset, o->volumes->name) < 0) folder = NULL;
        s = folder ? path_make_folders(folder, err) : no_memory(err);
        if (s == HCT_OK) hct_leftovers_remove(folder);
        free(folder);
    }
    if (s == HCT_OK) s = index_label_ids(&r->index, r->labels.names, r->labels.n, r->label_ids, err);
    for (size_t k = 0; s == HCT_OK && k < r->n_units; k++)
        if ((int)(k % (size_t)o->shards) == o->shard - 1) r->mine[r->n_mine++] = k;
    return s;
}

static hct_status count_without_split(run *r, hct_err *err) {
    sqlite3_stmt *q = index_query(&r->index, err,
                                  "SELECT count(*) FROM scans WHERE EXISTS (SELECT 1 FROM splits) AND patient NOT IN"
                                  " (SELECT patient FROM splits)",
                                  "");
    int step = q ? index_step(&r->index, q, err) : HCT_EIO;
    if (step > 0) r->result->without_split = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

/* Scans that stay in the dataset, and would be trained on, though what they were made of was taken away. */
static hct_status list_gone(run *r, hct_err *err) {
    prepare_result *out = r->result;
    size_t length = 0;
    sqlite3_stmt *q = index_query(&r->index, err,
                                  "SELECT s.id FROM scans s JOIN items i ON i.id=s.id WHERE NOT EXISTS (SELECT 1 FROM"
                                  " files f WHERE f.item=i.n) ORDER BY s.id",
                                  "");
    int step = q ? 1 : HCT_EIO;
    while (step > 0 && (step = index_step(&r->index, q, err)) > 0) {
        const char *id = (const char *)sqlite3_column_text(q, 0);
        if (out->n_gone++ < 10 && id && length + 80 < sizeof out->gone)
            length +=
                (size_t)snprintf(out->gone + length, sizeof out->gone - length, "%s'%.60s'", length ? ", " : "", id);
    }
    sqlite3_finalize(q);
    return step < 0 ? step : HCT_OK;
}

hct_status prepare_dataset(const prepare_options *options, prepare_result *ret, hct_err *err) {
    run r = {.options = options, .result = ret};
    *ret = (prepare_result){0};
    pthread_mutex_init(&r.lock, NULL);
    hct_status s = set_up(&r, err);
    if (s == HCT_OK) {
        r.progress = progress_begin(options->progress, "scan", 0, (int64_t)r.n_mine, "scans", 1);
        s = workers_run(options->jobs, (int64_t)r.n_mine, prepare_unit, &r, err);
        if (s == HCT_OK) progress_end(&r.progress, "");
        else progress_break(&r.progress);
    }
    if (s == HCT_OK) s = count_without_split(&r, err);
    if (s == HCT_OK) s = list_gone(&r, err);
    if (ret->n_refused) qsort(ret->refused, ret->n_refused, sizeof *ret->refused, by_id);
    pthread_mutex_destroy(&r.lock);
    study_pick_free(r.pick);
    found_units_free(r.units, r.n_units);
    found_end(&r.found);
    index_close(&r.index);
    labels_free(&r.labels);
    scan_names_free(r.names);
    filters_free(&r.filters);
    key_free(&r.key);
    text_free(&r.left_out);
    free(r.mine);
    free(r.label_ids);
    return s;
}

void prepare_free(prepare_result *r) {
    for (size_t i = 0; i < r->n_refused; i++) {
        free(r->refused[i].id);
        free(r->refused[i].source);
        free(r->refused[i].reason);
    }
    free(r->refused);
    free(r->left_out);
    free(r->made_key);
    for (size_t i = 0; i < r->n_unread; i++) free(r->unread[i]);
    free(r->unread);
    for (size_t i = 0; r->warned && i < r->n_warned && i < PREPARE_TOLD; i++) free(r->warned[i]);
    free(r->warned);
    *r = (prepare_result){0};
}
