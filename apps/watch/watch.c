/* The loop: look, predict what is at rest, record it, rest. */
#include "watch/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dicom/filters.h"
#include "hct/log.h"
#include "imaging/form.h"
#include "inference/prediction_rows.h"
#include "inference/reports.h"
#include "support/device.h"
#include "support/measure.h"
#include "support/paths.h"
#include "support/row_file.h"
#include "support/stop.h"
#include "watch/arrivals.h"

enum { MANY = 1000 }; /* scans that the model will see */

typedef struct watching {
    const watch_options *o;
    const char *model; /* what reports call it */
    hct_dev *dev;
    classifiers set;
    thresholds chosen;
    prediction_table table;
    char preprocessing[MODEL_HASH];
    row_file *rows;
    arrivals *found;
    size_t predicted, refused, left_out, reports, late; /* since it began; late: as last told */
    double seconds;                                     /* that series took */
} watching;

/* The series at hand. */
typedef struct at_hand {
    watching *w;
    const cohort *c;
    double *probability; /* [c->n, n_tasks], NAN of scans without */
} at_hand;

/* ---- what is told ---- */

/* word: of a refusal, as verdicts have it; "" none. */
static void tell(const watching *w, const char *event, const char *word, size_t files, double seconds) {
    char when[32];
    if (!w->o->log) return;
    json_out j = {0};
    json_object(&j, NULL);
    json_text(&j, "time", measure_utc(when));
    json_text(&j, "event", event);
    if (*word) json_text(&j, "reason", word);
    json_whole(&j, "files", (int64_t)files);
    json_number(&j, "seconds", round(seconds * 1000) / 1000);
    json_end(&j);
    char *line = json_take(&j, "a line", NULL);
    if (line) fprintf(w->o->log, "%s\n", line);
    fflush(w->o->log);
    free(line);
}

/* The first word of "word: sentence"; whatever else a reason begins with may name a file. */
static const char *refusal_word(const char *reason, char word[40]) {
    size_t n = strspn(reason, "abcdefghijklmnopqrstuvwxyz-");
    if (!n || n >= 40 || reason[n] != ':') return "unreadable";
    snprintf(word, 40, "%.*s", (int)n, reason);
    return word;
}

static hct_status write_metrics(const watching *w, hct_err *err) {
    size_t waiting, late;
    text_buffer t = {0};
    if (!w->o->metrics) return HCT_OK;
    arrivals_count(w->found, &waiting, &late);
    text_printf(&t, "# TYPE headct_watch_series_total counter\n");
    text_printf(&t, "headct_watch_series_total{result=\"predicted\"} %zu\n", w->predicted);
    text_printf(&t, "headct_watch_series_total{result=\"refused\"} %zu\n", w->refused);
    text_printf(&t, "headct_watch_series_total{result=\"left_out\"} %zu\n", w->left_out);
    text_printf(&t, "# TYPE headct_watch_reports_total counter\nheadct_watch_reports_total %zu\n", w->reports);
    text_printf(&t, "# TYPE headct_watch_seconds_total counter\nheadct_watch_seconds_total %.3f\n", w->seconds);
    text_printf(&t, "# TYPE headct_watch_waiting gauge\nheadct_watch_waiting %zu\n", waiting);
    text_printf(&t, "# TYPE headct_watch_late gauge\nheadct_watch_late %zu\n", late);
    text_printf(&t, "# TYPE headct_watch_looked_seconds gauge\nheadct_watch_looked_seconds %lld\n",
                (long long)time(NULL));
    hct_status s = text_save(&t, w->o->metrics, err);
    text_free(&t);
    return s;
}

/* Library rooms name scans in their lines. */
static void say_nothing(void *context, hct_log_level level, const char *line) {
    (void)context, (void)level, (void)line;
}

/* ---- a series ---- */

static hct_status take(void *context, const size_t *scans, size_t n, const float *cls, const double *probability,
                       hct_err *err) {
    at_hand *h = context;
    const size_t n_tasks = (size_t)h->w->set.n_tasks;
    hct_status s = HCT_OK;
    (void)cls;
    for (size_t i = 0; s == HCT_OK && i < n; i++) {
        s = prediction_check(&h->w->table, &h->c->scans[scans[i]], probability + i * n_tasks, err);
        memcpy(h->probability + scans[i] * n_tasks, probability + i * n_tasks, n_tasks * sizeof *probability);
    }
    return s;
}

