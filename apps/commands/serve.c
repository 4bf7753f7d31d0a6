/* headct serve: predictions and embeddings over HTTP. */
#include <stdio.h>
#include <string.h>

#include "commands/arguments.h"
#include "commands/command.h"
#include "serve/server.h"
#include "support/paths.h"

static const char doc[] =
    "Serves predictions and embeddings over HTTP, on this machine alone unless there is a token. A request's body is a "
    "NIfTI file, a zip file of a DICOM series, or a form with several files; each scan's answer is that of 'headct "
    "predict' or 'headct embed' of it alone. Nothing of a request is kept: its files lie in memory and are gone with "
    "the answer, and no log line names a file, a scan or an address.\n\n"
    "  POST /v1/predict, /v1/embed   answers as JSON: results, and what was refused with its reason\n"
    "  POST /v1/google:predict       Google CT Foundation's shape, up to five volumes\n"
    "  GET /v1/models, /healthz, /metrics\n"
    "  GET /                         a page for the browser: drop scans, see probabilities and slices\n\n"
    "SIGHUP loads the weights anew without a lost request; where they are refused the ones before stay. SIGTERM "
    "finishes what is held, then ends.\v"
    "Examples:\n"
    "  headct serve --run runs/probe\n"
    "  curl --data-binary @scan.nii.gz http://127.0.0.1:8080/v1/predict\n"
    "  headct serve --weights fm-ct.safetensors --address 0.0.0.0 --token-file token --tls-cert cert.pem --tls-key "
    "key.pem\n"
    "  curl -H \"Authorization: Bearer $(cat token)\" -F scan=@series.zip https://host:8080/v1/embed";

enum {
    OPT_ADDRESS = 256,
    OPT_PORT,
    OPT_SOCKET,
    OPT_TOKEN,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_QUEUE,
    OPT_CONNECTIONS,
    OPT_MB,
    OPT_TIMEOUT,
    OPT_NAME,
    OPT_RUN,
    OPT_PRECISION
};

static const struct argp_option options[] = {
    {"weights", 'w', "FILE", 0, "weights: a classifier's, or an encoder's (embeddings alone)", 0},
    {"run", OPT_RUN, "RUN", 0, "a run's classifiers, instead of --weights", 0},
    {"device", 'D', "NAME", 0, "cpu (default), cuda, opencl", 0},
    {"name", OPT_NAME, "NAME", 0, "what answers call the model (default: the last part of --weights or --run)", 0},
    {"address", OPT_ADDRESS, "IP", 0, "numeric address to listen on (default 127.0.0.1)", 0},
    {"port", OPT_PORT, "N", 0, "port (default 8080; 0: any free one, which is printed)", 0},
    {"socket", OPT_SOCKET, "PATH", 0, "a unix socket instead, its owner's alone", 0},
    {"token-file", OPT_TOKEN, "FILE", 0, "clients must send this file's first line as a bearer token", 0},
    {"tls-cert", OPT_TLS_CERT, "FILE", 0, "HTTPS by this certificate, PEM, those that vouch for it behind it", 0},
    {"tls-key", OPT_TLS_KEY, "FILE", 0, "and its private key, PEM", 0},
    {"queue", OPT_QUEUE, "N", 0, "requests held at once (default 32); more get 429 and when to try again", 0},
    {"connections", OPT_CONNECTIONS, "N", 0, "sockets open at once (default 256)", 0},
    {"max-mb", OPT_MB, "N", 0, "a request's most megabytes (default 1024)", 0},
    {"timeout", OPT_TIMEOUT, "SECONDS", 0, "a request must have come in by then (default 120)", 0},
    {"precision", OPT_PRECISION, "NAME", 0, PRECISION_HELP, 0},
    {"quiet", 'q', NULL, 0, "no line a request", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    serve_options *o = state->input;
    switch (key) {
    case 'w': o->model.weights = arg; break;
    case OPT_RUN: o->model.run = arg; break;
    case 'D': o->model.device = arg; break;
    case OPT_NAME: o->model.name = arg; break;
    case OPT_ADDRESS: o->address = arg; break;
    case OPT_PORT: o->port = argument_whole(state, "port", arg, 0, 65535); break;
    case OPT_SOCKET: o->socket = arg; break;
    case OPT_TOKEN: o->token_file = arg; break;
    case OPT_TLS_CERT: o->tls_cert = arg; break;
    case OPT_TLS_KEY: o->tls_key = arg; break;
    case OPT_QUEUE: o->queue = argument_whole(state, "queue", arg, 1, 100000); break;
    case OPT_CONNECTIONS: o->connections = argument_whole(state, "connections", arg, 1, 10000); break;
    case OPT_MB: o->max_mb = argument_whole(state, "max-mb", arg, 1, 65536); break;
    case OPT_TIMEOUT: o->timeout = argument_whole(state, "timeout", arg, 1, 86400); break;
    case OPT_PRECISION:
        if (!precision_find(arg, &o->model.precision))
            argp_error(state, "--precision: '%s' is none of f32, bf16, int8", arg);
        break;
    case 'q': o->log = NULL; break;
    case ARGP_KEY_END:
        if (!o->model.weights == !o->model.run) argp_error(state, "one of --weights FILE and --run RUN is needed");
        if (!o->tls_cert != !o->tls_key) argp_error(state, "--tls-cert and --tls-key go together");
        if (o->socket && o->tls_cert) argp_error(state, "--socket excludes --tls-cert: nobody listens in on it");
        if (!o->model.name) o->model.name = path_base(o->model.weights ? o->model.weights : o->model.run);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int command_serve(int argc, char **argv) {
    serve_options o = {.model.device = "cpu",
                       .address = "127.0.0.1",
                       .port = 8080,
                       .queue = 32,
                       .connections = 256,
                       .max_mb = 1024,
                       .timeout = 120,
                       .log = stderr,
                       .said = stderr};
    const struct argp argp = {options, parse, "--run RUN\n--weights FILE", doc, NULL, NULL, NULL};
    command_parse(&argp, argc, argv, &o);
    hct_err err = {0, ""};
#ifdef HAVE_MICROHTTPD
    return command_end(argv[0], serve_run(&o, stdout, &err), &err);
#else
    return command_end(argv[0],
                       hct_fail(&err, HCT_EINVAL,
                                "this headct was built without libmicrohttpd (Debian: "
                                "libmicrohttpd-dev)"),
                       &err);
#endif
}
