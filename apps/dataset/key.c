/* Keys of datasets: files, marks (HMAC-SHA-256), shifted dates, sealed bytes (AES-256-GCM); by OpenSSL's libcrypto. */
#include "dataset/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/paths.h"
#include "support/text.h"

enum { IV_BYTES = 12, TAG_BYTES = 16 };

static hct_status crypto_failed(hct_err *err) { return hct_fail(err, HCT_EIO, "libcrypto failed: is it whole?"); }

static hct_status sum(const unsigned char *key, const char *what, const char *text, unsigned char ret[KEY_BYTES],
                      hct_err *err) {
    size_t n = strlen(what) + 1, m = strlen(text);
    unsigned char *both = malloc(n + m + 1);
    unsigned length = 0;
    if (!both) return hct_fail(err, HCT_ENOMEM, "no memory");
    memcpy(both, what, n);
    memcpy(both + n, text, m);
    unsigned char *done = HMAC(EVP_sha256(), key, KEY_BYTES, both, n + m, ret, &length);
    free(both);
    return done && length == KEY_BYTES ? HCT_OK : crypto_failed(err);
}

static void to_hex(const unsigned char *bytes, char ret[KEY_HEX]) {
    for (int i = 0; i < KEY_BYTES; i++) snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

static bool from_hex(const char *text, unsigned char *bytes) {
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    if (n != 2 * KEY_BYTES || strspn(text + n, " \r\n") != strlen(text + n)) return false;
    for (int i = 0; i < KEY_BYTES; i++) {
        char two[3] = {text[2 * i], text[2 * i + 1], 0};
        bytes[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    return true;
}

/* Writes beside and links, so that of several processes that make a key at once one wins, and none reads half a key. */
static hct_status make(const char *path, hct_err *err) {
    unsigned char bytes[KEY_BYTES];
    char hex[KEY_HEX], *folder = path_folder(path);
    size_t room = strlen(path) + 32;
    char *beside = malloc(room);
    hct_status s = folder && beside ? path_make_folders(folder, err) : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK && RAND_bytes(bytes, KEY_BYTES) != 1) s = crypto_failed(err);
    if (s == HCT_OK) {
        to_hex(bytes, hex);
        snprintf(beside, room, "%s.%ld", path, (long)getpid());
        int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL, 0600);
        bool fine = fd >= 0 && write(fd, hex, 2 * KEY_BYTES) == 2 * KEY_BYTES && write(fd, "\n", 1) == 1;
        if (fd >= 0 && close(fd) < 0) fine = false;
        if (fine && link(beside, path) < 0 && errno != EEXIST) fine = false;
        int code = errno;
        if (fd >= 0) unlink(beside);
        if (!fine)
            s = hct_fail(err, HCT_EIO, "%s: the key of datasets cannot be made there (%s): name another --key FILE",
                         path, strerror(code));
    }
    free(folder);
    free(beside);
    return s;
}

static char *usual_place(hct_err *err) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path = NULL;
    if (config && *config == '/') path = path_join(config, "headct/key");
    else if (home && *home) path = path_join(home, ".config/headct/key");
    else {
        hct_fail(err, HCT_ENOTFOUND,
                 "the key of datasets has no place: neither $XDG_CONFIG_HOME nor $HOME is set: name a --key FILE");
        return NULL;
    }
    if (!path) hct_fail(err, HCT_ENOMEM, "no memory");
    return path;
}

/* Whether a file or folder is that folder, or lies below it. */
static bool lies_in(const char *path, const char *folder) {
    char *real = realpath(path, NULL), *top = realpath(folder, NULL);
    size_t n = top ? strlen(top) : 0;
    bool in = real && top && strncmp(real, top, n) == 0 && (real[n] == '/' || real[n] == 0 || n == 1);
    free(real);
    free(top);
    return in;
}

static hct_status read_key(const char *path, dataset_key *ret, hct_err *err) {
    char text[128] = {0};
    int fd = open(path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    int code = errno;
    if (fd >= 0) close(fd);
    if (n < 0) return hct_fail(err, HCT_EIO, "%s: the key of datasets cannot be read: %s", path, strerror(code));
    if (!from_hex(text, ret->bytes))
        return hct_fail(err, HCT_EFORMAT,
                        "%s: holds no key of a dataset (64 hex digits): put its copy back, or name another --key FILE",
                        path);
    return HCT_OK;
}

hct_status key_open(const char *path, const char *dataset, dataset_key *ret, hct_err *err) {
    *ret = (dataset_key){0};
    ret->path = path ? strdup(path) : usual_place(err);
    if (!ret->path) return path ? hct_fail(err, HCT_ENOMEM, "no memory") : err ? err->code : HCT_ENOTFOUND;
    hct_status s = HCT_OK;
    char *folder = path_folder(ret->path);
    if (!folder) s = hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK && dataset && (lies_in(ret->path, dataset) || lies_in(folder, dataset)))
        s = hct_fail(
            err, HCT_EINVAL,
            "%s: lies inside the dataset, where everyone who has the dataset has the key too: keep it elsewhere",
            ret->path);
    free(folder);
    if (s == HCT_OK && !path_is_file(ret->path)) {
        s = make(ret->path, err);
        ret->made = s == HCT_OK;
    }
    if (s == HCT_OK) s = read_key(ret->path, ret, err);
    if (s == HCT_OK) s = sum(ret->bytes, "sealing", "", ret->sealing, err);
    if (s < 0) key_free(ret);
    return s;
}

