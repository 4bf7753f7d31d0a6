/* What a run writes while it goes: appended, cut back to a checkpoint, read again. */
#include "run/runlog.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hct/io.h"
#include "hct/log.h"
#include "support/json_out.h"
#include "support/paths.h"
#include "support/tensorboard.h"
#include "support/text.h"

static const char NAME[] = "metrics.jsonl";

struct runlog {
    int fd, error; /* error: an errno after which nothing more is written */
    int waits;     /* the errno for which lines wait in `pending`; 0: none do */
    off_t size;    /* of the whole lines in the file */
    text_buffer pending;
    char *path;
    tensorboard *events;
};

/* The lines of a log one after the other; each: 0 ends it. *ret_bytes (may be NULL): of the lines before that one. A
 * last line without its end is half written and not looked at; any other that is no JSON object is an error: nothing
 * may be cut off or left out because of it. */
static hct_status walk_file(const char *path, bool (*each)(const cJSON *line, void *context), void *context,
                            size_t *ret_bytes, hct_err *err) {
    hct_mapped m;
    hct_status status = hct_load_file(path, &m, err);
    if (status < 0) return status;
    size_t at = 0, number = 1;
    const char *text = (const char *)m.bytes, *end;
    for (bool more = true; at < m.size && (end = memchr(text + at, '\n', m.size - at)); number++) {
        size_t length = (size_t)(end - text) - at;
        cJSON *line = cJSON_ParseWithLength(text + at, length);
        if (!cJSON_IsObject(line))
            status =
                hct_fail(err, HCT_EFORMAT, "%s:%zu: is damaged; put back a copy, or start a new run", path, number);
        else more = each(line, context);
        cJSON_Delete(line);
        if (status < 0 || !more) break;
        at += length + 1;
    }
    hct_unmap_file(&m);
    if (ret_bytes) *ret_bytes = at;
    return status;
}

static bool is_until(const cJSON *line, void *step) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, "step");
    return cJSON_IsNumber(item) && item->valuedouble <= (double)*(int64_t *)step;
}

/* Bytes of the leading lines whose step is at most `step`. */
static hct_status bytes_to_keep(const char *path, int64_t step, off_t *ret, hct_err *err) {
    size_t bytes = 0;
    *ret = 0;
    if (step < 0 || !path_is_file(path)) return HCT_OK;
    hct_status status = walk_file(path, is_until, &step, &bytes, err);
    *ret = (off_t)bytes;
    return status;
}

runlog *runlog_open(const char *folder, int64_t step, hct_err *err) {
    runlog *log = calloc(1, sizeof *log);
    off_t keep;
    if (!log || !(log->path = path_join(folder, NAME))) {
        hct_fail(err, HCT_ENOMEM, "%s: out of memory for the log", folder);
        free(log);
        return NULL;
    }
    log->fd = -1;
    if (bytes_to_keep(log->path, step, &keep, err) == HCT_OK) {
        log->size = keep;
        log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (log->fd < 0 || ftruncate(log->fd, keep) < 0)
            hct_fail(err, HCT_EIO, "%s: cannot be written: %s", log->path, strerror(errno));
        else if ((log->events = tensorboard_open(folder, step + 1, err))) return log;
    }
    if (log->fd >= 0) close(log->fd);
    free(log->path);
    free(log);
    return NULL;
}

typedef struct phase_end {
    const char *phase;
    int64_t step;
} phase_end;

static bool is_before_end(const cJSON *line, void *context) {
    const phase_end *end = context;
    const cJSON *phase = cJSON_GetObjectItemCaseSensitive(line, "phase");
    return !cJSON_IsString(phase) || strcmp(phase->valuestring, end->phase) != 0 ||
           is_until(line, &(int64_t){end->step});
}

hct_status runlog_cut(runlog *log, const char *phase, int64_t step, hct_err *err) {
    phase_end end = {phase, step};
    size_t bytes = 0;
    hct_status status = walk_file(log->path, is_before_end, &end, &bytes, err);
    if (status == HCT_OK && ftruncate(log->fd, (off_t)bytes) < 0)
        status = hct_fail(err, HCT_EIO, "%s: cannot be written: %s", log->path, strerror(errno));
    if (status == HCT_OK) log->size = (off_t)bytes;
    return status;
}

/* What the disk does not take stays in memory and is tried again with the next line; half a line is cut off. */
static void flush_lines(runlog *log) {
    const char *bytes = text_so_far(&log->pending);
    size_t n = text_length(&log->pending), at = 0;
    int error = 0;
    while (at < n && !error) {
        ssize_t k = write(log->fd, bytes + at, n - at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) error = k < 0 ? errno : EIO;
        else at += (size_t)k;
    }
    if (!error) {
        text_free(&log->pending);
        log->size += (off_t)n;
    } else if (ftruncate(log->fd, log->size) < 0 && !log->error) {
        log->error = errno; /* half a line stays: nothing may follow it */
    }
    if (error && !log->waits)
        hct_log(HCT_LOG_WARNING, "%s: writing failed: %s; its lines are kept in memory, and tried again", log->path,
                strerror(error));
    log->waits = error;
}

