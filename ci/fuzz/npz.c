/* Bytes as arrays of NumPy: one (.npy), or a zip of them (.npz), with ids that may be pickled. */
#include "embeddings/formats.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    hct_err err;
    for (int zip = 0; zip < 2; zip++) {
        embedding_table t = {0};
        (void)(zip ? embeddings_from_npz : embeddings_from_npy)(path, &t, &err);
        embedding_table_free(&t);
    }
    return 0;
}
