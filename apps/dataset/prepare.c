/* From files to a dataset: what is new or changed is prepared by several threads, what cannot be is listed. */
#include "dataset/prepare.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset/index.h"
#include "dataset/labels.h"
#include "dataset/sources.h"
#include "hct/io.h"
#include "imaging/nifti.h"
#include "support/workers.h"
#include "support/paths.h"
#include "support/progress.h"
#include "support/sha256.h"
#include "support/stop.h"

enum { GZIP_LEVEL = 1 };   /* prepared volumes are mostly air and noise: higher levels cost time and save little */
enum { LONGEST_ID = 200 }; /* with its ending and that of the file being written it must stay below NAME_MAX, 255 */

typedef struct run {
    const prepare_options *options;
    source_list sources;
    size_t *mine, n_mine; /* this shard's sources */
    label_table labels;
    int64_t *label_ids;
    char preprocessing[SHA256_HEX];
    dataset_index index;
    pthread_mutex_t lock; /* guards index, result, progress, done */
    prepare_result *result;
    progress progress;
    int64_t done;
} run;

/* Every labelled scan must be among the inputs or already in the dataset, where there is one. */
static hct_status check_labels(run *r, hct_err *err) {
    for (size_t i = 0; i < r->labels.rows; i++) {
        const char *id = r->labels.ids[i];
        size_t low = 0, high = r->sources.n;
        while (low < high && strcmp(r->sources.items[low].id, id) != 0) {
            size_t middle = low + (high - low) / 2;
            int side = strcmp(r->sources.items[middle].id, id);
            if (side < 0) low = middle + 1;
            else if (side > 0) high = middle;
            else low = middle;
        }
        if (low < high) continue;
        int known = r->index.db ? index_knows(&r->index, id, err) : 0;
        if (known < 0) return known;
        if (!known)
            return hct_fail(
                err, HCT_ENOTFOUND,
                "%s line %d: labels of scan '%s', which is neither among the inputs nor in the dataset: add the "
                "scan or remove the line",
                r->options->labels, r->labels.line[i], id);
    }
    return HCT_OK;
}

/* Nothing is made where the labels do not fit: the index is opened before they are checked only where it is there. */
static hct_status check_labels_first(run *r, hct_err *err) {
    char *path = path_join(r->options->dataset, "index.sqlite");
    hct_status s = path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK && path_is_file(path)) s = index_open(&r->index, r->options->dataset, 1, err);
    free(path);
    return s == HCT_OK ? check_labels(r, err) : s;
}

static void describe(const run *r, const scan_source *src, const char *file, index_scan *s) {
    memset(s, 0, sizeof *s);
    s->id = src->id;
    s->source = src->path;
    s->file = file;
    s->preprocessing = r->preprocessing;
    int64_t row = r->options->labels ? labels_row(&r->labels, src->id) : -1;
    if (row < 0) return;
    s->patient = r->labels.patients[row];
    s->labels = r->labels.values + (size_t)row * r->labels.n;
    s->label_ids = r->label_ids;
    s->n_labels = r->labels.n;
}

/* What is wrong with a scan, not with its place: a disk that fails, a source that is not there today. */
static int is_of_content(hct_status why) {
    return why == HCT_EFORMAT || why == HCT_EINVAL || why == HCT_ESHAPE || why == HCT_EDTYPE;
}

/* Lists a scan. What an earlier state of its source gave goes where the source is bad now, and stays where it only
 * could not be read. */
static hct_status refuse(run *r, const scan_source *src, const char *path, const hct_err *why, hct_err *err) {
    const char *reason = why->msg;
    /* whichever its row says */
    int stays = !is_of_content(why->code) && (scan_is_prepared(path, 0) || scan_is_prepared(path, 1));
    hct_status s = stays ? HCT_OK : index_put_refusal(&r->index, src->id, src->path, reason, err);
    if (s < 0) return s;
    if (!stays) unlink(path);
    prepare_result *out = r->result;
    prepare_refusal *more = realloc(out->refused, (out->n_refused + 1) * sizeof *more);
    if (!more) return hct_fail(err, HCT_ENOMEM, "no memory for the list of refused scans");
    out->refused = more;
    more[out->n_refused++] = (prepare_refusal){strdup(src->id), strdup(src->path), strdup(reason)};
    return HCT_OK;
}

