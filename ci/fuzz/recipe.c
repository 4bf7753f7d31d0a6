/* Bytes as a training recipe. */
#include "fuzz.h"
#include "recipe/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hct_err err;
    recipe r = recipe_default();
    recipe_load(fuzz_file(data, size), &r, &err);
    return 0;
}