hct_status key_passing(dataset_key *ret, hct_err *err) {
    *ret = (dataset_key){.path = strdup("a passing key")};
    hct_status s = ret->path ? HCT_OK : hct_fail(err, HCT_ENOMEM, "no memory");
    if (s == HCT_OK && RAND_bytes(ret->bytes, KEY_BYTES) != 1) s = crypto_failed(err);
    if (s == HCT_OK) s = sum(ret->bytes, "sealing", "", ret->sealing, err);
    if (s < 0) key_free(ret);
    return s;
}

bool key_is_there(const char *path) {
    hct_err ignored;
    char *place = path ? strdup(path) : usual_place(&ignored);
    bool there = place && path_is_file(place);
    free(place);
    return there;
}

void key_free(dataset_key *k) {
    OPENSSL_cleanse(k->bytes, sizeof k->bytes);
    OPENSSL_cleanse(k->sealing, sizeof k->sealing);
    free(k->path);
    *k = (dataset_key){0};
}

hct_status key_mark(const dataset_key *k, const char *what, const char *text, char ret[KEY_HEX], hct_err *err) {
    unsigned char digest[KEY_BYTES];
    hct_status s = sum(k->bytes, what, text, digest, err);
    if (s == HCT_OK) to_hex(digest, ret);
    return s;
}

hct_status key_patient(const dataset_key *k, const char *id, char ret[KEY_HEX], hct_err *err) {
    char *plain = text_plain(id);
    if (!plain) return hct_fail(err, HCT_ENOMEM, "no memory");
    hct_status s = key_mark(k, "patient", plain, ret, err);
    free(plain);
    return s;
}

hct_status key_days(const dataset_key *k, const char *mark, int *ret, hct_err *err) {
    unsigned char digest[KEY_BYTES];
    hct_status s = sum(k->bytes, "days", mark, digest, err);
    uint32_t some =
        s == HCT_OK ? (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 | digest[3] : 0;
    *ret = 1 + (int)(some % 3650);
    return s;
}

/* iv, what was encrypted, tag */
unsigned char *key_seal(const dataset_key *k, const unsigned char *bytes, size_t n, size_t *ret_n, hct_err *err) {
    unsigned char *out = malloc(n + KEY_SEAL_BYTES);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int length = 0, rest = 0;
    bool fine = out && c && n < (1u << 30) && RAND_bytes(out, IV_BYTES) == 1 &&
                EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->sealing, out) == 1 &&
                EVP_EncryptUpdate(c, out + IV_BYTES, &length, bytes, (int)n) == 1 &&
                EVP_EncryptFinal_ex(c, out + IV_BYTES + length, &rest) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + IV_BYTES + n) == 1;
    EVP_CIPHER_CTX_free(c);
    *ret_n = n + KEY_SEAL_BYTES;
    if (fine) return out;
    free(out);
    crypto_failed(err);
    return NULL;
}

unsigned char *key_unseal(const dataset_key *k, const unsigned char *bytes, size_t n, size_t *ret_n, hct_err *err) {
    size_t m = n > KEY_SEAL_BYTES ? n - KEY_SEAL_BYTES : 0;
    unsigned char *out = malloc(m + 16), tag[TAG_BYTES];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int length = 0, rest = 0;
    bool fine = out && c && m && m < (1u << 30);
    if (fine) memcpy(tag, bytes + IV_BYTES + m, TAG_BYTES);
    fine = fine && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->sealing, bytes) == 1 &&
           EVP_DecryptUpdate(c, out, &length, bytes + IV_BYTES, (int)m) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(c, out + length, &rest) == 1;
    EVP_CIPHER_CTX_free(c);
    *ret_n = m;
    if (fine) return out;
    free(out);
    hct_fail(err, HCT_EFORMAT, "was sealed with another key, or is damaged");
    return NULL;
}
