/* What fuzz targets share: LLVMFuzzerTestOneInput is each one's own; libFuzzer brings main. */
#ifndef CI_FUZZ_FUZZ_H
#define CI_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a file in memory that holds the bytes, for readers that take a path; the same one each time. */
const char *fuzz_file(const uint8_t *data, size_t size);

#endif
