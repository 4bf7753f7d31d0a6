#include "json_check.h"

#include <string.h>

/* Bytes of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogates), 0 where there is none. */
static size_t utf8_length(const unsigned char *p, size_t n) {
    if (p[0] < 0x80) return 1;
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    int bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : length;
}

static size_t number_length(const char *p, size_t n) {
    size_t k = 0;
    while (k < n && strchr("0123456789+-.eE", p[k]) && p[k]) k++;
    return k;
}

static int is_plain(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9') return 0;
    return n == 1 || p[0] != '0';
}

size_t json_check(const char *json, size_t n, const char **ret_what) {
    int in_string = 0;
    for (size_t i = 0, step; i < n; i += step) {
        const char *p = json + i;
        step = utf8_length((const unsigned char *)p, n - i);
        *ret_what = "no UTF-8";
        if (!step) return i;
        if (in_string) {
            *ret_what = "a control character";
            if ((unsigned char)*p < 0x20 || (n - i >= 6 && !memcmp(p, "\\u0000", 6))) return i;
            if (*p == '\\' && n - i > 1) step = 2;
            in_string = *p != '"';
        } else if (*p == '"') {
            in_string = 1;
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            step = number_length(p, n - i);
            *ret_what = "a number that is not plain digits";
            if (!is_plain(p, step)) return i;
        }
    }
    return n;
}