/* 1: the prepared file is there and whole, and its source has not changed; s->state is the source's. */
static int up_to_date(run *r, const scan_source *src, const char *path, index_scan *s, hct_err *why, hct_err *err) {
    source_state old;
    char preprocessing[SHA256_HEX];
    pthread_mutex_lock(&r->lock);
    int there = index_find_scan(&r->index, src->id, &old, preprocessing, err);
    pthread_mutex_unlock(&r->lock);
    if (there < 0) return there;
    if (source_stat(src->path, &s->state, why) < 0) return 0;
    if (!there || strcmp(preprocessing, r->preprocessing) != 0 || !scan_is_prepared(path, r->options->exact)) return 0;
    if (s->state.bytes == old.bytes && s->state.mtime_ns == old.mtime_ns) return 1;
    return source_hash(src->path, &s->state, why) == HCT_OK && strcmp(s->state.sha256, old.sha256) == 0;
}

/* Reads and prepares; errors in *why are the scan's. */
static hct_status make_volume(const run *r, const scan_source *src, index_scan *s, volume *v,
                              char provenance[SHA256_HEX], hct_err *why) {
    char text[2 * SHA256_HEX];
    if (strlen(src->id) > LONGEST_ID)
        return hct_fail(why, HCT_EINVAL,
                        "its ID has %zu letters, more than the %d that a file's name holds: shorten its folders' names",
                        strlen(src->id), LONGEST_ID);
    hct_status status = source_check_name(src->path, src->id, why);
    if (status == HCT_OK) status = source_hash(src->path, &s->state, why);
    if (status == HCT_OK) status = scan_open(src->path, r->options->exact, v, &s->info, why);
    if (status < 0) return status;
    snprintf(text, sizeof text, "%s %s", r->preprocessing, s->state.sha256);
    status = sha256_bytes(text, strlen(text), provenance, why);
    s->provenance = provenance;
    return status;
}

static hct_status check_stop(run *r, hct_err *err) {
    pthread_mutex_lock(&r->lock);
    size_t done = (size_t)r->done;
    pthread_mutex_unlock(&r->lock);
    return stop_check(done, r->n_mine, err);
}

static hct_status prepare_one(void *context, int64_t i, hct_err *err) {
    run *r = context;
    const scan_source *src = &r->sources.items[r->mine[i]];
    char file[4096], path[8192], provenance[SHA256_HEX];
    hct_err why = {0};
    index_scan s;
    volume v = {0};
    hct_status status = check_stop(r, err);
    if (status < 0) return status;
    snprintf(file, sizeof file, "scans/%s.nii.gz", src->id);
    snprintf(path, sizeof path, "%s/%s", r->options->dataset, file);
    describe(r, src, file, &s);
    int current = up_to_date(r, src, path, &s, &why, err);
    if (current < 0) return current;
    hct_status made = current ? HCT_OK : make_volume(r, src, &s, &v, provenance, &why);
    if (made == HCT_EIO) status = check_stop(r, err); /* Ctrl-C ends dcm2niix too */
    /* no scan's fault: the next ones would fail alike */
    if (made == HCT_EDEVICE) status = hct_fail(err, made, "%s", why.msg);
    if (!current && made == HCT_OK) status = nifti_write(path, &v, GZIP_LEVEL, err);
    volume_free(&v);
    if (status < 0) return status;
    pthread_mutex_lock(&r->lock);
    if (current) status = index_refresh_scan(&r->index, &s, err);
    else if (made == HCT_OK) status = index_put_scan(&r->index, &s, err);
    else status = refuse(r, src, path, &why, err);
    if (current) r->result->unchanged++;
    else if (made == HCT_OK) r->result->prepared++;
    progress_show(&r->progress, ++r->done, "");
    pthread_mutex_unlock(&r->lock);
    return status;
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const prepare_refusal *)a)->id, ((const prepare_refusal *)b)->id);
}

