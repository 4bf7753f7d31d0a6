#include "support/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

enum { LONGEST = 63 }; /* longer names are compared by their first 63 characters */

static size_t min3(size_t a, size_t b, size_t c) {
    return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

size_t text_distance(const char *a, const char *b) {
    size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST), d[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= n; i++) d[i][0] = i;
    for (size_t j = 0; j <= m; j++) d[0][j] = j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
                d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    return d[n][m];
}

const char *text_nearest(const char *name, const char *const *names, size_t n) {
    const char *best = NULL;
    size_t least = strlen(name) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = text_distance(name, names[i]);
        if (d < least) least = d, best = names[i];
    }
    return best;
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
