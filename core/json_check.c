/* Whether a text is JSON of a depth that parsers bear. */
#include "json_check.h"

#include <string.h>

#include "hct/utf8.h"

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
        step = hct_utf8_length(p, n - i);
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
