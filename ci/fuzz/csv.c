/* Bytes as a CSV table. */
#include "fuzz.h"
#include "support/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hct_err err;
    csv *t = csv_read(fuzz_file(data, size), &err);
    if (!t) return 0;
    size_t letters = 0;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->columns; c++)
            for (const char *p = csv_cell(t, r, c); *p; p++) letters++;
    csv_need_column(t, "scan", &err);
    csv_free(t);
    return letters == (size_t)-1;
}
