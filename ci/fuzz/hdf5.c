/* Bytes as an HDF5 file of embeddings, in a folder as the reader takes it. What libhdf5 itself does with them is not
 * ours: it is not built with sanitizers here, and only ends of the program are seen. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "embeddings/formats.h"
#include "fuzz.h"

static char folder[] = "/tmp/headct-fuzz-XXXXXX", link_in_it[64];

static void remove_folder(void) {
    unlink(link_in_it);
    rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    hct_err err;
    embedding_table t = {0};
    if (!*link_in_it) {
        if (!mkdtemp(folder)) abort();
        snprintf(link_in_it, sizeof link_in_it, "%s/case.h5", folder);
        if (symlink(path, link_in_it) != 0) abort();
        atexit(remove_folder);
    }
    (void)embeddings_from_hdf5(folder, &t, &err);
    embedding_table_free(&t);
    return 0;
}
