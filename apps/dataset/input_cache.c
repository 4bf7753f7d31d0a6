/* Model inputs kept on disk: DATASET/inputs/SHA256.f32 (raw little-endian float32 as dataset_input returns them) and
 * SHA256.i16 (int16, as dataset_cube does). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/dataset.h"
#include "hct/io.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/text.h"

/* DATASET/inputs/ and the hash of the prepared scan's provenance and every setting; NULL where memory ran out. */
static char *cache_path(const dataset *d, size_t i, const char *settings, const char *type) {
    text_buffer key = {0};
    char hex[SHA256_HEX], *path = NULL;
    text_printf(&key, "%s %s %s", d->scans[i].id, d->scans[i].provenance, settings ? settings : "");
    const char *whole = settings ? text_get(&key, "", NULL) : NULL;
    if (whole && sha256_bytes(whole, text_length(&key), hex, NULL) == HCT_OK &&
        asprintf(&path, "%s/inputs/%s.%s", d->folder, hex, type) < 0)
        path = NULL;
    text_free(&key);
    return path;
}

static int read_whole(const char *path, void *out, size_t bytes) {
    FILE *f = fopen(path, "rb");
    int ok = f && fread(out, 1, bytes, f) == bytes && fgetc(f) == EOF;
    if (f) fclose(f);
    return ok;
}

/* A file that cannot be written is no error: the input is at hand. */
static void keep(const dataset *d, const char *path, const void *bytes, size_t n) {
    char *folder = path_join(d->folder, "inputs");
    if (folder && path_make_folders(folder, NULL) == HCT_OK) {
        hct_outfile *f = hct_outfile_open(path, NULL);
        hct_outfile_write(f, bytes, n);
        if (f) hct_outfile_close(f, NULL);
    }
    free(folder);
}

hct_status dataset_input_cached(const dataset *d, size_t i, const input_spec *spec, float *out, hct_err *err) {
    size_t bytes = input_floats(spec) * sizeof *out;
    text_buffer key = {0};
    input_text(spec, &key);
    char *path = cache_path(d, i, text_get(&key, "", NULL), "f32");
    hct_status st = HCT_OK;
    if (!path || !read_whole(path, out, bytes)) {
        st = dataset_input(d, i, spec, out, err);
        if (st == HCT_OK && path) keep(d, path, out, bytes);
    }
    text_free(&key);
    free(path);
    return st;
}

hct_status dataset_cube_cached(const dataset *d, size_t i, int64_t region, int64_t size, int16_t *out, hct_err *err) {
    size_t bytes = (size_t)(size * size * size) * sizeof *out;
    char key[64];
    snprintf(key, sizeof key, "cube %lld %lld", (long long)region, (long long)size);
    char *path = cache_path(d, i, key, "i16");
    hct_status st = HCT_OK;
    if (!path || !read_whole(path, out, bytes)) {
        st = dataset_cube(d, i, region, size, out, err);
        if (st == HCT_OK && path) keep(d, path, out, bytes);
    }
    free(path);
    return st;
}
