/* A moving window over the bytes of a DICOM file: pread of a file, a piece of memory, or zlib's inflate over either. */
#include "dicom/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { FIRST_WINDOW = 1 << 14, LATER_WINDOW = 1 << 16 };
#define INFLATED_MOST ((uint64_t)1 << 32) /* 1 GiB of CT is 2,000 slices; a bomb of 4 GiB is inflated in seconds */

struct dicom_bytes {
    char *name;
    uint64_t size;               /* UINT64_MAX: not known */
    const unsigned char *memory; /* of all bytes, else NULL */
    int fd;                      /* -1: none */
    unsigned char *window;       /* bytes [from, from + held) */
    uint64_t from;
    size_t held, capacity;
    dicom_bytes *packed; /* borrowed: deflated bytes from packed_at on, `fed` of them given to z */
    uint64_t packed_at, fed;
    z_stream z;
    bool inflating, ended;
    dicom_bytes_more *more; /* of a stream, inflated or not: what comes behind the window */
    void *context;
};

static dicom_bytes *new_bytes(const char *name, hct_err *err) {
    dicom_bytes *b = calloc(1, sizeof *b);
    if (b) b->name = strdup(name);
    if (b && b->name) {
        b->fd = -1;
        return b;
    }
    free(b);
    hct_fail(err, HCT_ENOMEM, "%s: no memory", name);
    return NULL;
}

void dicom_bytes_close(dicom_bytes *b) {
    if (!b) return;
    if (b->fd >= 0) close(b->fd);
    if (b->inflating) inflateEnd(&b->z);
    free(b->window);
    free(b->name);
    free(b);
}

hct_status dicom_bytes_file(const char *path, dicom_bytes **ret, hct_err *err) {
    struct stat st;
    dicom_bytes *b = *ret = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), why = errno; /* O_NONBLOCK: a pipe must not hang us */
    if (fd < 0) return hct_fail(err, why == ENOENT ? HCT_ENOTFOUND : HCT_EIO, "%s: %s", path, strerror(why));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return hct_fail(err, HCT_EIO, "%s: is no regular file", path);
    }
    if (!(b = new_bytes(path, err))) {
        close(fd);
        return HCT_ENOMEM;
    }
    b->fd = fd;
    b->size = (uint64_t)st.st_size;
    *ret = b;
    return HCT_OK;
}

hct_status dicom_bytes_memory(const char *name, const void *bytes, size_t n, dicom_bytes **ret, hct_err *err) {
    dicom_bytes *b = *ret = new_bytes(name, err);
    if (!b) return HCT_ENOMEM;
    b->memory = bytes;
    b->size = n;
    return HCT_OK;
}

static bool make_room(dicom_bytes *b, size_t n) {
    if (n <= b->capacity) return true;
    unsigned char *more = realloc(b->window, n);
    if (!more) return false;
    b->window = more;
    b->capacity = n;
    return true;
}

/* Fills the window from a file: `at` on, n bytes at least and some more where there are. */
static bool fill_from_file(dicom_bytes *b, uint64_t at, size_t n) {
    uint64_t want = at ? LATER_WINDOW : FIRST_WINDOW;
    if (want < n) want = n;
    if (want > b->size - at) want = b->size - at;
    if (!make_room(b, (size_t)want)) return false;
    b->held = 0;
    b->from = at;
    while (b->held < want) {
        ssize_t k = pread(b->fd, b->window + b->held, (size_t)want - b->held, (off_t)(at + b->held));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) break; /* an error, or a file that grew shorter */
        b->held += (size_t)k;
    }
    return b->held >= n;
}

