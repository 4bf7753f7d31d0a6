/* backends/kernels/host/sources.h: the device sources as text, for backends that compile them at run time. */
#ifndef HK_SOURCES_H
#define HK_SOURCES_H

typedef struct hk_source {
    const char *name, *text; /* "norm"; "dialect" comes before any other */
} hk_source;
extern const hk_source hk_sources[]; /* ended by an empty one */

#endif
