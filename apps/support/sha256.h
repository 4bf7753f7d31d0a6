/* SHA-256 (OpenSSL libcrypto) as 64 lower-case hex digits: what stands in the metadata of weights and predictions. */
#ifndef SUPPORT_SHA256_H
#define SUPPORT_SHA256_H

#include "hct/types.h"

enum { SHA256_HEX = 65 }; /* with the final NUL */

typedef struct sha256 sha256;

/* One after the other: sha256_begin, any number of sha256_add, sha256_end, which frees h. h may be NULL after a failed
 * begin: then end reports it. */
sha256 *sha256_begin(void);
void sha256_add(sha256 *h, const void *bytes, size_t n);
hct_status sha256_end(sha256 *h, char hex[SHA256_HEX], hct_err *err);

hct_status sha256_bytes(const void *bytes, size_t n, char hex[SHA256_HEX], hct_err *err);
hct_status sha256_file(const char *path, char hex[SHA256_HEX], hct_err *err);

#endif
