/* Parts of an answer to files, a state machine over what has come. */
#include "dicomweb/multipart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/text.h"

static hct_status broken(hct_err *err, const char *what) {
    return hct_fail(err, HCT_EFORMAT, "the answer is no multipart/related of DICOM files: %s", what);
}

/* Whether text begins with a word, in any case, which ends there. */
static bool is_type(const char *text, const char *type) {
    const size_t n = strlen(type);
    text += strspn(text, " \t");
    return !strncasecmp(text, type, n) && strchr(" \t;", text[n]) != NULL; /* or the end */
}

/* The value of a parameter: a token, or between quotes. */
static bool parameter(const char *type, const char *name, char *out, size_t room) {
    const size_t n = strlen(name);
    for (const char *c = strchr(type, ';'); c; c = strchr(c, ';')) {
        c++;
        c += strspn(c, " \t");
        if (strncasecmp(c, name, n) != 0 || c[n] != '=') {
            bool quoted = false; /* a semicolon between quotes parts nothing */
            for (; *c && (quoted || *c != ';'); c++) quoted = quoted != (*c == '"');
            if (!*c) return false;
            continue;
        }
        c += n + 1;
        const bool quoted = *c == '"';
        c += quoted;
        const size_t length = strcspn(c, quoted ? "\"" : " \t;");
        if (!length || length >= room || (quoted && c[length] != '"')) return false;
        memcpy(out, c, length);
        out[length] = '\0';
        return true;
    }
    return false;
}

hct_status multipart_begin(multipart *m, const char *content_type, const char *folder, size_t first,
                           multipart_limits limits, hct_err *err) {
    char boundary[MULTIPART_BOUNDARY + 1], type[64];
    static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ";
    *m = (multipart){.folder = folder, .limits = limits, .first = first, .told = -1};
    if (!content_type || !is_type(content_type, "multipart/related")) return broken(err, "it is of another type");
    if (parameter(content_type, "type", type, sizeof type) && !is_type(type, "application/dicom"))
        return broken(err, "its parts are of another type");
    if (!parameter(content_type, "boundary", boundary, sizeof boundary) || strspn(boundary, plain) != strlen(boundary))
        return broken(err, "it tells no boundary");
    m->n_delimiter = (size_t)snprintf(m->delimiter, sizeof m->delimiter, "\r\n--%s", boundary);
    m->room = MULTIPART_HEADER;
    m->held = malloc(m->room);
    return m->held ? HCT_OK : hct_fail(err, HCT_ENOMEM, "out of memory for an answer");
}

void multipart_free(multipart *m) {
    if (m->out) fclose(m->out);
    free(m->held);
    m->out = NULL;
    m->held = NULL;
}

static hct_status write_bytes(multipart *m, const unsigned char *bytes, size_t n, hct_err *err) {
    m->of_part += (int64_t)n;
    m->bytes += (int64_t)n;
    if (m->bytes > m->limits.bytes)
        return hct_fail(err, HCT_EINVAL, "the study is larger than %lld MB (--max-mb)",
                        (long long)(m->limits.bytes >> 20));
    if (fwrite(bytes, 1, n, m->out) != n) return hct_fail(err, HCT_EIO, "writing a file fails: %s", strerror(errno));
    return HCT_OK;
}

static hct_status begin_file(multipart *m, hct_err *err) {
    char path[4096];
    if (m->parts == m->limits.parts)
        return hct_fail(err, HCT_EINVAL, "a series has more than %zu instances", m->limits.parts);
    snprintf(path, sizeof path, "%s/%zu.dcm", m->folder, m->first + m->parts++);
    m->of_part = 0;
    m->out = fopen(path, "wxe");
    return m->out ? HCT_OK : hct_fail(err, HCT_EIO, "writing a file fails: %s", strerror(errno));
}

static hct_status end_file(multipart *m, hct_err *err) {
    const int64_t told = m->told;
    const bool good = fclose(m->out) == 0;
    m->out = NULL;
    m->told = -1;
    if (!good) return hct_fail(err, HCT_EIO, "writing a file fails: %s", strerror(errno));
    return told >= 0 && told != m->of_part ? broken(err, "a part is not as long as it says") : HCT_OK;
}

/* A line of a part's header. */
static hct_status take_line(multipart *m, char *line, bool *io_typed, hct_err *err) {
    char *colon = strchr(line, ':');
    if (!colon) return broken(err, "a line of a part's header has no colon");
    *colon = '\0';
    const char *value = colon + 1;
    if (!strcasecmp(line, "content-type")) {
        if (!is_type(value, "application/dicom")) return broken(err, "a part is of another type");
        *io_typed = true;
    }
    if (!strcasecmp(line, "content-length") && (!text_int64(value, &m->told) || m->told < 0))
        return broken(err, "a part's length is no number");
    return HCT_OK;
}

