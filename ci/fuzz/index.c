/* Bytes as a dataset's index (SQLite): opened, and asked for its scans. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataset/index.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char folder[64], path[128];
    dataset_index ix;
    hct_err err;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/dev/shm/headct-fuzz-XXXXXX");
        if (!mkdtemp(folder)) abort();
        snprintf(path, sizeof path, "%s/index.sqlite", folder);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0) abort();
    if (index_open(&ix, folder, 0, &err) == HCT_OK) {
        source_state state;
        char preprocessing[65];
        index_find_scan(&ix, "a", &state, preprocessing, &err);
        index_knows(&ix, "a", &err);
        index_close(&ix);
    }
    char other[160];
    snprintf(other, sizeof other, "%s-wal", path);
    unlink(other);
    snprintf(other, sizeof other, "%s-shm", path);
    unlink(other);
    return 0;
}
