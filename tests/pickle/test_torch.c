/* pickle/torch.h: what torch.save can write is read, nothing is ever run, and every kind of damage is refused with a
 * word on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hct/io.h"
#include "make_torch.h"
#include "pickle/torch.h"
#include "pickle/zip.h"
#include "scratch.h"
#include "tap.h"
#include "weights/state_dict.h"

static const float six[6] = {1, 2, 3, 4, 5, 6};

/* The archive of a pickle and the storage "0" of six floats. */
static const char *archive(const bytes *pickle, int zip64) {
    const member m[] = {
        {"a/data.pkl", pickle->at, pickle->n, 0},
        {"a/byteorder", "little", 6, 0},
        {"a/data/0", six, sizeof six, 0},
        {"a/version", "3\n", 2, 0},
    };
    bytes z = make_zip(m, 4, zip64);
    const char *path = scratch_file("t.pth", z.at, z.n);
    bytes_free(&z);
    return path;
}

static void entry(bytes *b, const char *name) { p_text(b, name); }

/* A state dict of six tensors over one storage, and a file around it. */
static bytes good_pickle(void) {
    bytes b = {0};
    p_op(&b, "\x80\x02}(");
    entry(&b, "epoch"), p_int(&b, 3);
    entry(&b, "best");
    p_global(&b, "numpy.core.multiarray", "scalar");
    p_global(&b, "numpy", "dtype");
    p_text(&b, "f8");
    p_op(&b, "\x89\x88\x87R(K\x03");
    p_text(&b, "<");
    p_op(&b, "NNNtb");
    p_global(&b, "_codecs", "encode");
    p_text(&b, "123456\xc3\xa0\xc2\xbf");
    p_text(&b, "latin1");
    p_op(&b, "\x86R\x86R");
    entry(&b, "state_dict");
    p_global(&b, "collections", "OrderedDict");
    p_op(&b, ")Rq\x01(");
    entry(&b, "module._orig_mod.whole"),
        p_tensor(&b, "FloatStorage", "0", 6, 0, 2, (int64_t[]){2, 3}, (int64_t[]){3, 1});
    entry(&b, "module.turned"), p_tensor(&b, "FloatStorage", "0", 6, 0, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3});
    entry(&b, "backbone.part"), p_tensor(&b, "FloatStorage", "0", 6, 4, 1, (int64_t[]){2}, (int64_t[]){1});
    entry(&b, "a._orig_mod.scalar"), p_tensor(&b, "FloatStorage", "0", 6, 5, 0, NULL, NULL);
    entry(&b, "none"), p_tensor(&b, "FloatStorage", "0", 6, 6, 2, (int64_t[]){0, 7}, (int64_t[]){7, 1});
    entry(&b, "parameter");
    p_global(&b, "torch._utils", "_rebuild_parameter");
    p_op(&b, "(");
    p_tensor(&b, "FloatStorage", "0", 6, 1, 1, (int64_t[]){3}, (int64_t[]){2});
    p_op(&b, "\x88");
    p_global(&b, "collections", "OrderedDict");
    p_op(&b, ")RtRu}");
    entry(&b, "_metadata"), p_op(&b, "}sbu.");
    return b;
}

static int entry_is(const state_dict *s, const char *name, size_t n, const double *want) {
    for (size_t i = 0; i < s->n; i++) {
        double got[8] = {0};
        if (strcmp(s->entry[i].name, name) != 0) continue;
        return hct_st_elements(&s->entry[i]) == n && hct_st_to_f64(&s->entry[i], got, NULL) == HCT_OK &&
               (!n || !memcmp(got, want, n * sizeof *want));
    }
    return 0;
}