static hct_status predict(watching *w, cohort *c, const arrival *one, double *probability, hct_err *err) {
    at_hand h = {w, c, probability};
    size_t *todo = malloc((c->n + 1) * sizeof *todo), n = 0;
    /* by series: names made of paths would meet each other again */
    hct_status s = todo ? cohort_name_by_series(c, one->name, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
    memcpy(c->preprocessing, w->preprocessing, MODEL_HASH);
    for (size_t i = 0; i < c->n * (size_t)w->set.n_tasks; i++) probability[i] = NAN;
    for (size_t i = 0; s == HCT_OK && i < c->n; i++)
        if (!c->scans[i].reason) todo[n++] = i;
    if (s == HCT_OK && n) s = cohort_run(c, w->set.embedder, w->set.n, todo, n, &(cohort_sink){&h, take}, NULL, err);
    free(todo);
    return s;
}

/* Report first, rows last: a row says that all is done. */
static hct_status record(watching *w, cohort *c, const double *probability, hct_err *err) {
    const size_t n_tasks = (size_t)w->set.n_tasks;
    text_buffer rows = {0};
    report_count reports = {0};
    hct_status s = HCT_OK;
    if (w->o->reports)
        s = reports_write(c, &w->set, &w->chosen, probability, w->model, w->o->reports, w->o->out, &reports, err);
    for (size_t i = 0; i < c->n; i++)
        prediction_row(&w->table, &c->scans[i], c->scans[i].reason ? NULL : probability + i * n_tasks, &rows);
    if (s == HCT_OK) s = row_file_add(w->rows, &rows, err);
    w->reports += reports.written;
    text_free(&rows);
    return s;
}

static void tell_series(watching *w, const cohort *c, const arrival *one, double seconds) {
    char word[40];
    for (size_t i = 0; i < c->n; i++) {
        const char *reason = c->scans[i].reason;
        if (reason) w->refused++;
        else w->predicted++;
        tell(w, reason ? "refused" : "predicted", reason ? refusal_word(reason, word) : "", one->n_files, seconds);
    }
}

/* What is the series' own fault, and not the machine's. */
static bool is_series_fault(hct_status s) { return s == HCT_ENOTFOUND || s == HCT_EFORMAT || s == HCT_EINVAL; }

static hct_status do_series(watching *w, arrival *one, hct_err *err) {
    const double begun = measure_now();
    const char **paths = NULL;
    size_t n = 0;
    cohort c = {0};
    double *probability = NULL;
    hct_status s = arrivals_paths(w->found, one, &paths, &n, err);
    if (s == HCT_OK) s = cohort_of_files(paths, n, w->o->filters, &c, err);
    const bool no_scan = is_series_fault(s); /* a scout, a dose page */
    if (no_scan) s = HCT_OK;
    if (s == HCT_OK && c.n && !(probability = malloc(c.n * (size_t)w->set.n_tasks * sizeof *probability)))
        s = hct_fail(err, HCT_ENOMEM, "out of memory for probabilities");
    if (s == HCT_OK && c.n) s = predict(w, &c, one, probability, err);
    if (s == HCT_OK && arrivals_same(w->found, one)) {
        const double seconds = measure_now() - begun;
        if (c.n) s = record(w, &c, probability, err);
        if (s == HCT_OK && c.n) tell_series(w, &c, one, seconds);
        if (s == HCT_OK && !c.n) {
            w->left_out++;
            tell(w, "left out", "", one->n_files, seconds);
        }
        if (s == HCT_OK) s = arrivals_done(w->found, one->study, one->name, err);
        w->seconds += seconds;
    } else if (s == HCT_OK) {
        tell(w, "changed", "", one->n_files, measure_now() - begun);
        s = arrivals_look(w->found, err); /* it is younger now, and waits again */
    }
    cohort_free(&c);
    free(probability);
    free(paths);
    return s;
}

/* ---- the loop ---- */

/* Series that the table holds, as arrivals call them: by UID, else by the scan's name, without the number of a volume
 * too. */
static hct_status take_done(watching *w, const csv *t, hct_err *err) {
    const int study = csv_column(t, "study_uid"), series = csv_column(t, "series_uid");
    hct_status s = HCT_OK;
    for (size_t i = 0; s == HCT_OK && i < t->rows && study >= 0 && series >= 0; i++) {
        const char *of = csv_cell(t, i, (size_t)study), *uid = csv_cell(t, i, (size_t)series);
        char *name = strdup(*uid ? uid : csv_cell(t, i, 0));
        s = name ? arrivals_done(w->found, of, name, err) : hct_fail(err, HCT_ENOMEM, "out of memory for a name");
        char *part = name && !*uid ? strrchr(name, '_') : NULL;
        if (part && part[1] == 'p' && strspn(part + 2, "0123456789") == strlen(part + 2)) {
            *part = '\0';
            if (s == HCT_OK) s = arrivals_done(w->found, of, name, err);
        }
        free(name);
    }
    return s;
}

static hct_status open_table(watching *w, hct_err *err) {
    text_buffer header = {0};
    csv *old = NULL;
    prediction_header(&w->table, &header);
    char *origin = prediction_origin(&w->table, w->o->out, err);
    const char *first = origin ? text_get(&header, w->o->out, err) : NULL;
    hct_status s = first ? HCT_OK : HCT_ENOMEM;
    if (s == HCT_OK && !(w->rows = row_file_open(w->o->out, first, origin, &old, err))) s = err ? err->code : HCT_EIO;
    if (s == HCT_OK) s = take_done(w, old, err);
    csv_free(old);
    text_free(&header);
    free(origin);
    return s;
}

static hct_status check_filters(const char *name, hct_err *err) {
    series_filters f = {0};
    hct_status s = name ? filters_read(name, &f, err) : HCT_OK;
    filters_free(&f);
    return s;
}

static hct_status open_all(watching *w, hct_err *err) {
    const watch_options *o = w->o;
    hct_status s = (w->dev = device_open(o->device, err)) ? HCT_OK : err ? err->code : HCT_EDEVICE;
    if (s == HCT_OK) s = classifiers_open(w->dev, o->weights, o->run, RUN_F32, &w->set, err);
    if (s == HCT_OK) s = thresholds_read(o->thresholds, o->run, &w->set, &w->chosen, err);
    if (s == HCT_OK && o->reports) s = reports_check(&w->set, w->model, o->reports, err);
    if (s == HCT_OK) s = check_filters(o->filters, err);
    if (s == HCT_OK) s = cohort_preparation(w->preprocessing, err);
    if (s == HCT_OK) s = form_preparation(&w->set.item->info.encoder.input, w->preprocessing, err);
    if (s == HCT_OK) s = classifiers_compile(&w->set, 1, MANY, err);
    if (s == HCT_OK && !(w->found = arrivals_new(o->folder, o->settle, err))) s = HCT_ENOMEM;
    w->table = (prediction_table){&w->set, &w->chosen, w->preprocessing, cohort_naming(&(cohort){.clear = true}), true};
    return s == HCT_OK ? open_table(w, err) : s;
}

static hct_status look(watching *w, hct_err *err) {
    size_t waiting, late;
    hct_status s = arrivals_look(w->found, err);
    arrivals_count(w->found, &waiting, &late);
    for (; s == HCT_OK && w->late < late; w->late++) tell(w, "late", "", 0, 0);
    return s == HCT_OK ? write_metrics(w, err) : s;
}

static void rest(int64_t seconds) {
    const struct timespec pause = {0, 100 * 1000 * 1000};
    for (int64_t k = 0; k < seconds * 10 && !stop_asked(); k++) nanosleep(&pause, NULL);
}

hct_status watch_run(const watch_options *o, size_t *ret_refused, hct_err *err) {
    watching w = {.o = o, .model = path_base(o->weights ? o->weights : o->run)};
    hct_status s = open_all(&w, err);
    hct_log_to(say_nothing, NULL);
    if (s == HCT_OK) tell(&w, "began", "", 0, 0);
    while (s == HCT_OK && !stop_asked()) {
        s = look(&w, err);
        arrival *one;
        while (s == HCT_OK && !stop_asked() && (one = arrivals_next(w.found))) {
            s = do_series(&w, one, err);
            if (s == HCT_OK) s = write_metrics(&w, err);
        }
        if (o->once) break;
        if (s == HCT_OK) rest(o->poll);
    }
    if (s == HCT_EINTERRUPTED) s = HCT_OK; /* between the volumes of one series: it is done again */
    tell(&w, s == HCT_OK ? "ended" : "failed", "", 0, 0);
    hct_log_to(NULL, NULL);
    *ret_refused = w.refused;
    arrivals_free(w.found);
    thresholds_free(&w.chosen);
    classifiers_free(&w.set);
    row_file_close(w.rows);
    device_close(w.dev);
    return s;
}
