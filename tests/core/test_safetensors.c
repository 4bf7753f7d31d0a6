/* hct/safetensors.h: what is written is read back, and every kind of damage is refused with a word on it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hct/half.h"
#include "hct/io.h"
#include "hct/safetensors.h"
#include "scratch.h"
#include "tap.h"
#include "write_shim.h"

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* A header that must be refused, with the number of data bytes behind it, and a word of the message. */
static const struct {
    const char *name, *header;
    size_t data;
    const char *says;
} damaged[] = {
    {"no JSON", "hello", 0, "not one JSON object"},
    {"empty header", "", 0, "not one JSON object"},
    {"array", "[]", 0, "not one JSON object"},
    {"cut JSON", "{\"a\":", 0, "not one JSON object"},
    {"text after JSON", "{} x", 0, "not one JSON object"},
    {"two objects", "{}{}", 0, "not one JSON object"},
    {"blank before JSON", " {}", 0, "not one JSON object"},
    {"deep nesting", NULL, 0, "not one JSON object"},
    {"tensor is a number", "{\"a\":1}", 0, "object"},
    {"no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "exactly"},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "exactly"},
    {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "exactly"},
    {"one key too many", "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4, "exactly"},
    {"dtype twice", "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "exactly"},
    {"dtype a number", "{\"a\":{\"dtype\":5,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "exactly"},
    {"unknown dtype", "{\"a\":" T("Q7", "[]", "[0,4]") "}", 4, "'Q7'"},
    {"F8_E4M3", "{\"a\":" T("F8_E4M3", "[4]", "[0,4]") "}", 4, "'F8_E4M3'"},
    {"BOOL", "{\"a\":" T("BOOL", "[4]", "[0,4]") "}", 4, "'BOOL'"},
    {"negative dim", "{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, "dimension"},
    {"dim with fraction", "{\"a\":" T("F32", "[1.5]", "[0,4]") "}", 4, "dimension"},
    {"dim a text", "{\"a\":" T("F32", "[\"1\"]", "[0,4]") "}", 4, "dimension"},
    {"dim beyond 2^53", "{\"a\":" T("F32", "[1e300]", "[0,4]") "}", 4, "dimension"},
    {"nine dims", "{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "more than 8"},
    {"overflow", "{\"a\":" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "overflow"},
    {"overflow to 4", "{\"a\":" T("F32", "[4503599627370497,4096]", "[0,16384]") "}", 16384, "overflow"},
    {"shape smaller", "{\"a\":" T("F32", "[1]", "[0,8]") "}", 8, "takes 4 bytes"},
    {"shape larger", "{\"a\":" T("F32", "[3]", "[0,8]") "}", 8, "takes 12 bytes"},
    {"beyond the file", "{\"a\":" T("F32", "[2]", "[0,8]") "}", 7, "cut short"},
    {"far beyond the file", "{\"a\":" T("U8", "[9007199254740992]", "[0,9007199254740992]") "}", 7, "cut short"},
    {"offsets fall", "{\"a\":" T("F32", "[1]", "[8,4]") "}", 8, "data_offsets"},
    {"negative offset", "{\"a\":" T("F32", "[1]", "[-4,0]") "}", 8, "data_offsets"},
    {"one offset", "{\"a\":" T("F32", "[1]", "[4]") "}", 4, "data_offsets"},
    {"three offsets", "{\"a\":" T("F32", "[1]", "[0,4,8]") "}", 8, "data_offsets"},
    {"overlap", "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[4,12]") "}", 12, "overlaps"},
    {"same bytes twice", "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[0,8]") "}", 8, "overlaps"},
    {"empty tensor inside another", "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[0]", "[4,4]") "}", 8,
     "overlaps"},
    {"gap", "{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[8,12]") "}", 12, "unused bytes"},
    {"gap at the start", "{\"a\":" T("F32", "[1]", "[4,8]") "}", 8, "unused bytes"},
    {"bytes left over", "{\"a\":" T("F32", "[1]", "[0,4]") "}", 5, "after the last tensor"},
    {"bytes without tensors", "{}", 1, "after the last tensor"},
    {"name twice", "{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[4,8]") "}", 8, "two tensors"},
    {"name twice by NUL", "{\"a\\u0000x\":" T("F32", "[1]", "[0,4]") ",\"a\\u0000y\":" T("F32", "[1]", "[4,8]") "}", 8,
     ""},
    {"name with a NUL", "{\"a\\u0000x\":" T("F32", "[1]", "[0,4]") "}", 4, "a control character"},
    {"name with a line end", "{\"a\nx\":" T("F32", "[1]", "[0,4]") "}", 4, "a control character"},
    {"name that is no UTF-8", "{\"a\xff\":" T("F32", "[1]", "[0,4]") "}", 4, "no UTF-8"},
    {"name in overlong UTF-8", "{\"a\xc0\xaf\":" T("F32", "[1]", "[0,4]") "}", 4, "no UTF-8"},
    {"name with a surrogate", "{\"a\xed\xa0\x80\":" T("F32", "[1]", "[0,4]") "}", 4, "no UTF-8"},
    {"dim with a point", "{\"a\":" T("F32", "[1.0]", "[0,4]") "}", 4, "not plain digits"},
    {"offset with an exponent", "{\"a\":" T("F32", "[1]", "[0,4e0]") "}", 4, "not plain digits"},
    {"dim -0", "{\"a\":" T("F32", "[-0]", "[0,0]") "}", 0, "not plain digits"},
    {"dim 01", "{\"a\":" T("F32", "[01]", "[0,4]") "}", 4, "not plain digits"},
    {"metadata a text", "{\"__metadata__\":\"x\"}", 0, "not an object"},
    {"metadata value a number", "{\"__metadata__\":{\"k\":1}}", 0, "'k' is not a string"},
    {"metadata key twice", "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "'k' is there twice"},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "there twice"},
};

/* length < 0: the header's own. */
static const char *make_file(const char *header, size_t header_bytes, size_t data, int64_t length) {
    size_t n = 8 + header_bytes + data;
    unsigned char *bytes = calloc(1, n);
    uint64_t stated = length < 0 ? header_bytes : (uint64_t)length;
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(stated >> 8 * i);
    if (header_bytes) memcpy(bytes + 8, header, header_bytes);
    const char *path = scratch_file("damaged.safetensors", bytes, n);
    free(bytes);
    return path;
}

static void refused(const char *name, const char *path, const char *says) {
    hct_err err = {0};
    hct_st_file *f = hct_st_open(path, &err);
    tap_ok(!f && err.code < 0 && strstr(err.msg, path) && strstr(err.msg, says), "refused: %s (%s)", name,
           f ? "was opened" : strrchr(err.msg, '/'));
    hct_st_close(f);
}

static void damage(void) {
    char deep[5000];
    memset(deep, '[', sizeof deep);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        const char *header = damaged[i].header ? damaged[i].header : deep;
        size_t n = damaged[i].header ? strlen(header) : sizeof deep;
        refused(damaged[i].name, make_file(header, n, damaged[i].data, -1), damaged[i].says);
    }
    refused("length beyond the file", make_file("{}", 2, 0, 3), "beyond the file");
    refused("length over 100 MB", make_file("{}", 2, 0, 100000001), "limit");
    refused("length 2^63", make_file("{}", 2, 0, INT64_MAX), "limit");
    refused("file of 7 bytes", scratch_file("damaged.safetensors", "1234567", 7), "too few");
    refused("empty file", scratch_file("damaged.safetensors", "", 0), "too few");
    refused("missing file", scratch_path("none.safetensors"), "none.safetensors");
    refused("folder", scratch_folder(), "folder");
}

/* Cuts a good file at every length: never opened, never a crash. */
static void every_cut(void) {
    const char *header = "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("U8", "[3]", "[8,11]") "}";
    char *bytes = NULL;
    size_t n = 0;
    hct_read_file(make_file(header, strlen(header), 11, -1), &bytes, &n, NULL);
    int opened = 0;
    for (size_t cut = 0; cut < n; cut++) {
        hct_st_file *f = hct_st_open(scratch_file("cut", bytes, cut), NULL);
        opened += f != NULL;
        hct_st_close(f);
    }
    tap_ok(opened == 0, "none of %zu cut files is opened", n);
    free(bytes);
}