/* The header that lies in held[0..n), each line ended by CR LF. */
static hct_status take_header(multipart *m, size_t n, hct_err *err) {
    bool typed = false;
    hct_status s = HCT_OK;
    char *held = (char *)m->held;
    if (!held) return broken(err, "a part has no header");
    if (memchr(held, 0, n)) return broken(err, "a part's header holds a zero");
    /* line is never NULL; without that test gcc's sanitizers warn of memmem(NULL) */
    for (char *line = held, *rest = held + n; s == HCT_OK && line && line < rest;) {
        char *end = memmem(line, (size_t)(rest - line), "\r\n", 2);
        if (!end) return broken(err, "a part's header has no end");
        *end = '\0';
        s = take_line(m, line, &typed, err);
        line = end + 2;
    }
    if (s == HCT_OK && !typed) s = broken(err, "a part does not say its type");
    return s == HCT_OK ? begin_file(m, err) : s;
}

static void drop(multipart *m, size_t n) {
    m->n_held -= n;
    memmove(m->held, m->held + n, m->n_held);
}

/* Does what the held bytes allow; 0: it needs more, 1: it went on. */
static int step(multipart *m, hct_err *err) {
    hct_status s = HCT_OK;
    switch (m->state) {
    case MULTIPART_START: { /* the first delimiter may come without the CR LF before it */
        const size_t skip = m->n_held >= 2 && !memcmp(m->held, "\r\n", 2) ? 2 : 0, n = m->n_delimiter - 2;
        if (m->n_held < skip + n) return 0;
        if (memcmp(m->held + skip, m->delimiter + 2, n) != 0) return broken(err, "it does not begin with its boundary");
        drop(m, skip + n);
        m->state = MULTIPART_AFTER;
        return 1;
    }
    case MULTIPART_AFTER: /* of a delimiter: a line end, or two dashes at the end of all */
        if (m->n_held < 2) return 0;
        if (!memcmp(m->held, "--", 2)) m->state = MULTIPART_DONE;
        else if (!memcmp(m->held, "\r\n", 2)) m->state = MULTIPART_HEAD;
        else return broken(err, "a boundary is followed by something else");
        drop(m, 2);
        return 1;
    case MULTIPART_HEAD: {
        const unsigned char *end = memmem(m->held, m->n_held, "\r\n\r\n", 4);
        if (!end && m->n_held >= MULTIPART_HEADER) return broken(err, "a part's header is too long");
        if (!end) return 0;
        const size_t n = (size_t)(end - m->held);
        s = take_header(m, n + 2, err);
        drop(m, n + 4);
        m->state = MULTIPART_BODY;
        return s < 0 ? s : 1;
    }
    case MULTIPART_BODY: {
        const unsigned char *end = memmem(m->held, m->n_held, m->delimiter, m->n_delimiter);
        const size_t n = end                          ? (size_t)(end - m->held)
                         : m->n_held < m->n_delimiter ? 0
                                                      : m->n_held - m->n_delimiter + 1;
        if (n) s = write_bytes(m, m->held, n, err);
        if (s == HCT_OK && end) s = end_file(m, err);
        drop(m, end ? n + m->n_delimiter : n);
        if (end) m->state = MULTIPART_AFTER;
        return s < 0 ? s : end != NULL;
    }
    case MULTIPART_DONE:
        for (size_t i = 0; i < m->n_held; i++)
            if (!strchr("\r\n", m->held[i]) || !m->held[i]) return broken(err, "something follows its end");
        m->n_held = 0;
        return 0;
    }
    return 0;
}

hct_status multipart_add(multipart *m, const void *bytes, size_t n, hct_err *err) {
    const unsigned char *from = bytes;
    while (n) {
        size_t some = m->room - m->n_held < n ? m->room - m->n_held : n;
        memcpy(m->held + m->n_held, from, some);
        m->n_held += some;
        from += some;
        n -= some;
        int more;
        while ((more = step(m, err)) == 1) continue;
        if (more < 0) return more;
        if (n && m->n_held == m->room) return broken(err, "a part's header is too long");
    }
    return HCT_OK;
}

hct_status multipart_end(multipart *m, hct_err *err) {
    return m->state == MULTIPART_DONE ? HCT_OK : broken(err, "it ends before its last boundary");
}
