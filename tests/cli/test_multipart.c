/* Answers of DICOMweb servers in pieces of every size, cut everywhere, and damaged: what is whole comes out whole, all
 * else is an error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dicomweb/multipart.h"
#include "tap.h"

enum { PARTS = 3, ROOM = 40000, DAMAGED = 500 };
static const size_t lengths[PARTS] = {9000, 1, 8191};
static char folder[] = "/tmp/multipart-XXXXXX";

static hct_status feed(const char *body, size_t n, size_t piece, size_t *ret_parts) {
    multipart m;
    hct_err err = {0};
    hct_status s = multipart_begin(&m, "multipart/related; type=\"application/dicom\"; boundary=\"AbC\"", folder, 1,
                                   (multipart_limits){100, 1 << 20}, &err);
    for (size_t at = 0; s == HCT_OK && at < n; at += piece)
        s = multipart_add(&m, body + at, n - at < piece ? n - at : piece, &err);
    if (s == HCT_OK) s = multipart_end(&m, &err);
    *ret_parts = m.parts;
    multipart_free(&m);
    return s;
}

/* Takes the files away; whether they are the parts of body. */
static int take_away(const char *body, size_t n, size_t parts) {
    static char got[ROOM];
    char path[100];
    int same = 1;
    size_t at = 0;
    for (size_t p = 0; p < parts; p++) {
        snprintf(path, sizeof path, "%s/%zu.dcm", folder, p + 1);
        FILE *f = fopen(path, "rb");
        size_t k = f ? fread(got, 1, sizeof got, f) : 0;
        if (f) fclose(f);
        unlink(path);
        const char *head = p < PARTS ? memmem(body + at, n - at, "\r\n\r\n", 4) : NULL;
        if (!head) continue;
        at = (size_t)(head - body) + 4;
        same = same && k == lengths[p] && !memcmp(got, body + at, k);
        at += lengths[p];
    }
    return same;
}

/* Parts full of what looks like the begin of a delimiter. */
static size_t make(char *body) {
    size_t n = 0;
    for (int p = 0; p < PARTS; p++) {
        n += (size_t)sprintf(body + n, "--AbC\r\nContent-Type: application/dicom\r\nContent-Length: %zu\r\n\r\n",
                             lengths[p]);
        for (size_t i = 0; i < lengths[p]; i++) body[n + i] = "\r\n--AbC-x"[rand() % 9];
        for (size_t i = 0; i + 4 <= lengths[p]; i++)
            if (!memcmp(body + n + i, "\r\n\r\n", 4) || !memcmp(body + n + i, "--Ab", 4)) body[n + i] = 'q';
        n += lengths[p];
        body[n++] = '\r';
        body[n++] = '\n';
    }
    return n + (size_t)sprintf(body + n, "--AbC--\r\n");
}

int main(void) {
    static char body[ROOM], copy[ROOM];
    static const size_t pieces[] = {1, 2, 3, 7, 100, 8191, 8192, 8193, ROOM};
    size_t parts, whole = 0;
    if (!mkdtemp(folder)) return 99;
    srand(3);
    const size_t n = make(body);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        hct_status s = feed(body, n, pieces[i], &parts);
        tap_ok(take_away(body, n, parts) && s == HCT_OK && parts == PARTS, "pieces of %zu bytes", pieces[i]);
    }
    for (size_t cut = 0; cut + 4 < n; cut += 7) {
        whole += feed(body, cut, 1000, &parts) == HCT_OK;
        take_away(body, n, parts);
    }
    tap_ok(!whole, "cut anywhere: an error");
    for (int k = 0; k < DAMAGED; k++) {
        memcpy(copy, body, n);
        for (int d = 0; d < 20; d++) copy[(size_t)rand() % n] = (char)rand();
        for (int d = 0; d < 3; d++) copy[(size_t)rand() % 80] = (char)rand();
        feed(copy, n, (size_t)rand() % 3000 + 1, &parts);
        take_away(body, n, parts);
    }
    tap_ok(rmdir(folder) == 0, "damaged anywhere: no crash, no file elsewhere");
    return tap_done();
}
