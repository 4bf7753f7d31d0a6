/* Bytes as a file of weights: safetensors with a description, torch.save's zip with its pickle, shards, or none. */
#include <stdlib.h>

#include "fuzz.h"
#include "models/weights.h"
#include "weights/state_dict.h"

static const char *const wanted[] = {"cls_token", "pos_embed", NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    weights_source f = {0};
    hct_err err;
    if (weights_source_open(path, &f, &err) < 0) return 0;
    for (int which = STATE_DICT_STUDENT; which <= STATE_DICT_TEACHER; which++) {
        state_dict s = {0};
        unsigned sum = 0;
        if (state_dict_read(&f, path, (state_dict_which)which, wanted, &s, &err) < 0) continue;
        for (size_t i = 0; i < s.n; i++)
            for (uint64_t b = 0; b < s.entry[i].bytes; b += 64) sum += ((const unsigned char *)s.entry[i].data)[b];
        state_dict_free(&s);
        if (sum == 12345) free(weights_source_told(&f, "headct"));
    }
    for (size_t i = 0; i < f.n_parts; i++) {
        model_info info;
        weights_info(f.parts[i], path, &info, &err);
    }
    weights_source_close(&f);
    return 0;
}