/* Volumes in a folder that is no dataset yet are somebody's, and not to be mixed with what is made. */
static hct_status check_output(const char *dataset, hct_err *err) {
    char *scans = path_join(dataset, "scans"), *index = path_join(dataset, "index.sqlite"), **names = NULL;
    hct_status s = scans && index ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory");
    size_t n = 0, volumes = 0;
    if (s == HCT_OK && !path_is_file(index) && path_is_folder(scans)) s = path_list(scans, "", &names, &n, err);
    for (size_t i = 0; i < n; i++) {
        volumes += source_is_volume(names[i]);
        free(names[i]);
    }
    free(names);
    if (s == HCT_OK && volumes)
        s = hct_fail(
            err, HCT_EINVAL,
            "%s: holds %zu volumes, and no %s tells where they come from: name another --out, or move them away", scans,
            volumes, index);
    free(scans);
    free(index);
    return s;
}

static hct_status set_up(run *r, hct_err *err) {
    const prepare_options *o = r->options;
    const char *text = scan_preprocessing(o->exact);
    hct_status s = sha256_bytes(text, strlen(text), r->preprocessing, err);
    if (s == HCT_OK) s = check_output(o->dataset, err);
    if (s == HCT_OK) s = sources_find(o->inputs, o->n_inputs, o->dataset, &r->sources, err);
    if (s == HCT_OK && text_length(&r->sources.left_out) &&
        !(r->result->left_out = text_take(&r->sources.left_out, "the list of inputs", err)))
        s = hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK && o->labels) s = labels_read(o->labels, o->label_columns, o->n_label_columns, &r->labels, err);
    if (s == HCT_OK && o->labels) s = check_labels_first(r, err);
    if (s == HCT_OK && !r->index.db) s = index_open(&r->index, o->dataset, 1, err);
    if (s < 0) return s;
    r->mine = malloc((r->sources.n + 1) * sizeof *r->mine);
    r->label_ids = calloc(r->labels.n + 1, sizeof *r->label_ids);
    char *scans = path_join(o->dataset, "scans"), *inputs = path_join(o->dataset, "inputs");
    if (!r->mine || !r->label_ids || !scans || !inputs)
        s = hct_fail(err, HCT_ENOMEM, "no memory for the list of scans");
    if (s == HCT_OK) s = path_make_folders(scans, err);
    if (s == HCT_OK) s = index_label_ids(&r->index, r->labels.names, r->labels.n, r->label_ids, err);
    if (s == HCT_OK) hct_leftovers_remove(scans);
    if (s == HCT_OK) hct_leftovers_remove(inputs);
    free(scans);
    free(inputs);
    for (size_t k = 0; s == HCT_OK && k < r->sources.n; k++)
        if ((int)(k % (size_t)o->shards) == o->shard - 1) r->mine[r->n_mine++] = k;
    return s;
}

hct_status prepare_dataset(const prepare_options *options, prepare_result *ret, hct_err *err) {
    run r = {.options = options, .result = ret};
    *ret = (prepare_result){0};
    pthread_mutex_init(&r.lock, NULL);
    hct_status s = set_up(&r, err);
    if (s == HCT_OK) {
        r.progress = progress_begin(options->progress, "scan", 0, (int64_t)r.n_mine, "scans", 1);
        s = workers_run(options->jobs, (int64_t)r.n_mine, prepare_one, &r, err);
        if (s == HCT_OK) progress_end(&r.progress, "");
        else progress_break(&r.progress);
    }
    if (ret->n_refused) qsort(ret->refused, ret->n_refused, sizeof *ret->refused, by_id);
    pthread_mutex_destroy(&r.lock);
    index_close(&r.index);
    labels_free(&r.labels);
    sources_free(&r.sources);
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
    *r = (prepare_result){0};
}