/* Changes one to four bytes of a good file at random, 1,000 times. What still opens must lie inside the file;
 * sanitizers see what does not. */
static void random_damage(void) {
    const char *header =
        "{\"__metadata__\":{\"k\":\"v\"},\"a\":" T("F32", "[2,1]", "[0,8]") ",\"b\":" T("U8", "[3]", "[8,11]") "}";
    char *bytes = NULL;
    size_t n = 0, outside = 0, opened = 0;
    hct_read_file(make_file(header, strlen(header), 11, -1), &bytes, &n, NULL);
    uint64_t state = 1;
    for (int round = 0; round < 1000; round++) {
        char kept[4];
        size_t at[4];
        for (int k = 0; k < 4; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            at[k] = (size_t)(state >> 33) % n;
            kept[k] = bytes[at[k]];
            if (k <= round % 4) bytes[at[k]] = (char)(state >> 25);
        }
        hct_st_file *f = hct_st_open(scratch_file("random", bytes, n), NULL);
        for (size_t i = 0; f && i < hct_st_count(f); i++) {
            double v[64];
            const hct_st_entry *e = hct_st_at(f, i);
            outside += e->bytes > 11 || hct_st_elements(e) > 64 || hct_st_to_f64(e, v, NULL) < 0;
        }
        opened += f != NULL;
        hct_st_close(f);
        for (int k = 3; k >= 0; k--) bytes[at[k]] = kept[k];
    }
    free(bytes);
    tap_ok(outside == 0 && opened > 0, "1000 randomly damaged files: %zu opened, %zu of their tensors lie outside",
           opened, outside);
}

