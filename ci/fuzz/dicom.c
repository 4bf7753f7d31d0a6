/* Bytes as a DICOM file: its header, the record packed and unpacked, every frame's pixels and HU, its verdict. */
#include <stdlib.h>
#include <string.h>

#include "dicom/pixels.h"
#include "dicom/verdict.h"
#include "fuzz.h"

static void frames(dicom_bytes *b, const dicom_header *h) {
    dicom_pixels *p = NULL;
    hct_err err;
    double n = h->rows.value * h->columns.value;
    if (dicom_pixels_open(b, h, &p, &err) < 0 || n > 1 << 18) { /* time is better spent on many small ones */
        dicom_pixels_close(p);
        return;
    }
    int32_t *stored = malloc((size_t)n * sizeof *stored);
    float *hu = malloc((size_t)n * sizeof *hu);
    for (int64_t i = 0; i < h->n_frames && i < 3 && stored && hu; i++)
        if (dicom_pixels_frame(p, i, stored, &err) == HCT_OK) dicom_hu(h, i, stored, NULL, hu, "fuzz", &err);
    free(stored);
    free(hu);
    dicom_pixels_close(p);
}

static void judge(dicom_header *h) {
    static series_filters filters;
    series_list l;
    hct_err err;
    pile_file f = {
        .kind = PILE_DICOM, .path = (char *)(uintptr_t) "fuzz", .relative = (char *)(uintptr_t) "fuzz", .header = *h};
    if (!filters.head_words.n && filters_read("any-head-ct", &filters, &err) < 0) abort();
    if (series_group(&f, 1, &l, &err) < 0) return;
    for (size_t i = 0; i < l.n; i++) {
        verdict v;
        if (verdict_of(&l.items[i], &f, &filters, NULL, NULL, &v, &err) == HCT_OK) verdict_free(&v);
    }
    series_list_free(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dicom_bytes *b;
    dicom_header h, again;
    hct_err err;
    if (dicom_bytes_memory("fuzz", data, size, &b, &err) < 0) return 0;
    if (dicom_header_read(b, &h, &err) == HCT_OK) {
        size_t n;
        unsigned char *packed = dicom_header_pack(&h, &n);
        if (!packed || dicom_header_unpack(packed, n, &again, &err) < 0) abort();
        dicom_header_free(&again);
        free(packed);
        frames(b, &h);
        judge(&h);
    }
    if (dicom_header_unpack(data, size, &again, &err) == HCT_OK && again.n_described < 1) abort();
    dicom_header_free(&again);
    dicom_header_free(&h);
    dicom_bytes_close(b);
    return 0;
}
