/* SHA-256 of bytes and files. */
#include "support/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "hct/io.h"

struct sha256 {
    EVP_MD_CTX *context;
    int ok;
};

sha256 *sha256_begin(void) {
    sha256 *h = malloc(sizeof *h);
    if (!h) return NULL;
    h->context = EVP_MD_CTX_new();
    h->ok = h->context && EVP_DigestInit_ex(h->context, EVP_sha256(), NULL);
    return h;
}

void sha256_add(sha256 *h, const void *bytes, size_t n) {
    if (h && h->ok && n) h->ok = EVP_DigestUpdate(h->context, bytes, n);
}

hct_status sha256_end(sha256 *h, char hex[SHA256_HEX], hct_err *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int ok = h && h->ok && EVP_DigestFinal_ex(h->context, digest, &n) && n == 32;
    if (h) EVP_MD_CTX_free(h->context);
    free(h);
    if (!ok) return hct_fail(err, HCT_EIO, "libcrypto could not compute a SHA-256");
    for (unsigned i = 0; i < n; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return HCT_OK;
}

hct_status sha256_bytes(const void *bytes, size_t n, char hex[SHA256_HEX], hct_err *err) {
    sha256 *h = sha256_begin();
    sha256_add(h, bytes, n);
    return sha256_end(h, hex, err);
}

hct_status sha256_file(const char *path, char hex[SHA256_HEX], hct_err *err) {
    hct_mapped m;
    hct_status status = hct_map_file(path, &m, err);
    if (status < 0) return status;
    status = sha256_bytes(m.bytes, m.size, hex, err);
    hct_unmap_file(&m);
    return status;
}