static void round_trip(void) {
    const float f32[6] = {1, -2.5f, 0, INFINITY, 3e-45f, 7};
    const double f64[2] = {0.1, -1e300};
    const uint16_t f16[3] = {hct_f16_from_f32(0.5f), hct_f16_from_f32(-65504), hct_f16_from_f32(6e-8f)};
    const int64_t i64[2] = {INT64_MIN, 9007199254740993};
    const int16_t i16[1] = {-1024};
    const uint8_t u8[3] = {0, 200, 255};
    const int8_t i8[1] = {-7};
    const hct_st_entry entries[] = {
        {"zz.u8", HCT_U8, 1, {3}, u8, 3},      {"w", HCT_F32, 2, {2, 3}, f32, 24},
        {"d", HCT_F64, 1, {2}, f64, 16},       {"h \"q\" \xc3\xa4", HCT_F16, 3, {1, 3, 1}, f16, 6},
        {"i64", HCT_I64, 1, {2}, i64, 16},     {"scalar", HCT_I16, 0, {0}, i16, 2},
        {"none", HCT_F32, 2, {0, 5}, NULL, 0}, {"i8", HCT_I8, 1, {1}, i8, 1},
    };
    const size_t n = sizeof entries / sizeof *entries;
    const hct_st_pair meta[] = {{"format", "headct"}, {"note", "a \"b\"\n\\ \xc3\xa4"}};
    const char *path = scratch_path("good.safetensors");
    hct_err err = {0};
    tap_ok(hct_st_write(path, entries, n, meta, 2, &err) == HCT_OK, "writes (%s)", err.msg);
    hct_st_file *f = hct_st_open(path, &err);
    if (!tap_ok(f && hct_st_count(f) == n, "opens with every tensor (%s)", err.msg)) return;
    int sorted = 1, aligned = 1, equal = 1;
    for (size_t i = 0; i < n; i++) {
        const hct_st_entry *e = hct_st_at(f, i), *mine = NULL;
        if (i) sorted = sorted && strcmp(hct_st_at(f, i - 1)->name, e->name) < 0;
        aligned = aligned && (uintptr_t)e->data % hct_dtype_size(e->dtype) == 0;
        for (size_t k = 0; k < n; k++)
            if (strcmp(entries[k].name, e->name) == 0) mine = &entries[k];
        equal = equal && mine && hct_st_find(f, e->name) == e && e->dtype == mine->dtype && e->ndim == mine->ndim &&
                !memcmp(e->dim, mine->dim, sizeof e->dim) && e->bytes == mine->bytes &&
                (e->bytes == 0 || !memcmp(e->data, mine->data, e->bytes));
    }
    tap_ok(sorted, "entries come in order of name");
    tap_ok(aligned, "every tensor is aligned for its dtype");
    tap_ok(equal, "names, shapes and bytes are those written");
    tap_ok(hct_st_find(f, "absent") == NULL, "an absent name is NULL");
    tap_ok(!strcmp(hct_st_meta(f, "note"), meta[1].value) && !hct_st_meta(f, "absent"), "metadata comes back");

    float a[6];
    double d[6];
    int64_t k[3];
    tap_ok(hct_st_to_f64(hct_st_find(f, "w"), d, NULL) == 0 && d[1] == -2.5 && isinf(d[3]) && d[4] == (double)3e-45f,
           "F32 widens to double");
    tap_ok(hct_st_to_f32(hct_st_find(f, "h \"q\" \xc3\xa4"), a, NULL) == 0 && a[0] == 0.5f && a[1] == -65504 &&
               a[2] == 5.9604645e-8f,
           "F16 widens to float, subnormals too");
    tap_ok(hct_st_to_i64(hct_st_find(f, "i64"), k, NULL) == 0 && k[0] == INT64_MIN && k[1] == 9007199254740993,
           "I64 stays exact");
    tap_ok(hct_st_to_i64(hct_st_find(f, "zz.u8"), k, NULL) == 0 && k[1] == 200 && k[2] == 255, "U8 is unsigned");
    tap_ok(hct_st_to_f32(hct_st_find(f, "scalar"), a, NULL) == 0 && a[0] == -1024, "a scalar has one element");
    tap_ok(hct_st_to_f64(hct_st_find(f, "none"), d, NULL) == 0 && hct_st_elements(hct_st_find(f, "none")) == 0,
           "a tensor without elements has none");
    tap_ok(hct_st_to_i64(hct_st_find(f, "w"), k, &err) == HCT_EDTYPE && strstr(err.msg, "'w'"),
           "float to int is refused");
    hct_st_close(f);
    tap_ok(hct_st_write(path, NULL, 0, NULL, 0, &err) == HCT_OK && (f = hct_st_open(path, &err)) &&
               hct_st_count(f) == 0,
           "a file without tensors");
    hct_st_close(f);
}

