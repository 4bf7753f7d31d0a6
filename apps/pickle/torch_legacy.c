/* Files of torch.save before PyTorch 1.6, and of its _use_new_zipfile_serialization=False: five pickles one after
 * the other (a magic number, a version, facts about the machine, the object, the keys of storages), then each
 * storage as its number of elements (8 bytes) and the elements, in the order of the keys. There are no checksums. */
#include <stdlib.h>
#include <string.h>

#include "pickle/torch_file.h"

/* pickle of 0x1950a86a20f9469cfc6c, and of 1001 */
static const unsigned char MAGIC[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                           VERSION[] = "\x80\x02M\xe9\x03.";
enum { MAGIC_BYTES = sizeof MAGIC - 1, VERSION_BYTES = sizeof VERSION - 1 };

#define REFUSE(...) hct_fail(err, HCT_EFORMAT, __VA_ARGS__)

int torch_is_legacy(const char *path) {
    hct_mapped m;
    hct_err ignored;
    if (hct_map_file(path, &m, &ignored) < 0) return 0;
    int is = m.size >= MAGIC_BYTES && memcmp(m.bytes, MAGIC, MAGIC_BYTES) == 0;
    hct_unmap_file(&m);
    return is;
}

hct_status torch_legacy_storage(torch_file *f, const pickle_value *key, int32_t dtype, int64_t elements, size_t *ret,
                                hct_err *err) {
    for (size_t i = 0; i < f->storages; i++) {
        const storage *s = &f->storage[i];
        if (s->key_bytes != key->n || memcmp(s->key, key->text, key->n) != 0) continue;
        *ret = i;
        return s->dtype == dtype && s->elements == elements
                   ? HCT_OK
                   : REFUSE("%s: storage '%.*s' is used in two ways", f->path, (int)key->n, key->text);
    }
    if (f->storages == f->storage_capacity) {
        size_t more = f->storage_capacity ? 2 * f->storage_capacity : 64;
        storage *grown = realloc(f->storage, more * sizeof *grown);
        if (!grown) return hct_fail(err, HCT_ENOMEM, "%s: out of memory for its storages", f->path);
        f->storage = grown;
        f->storage_capacity = more;
    }
    *ret = f->storages;
    f->storage[f->storages++] =
        (storage){.key = key->text, .key_bytes = key->n, .dtype = dtype, .elements = elements, .checked = 1};
    return HCT_OK;
}

/* Facts of the machine that wrote it: {"little_endian": True, ...}. */
static hct_status check_machine(const torch_file *f, const pickle *facts, hct_err *err) {
    const pickle_value *little = pickle_at(facts, pickle_member(facts, pickle_root(facts), "little_endian"));
    return little->kind == PICKLE_BOOL && little->whole
               ? HCT_OK
               : REFUSE("%s: its numbers are big-endian; save it on a little-endian machine", f->path);
}

/* The storage of the next key, at *io; storages that no tensor refers to are stepped over by nobody: their dtype is not
 * known. */
static hct_status take_storage(torch_file *f, const pickle_value *key, size_t *io, hct_err *err) {
    size_t i = 0, left = f->map.size - *io;
    while (i < f->storages && (key->kind != PICKLE_TEXT || f->storage[i].key_bytes != key->n ||
                               memcmp(f->storage[i].key, key->text, key->n)))
        i++;
    if (i == f->storages)
        return REFUSE("%s: holds a storage that its object does not refer to; save the state dict alone", f->path);
    storage *s = &f->storage[i];
    uint64_t elements = 0, size = hct_dtype_size(s->dtype);
    if (left < 8) return REFUSE("%s: ends early: storage '%.*s' is missing", f->path, (int)key->n, key->text);
    for (int b = 8; b-- > 0;) elements = elements << 8 | f->map.bytes[*io + (size_t)b];
    if (s->bytes || elements != (uint64_t)s->elements)
        return REFUSE("%s: storage '%.*s' has %llu elements, not %lld", f->path, (int)key->n, key->text,
                      (unsigned long long)elements, (long long)s->elements);
    if (elements > (left - 8) / size)
        return REFUSE("%s: ends early: storage '%.*s' is cut", f->path, (int)key->n, key->text);
    s->bytes = f->map.bytes + *io + 8;
    *io += 8 + (size_t)(elements * size);
    return HCT_OK;
}

static hct_status take_storages(torch_file *f, const pickle *keys, size_t at, hct_err *err) {
    const pickle_value *list = pickle_at(keys, pickle_root(keys));
    if (list->kind != PICKLE_LIST || list->n != f->storages)
        return REFUSE("%s: lists %u storages where its object refers to %zu", f->path,
                      list->kind == PICKLE_LIST ? list->n : 0, f->storages);
    hct_status st = HCT_OK;
    for (uint32_t i = 0; st == HCT_OK && i < list->n; i++)
        st = take_storage(f, pickle_at(keys, list->item[i]), &at, err);
    if (st == HCT_OK && at != f->map.size) st = REFUSE("%s: %zu bytes follow its end", f->path, f->map.size - at);
    return st;
}

/* Nothing but numbers and texts is wanted of the pickles around the object. */
static int64_t no_global(void *context, const char *module, const char *name) {
    (void)context, (void)module, (void)name;
    return -1;
}
static hct_status no_object(void *context, pickle *p, pickle_id id, pickle_id *ret, hct_err *err) {
    (void)p, (void)id, (void)ret;
    return REFUSE("%s: holds an object where torch.save puts none", ((const torch_file *)context)->path);
}

static hct_status no_making(void *context, pickle *p, int64_t global, pickle_id arguments, pickle_id *ret,
                            hct_err *err) {
    (void)global;
    return no_object(context, p, arguments, ret, err);
}
static hct_status no_state(void *context, pickle *p, pickle_id object, pickle_id state, hct_err *err) {
    (void)object;
    return no_object(context, p, state, NULL, err);
}

hct_status torch_legacy_read(torch_file *f, const pickle_hooks *hooks, hct_err *err) {
    const pickle_hooks plain = {
        .context = f, .global = no_global, .reduce = no_making, .build = no_state, .persistent = no_object};
    const unsigned char *bytes = f->map.bytes;
    size_t at = MAGIC_BYTES, used = 0;
    if (f->map.size < at + VERSION_BYTES || memcmp(bytes + at, VERSION, VERSION_BYTES) != 0)
        return REFUSE("%s: is of a version of torch.save's old form that is not known", f->path);
    at += VERSION_BYTES;
    pickle *facts = pickle_read_first(f->path, bytes + at, f->map.size - at, &plain, &used, err);
    hct_status st = facts ? check_machine(f, facts, err) : HCT_EFORMAT;
    pickle_free(facts);
    at += used;
    if (st == HCT_OK && !(f->p = pickle_read_first(f->path, bytes + at, f->map.size - at, hooks, &used, err)))
        st = HCT_EFORMAT;
    at += used;
    pickle *keys = st == HCT_OK ? pickle_read_first(f->path, bytes + at, f->map.size - at, &plain, &used, err) : NULL;
    if (st == HCT_OK) st = keys ? take_storages(f, keys, at + used, err) : HCT_EFORMAT;
    pickle_free(keys);
    return st;
}