static void reads(int zip64) {
    bytes b = good_pickle();
    const char *path = archive(&b, zip64);
    hct_err err = {0, ""};
    torch_file *f = torch_open(path, &err);
    state_dict s = {0};
    if (tap_ok(f &&
                   state_dict_read(&(weights_source){.torch = f}, path, STATE_DICT_STUDENT, NULL, &s, &err) == HCT_OK &&
                   s.n == 6,
               "%s opens with every tensor (%s)", zip64 ? "zip64" : "zip", err.msg)) {
        tap_ok(entry_is(&s, "whole", 6, (double[]){1, 2, 3, 4, 5, 6}), "a whole storage");
        tap_ok(entry_is(&s, "turned", 6, (double[]){1, 4, 2, 5, 3, 6}), "a transposed view becomes row-major");
        tap_ok(entry_is(&s, "part", 2, (double[]){5, 6}), "a part of a storage");
        tap_ok(entry_is(&s, "a.scalar", 1, (double[]){6}), "a scalar; '_orig_mod.' in the middle of a name");
        tap_ok(entry_is(&s, "none", 0, NULL), "a tensor without elements");
        tap_ok(entry_is(&s, "parameter", 3, (double[]){2, 4, 6}), "a parameter with strides");
        double epoch = 0, best = 0;
        pickle_id root = pickle_root(torch_values(f));
        torch_number(f, pickle_member(torch_values(f), root, "epoch"), &epoch);
        torch_number(f, pickle_member(torch_values(f), root, "best"), &best);
        double want;
        memcpy(&want, "123456\xe0\xbf", sizeof want);
        tap_ok(epoch == 3, "a whole number");
        tap_ok(best == want, "a numpy scalar");
    }
    state_dict_free(&s);
    torch_close(f);
    bytes_free(&b);
}

static void refused(const char *name, const char *path, const char *says) {
    hct_err err = {0, ""};
    torch_file *f = torch_open(path, &err);
    state_dict s = {0};
    hct_status st =
        f ? state_dict_read(&(weights_source){.torch = f}, path, STATE_DICT_STUDENT, NULL, &s, &err) : err.code;
    tap_ok(st < 0 && strstr(err.msg, path) && strstr(err.msg, says) && !strchr(err.msg, '\n'), "refused: %s (%s)", name,
           st < 0 ? err.msg + strlen(path) : "was read");
    state_dict_free(&s);
    torch_close(f);
}

#define RAW(text) text, sizeof text - 1

