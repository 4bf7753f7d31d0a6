/* Lines for people: cleaned of control characters, then to one place. */
#include "hct/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 4096 };

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static hct_log_sink *current;
static void *current_context;

void hct_log_to(hct_log_sink *sink, void *context) {
    pthread_mutex_lock(&one_at_a_time);
    current = sink;
    current_context = context;
    pthread_mutex_unlock(&one_at_a_time);
}

/* Control characters: C0 and DEL, and C1 (U+0080 to U+009F), which some terminals obey too. */
static size_t control_length(const unsigned char *c) {
    if (c[0] < 32 || c[0] == 127) return 1;
    return c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

/* out [LINE] */
static void clean(const char *text, char *out) {
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && used + 9 < LINE;) {
        size_t n = control_length(c);
        if (!n) out[used++] = (char)*c++;
        for (; n; n--) used += (size_t)snprintf(out + used, LINE - used, "\\x%02x", *c++);
    }
    out[used] = '\0';
}

void hct_log(hct_log_level level, const char *fmt, ...) {
    char raw[LINE], line[LINE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    clean(raw, line);
    pthread_mutex_lock(&one_at_a_time);
    if (current) current(current_context, level, line);
    else fprintf(stderr, "%s\n", line);
    pthread_mutex_unlock(&one_at_a_time);
}
