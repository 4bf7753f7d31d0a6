/* Bytes as a NIfTI file: read, turned to RAS. */
#include "fuzz.h"
#include "imaging/nifti.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    volume v;
    hct_err err;
    if (nifti_read_memory("fuzz", data, size, &v, &err) < 0) return 0;
    if (volume_count(&v) < 1 << 20) volume_to_ras(&v, &err);
    volume_free(&v);
    return 0;
}