/* Pickles that must be refused, with a word of the message. */
static const struct {
    const char *name, *ops;
    size_t n;
    const char *says;
} hostile[] = {
    {"os.system",
     RAW("\x80\x02"
         "cposix\nsystem\nX\2\0\0\0ls\x85R."),
     "'posix.system'"},
    {"builtins.eval",
     RAW("\x80\x02"
         "c__builtin__\neval\n(tR."),
     "'__builtin__.eval'"},
    {"a name by STACK_GLOBAL",
     RAW("\x80\x04\x8c\x08"
         "builtins\x8c\4exec\x93)R."),
     "'builtins.exec'"},
    {"a class of torch that is none of ours",
     RAW("\x80\x02"
         "ctorch\nload\n)R."),
     "'torch.load'"},
    {"NEWOBJ",
     RAW("\x80\x02"
         "ccollections\nOrderedDict\n)\x81."),
     "state_dict"},
    {"INST", RAW("\x80\x02(ios\nsystem\n."), "opcode 0x69"},
    {"OBJ", RAW("\x80\x02(ccollections\nOrderedDict\no."), "opcode 0x6f"},
    {"an extension code", RAW("\x80\x02\x82\1."), "opcode 0x82"},
    {"persistent id of text", RAW("\x80\x02Pabc\n."), "opcode 0x50"},
    {"decimal text for a number", RAW("\x80\x02I5\n."), "opcode 0x49"},
    {"protocol 0", RAW("\x80\0}."), "protocol"},
    {"protocol 6", RAW("\x80\6}."), "protocol"},
    {"nothing", RAW(""), "no end"},
    {"no STOP", RAW("\x80\2}"), "no end"},
    {"STOP with nothing", RAW("\x80\2."), "not there"},
    {"items above a mark with no dict below", RAW("\x80\2(u."), "not there"},
    {"STOP above a mark", RAW("\x80\2}(N."), "left over"},
    {"two values at the end", RAW("\x80\2}}."), "left over"},
    {"bytes after STOP", RAW("\x80\2}.N"), "bytes follow"},
    {"text beyond the pickle",
     RAW("\x80\2X\xff\xff\xff\x7f"
         "abc."),
     "longer than the pickle"},
    {"text of 2^64 - 1",
     RAW("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
         "abc."),
     "longer than the pickle"},
    {"cut number", RAW("\x80\2J\1"), "middle"},
    {"cut name", RAW("\x80\2cabc"), "middle"},
    {"unreadable name", RAW("\x80\2c\1\nx\n."), "unreadable"},
    {"memo never set", RAW("\x80\2h\5."), "never set"},
    {"memo of 2^32 - 1", RAW("\x80\2Nr\xff\xff\xff\xff."), "memo number"},
    {"memo of nothing", RAW("\x80\2q\1."), "not there"},
    {"SETITEMS without a mark", RAW("\x80\2}u."), "mark"},
    {"SETITEMS with a key alone", RAW("\x80\2}(Nu."), "no value"},
    {"SETITEMS into a list", RAW("\x80\2](NNu."), "no dict"},
    {"APPEND to a tuple", RAW("\x80\2)Na."), "no list"},
    {"SETITEM across a mark", RAW("\x80\2}N(Ns."), "not there"},
    {"TUPLE3 of two", RAW("\x80\2NN\x87."), "not there"},
    {"number of 72 bits", RAW("\x80\2\x8a\t123456789."), "64 bits"},
    {"calling a dict", RAW("\x80\2})R."), "no function"},
    {"calling with a list",
     RAW("\x80\2"
         "ccollections\nOrderedDict\n]R."),
     "no function"},
    {"OrderedDict of something",
     RAW("\x80\2"
         "ccollections\nOrderedDict\nN\x85R."),
     "OrderedDict"},
    {"calling a storage type",
     RAW("\x80\2"
         "ctorch\nFloatStorage\n)R."),
     "by hand"},
    {"state of a number", RAW("\x80\2K\1}b."), "state of something"},
    {"tensor without a storage",
     RAW("\x80\2"
         "ctorch._utils\n_rebuild_tensor_v2\n)R."),
     "torch.save"},
    {"parameter without a tensor",
     RAW("\x80\2"
         "ctorch._utils\n_rebuild_parameter\nN\x85R."),
     "no tensor"},
    {"storage that is no tuple", RAW("\x80\2NQ."), "storage"},
    {"encode of 20 bytes",
     RAW("\x80\2"
         "c_codecs\nencode\nX\x14\0\0\0"
         "12345678901234567890X\6\0\0\0latin1\x86R."),
     "state_dict"},
    {"encode of text",
     RAW("\x80\2"
         "c_codecs\nencode\nX\3\0\0\0\xe2\x82\xacX\6\0\0\0latin1\x86R."),
     "latin1"},
    {"encode to UTF-16",
     RAW("\x80\2"
         "c_codecs\nencode\nX\1\0\0\0aX\5\0\0\0utf16\x86R."),
     "something else"},
    {"numpy object",
     RAW("\x80\2"
         "cnumpy\ndtype\nX\2\0\0\0O8\x85R."),
     "state_dict"},
    {"numpy scalar of a wrong length",
     RAW("\x80\3"
         "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\2\0\0\0f8\x85RC\4abcd\x86R."),
     "damaged"},
    {"no state dict", RAW("\x80\2}."), "state_dict"},
    {"a number alone", RAW("\x80\2K\1."), "state_dict"},
    {"empty state dict", RAW("\x80\2}X\n\0\0\0state_dict}s."), "empty"},
    {"state dict with a number", RAW("\x80\2}X\n\0\0\0state_dict}X\1\0\0\0aK\1ss."), "no tensors"},
    {"state dict with a number for a key", RAW("\x80\2}X\n\0\0\0state_dict}K\1K\1ss."), "no name"},
    {"a dict that holds itself", RAW("\x80\2}q\1X\n\0\0\0state_dicth\1s."), "no tensors"},
    {"a list that holds itself", RAW("\x80\2]q\1h\1a."), "state_dict"},
};

