/* Bytes as what a client sends to headct serve: a whole HTTP request, through the HTTP library to what takes
 * headers, forms and uploads, and to the answer. There is no model: whatever reaches the queue is told that the
 * server ends. */
#include "fuzz.h"

#ifdef HAVE_MICROHTTPD
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/request.h"
#include "support/private_folder.h"

static server s;
static struct MHD_Daemon *daemon_of_all;

static void remove_root(void) {
    MHD_stop_daemon(daemon_of_all);
    private_folder_remove(s.root);
}

static void start(void) {
    static const serve_options options = {.model.name = "none", .max_mb = 1, .timeout = 30, .queue = 4};
    static served_model model = {.what.name = "none", .set.task = {"SDH"}, .n_tasks = 1, .users = 1};
    model.alone.info.encoder = encoder_default(encoder_find("vit"));
    hct_err err;
    s.o = &options;
    s.root = private_folder("fuzz", true, &err);
    s.queue = (jobs){.capacity = 4, .model = &model, .ending = true};
    s.queue.last = &s.queue.first;
    pthread_mutex_init(&s.queue.lock, NULL);
    pthread_cond_init(&s.queue.more, NULL);
    pthread_cond_init(&s.queue.done, NULL);
    daemon_of_all = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, request_handle, &s,
                                     MHD_OPTION_NOTIFY_COMPLETED, request_end, &s, MHD_OPTION_END);
    if (!s.root || !daemon_of_all) abort();
    atexit(remove_root);
}

/* Answers are read and dropped. */
static void drain(int fd) {
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int pair[2];
    if (!daemon_of_all) start();
    s.queue.reserved = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) abort();
    struct sockaddr_storage nobody = {.ss_family = AF_UNIX};
    if (MHD_add_connection(daemon_of_all, pair[1], (struct sockaddr *)&nobody, sizeof(sa_family_t)) != MHD_YES) {
        close(pair[0]);
        return 0;
    }
    for (size_t at = 0; at < size;) {
        ssize_t n = send(pair[0], data + at, size - at < 4096 ? size - at : 4096, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0) break;
        at += (size_t)n;
        MHD_run(daemon_of_all);
        drain(pair[0]);
    }
    shutdown(pair[0], SHUT_WR);
    for (int i = 0; i < 20 && atomic_load(&s.at_work); i++) MHD_run(daemon_of_all), drain(pair[0]);
    close(pair[0]);
    for (int i = 0; i < 4; i++) MHD_run(daemon_of_all);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)data, (void)size;
    return 0;
}
#endif
