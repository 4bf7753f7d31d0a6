/* hct/log.h: what a library says that is neither a result nor an error: one line at a time, to standard error, or to
 * whoever takes it over (a server, a test). */
#ifndef HCT_LOG_H
#define HCT_LOG_H

#include "hct/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hct_log_level {
    HCT_LOG_INFO,    /* worth knowing */
    HCT_LOG_WARNING, /* something was left out, or may be wrong */
    HCT_LOG_ERROR    /* what a program could not do; only programs say so */
} hct_log_level;

/* line: without its line end, at most 4,095 bytes. Control characters (of names in files, say) have been written as
 * \xNN, so that no text can steer a terminal. Called by one thread at a time. */
typedef void hct_log_sink(void *context, hct_log_level level, const char *line);

/* From any thread. */
HCT_API void hct_log(hct_log_level level, const char *fmt, ...) HCT_PRINTF(2, 3);
/* Gives all lines from now on to sink; NULL: standard error again. */
HCT_API void hct_log_to(hct_log_sink *sink, void *context);

#ifdef __cplusplus
}
#endif
#endif