/* Data at odd addresses: another writer's choice that must not hurt. */
static void unaligned(void) {
    const char *header = "{\"b\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("F64", "[1]", "[1,9]") "}   ";
    hct_st_file *f = hct_st_open(make_file(header, strlen(header) / 2 * 2, 9, -1), NULL);
    double d[1] = {1};
    tap_ok(f && hct_st_to_f64(hct_st_find(f, "a"), d, NULL) == 0 && d[0] == 0, "data at odd addresses is read");
    hct_st_close(f);
}

static void refuses_to_write(void) {
    const float v[2] = {1, 2};
    const char *path = scratch_file("kept", "old", 3);
    const struct {
        const char *name;
        hct_st_entry e[2];
        size_t n;
    } bad[] = {
        {"bytes against shape", {{"a", HCT_F32, 1, {3}, v, 8}}, 1},
        {"negative dim", {{"a", HCT_F32, 1, {-2}, v, 8}}, 1},
        {"unknown dtype", {{"a", 77, 1, {2}, v, 8}}, 1},
        {"too many dims", {{"a", HCT_F32, 9, {2}, v, 8}}, 1},
        {"name twice", {{"a", HCT_F32, 1, {2}, v, 8}, {"a", HCT_U8, 1, {8}, v, 8}}, 2},
        {"name that is no UTF-8", {{"a\xe9", HCT_F32, 1, {2}, v, 8}}, 1},
        {"reserved name", {{"__metadata__", HCT_F32, 1, {2}, v, 8}}, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hct_err err = {0};
        char *text = NULL;
        hct_status status = hct_st_write(path, bad[i].e, bad[i].n, NULL, 0, &err);
        hct_read_file(path, &text, NULL, NULL);
        tap_ok(status < 0 && strstr(err.msg, path) && text && !strcmp(text, "old"), "not written: %s", bad[i].name);
        free(text);
    }
}

static void full_disk(void) {
    const char *path = scratch_file("kept", "old", 3);
    static float big[200000];
    const hct_st_entry e = {"a", HCT_F32, 1, {200000}, big, sizeof big};
    int before = scratch_count(scratch_folder());
    for (long budget = 0; budget < (long)sizeof big; budget += 99999) {
        hct_err err = {0};
        char *text = NULL;
        write_shim_budget = budget;
        hct_status status = hct_st_write(path, &e, 1, NULL, 0, &err);
        write_shim_budget = -1;
        hct_read_file(path, &text, NULL, NULL);
        tap_ok(status == HCT_EIO && strstr(err.msg, "No space left") && text && !strcmp(text, "old") &&
                   scratch_count(scratch_folder()) == before,
               "disk full after %ld bytes leaves the old file", budget);
        free(text);
    }
}

int main(void) {
    round_trip();
    unaligned();
    damage();
    every_cut();
    random_damage();
    refuses_to_write();
    full_disk();
    return tap_done();
}
