/* Files of requests, in memory. */
#include "serve/upload.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/paths.h"
#include "support/private_folder.h"

hct_status upload_begin(upload *u, const char *root, hct_err *err) {
    *u = (upload){0};
    if (asprintf(&u->folder, "%s/XXXXXX", root) < 0) {
        u->folder = NULL;
        return hct_fail(err, HCT_ENOMEM, "out of memory");
    }
    return mkdtemp(u->folder) ? HCT_OK : hct_fail(err, HCT_EIO, "no room for a request: %s", strerror(errno));
}

/* Its last part, as far as it is letters, digits, '-', '_' and '.'; "scan" where nothing is left. */
static void plain_name(const char *name, char out[UPLOAD_NAME]) {
    size_t n = 0;
    for (const char *c = name; *c; c++) {
        if (*c == '/' || *c == '\\') n = 0;
        else if ((isalnum((unsigned char)*c) || strchr("-_.", *c)) && n < UPLOAD_NAME - 16 && (n || *c != '.'))
            out[n++] = *c;
    }
    out[n] = '\0';
    if (!n) memcpy(out, "scan", sizeof "scan");
}

hct_status upload_file(upload *u, const char *name, hct_err *err) {
    char plain[UPLOAD_NAME];
    if (u->n == UPLOAD_FILES) return hct_fail(err, HCT_EINVAL, "more than %d files; send a zip file", UPLOAD_FILES);
    plain_name(name ? name : "", plain);
    char *sub = NULL; /* a folder each: two files may have one name */
    if (asprintf(&sub, "%s/%zu", u->folder, u->n + 1) < 0) return hct_fail(err, HCT_ENOMEM, "out of memory");
    int made = mkdir(sub, 0700) == 0;
    u->path[u->n] = made ? path_join(sub, plain) : NULL;
    free(sub);
    if (!u->path[u->n]) return hct_fail(err, HCT_EIO, "no room for a request: %s", strerror(errno));
    u->open = fopen(u->path[u->n++], "wxe");
    return u->open ? HCT_OK : hct_fail(err, HCT_EIO, "no room for a request: %s", strerror(errno));
}

hct_status upload_add(upload *u, const void *bytes, size_t n, hct_err *err) {
    if (!u->open) return hct_fail(err, HCT_EINVAL, "bytes of a file that has not begun");
    u->bytes += n;
    return fwrite(bytes, 1, n, u->open) == n ? HCT_OK : hct_fail(err, HCT_EIO, "no room for a request");
}

static bool ends(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && !strcasecmp(path + n - m, ending);
}

/* What the first bytes are called. */
static const char *ending_for(const char *path) {
    unsigned char b[352] = {0};
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(b, 1, sizeof b, f) : 0;
    if (f) fclose(f);
    if (n > 2 && b[0] == 0x1f && b[1] == 0x8b) return ends(path, ".gz") || ends(path, ".tgz") ? "" : ".nii.gz";
    if (n > 4 && !memcmp(b, "PK\3\4", 4)) return ends(path, ".zip") ? "" : ".zip";
    if (n > 348 && (!memcmp(b + 344, "n+1", 3) || !memcmp(b + 4, "n+2", 3))) return ends(path, ".nii") ? "" : ".nii";
    return "";
}

hct_status upload_done(upload *u, hct_err *err) {
    if (!u->open) return HCT_OK;
    int good = fclose(u->open) == 0;
    u->open = NULL;
    if (!good) return hct_fail(err, HCT_EIO, "no room for a request");
    char *path = u->path[u->n - 1], *named = NULL;
    const char *ending = ending_for(path);
    if (!*ending) return HCT_OK;
    if (asprintf(&named, "%s%s", path, ending) < 0) return hct_fail(err, HCT_ENOMEM, "out of memory");
    if (rename(path, named) != 0) {
        free(named);
        return hct_fail(err, HCT_EIO, "no room for a request: %s", strerror(errno));
    }
    u->path[u->n - 1] = named;
    free(path);
    return HCT_OK;
}

void upload_remove(upload *u) {
    if (u->open) fclose(u->open);
    if (u->folder) remove_tree(u->folder);
    for (size_t i = 0; i < u->n; i++) free(u->path[i]);
    free(u->folder);
    *u = (upload){0};
}
