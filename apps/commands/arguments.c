/* Values of options, checked. */
#include "commands/arguments.h"

#include "support/text.h"

int64_t argument_whole(struct argp_state *state, const char *name, const char *text, int64_t low, int64_t high) {
    int64_t v;
    if (!text_int64(text, &v) || v < low || v > high)
        argp_error(state, "--%s %s: a whole number from %lld to %lld is needed", name, text, (long long)low,
                   (long long)high);
    return v;
}
