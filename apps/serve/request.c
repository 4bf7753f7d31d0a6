/* MHD's view of a request: who may ask, what comes in, what goes out. */
#include "serve/request.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "support/measure.h"
#include "support/text.h"

enum { FORM_BUFFER = 65536 };

static const struct {
    const char *path, *method;
} ROUTED[ROUTES] = {{"/v1/predict", "POST"},
                    {"/v1/embed", "POST"},
                    {"/v1/google:predict", "POST"},
                    {"/v1/models", "GET"},
                    {"/healthz", "GET"},
                    {"/metrics", "GET"},
                    {"/", "GET"}};

const char *route_path(route r) { return ROUTED[r].path; }

static const char *header(struct MHD_Connection *c, const char *name) {
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static enum MHD_Result give(request *r, struct MHD_Connection *c, unsigned status, const char *type,
                            const text_buffer *body) {
    hct_err err;
    const char *text = text_get(body, "an answer", &err);
    static const char none[] = "{\"error\":\"out of memory\"}\n";
    if (!text) status = 503, type = "application/json";
    size_t n = text ? text_length(body) : sizeof none - 1;
    struct MHD_Response *answer =
        MHD_create_response_from_buffer(n, text ? (void *)(uintptr_t)text : (void *)(uintptr_t)none,
                                        MHD_RESPMEM_MUST_COPY);
    if (!answer) return MHD_NO;
    MHD_add_response_header(answer, "Content-Type", type);
    MHD_add_response_header(answer, "Cache-Control", "no-store");
    MHD_add_response_header(answer, "X-Content-Type-Options", "nosniff");
    if (r->to == ROUTE_PAGE && status == 200) {
        MHD_add_response_header(answer, "Content-Security-Policy", text_so_far(&r->s->policy));
        MHD_add_response_header(answer, "Referrer-Policy", "no-referrer");
        MHD_add_response_header(answer, "X-Frame-Options", "DENY");
    }
    if (status == 401) MHD_add_response_header(answer, "WWW-Authenticate", "Bearer");
    if (status == 405 && r->to < ROUTES) MHD_add_response_header(answer, "Allow", ROUTED[r->to].method);
    if (status == 429) {
        char seconds[16];
        size_t taken, capacity;
        int wait;
        jobs_load(&r->s->queue, &taken, &capacity, &wait);
        snprintf(seconds, sizeof seconds, "%d", wait);
        MHD_add_response_header(answer, "Retry-After", seconds);
    }
    r->status = status;
    enum MHD_Result sent = MHD_queue_response(c, status, answer);
    MHD_destroy_response(answer);
    return sent;
}

static enum MHD_Result refuse(request *r, struct MHD_Connection *c, unsigned status, const char *why) {
    text_buffer body = {0};
    reply_error(&body, why);
    enum MHD_Result sent = give(r, c, status, "application/json", &body);
    text_free(&body);
    return sent;
}

/* The token, compared in a time that does not tell how much of it was right. */
static bool may_ask(const server *s, struct MHD_Connection *c) {
    const char *said = header(c, "Authorization");
    if (!s->token) return true;
    if (!said || strncasecmp(said, "Bearer ", 7) != 0) return false;
    size_t n = strlen(s->token);
    return strlen(said + 7) == n && CRYPTO_memcmp(said + 7, s->token, n) == 0;
}

static void fail(request *r, unsigned status, const char *why) {
    if (r->err_status) return;
    r->err_status = status;
    hct_fail(&r->err, HCT_EINVAL, "%s", why);
}

/* What the address asks for beside predictions; false: what there is not. */
static bool read_ask(request *r, struct MHD_Connection *c, const served_model *m) {
    const char *view = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "view"),
               *map = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "map");
    r->ask.view = view && !strcmp(view, "slices");
    if ((view && !r->ask.view) || (map && !view)) return false;
    for (int k = 0; map && k < m->n_tasks; k++)
        if (!strcmp(m->set.task[k], map)) snprintf(r->ask.map, sizeof r->ask.map, "%s", map);
    return !map || *r->ask.map;
}

/* Why a request is not even read: 0 where it is. */
static unsigned first_look(request *r, struct MHD_Connection *c, const char *url, const char *method,
                           const char **ret_why) {
    server *s = r->s;
    int64_t length = 0;
    const char *said = header(c, "Content-Length");
    while (r->to < ROUTES && strcmp(url, ROUTED[r->to].path) != 0) r->to++;
    *ret_why = "there is nothing here";
    if (r->to == ROUTES) return 404;
    *ret_why = "another method is needed";
    if (strcmp(method, ROUTED[r->to].method) != 0 && !(r->to > ROUTE_GOOGLE && !strcmp(method, "HEAD"))) return 405;
    *ret_why = "a token is needed: Authorization: Bearer TOKEN";
    if (r->to != ROUTE_HEALTH && r->to != ROUTE_PAGE && !may_ask(s, c)) return 401;
    if (r->to > ROUTE_GOOGLE) return 0;
    r->ask.kind = r->to == ROUTE_PREDICT ? SERVED_PREDICT : SERVED_EMBED;
    *ret_why = "the server ends";
    if (atomic_load(&s->ending)) return 503;
    *ret_why = "the request is too large";
    if (said && (!text_int64(said, &length) || length > s->o->max_mb << 20)) return 413;
    *ret_why = "this model has no tasks; ask /v1/embed";
    if (r->to == ROUTE_PREDICT) {
        served_model *m = jobs_model(&s->queue);
        int tasks = m->n_tasks;
        bool known = read_ask(r, c, m);
        jobs_model_done(&s->queue, m);
        if (!tasks) return 404;
        *ret_why = "view: slices, and map: a task of the model, are what can be asked for";
        if (!known) return 400;
    }
    *ret_why = "all places are taken; try again later";
    r->placed = jobs_enter(&s->queue);
    return r->placed ? 0 : 429;
}