static void hostile_pickles(void) {
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        bytes b = {0};
        bytes_add(&b, hostile[i].ops, hostile[i].n);
        refused(hostile[i].name, archive(&b, 0), hostile[i].says);
        bytes_free(&b);
    }
    bytes deep = {0}; /* a tuple in a tuple in a tuple: no recursion may be here */
    p_op(&deep, "\x80\x02)");
    for (int i = 0; i < 2000000; i++) p_op(&deep, "\x85");
    p_op(&deep, ".");
    refused("two million tuples in one another", archive(&deep, 0), "state_dict");
    bytes_free(&deep);
    bytes laughs = {0}; /* each list holds the one before it twice */
    p_op(&laughs, "\x80\x02]");
    for (int i = 1; i < 200; i++) {
        p_op(&laughs, "q"), bytes_little(&laughs, (uint64_t)i, 1);
        p_op(&laughs, "h"), bytes_little(&laughs, (uint64_t)i, 1);
        p_op(&laughs, "\x86");
    }
    p_op(&laughs, ".");
    refused("2^199 values by sharing", archive(&laughs, 0), "state_dict");
    bytes_free(&laughs);
    bytes long_ = {0};
    p_op(&long_, "\x80\x02");
    for (size_t i = 0; i < PICKLE_BYTES_MAX; i++) bytes_little(&long_, 'N', 1);
    refused("a pickle over the limit", archive(&long_, 0), "more than");
    bytes_free(&long_);
}

/* Tensors that do not fit storage "0" of six floats. */
static const struct {
    const char *name, *type, *key;
    int64_t elements, offset;
    int axes;
    int64_t size[9], stride[9];
    const char *says;
} misfits[] = {
    {"one element too many", "FloatStorage", "0", 6, 0, 1, {7}, {1}, "beyond"},
    {"offset beyond", "FloatStorage", "0", 6, 6, 1, {1}, {1}, "beyond"},
    {"offset far beyond, no elements", "FloatStorage", "0", 6, 7, 1, {0}, {1}, "beyond"},
    {"negative offset", "FloatStorage", "0", 6, -1, 1, {1}, {1}, "torch.save"},
    {"negative size", "FloatStorage", "0", 6, 0, 1, {-1}, {1}, "torch.save"},
    {"negative stride", "FloatStorage", "0", 6, 5, 1, {6}, {-1}, "torch.save"},
    {"stride beyond", "FloatStorage", "0", 6, 0, 1, {2}, {6}, "beyond"},
    {"stride that overflows", "FloatStorage", "0", 6, 0, 1, {3}, {INT64_MAX}, "beyond"},
    {"strides that overflow together", "FloatStorage", "0", 6, 0, 2, {2, 2}, {INT64_MAX, INT64_MAX}, "beyond"},
    {"size that overflows", "FloatStorage", "0", 6, 0, 2, {INT64_MAX, INT64_MAX}, {0, 0}, "beyond"},
    {"stride 0 makes a million of one", "FloatStorage", "0", 6, 0, 1, {1000000}, {0}, "beyond"},
    {"nine axes", "FloatStorage", "0", 6, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "torch.save"},
    {"storage longer than said", "FloatStorage", "0", 5, 0, 1, {5}, {1}, "24 bytes"},
    {"storage shorter than said", "FloatStorage", "0", 7, 0, 1, {7}, {1}, "24 bytes"},
    {"elements that overflow", "FloatStorage", "0", INT64_MAX, 0, 1, {1}, {1}, "24 bytes"},
    {"another dtype's size", "DoubleStorage", "0", 6, 0, 1, {6}, {1}, "24 bytes"},
    {"absent storage", "FloatStorage", "7", 6, 0, 1, {6}, {1}, "holds no storage"},
    {"a way out of the archive", "FloatStorage", "../data.pkl", 6, 0, 1, {6}, {1}, "holds no storage"},
    {"complex numbers", "ComplexFloatStorage", "0", 3, 0, 1, {3}, {1}, "no tensors"},
};

static void start(bytes *b) {
    p_op(b, "\x80\x02}");
    p_text(b, "state_dict");
    p_op(b, "}(");
}

