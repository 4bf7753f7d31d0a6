/* What the server answers: JSON, and metrics as Prometheus reads them. */
#include <cjson/cJSON.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "serve/request.h"
#include "support/json_out.h"

enum { GOOGLE_MOST = 5 };

void reply_error(text_buffer *out, const char *message) {
    text_clear(out);
    text_printf(out, "{\"error\":");
    json_quote(out, message);
    text_printf(out, "}\n");
}

static void add_thresholds(const served_model *m, text_buffer *out) {
    int n = 0;
    char number[32];
    if (!m->chosen.path) return;
    text_printf(out, ",\"thresholds\":{");
    for (int k = 0; k < m->n_tasks; k++) {
        if (!isfinite(m->chosen.at[k])) continue;
        if (n++) text_printf(out, ",");
        json_quote(out, m->set.task[k]);
        text_printf(out, ":%s", text_of_double(m->chosen.at[k], number));
    }
    text_printf(out, "}");
}

unsigned reply_models(server *s, text_buffer *out) {
    served_model *m = jobs_model(&s->queue);
    const model_info *info = m->set.n ? &m->set.item->info : &m->alone.info;
    text_printf(out, "{\"models\":[{\"name\":");
    json_quote(out, m->what.name);
    text_printf(out, ",\"kind\":");
    json_quote(out, info->encoder.kind->name);
    text_printf(out, ",\"width\":%lld,\"tasks\":[", (long long)m->width);
    for (int k = 0; k < m->n_tasks; k++) {
        if (k) text_printf(out, ",");
        json_quote(out, m->set.task[k]);
    }
    text_printf(out, "]");
    add_thresholds(m, out);
    text_printf(out, ",\"weights_sha256\":\"%s\",\"precision\":\"%s\"}]}\n", m->weights,
                precision_name(m->what.precision));
    jobs_model_done(&s->queue, m);
    return 200;
}

void reply_metrics(server *s, text_buffer *out) {
    size_t taken, capacity;
    double seconds = jobs_seconds(&s->queue);
    int wait;
    jobs_load(&s->queue, &taken, &capacity, &wait);
    text_printf(out, "# TYPE headct_requests_total counter\n");
    for (int r = 0; r <= ROUTES; r++)
        for (int k = 0; k < STATUSES; k++) {
            unsigned long long n = atomic_load(&s->count[r][k]);
            if (n)
                text_printf(out, "headct_requests_total{path=\"%s\",status=\"%d\"} %llu\n",
                            r < ROUTES ? route_path((route)r) : "other", k, n);
        }
    text_printf(out, "# TYPE headct_scans_total counter\nheadct_scans_total{result=\"answered\"} %llu\n",
                (unsigned long long)atomic_load(&s->answered));
    text_printf(out, "headct_scans_total{result=\"refused\"} %llu\n", (unsigned long long)atomic_load(&s->refused));
    text_printf(out, "# TYPE headct_queue_places gauge\nheadct_queue_places{state=\"taken\"} %zu\n", taken);
    text_printf(out, "headct_queue_places{state=\"all\"} %zu\n", capacity);
    text_printf(out, "# TYPE headct_model_seconds_total counter\nheadct_model_seconds_total %.6f\n", seconds);
    text_printf(out, "# TYPE headct_reloads_total counter\nheadct_reloads_total{result=\"good\"} %llu\n",
                (unsigned long long)atomic_load(&s->reloads));
    text_printf(out, "headct_reloads_total{result=\"bad\"} %llu\n", (unsigned long long)atomic_load(&s->bad_reloads));
}

/* The status of an error of the server's own. */
static unsigned status_of(hct_status st) { return st == HCT_EINTERRUPTED ? 503 : st == HCT_ENOMEM ? 503 : 500; }

unsigned reply_scans(request *r, text_buffer *out) {
    server *s = r->s;
    served_answer a = {0};
    char weights[MODEL_HASH];
    hct_err err = {0};
    hct_status st =
        jobs_do(&s->queue, &r->ask, (const char *const *)r->files.path, r->files.n, r->files.folder, &a, weights, &err);
    unsigned status = st < 0 ? status_of(st) : a.n_results ? 200 : 422;
    if (st < 0) reply_error(out, status == 503 ? "the server ends, or is out of memory" : "the model failed");
    else {
        const char *results = text_get(&a.results, "an answer", &err),
                   *refused = text_get(&a.refused, "an answer", &err);
        text_printf(out, "{\"model\":");
        json_quote(out, s->o->model.name);
        text_printf(out, ",\"weights_sha256\":\"%s\",\"precision\":\"%s\",\"results\":[%s],\"refused\":[%s]}\n",
                    weights, precision_name(s->o->model.precision), results ? results : "", refused ? refused : "");
        if (!results || !refused) text_fail(out); /* half an answer is none */
    }
    atomic_fetch_add(&s->answered, a.n_results);
    atomic_fetch_add(&s->refused, a.n_refused);
    r->scans = a.n_results;
    served_answer_free(&a);
    return status;
}

