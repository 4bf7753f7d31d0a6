/* One request of the server, from its first header to its last byte. */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "serve/jobs.h"
#include "serve/server.h"
#include "serve/upload.h"
#include "support/text.h"

typedef enum route {
    ROUTE_PREDICT,
    ROUTE_EMBED,
    ROUTE_GOOGLE,
    ROUTE_MODELS,
    ROUTE_HEALTH,
    ROUTE_METRICS,
    ROUTE_PAGE,
    ROUTES
} route;
enum { STATUSES = 600 };

typedef struct server {
    const serve_options *o;
    jobs queue;
    char *root;               /* where uploads lie, in memory */
    char *token;              /* NULL: none */
    text_buffer page, policy; /* of the upload page */
    atomic_size_t at_work;    /* requests that are not answered yet */
    atomic_bool ending;
    atomic_ullong count[ROUTES + 1][STATUSES]; /* answers by route (ROUTES: any other) and status */
    atomic_ullong answered, refused;           /* scans */
    atomic_ullong reloads, bad_reloads;
} server;

typedef struct request {
    server *s;
    route to;
    upload files;
    served_ask ask;
    text_buffer body; /* of the Google form */
    struct MHD_PostProcessor *form;
    bool placed; /* holds a place of the queue */
    unsigned status;
    hct_err err; /* why the rest of the body is not looked at */
    unsigned err_status;
    double begun;
    size_t got, scans;
} request;

/* MHD's callbacks; their context is the server. */
enum MHD_Result request_handle(void *context, struct MHD_Connection *c, const char *url, const char *method,
                               const char *version, const char *data, size_t *n, void **io_request);
void request_end(void *context, struct MHD_Connection *c, void **io_request, enum MHD_RequestTerminationCode how);

/* Answers. Each fills out; the status is the return value. */
unsigned reply_models(server *s, text_buffer *out);
void reply_metrics(server *s, text_buffer *out);
unsigned reply_scans(request *r, text_buffer *out);
unsigned reply_google(request *r, text_buffer *out);
void reply_error(text_buffer *out, const char *message);
const char *route_path(route r);

#endif
