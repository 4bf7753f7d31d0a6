/* Bytes as a file of torch.save, of today or of before 1.6: its zip, its pickle, and every tensor two levels deep. */
#include "fuzz.h"
#include "pickle/torch.h"

/* What is in a dict, and in the dicts in it: keys and values by turns. */
static void walk(torch_file *f, pickle_id at, int depth) {
    const pickle *p = torch_values(f);
    hct_st_entry e;
    hct_err err;
    double number;
    if (torch_tensor_at(f, at) && torch_entry(f, at, "t", &e, &err) == HCT_OK) {
        unsigned sum = 0;
        for (size_t b = 0; b < e.bytes; b += 64) sum += ((const unsigned char *)e.data)[b];
        hct_st_elements(&(hct_st_entry){.ndim = (int32_t)(sum & 0)});
    }
    (void)torch_number(f, at, &number);
    const pickle_value v = *pickle_at(p, at);
    if (depth && (v.kind == PICKLE_DICT || v.kind == PICKLE_LIST || v.kind == PICKLE_TUPLE))
        for (uint32_t i = 0; i < v.n && i < 1000; i++) walk(f, v.item[i], depth - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hct_err err;
    torch_file *f = torch_open(fuzz_file(data, size), &err);
    if (!f) return 0;
    walk(f, pickle_root(torch_values(f)), 3);
    torch_close(f);
    return 0;
}