/* ---- Google CT Foundation's shape ---- */

static void google_error(text_buffer *out, int code, const char *message) {
    text_printf(out, "{\"error_response\":{\"code\":%d,\"message\":", code);
    json_quote(out, message);
    text_printf(out, "}}");
}

/* One file of base64 text. */
static hct_status decode(request *r, const char *text, upload *u, hct_err *err) {
    size_t n = strlen(text), pad = 0;
    unsigned char *bytes = malloc(n / 4 * 3 + 4);
    hct_status st = bytes ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory");
    int got = st == HCT_OK ? EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)n) : -1;
    if (st == HCT_OK && (got < 0 || !n)) st = hct_fail(err, HCT_EFORMAT, "b64 is no base64");
    while (pad < 2 && pad < n && text[n - 1 - pad] == '=') pad++;
    if (st == HCT_OK) st = upload_begin(u, r->s->root, err);
    if (st == HCT_OK) st = upload_file(u, "instance", err);
    if (st == HCT_OK) st = upload_add(u, bytes, (size_t)got - pad, err);
    if (st == HCT_OK) st = upload_done(u, err);
    free(bytes);
    return st;
}

static void one_instance(request *r, const cJSON *instance, text_buffer *out) {
    const cJSON *raw = cJSON_GetObjectItemCaseSensitive(instance, "raw_bytes");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(raw, "b64"));
    upload u = {0};
    served_answer a = {0};
    char weights[MODEL_HASH];
    hct_err err = {0};
    if (!text) {
        google_error(out, 400,
                     "an instance needs raw_bytes: {\"b64\": ...}, a NIfTI file or a zip file; this server "
                     "fetches nothing (dicom_path, gcs_uri)");
        return;
    }
    hct_status st = decode(r, text, &u, &err);
    if (st == HCT_OK)
        st = jobs_do(&r->s->queue, &r->ask, (const char *const *)u.path, u.n, u.folder, &a, weights, &err);
    /* as it stands: read and written again its numbers would lose their last digits */
    const char *results = text_get(&a.results, "an answer", &err), *refused = text_get(&a.refused, "an answer", &err);
    if (!results || !refused) text_fail(out);
    const char *vector = st == HCT_OK && a.n_results == 1 && results ? strstr(results, "\"embedding\":[") : NULL;
    const char *end = vector ? strchr(vector, ']') : NULL;
    if (end) {
        text_printf(out, "{\"embedding_result\":{");
        text_add(out, vector, (size_t)(end + 1 - vector));
        text_printf(out, "}}");
        r->scans++;
    } else if (st < 0)
        google_error(out, st == HCT_EFORMAT ? 400 : 500, st == HCT_EFORMAT ? err.msg : "the model failed");
    else if (a.n_results > 1) google_error(out, 400, "the file holds several scans; one an instance");
    else {
        cJSON *why = a.n_refused && refused ? cJSON_Parse(refused) : NULL;
        const char *reason = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(why, "reason"));
        google_error(out, 422, reason ? reason : "no scan in the file");
        cJSON_Delete(why);
    }
    atomic_fetch_add(&r->s->answered, a.n_results == 1);
    atomic_fetch_add(&r->s->refused, a.n_results != 1);
    served_answer_free(&a);
    upload_remove(&u);
}

unsigned reply_google(request *r, text_buffer *out) {
    hct_err err;
    const char *text = text_get(&r->body, "the request", &err);
    cJSON *root = text ? cJSON_Parse(text) : NULL;
    const cJSON *instances = cJSON_GetObjectItemCaseSensitive(root, "instances");
    int n = cJSON_IsArray(instances) ? cJSON_GetArraySize(instances) : 0;
    unsigned status = 200;
    if (n < 1 || n > GOOGLE_MOST) {
        status = 400;
        reply_error(out, !root   ? "the body is no JSON"
                         : n < 1 ? "instances: a list of volumes is needed"
                                 : "instances: five volumes a request at most");
    } else {
        int at = 0;
        text_printf(out, "{\"predictions\":[");
        for (const cJSON *i = instances->child; i; i = i->next) {
            if (at++) text_printf(out, ",");
            one_instance(r, i, out);
        }
        text_printf(out, "]}\n");
    }
    cJSON_Delete(root);
    return status;
}
