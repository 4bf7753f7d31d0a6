/* Model inputs kept on disk: DATASET/inputs/SHA256.f32, raw little-endian float32 as dataset_input returns them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "hct/io.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/text.h"

/* DATASET/inputs/ and the hash of the prepared scan's provenance and every setting; NULL where memory ran out. */
static char *cache_path(const dataset *d, size_t i, const hu_window *windows, int n_windows, int64_t crop, int64_t size) {
    text_buffer key = {0};
    char hex[SHA256_HEX], *path = NULL;
    text_printf(&key, "%s %s %lld %lld", d->scans[i].id, d->scans[i].provenance, (long long)crop, (long long)size);
    for (int w = 0; w < n_windows; w++) text_printf(&key, " %a:%a", windows[w].centre, windows[w].width);
    if (!key.failed && sha256_bytes(key.bytes, key.length, hex, NULL) == HCT_OK && asprintf(&path, "%s/inputs/%s.f32", d->folder, hex) < 0)
        path = NULL;
    free(key.bytes);
    return path;
}

static int read_whole(const char *path, void *out, size_t bytes) {
    FILE *f = fopen(path, "rb");
    int ok = f && fread(out, 1, bytes, f) == bytes && fgetc(f) == EOF;
    if (f) fclose(f);
    return ok;
}

hct_status dataset_input_cached(const dataset *d, size_t i, const hu_window *windows, int n_windows, int64_t crop,
                                int64_t size, float *out, hct_err *err) {
    size_t bytes = (size_t)n_windows * (size_t)(size * size * size) * sizeof *out;
    char *path = cache_path(d, i, windows, n_windows, crop, size);
    if (path && read_whole(path, out, bytes)) {
        free(path);
        return HCT_OK;
    }
    hct_status s = dataset_input(d, i, windows, n_windows, crop, size, out, err);
    char *folder = s == HCT_OK && path ? path_join(d->folder, "inputs") : NULL;
    if (folder && path_make_folders(folder, NULL) == HCT_OK) {
        hct_outfile *f = hct_outfile_open(path, NULL);
        hct_outfile_write(f, out, bytes);
        if (f) hct_outfile_close(f, NULL);
    }
    free(folder);
    free(path);
    return s;
}