static size_t inflate_more(void *context, unsigned char *to, size_t room) {
    enum { PIECE = 1 << 15 };
    dicom_bytes *b = context;
    b->z.next_out = to;
    b->z.avail_out = (uInt)room;
    while (b->z.avail_out && !b->ended) {
        uint64_t at = b->packed_at + b->fed, left = at < b->packed->size ? b->packed->size - at : 0;
        size_t k = left < PIECE ? (size_t)left : PIECE;
        const unsigned char *in = k ? dicom_bytes_at(b->packed, at, k) : NULL;
        b->z.next_in = (unsigned char *)(uintptr_t)in;
        b->z.avail_in = in ? (uInt)k : 0;
        int code = inflate(&b->z, Z_NO_FLUSH);
        b->fed += (in ? k : 0) - b->z.avail_in;
        if (code != Z_OK || !in) b->ended = true;
    }
    return room - b->z.avail_out;
}

/* A stream cannot go back; what is inflated begins anew. */
static bool go_back(dicom_bytes *b) {
    if (!b->inflating || inflateReset(&b->z) != Z_OK) return false;
    b->from = b->packed_at;
    b->held = 0;
    b->fed = 0;
    b->ended = false;
    return true;
}

static bool fill_from_stream(dicom_bytes *b, uint64_t at, size_t n) {
    if (b->inflating && at + n > INFLATED_MOST + b->packed_at) return false;
    if (at < b->from && !go_back(b)) return false;
    if (!make_room(b, n > LATER_WINDOW ? n : LATER_WINDOW)) return false;
    while (b->from + b->held < at + n) {
        uint64_t past = at > b->from ? at - b->from : 0; /* what is no longer wanted */
        size_t drop = past < b->held ? (size_t)past : b->held;
        memmove(b->window, b->window + drop, b->held - drop);
        b->from += drop;
        b->held -= drop;
        size_t made = b->more(b->context, b->window + b->held, b->capacity - b->held);
        if (!made) return false;
        b->held += made;
    }
    return true;
}

hct_status dicom_bytes_stream(const char *name, uint64_t size, dicom_bytes_more *more, void *context, dicom_bytes **ret,
                              hct_err *err) {
    dicom_bytes *b = *ret = new_bytes(name, err);
    if (!b) return HCT_ENOMEM;
    b->size = size;
    b->more = more;
    b->context = context;
    return HCT_OK;
}

hct_status dicom_bytes_inflate(dicom_bytes *from, uint64_t at, dicom_bytes **ret, hct_err *err) {
    dicom_bytes *b = *ret = new_bytes(from->name, err);
    if (!b || inflateInit2(&b->z, -MAX_WBITS) != Z_OK) {
        dicom_bytes_close(b);
        *ret = NULL;
        return hct_fail(err, HCT_ENOMEM, "no memory to inflate a DICOM file");
    }
    b->inflating = true;
    b->packed = from;
    b->packed_at = at;
    b->size = UINT64_MAX;
    b->from = at;
    b->more = inflate_more;
    b->context = b;
    return HCT_OK;
}

const unsigned char *dicom_bytes_at(dicom_bytes *b, uint64_t at, size_t n) {
    static const unsigned char nothing[1];
    if (n > DICOM_BYTES_MOST) return NULL;
    if (b->size != UINT64_MAX && (at > b->size || n > b->size - at)) return NULL;
    if (n == 0) return nothing;
    if (b->memory) return b->memory + at;
    if (at < b->from || at - b->from > b->held || n > b->held - (at - b->from))
        if (!(b->more ? fill_from_stream(b, at, n) : fill_from_file(b, at, n))) return NULL;
    return b->window + (at - b->from);
}

bool dicom_bytes_has(dicom_bytes *b, uint64_t at, uint64_t n) {
    if (b->size != UINT64_MAX) return at <= b->size && n <= b->size - at;
    if (n == 0) return true;
    if (at + n < at) return false;
    return dicom_bytes_at(b, at + n - 1, 1) != NULL;
}

uint64_t dicom_bytes_size(const dicom_bytes *b) { return b->size; }

const char *dicom_bytes_name(const dicom_bytes *b) { return b->name; }