static void misfit_tensors(void) {
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
        bytes b = {0};
        start(&b);
        entry(&b, "w"), p_tensor(&b, misfits[i].type, misfits[i].key, misfits[i].elements, misfits[i].offset,
                                 misfits[i].axes, misfits[i].size, misfits[i].stride);
        p_op(&b, "us.");
        refused(misfits[i].name, archive(&b, 0), misfits[i].says);
        bytes_free(&b);
    }
    bytes b = {0};
    start(&b);
    entry(&b, "a"), p_tensor(&b, "FloatStorage", "0", 6, 0, 1, (int64_t[]){6}, (int64_t[]){1});
    entry(&b, "b"), p_tensor(&b, "IntStorage", "0", 6, 0, 1, (int64_t[]){6}, (int64_t[]){1});
    p_op(&b, "us.");
    refused("one storage of two dtypes", archive(&b, 0), "two dtypes");
    bytes_free(&b);
    start(&b);
    entry(&b, "module.a"), p_tensor(&b, "FloatStorage", "0", 6, 0, 1, (int64_t[]){6}, (int64_t[]){1});
    entry(&b, "a"), p_tensor(&b, "FloatStorage", "0", 6, 0, 1, (int64_t[]){6}, (int64_t[]){1});
    p_op(&b, "us.");
    refused("two tensors of one name", archive(&b, 0), "two tensors");
    bytes_free(&b);
}

/* Many tensors over one storage: their copies would be far larger than the file. */
static void many_copies(void) {
    static float big[100000];
    bytes b = {0};
    start(&b);
    for (int i = 0; i < 400; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        entry(&b, name), p_tensor(&b, "FloatStorage", "0", 100000, 0, 2, (int64_t[]){100, 1000}, (int64_t[]){1, 100});
    }
    p_op(&b, "us.");
    const member m[] = {{"a/data.pkl", b.at, b.n, 0}, {"a/data/0", big, sizeof big, 0}};
    bytes z = make_zip(m, 2, 0);
    refused("400 copies of one storage", scratch_file("many.pth", z.at, z.n), "times the file");
    bytes_free(&z);
    bytes_free(&b);
}

static void zips(void) {
    bytes p = good_pickle();
    const member ok[] = {{"a/data.pkl", p.at, p.n, 0}, {"a/data/0", six, sizeof six, 0}};
    static const struct {
        const char *name;
        member m[3];
        size_t n;
        const char *says;
    } wrong[] = {
        {"no data.pkl", {{"a/data/0", six, sizeof six, 0}}, 1, "no data.pkl"},
        {"data.pkl outside a folder", {{"data.pkl", "N.", 2, 0}}, 1, "no data.pkl"},
        {"two data.pkl", {{"a/data.pkl", "N.", 2, 0}, {"b/data.pkl", "N.", 2, 0}}, 2, "two files"},
        {"TorchScript", {{"a/data.pkl", "N.", 2, 0}, {"a/constants.pkl", "N.", 2, 0}}, 2, "TorchScript"},
        {"big-endian", {{"a/data.pkl", "N.", 2, 0}, {"a/byteorder", "big", 3, 0}}, 2, "big-endian"},
        {"a name twice", {{"a/data.pkl", "N.", 2, 0}, {"a/data.pkl", "N.", 2, 0}}, 2, "twice"},
        {"a name with a line break", {{"a/data.pkl", "N.", 2, 0}, {"a\nb", "", 0, 0}}, 2, "printable"},
        {"a wrong checksum", {{"a/data.pkl", "N.", 2, 77}}, 1, "checksum"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bytes z = make_zip(wrong[i].m, wrong[i].n, i % 2);
        refused(wrong[i].name, scratch_file("wrong.pth", z.at, z.n), wrong[i].says);
        bytes_free(&z);
    }
    refused("no zip", scratch_file("wrong.pth", "hello", 5), "no zip");
    refused("empty file", scratch_file("wrong.pth", "", 0), "no zip");
    refused("missing file", scratch_path("none.pth"), "none.pth");
    /* fields of the directory of a good file, one after the other */
    bytes z = make_zip(ok, 2, 0);
    size_t end = z.n - 22, at = 0;
    for (int i = 0; i < 4; i++) at |= (size_t)z.at[end + 16 + (size_t)i] << 8 * i;
    static const struct {
        const char *name;
        size_t from_directory, from_end, bytes; /* one of the two */
        uint64_t value;
        const char *says;
    } field[] = {
        {"encrypted", 8, 0, 2, 1, "encrypted"},
        {"deflated", 10, 0, 2, 8, "compressed"},
        {"stored size differs", 20, 0, 4, 5, "sizes differ"},
        {"local header beyond", 42, 0, 4, 0xfffffff0, "not where"},
        {"local header elsewhere", 42, 0, 4, 4, "not where"},
        {"zip64 field missing", 42, 0, 4, UINT32_MAX, "zip64"},
        {"name longer than the directory", 28, 0, 2, 60000, "damaged"},
        {"directory beyond the file", 0, 16, 4, 0x7fffffff, "outside"},
        {"more members than fit", 0, 10, 2, 60000, "cannot hold"},
        {"fewer members", 0, 10, 2, 1, "too many"},
        {"another disk", 0, 4, 2, 1, "several"},
    };
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        bytes copy = {0};
        bytes_add(&copy, z.at, z.n);
        for (size_t k = 0; k < field[i].bytes; k++)
            copy.at[(field[i].from_end ? end + field[i].from_end : at + field[i].from_directory) + k] =
                (unsigned char)(field[i].value >> 8 * k);
        refused(field[i].name, scratch_file("wrong.pth", copy.at, copy.n), field[i].says);
        bytes_free(&copy);
    }
    bytes_free(&z);
    bytes_free(&p);
}

