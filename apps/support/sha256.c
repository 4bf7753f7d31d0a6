/* SHA-256 of bytes and files. */
#include "support/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    enum { PIECE = 1 << 17 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    unsigned char *piece = fd >= 0 ? malloc(PIECE) : NULL;
    if (fd < 0 || !piece) {
        int error = errno;
        if (fd >= 0) close(fd);
        return hct_fail(err, fd < 0 ? error == ENOENT ? HCT_ENOTFOUND : HCT_EIO : HCT_ENOMEM, "%s: opening failed: %s",
                        path, fd < 0 ? strerror(error) : "out of memory");
    }
    sha256 *h = sha256_begin();
    ssize_t k;
    while ((k = read(fd, piece, PIECE)) > 0 || (k < 0 && errno == EINTR))
        if (k > 0) sha256_add(h, piece, (size_t)k);
    int error = errno;
    free(piece);
    close(fd);
    hct_status status = sha256_end(h, hex, k < 0 ? NULL : err);
    return k < 0 ? hct_fail(err, HCT_EIO, "%s: reading failed: %s", path, strerror(error)) : status;
}
