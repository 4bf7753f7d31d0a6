/* The server's life: socket, token, signals, weights loaded anew, a quiet end. */
#include "serve/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hct/log.h"
#include "serve/page.h"
#include "serve/request.h"
#include "support/private_folder.h"

enum { TOKEN_LEAST = 16, IDLE = 30, STACK = 1 << 20 };

/* The first line of the file, without blanks. */
static hct_status read_token(const char *path, char **ret, hct_err *err) {
    size_t n = 0;
    char *text = NULL;
    struct stat st;
    hct_status status = hct_read_file(path, &text, &n, err);
    if (status < 0) return status;
    if (stat(path, &st) == 0 && (st.st_mode & 077))
        hct_log(HCT_LOG_WARNING, "%s: others may read it; chmod 600 it", path);
    n = strcspn(text, "\r\n");
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
    text[n] = '\0';
    if (n >= TOKEN_LEAST && strlen(text) == n) {
        *ret = text;
        return HCT_OK;
    }
    free(text);
    return hct_fail(err, HCT_EINVAL, "%s: a token of %d characters or more is needed, in its first line", path,
                    TOKEN_LEAST);
}

/* Certificates (the server's own first) and the key to it, as text. */
static hct_status read_tls(const serve_options *o, char **ret_cert, char **ret_key, hct_err *err) {
    if (!o->tls_cert) return HCT_OK;
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return hct_fail(err, HCT_EINVAL,
                        "--tls-cert: this libmicrohttpd was built without GnuTLS; use a proxy that "
                        "speaks TLS (docs/serve.md)");
    hct_status s = hct_read_file(o->tls_cert, ret_cert, NULL, err);
    if (s == HCT_OK) s = hct_read_file(o->tls_key, ret_key, NULL, err);
    if (s == HCT_OK && !strstr(*ret_cert, "-----BEGIN CERTIFICATE-----"))
        return hct_fail(err, HCT_EFORMAT, "%s: holds no certificate in PEM", o->tls_cert);
    if (s == HCT_OK && !strstr(*ret_key, "PRIVATE KEY-----"))
        return hct_fail(err, HCT_EFORMAT, "%s: holds no private key in PEM", o->tls_key);
    struct stat st;
    if (s == HCT_OK && stat(o->tls_key, &st) == 0 && (st.st_mode & 077))
        hct_log(HCT_LOG_WARNING, "%s: others may read it; chmod 600 it", o->tls_key);
    return s;
}

static int is_loopback(const struct sockaddr_storage *a) {
    if (a->ss_family == AF_INET) return (ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static hct_status read_address(const serve_options *o, struct sockaddr_storage *ret, socklen_t *ret_n, hct_err *err) {
    struct sockaddr_in *four = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, o->address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)o->port);
        *ret_n = sizeof *four;
    } else if (inet_pton(AF_INET6, o->address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)o->port);
        *ret_n = sizeof *six;
    } else
        return hct_fail(err, HCT_EINVAL, "--address %s: a numeric address is needed, such as 127.0.0.1 or ::1",
                        o->address);
    if (!is_loopback(ret) && !o->token_file)
        return hct_fail(err, HCT_EINVAL,
                        "--address %s: beyond this machine a token is needed (--token-file), and "
                        "encryption: --tls-cert and --tls-key, or a proxy that speaks TLS (docs/serve.md)",
                        o->address);
    return HCT_OK;
}

/* A listening socket; the port that the system chose where it was asked for 0. */
static hct_status listen_at(const serve_options *o, int *ret, int *ret_port, hct_err *err) {
    struct sockaddr_storage a;
    struct sockaddr_un *local = (struct sockaddr_un *)&a;
    socklen_t n = sizeof *local;
    hct_status st = HCT_OK;
    *ret = -1;
    *ret_port = 0;
    if (o->socket) {
        struct stat old;
        memset(&a, 0, sizeof a);
        local->sun_family = AF_UNIX;
        if (strlen(o->socket) >= sizeof local->sun_path)
            return hct_fail(err, HCT_EINVAL, "--socket %s: the path is too long", o->socket);
        memcpy(local->sun_path, o->socket, strlen(o->socket) + 1);
        if (lstat(o->socket, &old) == 0 && S_ISSOCK(old.st_mode)) {
            int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            int alive = probe >= 0 && connect(probe, (struct sockaddr *)&a, n) == 0;
            if (probe >= 0) close(probe);
            if (alive) return hct_fail(err, HCT_EINVAL, "--socket %s: another server listens there", o->socket);
            unlink(o->socket); /* of one that was killed */
        }
    } else st = read_address(o, &a, &n, err);
    if (st < 0) return st;
    int one = 1, fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !o->socket) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    mode_t mask = umask(0177); /* a unix socket is its owner's */
    int good = fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 128) == 0;
    int why = errno;
    umask(mask);
    if (!good) {
        if (fd >= 0) close(fd);
        if (o->socket) return hct_fail(err, HCT_EIO, "--socket %s: %s", o->socket, strerror(why));
        return hct_fail(err, HCT_EIO, "%s port %lld: %s", o->address, (long long)o->port, strerror(why));
    }
    n = sizeof a;
    if (!o->socket && getsockname(fd, (struct sockaddr *)&a, &n) == 0)
        *ret_port = ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                                 : ((struct sockaddr_in6 *)&a)->sin6_port);
    *ret = fd;
    return HCT_OK;
}

