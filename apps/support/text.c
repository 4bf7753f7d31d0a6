#include "support/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    if (t->failed) return false;
    if (t->bytes && more < t->capacity - t->length) return true;
    size_t capacity = t->capacity ? t->capacity : 256;
    while (capacity - t->length <= more) capacity *= 2;
    char *bytes = realloc(t->bytes, capacity);
    if (!bytes) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->capacity = capacity;
    return true;
}

void text_add(text_buffer *t, const char *bytes, size_t n) {
    if (!reserve(t, n)) return;
    if (n) memcpy(t->bytes + t->length, bytes, n);
    t->length += n;
    t->bytes[t->length] = '\0';
}

void text_printf(text_buffer *t, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->bytes + t->length, (size_t)n + 1, fmt, again);
        t->length += (size_t)n;
    }
    va_end(again);
}
