/* Bytes as a safetensors file: its header, its tensors in every type that they are asked for, the description. */
#include "fuzz.h"

#include <stdlib.h>

#include "models/weights.h"

/* An image of every tensor, in wider types. */
static void widen(const hct_st_entry *e) {
    size_t n = hct_st_elements(e);
    hct_err err;
    void *out = n < 1 << 20 ? malloc(8 * n + 1) : NULL;
    if (!out) return;
    (void)hct_st_to_f32(e, out, &err);
    (void)hct_st_to_f64(e, out, &err);
    (void)hct_st_to_i64(e, out, &err);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    hct_err err;
    model_info info;
    hct_st_file *f = hct_st_open(path, &err);
    if (!f) return 0;
    for (size_t i = 0; i < hct_st_count(f); i++) {
        const hct_st_entry *e = hct_st_at(f, i);
        if (hct_st_find(f, e->name) != e) abort();
        widen(e);
        hct_st_forget(e);
    }
    (void)weights_check_bytes(f, path, &err);
    if (weights_info(f, path, &info, &err) == HCT_OK) {
        char *again = weights_describe(&info, &err);
        model_info same;
        if (!again || weights_read_description(again, WEIGHTS_FORMAT, &same, &err) < 0) abort();
        free(again);
    }
    hct_st_close(f);
    return 0;
}
