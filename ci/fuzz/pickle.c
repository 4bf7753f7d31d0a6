/* Bytes as a Python pickle, with the hooks of torch.save's files: every opcode, no zip in the way. */
#include "pickle/pickle.h"
#include "fuzz.h"

static int64_t global(void *context, const char *module, const char *name) {
    (void)context;
    return *module == 'c' || *name == 'O' ? 1 : -1;
}
static hct_status reduce(void *context, pickle *p, int64_t which, pickle_id arguments, pickle_id *ret, hct_err *err) {
    (void)context, (void)which, (void)arguments, (void)err;
    *ret = pickle_make(p, (pickle_value){.kind = PICKLE_DICT});
    return *ret == PICKLE_NONE ? HCT_ENOMEM : HCT_OK;
}
static hct_status build(void *context, pickle *p, pickle_id object, pickle_id state, hct_err *err) {
    (void)context, (void)p, (void)object, (void)state, (void)err;
    return HCT_OK;
}
static hct_status persistent(void *context, pickle *p, pickle_id id, pickle_id *ret, hct_err *err) {
    (void)context, (void)err;
    *ret = pickle_at(p, id)->kind == PICKLE_TUPLE ? id : pickle_make(p, (pickle_value){.kind = PICKLE_OWN});
    return HCT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const pickle_hooks hooks = {NULL, global, reduce, build, persistent};
    hct_err err;
    pickle *p = pickle_read("fuzz", data, size, &hooks, &err);
    if (!p) return 0;
    pickle_member(p, pickle_root(p), "model");
    pickle_unknown(p);
    pickle_free(p);
    return 0;
}
