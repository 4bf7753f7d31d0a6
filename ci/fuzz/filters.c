/* Bytes as a file of filters. */
#include "dicom/filters.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    series_filters f;
    hct_err err;
    if (filters_parse("fuzz.yaml", (const char *)data, size, &f, &err) < 0) return 0;
    filter_match(&f.no_words, "ct head wo contrast");
    filters_free(&f);
    return 0;
}