/* The second member's directory entry points at the first: one storage would be read as another. */
static void overlap(void) {
    bytes z = make_zip(
        (const member[]){
            {"a/data.pkl", "N.", 2, 0},
            {"a/data/00", six, sizeof six, 0},
            {"a/data/01", six, sizeof six, 0},
        },
        3, 0);
    unsigned char *second = NULL, *third = NULL;
    for (size_t i = 0; i + 46 + 9 < z.n; i++) {
        if (memcmp(z.at + i, "PK\1\2", 4) != 0) continue;
        if (!memcmp(z.at + i + 46, "a/data/00", 9)) second = z.at + i;
        if (!memcmp(z.at + i + 46, "a/data/01", 9)) third = z.at + i;
    }
    if (!tap_ok(second && third, "the directory is found")) return;
    second[20] = second[24] = 60; /* longer than up to the third */
    refused("members overlap", scratch_file("wrong.pth", z.at, z.n), "overlap");
    second[20] = second[24] = 24;
    memcpy(third + 42, second + 42, 4);
    memcpy(third + 46, "a/data/00", 9);
    refused("one member twice", scratch_file("wrong.pth", z.at, z.n), "overlap");
    bytes_free(&z);
}

/* Opens and touches all that is read. */
static int survives(const char *path) {
    hct_err err = {0, ""};
    torch_file *f = torch_open(path, &err);
    state_dict s = {0};
    hct_status st =
        f ? state_dict_read(&(weights_source){.torch = f}, path, STATE_DICT_STUDENT, NULL, &s, &err) : err.code;
    double sum = 0;
    for (size_t i = 0; st == HCT_OK && i < s.n; i++) {
        double v[64];
        if (hct_st_elements(&s.entry[i]) <= 64 && hct_st_to_f64(&s.entry[i], v, NULL) == HCT_OK)
            for (size_t k = 0; k < hct_st_elements(&s.entry[i]); k++) sum += v[k];
    }
    int said = st == HCT_OK || (err.code < 0 && strstr(err.msg, path));
    state_dict_free(&s);
    torch_close(f);
    return said && (sum == sum || sum != sum);
}

static void cuts_and_damage(int zip64) {
    bytes p = good_pickle();
    const member m[] = {
        {"a/data.pkl", p.at, p.n, 0},
        {"a/byteorder", "little", 6, 0},
        {"a/data/0", six, sizeof six, 0},
    };
    bytes z = make_zip(m, 3, zip64);
    size_t opened = 0, silent = 0;
    for (size_t cut = 0; cut < z.n; cut++) {
        torch_file *f = torch_open(scratch_file("cut.pth", z.at, cut), NULL);
        opened += f != NULL;
        torch_close(f);
    }
    tap_ok(opened == 0, "none of %zu cut %s files is opened", z.n, zip64 ? "zip64" : "zip");
    uint64_t state = 1;
    for (int round = 0; round < 3000; round++) {
        bytes copy = {0};
        bytes_add(&copy, z.at, z.n);
        for (int k = 0; k <= round % 4; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(state >> 33) % z.n;
            /* now and then a byte that means something */
            copy.at[at] =
                round % 3 ? (unsigned char)(state >> 25) : (unsigned char)"(.tuRQbh}q]\x85\xff"[(state >> 25) % 13];
        }
        silent += !survives(scratch_file("random.pth", copy.at, copy.n));
        bytes_free(&copy);
    }
    tap_ok(silent == 0, "3,000 files with random damage are read or refused with their name");
    bytes_free(&z);
    bytes_free(&p);
}

