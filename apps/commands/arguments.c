/* Values of options, checked. */
#include "commands/arguments.h"

#include <stdio.h>
#include <string.h>

#include "support/text.h"

int64_t argument_whole(struct argp_state *state, const char *name, const char *text, int64_t low, int64_t high) {
    int64_t v;
    if (!text_int64(text, &v) || v < low || v > high)
        argp_error(state, "--%s %s: a whole number from %lld to %lld is needed", name, text, (long long)low,
                   (long long)high);
    return v;
}

void argument_shard(struct argp_state *state, const char *text, int64_t *ret_first, int64_t *ret_step) {
    char part[24];
    const char *slash = strchr(text, '/');
    int64_t i = 0, n = 0;
    snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - text) : 0, text);
    if (!slash || !text_int64(part, &i) || !text_int64(slash + 1, &n) || i < 1 || i > n)
        argp_error(state, "--shard %s: I/N with I from 1 to N is needed", text);
    *ret_first = i - 1;
    *ret_step = n;
}
