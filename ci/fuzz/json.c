/* Bytes as the JSON that people and other programs bring: embeddings, lists of ids, a model's description. */
#include <stdlib.h>
#include <string.h>

#include "embeddings/formats.h"
#include "fuzz.h"
#include "models/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    embedding_table t = {0};
    char **id = NULL, *text = malloc(size + 1);
    size_t n = 0;
    hct_err err;
    model_info info;
    (void)embeddings_from_json(path, &t, &err);
    embedding_table_free(&t);
    if (embedding_ids_read(path, &id, &n, &err) == HCT_OK) embedding_ids_free(id, n);
    if (text) {
        memcpy(text, data, size);
        text[size] = '\0';
        (void)weights_read_description(text, WEIGHTS_FORMAT, &info, &err);
        (void)weights_read_description(text, "headct-weights/1", &info, &err);
    }
    free(text);
    return 0;
}
