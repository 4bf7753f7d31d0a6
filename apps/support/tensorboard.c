/* TensorBoard event files. */
#include "support/tensorboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hct/log.h"

enum { MAX_TAG = 200, MAX_EVENT = MAX_TAG + 100 };

struct tensorboard {
    int fd, error; /* error: the first errno met */
    char *path;
};

uint32_t crc32c(const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

uint32_t crc32c_masked(const void *bytes, size_t n) {
    uint32_t crc = crc32c(bytes, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* A protocol buffer being put together. */
typedef struct message {
    unsigned char bytes[MAX_EVENT];
    size_t n;
} message;

static void put_varint(message *m, uint64_t v) {
    for (; v >= 128; v >>= 7) m->bytes[m->n++] = (unsigned char)(v | 128);
    m->bytes[m->n++] = (unsigned char)v;
}

static void put_little(message *m, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) m->bytes[m->n++] = (unsigned char)(v >> 8 * i);
}

static void put_double(message *m, unsigned field, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_varint(m, field << 3 | 1);
    put_little(m, bits, 8);
}

static void put_float(message *m, unsigned field, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_varint(m, field << 3 | 5);
    put_little(m, bits, 4);
}

static void put_int(message *m, unsigned field, uint64_t v) {
    put_varint(m, field << 3);
    put_varint(m, v);
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t n) {
    put_varint(m, field << 3 | 2);
    put_varint(m, n);
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
}

static message event_at(int64_t step) {
    struct timespec t;
    message m = {.n = 0};
    clock_gettime(CLOCK_REALTIME, &t);
    put_double(&m, 1, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    if (step) put_int(&m, 2, (uint64_t)step);
    return m;
}

static void write_record(tensorboard *t, const message *m) {
    message r = {.n = 0};
    unsigned char out[MAX_EVENT + 16];
    put_little(&r, m->n, 8);
    put_little(&r, crc32c_masked(r.bytes, 8), 4);
    memcpy(out, r.bytes, 12);
    memcpy(out + 12, m->bytes, m->n);
    r.n = 0;
    put_little(&r, crc32c_masked(m->bytes, m->n), 4);
    memcpy(out + 12 + m->n, r.bytes, 4);
    size_t n = 16 + m->n;
    ssize_t k = t->error ? 0 : write(t->fd, out, n); /* one call a record: other readers see whole ones */
    if (t->error || k == (ssize_t)n) return;
    t->error = k < 0 ? errno : ENOSPC;
    hct_log(HCT_LOG_WARNING, "%s: writing failed: %s; the run goes on, and this file gets nothing more", t->path,
            strerror(t->error));
}

tensorboard *tensorboard_open(const char *folder, int64_t first_step, hct_err *err) {
    static const char version[] = "brain.Event:2";
    char host[128] = "host";
    gethostname(host, sizeof host - 1);
    tensorboard *t = calloc(1, sizeof *t);
    if (!t || asprintf(&t->path, "%s/events.out.tfevents.%lld.%s.%ld", folder, (long long)time(NULL), host,
                       (long)getpid()) < 0) {
        free(t);
        hct_fail(err, HCT_ENOMEM, "%s: out of memory for an event file", folder);
        return NULL;
    }
    t->fd = open(t->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (t->fd < 0) {
        hct_fail(err, HCT_EIO, "%s: cannot be made: %s", t->path, strerror(errno));
        free(t->path);
        free(t);
        return NULL;
    }
    message m = event_at(0);
    put_bytes(&m, 3, version, sizeof version - 1);
    write_record(t, &m);
    if (first_step > 0) {
        m = event_at(first_step);
        put_bytes(&m, 7, "\x08\x01", 2); /* SessionLog { status: START } */
        write_record(t, &m);
    }
    return t;
}

void tensorboard_scalar(tensorboard *t, int64_t step, const char *tag, double value) {
    if (!t) return;
    message v = {.n = 0}, summary = {.n = 0}, m = event_at(step);
    put_bytes(&v, 1, tag, strnlen(tag, MAX_TAG));
    put_float(&v, 2, (float)value);
    put_bytes(&summary, 1, v.bytes, v.n);
    put_bytes(&m, 5, summary.bytes, summary.n);
    write_record(t, &m);
}

void tensorboard_close(tensorboard *t) {
    if (!t) return;
    if (close(t->fd) < 0 && !t->error)
        hct_log(HCT_LOG_WARNING, "%s: writing failed: %s; it may lack its end", t->path, strerror(errno));
    free(t->path);
    free(t);
}
