/* Numbers in text, and text that grows. */
#include "support/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "hct/utf8.h"

static bool only_blanks(const char *s) {
    while (isspace((unsigned char)*s)) s++;
    return *s == '\0';
}

/* No setlocale() is called anywhere in headct, so strtod reads the point. */
bool text_double(const char *text, double *ret) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || !only_blanks(end)) return false;
    *ret = v;
    return true;
}

bool text_is_uid(const char *text) {
    const size_t n = strlen(text);
    return n && n <= TEXT_UID && strspn(text, "0123456789.") == n;
}

bool text_int64(const char *text, int64_t *ret) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || errno || !only_blanks(end)) return false;
    *ret = v;
    return true;
}

const char *text_not_utf8(const char *text) {
    for (size_t n = strlen(text), step; n; text += step, n -= step)
        if (!(step = hct_utf8_length(text, n))) return text;
    return NULL;
}

char *text_plain(const char *text) {
    size_t from = strspn(text, " \t\r\n"), to = strlen(text);
    while (to > from && strchr(" \t\r\n", text[to - 1])) to--;
    utf8proc_uint8_t *composed = NULL;
    utf8proc_map((const utf8proc_uint8_t *)text + from, (utf8proc_ssize_t)(to - from), &composed,
                 UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    char *plain = composed ? (char *)composed : strndup(text + from, to - from);
    return plain;
}

const char *text_control(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 32 || *c == 127 || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)) return (const char *)c;
    return NULL;
}

bool text_bool(const char *text, bool *ret) {
    static const char *const words[2][4] = {{"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < 4; i++)
            if (strcasecmp(text, words[v][i]) == 0) {
                *ret = v;
                return true;
            }
    return false;
}

const char *text_of_double(double v, char buffer[32]) {
    if (fabs(v) < 1e15 && v == floor(v)) {
        snprintf(buffer, 32, "%.0f", v);
        return buffer;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buffer, 32, "%.*g", digits, v);
        if (isnan(v) || strtod(buffer, NULL) == v) break;
    }
    return buffer;
}

static bool reserve(text_buffer *t, size_t more) {
    if (t->failed_) return false;
    if (t->bytes_ && more < t->capacity_ - t->length_) return true;
    size_t capacity = t->capacity_ ? t->capacity_ : 256;
    while (capacity - t->length_ <= more) capacity *= 2;
    char *bytes = realloc(t->bytes_, capacity);
    if (!bytes) {
        t->failed_ = true;
        return false;
    }
    t->bytes_ = bytes;
    t->capacity_ = capacity;
    return true;
}

void text_add(text_buffer *t, const char *bytes, size_t n) {
    if (!reserve(t, n)) return;
    if (n) memcpy(t->bytes_ + t->length_, bytes, n);
    t->length_ += n;
    t->bytes_[t->length_] = '\0';
}

void text_printf(text_buffer *t, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) t->failed_ = true;
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->bytes_ + t->length_, (size_t)n + 1, fmt, again);
        t->length_ += (size_t)n;
    }
    va_end(again);
}

void text_add_html(text_buffer *t, const char *text) {
    for (const char *c = text; *c; c++) {
        const char *name = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : *c == '"' ? "&quot;" : NULL;
        if (name) text_add(t, name, strlen(name));
        else text_add(t, c, 1);
    }
}

void text_add_base64(text_buffer *t, const unsigned char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v =
            (uint32_t)bytes[i] << 16 | (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                              i + 2 < n ? digits[v & 63] : '='};
        text_add(t, four, 4);
    }
}

void text_fail(text_buffer *t) { t->failed_ = true; }

void text_clear(text_buffer *t) {
    t->length_ = 0;
    t->failed_ = false;
    if (t->bytes_) *t->bytes_ = '\0';
}

void text_free(text_buffer *t) {
    free(t->bytes_);
    *t = (text_buffer){0};
}

hct_status text_check(const text_buffer *t, const char *what, hct_err *err) {
    return t->failed_ ? hct_fail(err, HCT_ENOMEM, "%s: out of memory", what) : HCT_OK;
}

const char *text_get(const text_buffer *t, const char *what, hct_err *err) {
    return text_check(t, what, err) < 0 ? NULL : text_so_far(t);
}

char *text_take(text_buffer *t, const char *what, hct_err *err) {
    reserve(t, 0);
    if (text_check(t, what, err) < 0) return NULL;
    char *bytes = t->bytes_;
    bytes[t->length_] = '\0';
    *t = (text_buffer){0};
    return bytes;
}

const char *text_so_far(const text_buffer *t) { return t->bytes_ ? t->bytes_ : ""; }

size_t text_length(const text_buffer *t) { return t->length_; }

hct_status text_write(const text_buffer *t, hct_outfile *f, const char *what, hct_err *err) {
    hct_status st = text_check(t, what, err);
    if (st == HCT_OK) hct_outfile_write(f, t->bytes_, t->length_);
    return st;
}

hct_status text_save(const text_buffer *t, const char *path, hct_err *err) {
    hct_status st = text_check(t, path, err);
    if (st < 0) return st;
    hct_outfile *f = hct_outfile_open(path, err);
    hct_outfile_write(f, t->bytes_, t->length_);
    return hct_outfile_close(f, err);
}