/* Library rooms name scans in their lines: only those of the thread that waits for signals, which reads no scan, are
 * shown. */
typedef struct own_lines {
    pthread_t thread;
    FILE *to;
} own_lines;

static void show_own(void *context, hct_log_level level, const char *line) {
    const own_lines *own = context;
    (void)level;
    if (pthread_equal(own->thread, pthread_self())) fprintf(own->to, "%s\n", line);
}

/* The HTTP library's own lines, which name addresses. */
static void say_nothing(void *context, const char *format, va_list ap) { (void)context, (void)format, (void)ap; }

static void reload(server *s) {
    hct_err err = {0};
    served_model *m = served_open(&s->o->model, &err);
    if (m) {
        jobs_replace(&s->queue, m);
        atomic_fetch_add(&s->reloads, 1);
        hct_log(HCT_LOG_INFO, "headct serve: weights loaded anew");
    } else {
        atomic_fetch_add(&s->bad_reloads, 1);
        hct_log(HCT_LOG_ERROR, "headct serve: %s; the weights before stay", err.msg);
    }
}

/* Until a signal asks to end; what is held is finished first. */
static void serve(server *s, struct MHD_Daemon *d, const sigset_t *signals) {
    for (;;) {
        int number = sigwaitinfo(signals, NULL);
        if (number == SIGHUP) reload(s);
        if (number == SIGINT || number == SIGTERM) break;
    }
    atomic_store(&s->ending, true);
    MHD_socket listening = MHD_quiesce_daemon(d);
    if (listening != MHD_INVALID_SOCKET) close(listening);
    const struct timespec pause = {0, 20 * 1000 * 1000};
    for (int64_t k = 0; atomic_load(&s->at_work) && k < s->o->timeout * 50; k++) {
        nanosleep(&pause, NULL);
        struct timespec now = {0, 0};
        if (sigtimedwait(signals, NULL, &now) == SIGINT) break; /* a second Ctrl-C does not wait */
    }
}

hct_status serve_run(const serve_options *o, FILE *ready, hct_err *err) {
    static server s; /* its counters are large */
    int fd = -1, port = 0;
    char *cert = NULL, *key = NULL;
    sigset_t signals, before;
    s = (server){.o = o};
    hct_status st = o->token_file ? read_token(o->token_file, &s.token, err) : HCT_OK;
    if (st == HCT_OK) st = read_tls(o, &cert, &key, err);
    if (st == HCT_OK) st = listen_at(o, &fd, &port, err);
    if (st == HCT_OK) st = page_make(&s.page, &s.policy, err);
    if (st == HCT_OK && !(s.root = private_folder("serve", true, err))) st = err->code;
    served_model *m = st == HCT_OK ? served_open(&o->model, err) : NULL;
    if (st == HCT_OK && !m) st = err->code;
    sigemptyset(&signals);
    for (size_t i = 0; i < 4; i++) sigaddset(&signals, (int[]){SIGINT, SIGTERM, SIGHUP, SIGUSR1}[i]);
    pthread_sigmask(SIG_BLOCK, &signals, &before); /* threads inherit it: signals are waited for here alone */
    signal(SIGPIPE, SIG_IGN);
    if (st == HCT_OK) {
        st = jobs_start(&s.queue, (size_t)o->queue, m, err);
        if (st < 0) served_close(m);
    } else served_close(m);
    if (st == HCT_OK) {
        own_lines own = {pthread_self(), o->said};
        hct_log_to(show_own, &own);
        const struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, cert},
                                             {MHD_OPTION_HTTPS_MEM_KEY, 0, key},
                                             {MHD_OPTION_HTTPS_PRIORITIES, 0,
                                              (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
                                             {MHD_OPTION_END, 0, NULL}};
        const struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
        struct MHD_Daemon *d = MHD_start_daemon(
            MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | (cert ? MHD_USE_TLS : 0),
            0, NULL, NULL, request_handle, &s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)o->connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE, MHD_OPTION_THREAD_STACK_SIZE,
            (size_t)STACK, MHD_OPTION_NOTIFY_COMPLETED, request_end, &s, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL,
            MHD_OPTION_ARRAY, cert ? tls : plain, MHD_OPTION_END);
        if (!d && cert)
            st = hct_fail(err, HCT_EINVAL, "%s and %s: no certificate and key that go together", o->tls_cert,
                          o->tls_key);
        else if (!d) st = hct_fail(err, HCT_EIO, "the HTTP library does not start");
        else {
            if (ready && o->socket) fprintf(ready, "listening on %s\n", o->socket);
            else if (ready) fprintf(ready, "listening on %s port %d\n", o->address, port);
            if (ready) fflush(ready);
            fd = -1; /* closed by serve */
            serve(&s, d, &signals);
            MHD_stop_daemon(d);
        }
        jobs_stop(&s.queue);
        hct_log_to(NULL, NULL);
    }
    if (fd >= 0) close(fd);
    if (o->socket && st == HCT_OK) unlink(o->socket);
    private_folder_remove(s.root);
    text_free(&s.page);
    text_free(&s.policy);
    free(s.token);
    free(cert);
    free(key);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}