void runlog_write(runlog *log, int64_t step, const char *phase, const runlog_value *values, size_t n) {
    json_out line = {0};
    char tag[256];
    json_object(&line, NULL);
    json_whole(&line, "step", step);
    json_text(&line, "phase", phase);
    for (size_t i = 0; i < n; i++) {
        double v = values[i].value;
        json_number(&line, values[i].key, v);
        snprintf(tag, sizeof tag, "%s/%s", phase, values[i].key);
        tensorboard_scalar(log->events, step, tag, v);
    }
    json_end(&line);
    char *whole = json_take(&line, "metrics.jsonl", NULL);
    if (!whole && !log->error) log->error = ENOMEM;
    if (whole) text_printf(&log->pending, "%s\n", whole);
    free(whole);
    if (!log->error && text_check(&log->pending, log->path, NULL) < 0) log->error = ENOMEM;
    if (!log->error) flush_lines(log);
}

void runlog_timing(runlog *log, int64_t step, const char *tag, double value) {
    tensorboard_scalar(log->events, step, tag, value);
}

static hct_status state_of(const runlog *log, hct_err *err) {
    int error = log->error ? log->error : log->waits;
    return error ? hct_fail(err, HCT_EIO, "%s: writing failed: %s", log->path, strerror(error)) : HCT_OK;
}

hct_status runlog_sync(runlog *log, hct_err *err) {
    if (log->waits && !log->error) flush_lines(log);
    if (!log->waits && !log->error && fsync(log->fd) < 0 && errno != EINVAL) log->error = errno;
    return state_of(log, err);
}

hct_status runlog_close(runlog *log, hct_err *err) {
    if (!log) return HCT_OK;
    if (log->waits && !log->error) flush_lines(log);
    if (close(log->fd) < 0 && !log->error) log->error = errno;
    hct_status status = state_of(log, err);
    text_free(&log->pending);
    tensorboard_close(log->events); /* a copy for looking at: where it could not be written, that was said */
    free(log->path);
    free(log);
    return status;
}

/* Calls each for every whole line of the log until it returns false. */
static hct_status walk(const char *folder, bool (*each)(const cJSON *line, void *context), void *context,
                       hct_err *err) {
    char *path = path_join(folder, NAME);
    hct_status status =
        path ? walk_file(path, each, context, NULL, err) : hct_fail(err, HCT_ENOMEM, "%s: out of memory", folder);
    free(path);
    return status;
}

static const char *phase_of(const cJSON *line, const char *key) {
    const cJSON *phase = cJSON_GetObjectItemCaseSensitive(line, "phase");
    bool there = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(line, "step")) && cJSON_IsString(phase) &&
                 cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(line, key));
    return there ? phase->valuestring : NULL;
}

/* A series being read. */
typedef struct series {
    const char *phase, *key;
    double *steps, *values;
    size_t n, capacity;
    bool failed;
} series;

static bool take_point(const cJSON *line, void *context) {
    series *s = context;
    const char *phase = phase_of(line, s->key);
    if (!phase || strcmp(phase, s->phase) != 0) return true;
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 256;
        double *steps = realloc(s->steps, capacity * sizeof *steps);
        if (steps) s->steps = steps;
        double *values = steps ? realloc(s->values, capacity * sizeof *values) : NULL;
        s->failed = !values;
        if (s->failed) return false;
        s->values = values;
        s->capacity = capacity;
    }
    s->steps[s->n] = cJSON_GetObjectItemCaseSensitive(line, "step")->valuedouble;
    s->values[s->n++] = cJSON_GetObjectItemCaseSensitive(line, s->key)->valuedouble;
    return true;
}

hct_status runlog_read(const char *folder, const char *phase, const char *key, double **ret_steps, double **ret_values,
                       size_t *ret_n, hct_err *err) {
    series s = {.phase = phase, .key = key};
    hct_status status = walk(folder, take_point, &s, err);
    if (s.failed) status = hct_fail(err, HCT_ENOMEM, "%s: out of memory for its log", folder);
    if (status < 0) {
        free(s.steps);
        free(s.values);
        return status;
    }
    *ret_steps = s.steps;
    *ret_values = s.values;
    *ret_n = s.n;
    return HCT_OK;
}

/* Phases being collected. */
typedef struct phase_list {
    const char *key;
    char **names;
    size_t n;
    bool failed;
} phase_list;

static bool take_phase(const cJSON *line, void *context) {
    phase_list *l = context;
    const char *phase = phase_of(line, l->key);
    for (size_t i = 0; phase && i < l->n; i++)
        if (strcmp(l->names[i], phase) == 0) phase = NULL;
    if (!phase) return true;
    char **names = realloc(l->names, (l->n + 1) * sizeof *names);
    if (names) l->names = names;
    l->failed = !names || !(l->names[l->n] = strdup(phase));
    l->n += !l->failed;
    return !l->failed;
}

hct_status runlog_phases(const char *folder, const char *key, char ***ret_phases, size_t *ret_n, hct_err *err) {
    phase_list l = {.key = key};
    hct_status status = walk(folder, take_phase, &l, err);
    if (l.failed) status = hct_fail(err, HCT_ENOMEM, "%s: out of memory for its log", folder);
    if (status < 0) {
        while (l.n) free(l.names[--l.n]);
        free(l.names);
        return status;
    }
    *ret_phases = l.names;
    *ret_n = l.n;
    return HCT_OK;
}
