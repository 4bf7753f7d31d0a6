/* headct serve: predictions and embeddings over HTTP (docs/serve.md, docs/openapi.yaml).
 *
 *   POST /v1/predict, /v1/embed   a NIfTI file, a zip file of a DICOM series, or a form of several files
 *   POST /v1/google:predict       Google CT Foundation's shape: instances in, predictions out
 *   GET  /v1/models               what is loaded
 *   GET  /healthz, /metrics       for a balancer; for Prometheus
 *
 * A thread a connection, one thread for the model. Nothing of a request is kept, and no log line names one. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <stdbool.h>
#include <stdio.h>

#include "serve/served.h"

typedef struct serve_options {
    served_what model;
    const char *address; /* numeric; loopback unless there is a token */
    int64_t port;
    const char *socket;                          /* a unix socket instead */
    const char *tls_cert, *tls_key;              /* PEM files: HTTPS; NULL: HTTP */
    const char *token_file;                      /* NULL: nobody is asked for one */
    int64_t queue, connections, max_mb, timeout; /* requests held; sockets; MB of a request; seconds it may take to
                                                    come in */
    FILE *log;                                   /* a JSON line a request; NULL: none */
    FILE *said;                                  /* lines of the server's own: weights loaded anew, or refused */
} serve_options;

/* Serves until SIGINT or SIGTERM, then finishes what it holds. SIGHUP loads the weights anew; where they are refused
 * the old ones stay. ready: printed to, once it listens (may be NULL). HCT_EINVAL: an address beyond loopback without a
 * token, a token of fewer than 16 characters, a certificate and a key that do not go together. */
hct_status serve_run(const serve_options *o, FILE *ready, hct_err *err);

#endif