/* A damaged storage is noticed by its checksum. */
static void damaged_storage(void) {
    bytes p = good_pickle();
    const member m[] = {{"a/data.pkl", p.at, p.n, 0}, {"a/data/0", six, sizeof six, 12345}};
    bytes z = make_zip(m, 2, 0);
    refused("a storage with another checksum", scratch_file("damaged.pth", z.at, z.n), "checksum");
    bytes_free(&z);
    bytes_free(&p);
}

/* What PyTorch 2.4 wrote of one dict, in its form of today and in the one before 1.6: shared and turned storages,
 * bfloat16 and float16. */
static void both_forms(void) {
    static const struct {
        const char *name;
        int32_t dtype;
        size_t n;
        double value[8];
    } want[] = {{"cls_token", HCT_F32, 4, {0.5, 0.5, 0.5, 0.5}},      {"half", HCT_F16, 2, {1.5, -2}},
                {"pos_embed", HCT_BF16, 8, {0, 1, 2, 3, 4, 5, 6, 7}}, {"shared.a", HCT_F32, 6, {0, 1, 2, 3, 4, 5}},
                {"shared.b", HCT_F32, 6, {6, 7, 8, 9, 10, 11}},       {"turned", HCT_F32, 6, {0, 3, 1, 4, 2, 5}}};
    static const char *const files[] = {TEST_DATA "/zip.pth", TEST_DATA "/legacy.pth"};
    for (int k = 0; k < 2; k++) {
        hct_err err = {0, ""};
        state_dict s = {0};
        torch_file *f = torch_open(files[k], &err);
        hct_status st =
            f ? state_dict_read(&(weights_source){.torch = f}, files[k], STATE_DICT_STUDENT, NULL, &s, &err) : err.code;
        int same = st == HCT_OK && s.n == 6;
        for (size_t i = 0; same && i < 6; i++) {
            double value[8] = {0};
            same = !strcmp(s.entry[i].name, want[i].name) && s.entry[i].dtype == want[i].dtype &&
                   hct_st_elements(&s.entry[i]) == want[i].n && hct_st_to_f64(&s.entry[i], value, &err) == HCT_OK &&
                   !memcmp(value, want[i].value, want[i].n * sizeof *value);
        }
        tap_ok(same, "%s: every tensor (%s)", k ? "legacy" : "zip", err.msg);
        state_dict_free(&s);
        torch_close(f);
    }
    char *bytes = NULL;
    size_t n = 0;
    hct_read_file(files[1], &bytes, &n, NULL);
    int bad = 0;
    for (size_t cut = 15; bytes && cut < n; cut++) { /* anywhere behind the magic number */
        hct_err err = {0, ""};
        torch_file *f = torch_open(scratch_file("cut.pth", bytes, cut), &err);
        bad += f || !*err.msg || strchr(err.msg, '\n');
        torch_close(f);
    }
    tap_ok(bytes && !bad, "legacy: cut anywhere, it is refused with one line");
    hct_err err = {0, ""};
    torch_file *f = torch_open(scratch_file("long.pth", bytes, n + 1), &err); /* with the NUL behind it */
    tap_ok(!f && strstr(err.msg, "1 bytes follow its end"), "legacy: bytes behind its end (%s)", err.msg);
    torch_close(f);
    free(bytes);
}

int main(void) {
    both_forms();
    reads(0);
    reads(1);
    hostile_pickles();
    misfit_tensors();
    many_copies();
    zips();
    overlap();
    damaged_storage();
    cuts_and_damage(0);
    cuts_and_damage(1);
    return tap_done();
}