static enum MHD_Result take_part(void *context, enum MHD_ValueKind kind, const char *key, const char *name,
                                 const char *type, const char *encoding, const char *data, uint64_t at, size_t n) {
    request *r = context;
    (void)kind, (void)key, (void)type, (void)encoding;
    if (!name || r->err_status) return MHD_YES; /* a field that is no file */
    hct_status st = HCT_OK;
    if (!at && (st = upload_done(&r->files, &r->err)) == HCT_OK) st = upload_file(&r->files, name, &r->err);
    if (st == HCT_OK && n) st = upload_add(&r->files, data, n, &r->err);
    if (st < 0) r->err_status = st == HCT_EINVAL ? 400 : 503;
    return MHD_YES;
}

/* Gets ready for a body. */
static void begin_body(request *r, struct MHD_Connection *c) {
    const char *type = header(c, "Content-Type");
    if (r->to == ROUTE_GOOGLE) return;
    hct_status st = upload_begin(&r->files, r->s->root, &r->err);
    if (st == HCT_OK && type && !strncasecmp(type, "multipart/form-data", 19)) {
        r->form = MHD_create_post_processor(c, FORM_BUFFER, take_part, r);
        if (!r->form) fail(r, 400, "the form has no boundary");
    } else if (st == HCT_OK) {
        const char *name = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "name");
        st = upload_file(&r->files, name ? name : "scan", &r->err);
    }
    if (st < 0) r->err_status = 503;
}

static enum MHD_Result take_bytes(request *r, const char *data, size_t n) {
    r->got += n;
    if (measure_now() - r->begun > (double)r->s->o->timeout)
        return MHD_NO; /* one byte a second holds no place for ever */
    if (r->got > (size_t)r->s->o->max_mb << 20) fail(r, 413, "the request is too large");
    if (r->err_status || r->to > ROUTE_GOOGLE) return MHD_YES; /* what nobody asked for is dropped */
    if (r->to == ROUTE_GOOGLE) text_add(&r->body, data, n);
    else if (r->form) {
        if (MHD_post_process(r->form, data, n) != MHD_YES) fail(r, 400, "the form is damaged");
    } else if (upload_add(&r->files, data, n, &r->err) < 0) r->err_status = 503;
    return MHD_YES;
}

static enum MHD_Result answer(request *r, struct MHD_Connection *c) {
    text_buffer body = {0};
    unsigned status = 200;
    const char *type = "application/json";
    if (r->form) MHD_destroy_post_processor(r->form), r->form = NULL; /* hands over what it still holds */
    if (!r->err_status && r->to <= ROUTE_EMBED && upload_done(&r->files, &r->err) < 0) r->err_status = 503;
    if (!r->err_status && r->to <= ROUTE_EMBED && !r->files.bytes)
        fail(r, 400, "no file: send a NIfTI file, a zip file of a DICOM series, or a form with files");
    if (r->err_status) return refuse(r, c, r->err_status, r->err.msg);
    switch (r->to) {
    case ROUTE_PREDICT:
    case ROUTE_EMBED: status = reply_scans(r, &body); break;
    case ROUTE_GOOGLE: status = reply_google(r, &body); break;
    case ROUTE_MODELS: status = reply_models(r->s, &body); break;
    case ROUTE_PAGE:
        text_add(&body, text_so_far(&r->s->page), text_length(&r->s->page));
        type = "text/html; charset=utf-8";
        break;
    case ROUTE_METRICS:
        reply_metrics(r->s, &body);
        type = "text/plain; version=0.0.4";
        break;
    default: text_printf(&body, "{\"status\":\"%s\"}\n", atomic_load(&r->s->ending) ? "ending" : "ok"); break;
    }
    enum MHD_Result sent = give(r, c, status, type, &body);
    text_free(&body);
    return sent;
}

enum MHD_Result request_handle(void *context, struct MHD_Connection *c, const char *url, const char *method,
                               const char *version, const char *data, size_t *n, void **io_request) {
    server *s = context;
    request *r = *io_request;
    const char *why;
    (void)version;
    if (!r) {
        if (!(r = calloc(1, sizeof *r))) return MHD_NO;
        r->s = s;
        r->begun = measure_now();
        *io_request = r;
        atomic_fetch_add(&s->at_work, 1);
        unsigned status = first_look(r, c, url, method, &why);
        if (status) return refuse(r, c, status, why);
        if (r->to <= ROUTE_GOOGLE) begin_body(r, c);
        return MHD_YES;
    }
    if (*n) {
        size_t bytes = *n;
        *n = 0;
        return take_bytes(r, data, bytes);
    }
    return answer(r, c);
}

void request_end(void *context, struct MHD_Connection *c, void **io_request, enum MHD_RequestTerminationCode how) {
    server *s = context;
    request *r = *io_request;
    (void)c, (void)how;
    if (!r) return;
    if (r->form) MHD_destroy_post_processor(r->form);
    upload_remove(&r->files);
    text_free(&r->body);
    if (r->placed) jobs_leave(&s->queue);
    if (r->status < STATUSES) atomic_fetch_add(&s->count[r->to][r->status], 1);
    if (s->o->log) { /* no name, no id, no address */
        char when[32];
        fprintf(s->o->log,
                "{\"time\":\"%s\",\"path\":\"%s\",\"status\":%u,\"seconds\":%.3f,\"bytes\":%zu,\"scans\":%zu}\n",
                measure_utc(when), r->to < ROUTES ? route_path(r->to) : "other", r->status, measure_now() - r->begun,
                r->got, r->scans);
    }
    free(r);
    *io_request = NULL;
    atomic_fetch_sub(&s->at_work, 1);
}
