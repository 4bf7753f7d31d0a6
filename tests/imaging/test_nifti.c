/* imaging/nifti.h: every type, version and byte order in; what is refused, and how it is said; out and in again. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_main.h"
#include "imaging/gzip.h"
#include "imaging/nifti.h"
#include "make_nifti.h"
#include "scratch.h"
#include "write_shim.h"

static volume read_spec(const nifti_spec *s) {
    size_t n;
    unsigned char *bytes = nifti_bytes(s, &n);
    volume v;
    hct_err err = {0};
    hct_status status = nifti_read_memory("test.nii", bytes, n, &v, &err);
    ck_assert_msg(status == HCT_OK, "%s", err.msg);
    free(bytes);
    return v;
}

static float at(const volume *v, int64_t i) { return v->dtype == HCT_I16 ? v->i16[i] : v->f32[i]; }

/* Fails, with a message that names the file and holds `says`. */
static void refuses_bytes(const unsigned char *bytes, size_t n, const char *says) {
    volume v;
    hct_err err = {0};
    hct_status s = nifti_read_memory("bad.nii", bytes, n, &v, &err);
    ck_assert_msg(s < 0, "read what should be refused: %s", says);
    ck_assert_msg(strstr(err.msg, "bad.nii") && strstr(err.msg, says), "'%s' does not say '%s'", err.msg, says);
    ck_assert_int_eq(err.code, s);
    ck_assert_ptr_null(v.data);
}

static void refuses(const nifti_spec *s, const char *says) {
    size_t n;
    unsigned char *bytes = nifti_bytes(s, &n);
    refuses_bytes(bytes, n, says);
    free(bytes);
}

static double small_signed(int64_t i) { return (double)(i % 200) - 100; }

START_TEST(reads_every_type_version_and_order) {
    static const int types[] = {DT_UINT8, DT_INT8,   DT_INT16,   DT_UINT16,  DT_INT32,   DT_UINT32,
                                DT_INT64, DT_UINT64, DT_FLOAT32, DT_FLOAT64, DT_FLOAT128};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int version = 1; version <= 2; version++)
            for (int swapped = 0; swapped < 2; swapped++)
                for (int scaled = 0; scaled < 2; scaled++) {
                    nifti_spec s = nifti_plain();
                    int is_signed =
                        types[t] != DT_UINT8 && types[t] != DT_UINT16 && types[t] != DT_UINT32 && types[t] != DT_UINT64;
                    s.version = version;
                    s.swapped = swapped;
                    s.datatype = types[t];
                    s.slope = scaled ? 2.5 : 0;
                    s.inter = scaled ? -1024 : 77; /* without a slope the intercept does not count */
                    s.value = is_signed ? small_signed : NULL;
                    volume v = read_spec(&s);
                    ck_assert_int_eq(v.dtype, types[t] == DT_INT16 && !scaled ? HCT_I16 : HCT_F32);
                    ck_assert(v.dim[0] == 5 && v.dim[1] == 6 && v.dim[2] == 7);
                    for (int64_t i = 0; i < volume_count(&v); i++) {
                        double stored = is_signed ? small_signed(i) : (double)(i % 100);
                        ck_assert_float_eq(at(&v, i), (float)(scaled ? 2.5 * stored - 1024 : stored));
                    }
                    volume_free(&v);
                }
}
END_TEST

static void expect_affine(const nifti_spec *s, double xx, double x) {
    volume v = read_spec(s);
    ck_assert_double_eq_tol(v.affine[0][0], xx, 1e-6);
    ck_assert_double_eq_tol(v.affine[0][3], x, 1e-6);
    volume_free(&v);
}

START_TEST(chooses_the_affine) {
    nifti_spec s = nifti_plain();
    s.srow[0][0] = -2;
    s.srow[0][3] = 10;
    s.qform_code = 1;
    s.quatern[2] = 1; /* half a turn about z */
    s.pixdim[1] = 2;
    s.pixdim[2] = s.pixdim[3] = 1;
    s.qoffset[1] = 7;
    expect_affine(&s, -2, 10); /* sform first */
    s.pixdim[1] = 3;
    s.pixdim[2] = 4;
    s.pixdim[3] = 5;
    expect_affine(&s, -3, 0); /* but not one whose steps contradict pixdim, as in dcm2niix's tilted gantries */
    s.dim[0] = 4;
    expect_affine(&s, -2, 10); /* which MONAI overlooks where there is a fourth axis */
    s.dim[0] = 3;
    s.qform_code = 0;
    expect_affine(&s, -2, 10); /* a quaternion without a code says nothing */
    s.qform_code = 1;
    s.sform_code = 0;
    volume v = read_spec(&s); /* then qform */
    ck_assert_double_eq_tol(v.affine[0][0], -3, 1e-6);
    ck_assert_double_eq_tol(v.affine[1][1], -4, 1e-6);
    ck_assert_double_eq_tol(v.affine[2][2], 5, 1e-6);
    ck_assert_double_eq_tol(v.affine[1][3], 7, 1e-6);
    volume_free(&v);
    s.pixdim[1] = -3; /* a length, as nibabel has it */
    /* x and y change places: what is missing to 1 is rounding, no turn of 0.05 degrees */
    s.quatern[0] = s.quatern[1] = 0.70710671;
    s.quatern[2] = 0;
    v = read_spec(&s);
    ck_assert_double_eq_tol(v.affine[1][0], 3, 1e-12);
    ck_assert_double_eq_tol(v.affine[0][1], 4, 1e-12);
    ck_assert_double_eq_tol(v.affine[2][0], 0, 1e-12);
    volume_free(&v);
    s.pixdim[1] = 3;
    s.quatern[0] = s.quatern[1] = 0;
    s.quatern[2] = 1;
    s.pixdim[0] = -1; /* qfac: z runs the other way */
    v = read_spec(&s);
    ck_assert_double_eq_tol(v.affine[2][2], -5, 1e-6);
    volume_free(&v);
    s.qform_code = 0;
    v = read_spec(&s); /* then pixdim about the centre, x to the left */
    ck_assert_double_eq(v.affine[0][0], -3);
    ck_assert_double_eq(v.affine[0][3], 6);
    ck_assert_double_eq(v.affine[1][3], -10);
    ck_assert_double_eq(v.affine[2][3], -15);
    volume_free(&v);
}
END_TEST

/* Every bit of what nibabel 5.4 makes of this qform: ties of the 1 mm grid's size hang on the last one. */
START_TEST(a_qform_is_nibabels) {
    static const double want[3][3] = {
        {-0x1.47ae11eb85200p-4, -0x1.6f459f0ecbc94p-1, 0x1.130d82c84d5adp-1},
        {0x1.ac418559b38e0p-2, 0x1.a666662800000p-26, 0x1.34ab36d3f8c11p+0},
        {0x1.0c624cefad7edp-2, -0x1.c06a81224842bp-3, -0x1.c28f5c3fffffap+0},
    };
    nifti_spec s = nifti_plain();
    s.sform_code = 0;
    s.qform_code = 1;
    s.quatern[0] = 0.1, s.quatern[1] = -0.3, s.quatern[2] = 0.7;
    s.pixdim[0] = -1, s.pixdim[1] = 0.5, s.pixdim[2] = 0.75, s.pixdim[3] = 2.2;
    volume v = read_spec(&s);
    for (int i = 0; i < 9; i++)
        if (LDBL_MANT_DIG > DBL_MANT_DIG) ck_assert_double_eq(v.affine[i / 3][i % 3], want[i / 3][i % 3]);
        else ck_assert_double_eq_tol(v.affine[i / 3][i % 3], want[i / 3][i % 3], 1e-14);
    volume_free(&v);
}
END_TEST

START_TEST(takes_trailing_single_axes_and_a_far_offset) {
    nifti_spec s = nifti_plain();
    s.dim[0] = 5;
    s.vox_offset = 1024;
    volume v = read_spec(&s);
    ck_assert_int_eq(v.i16[101], 1);
    volume_free(&v);
}
END_TEST

/* A voxel offset of 0 means: behind the header; one inside it, or beyond the file, nothing. */
START_TEST(an_offset_is_taken_at_its_word) {
    static const double offsets[] = {0, 10, 348, 2.2e9, 9e14, -9e14};
    for (int version = 1; version <= 2; version++)
        for (int k = 0; k < 6; k++) {
            nifti_spec s = nifti_plain();
            size_t n, packed_n;
            unsigned char *packed;
            volume v;
            s.version = version;
            unsigned char *bytes = nifti_bytes(&s, &n);
            int64_t whole = (int64_t)offsets[k];
            float real = (float)offsets[k];
            if (version == 1) memcpy(bytes + offsetof(nifti_1_header, vox_offset), &real, sizeof real);
            else memcpy(bytes + offsetof(nifti_2_header, vox_offset), &whole, sizeof whole);
            ck_assert_int_eq(nifti_read_memory("f.nii", bytes, n, &v, NULL), k ? HCT_EFORMAT : HCT_OK);
            if (!k)
                for (int64_t i = 0; i < volume_count(&v); i++) ck_assert_int_eq(v.i16[i], i % 100);
            volume_free(&v);
            ck_assert_int_eq(gzip_deflate(bytes, n, 6, &packed, &packed_n, NULL), HCT_OK);
            ck_assert_int_eq(nifti_read_memory("f.nii.gz", packed, packed_n, &v, NULL), k ? HCT_EFORMAT : HCT_OK);
            volume_free(&v);
            free(packed);
            free(bytes);
        }
}
END_TEST

START_TEST(refuses_dimensions) {
    nifti_spec s = nifti_plain();
    s.dim[0] = 2;
    refuses(&s, "2D image");
    s = nifti_plain();
    s.dim[3] = 1;
    refuses(&s, "2D image");
    s = nifti_plain();
    s.dim[0] = 4;
    s.dim[4] = 3;
    refuses(&s, "4D series of 3 volumes");
    s = nifti_plain();
    s.dim[2] = -6;
    refuses(&s, "wrong dimensions");
    s.dim[2] = 0;
    refuses(&s, "wrong dimensions");
    s = nifti_plain();
    s.dim[1] = 0;
    refuses(&s, "wrong dimensions");
    s = nifti_plain();
    s.dim[0] = 9;
    refuses(&s, "wrong dimensions");
    s = nifti_plain();
    s.version = 2;
    size_t n;
    unsigned char *bytes = nifti_bytes(&s, &n);
    nifti_2_header h;
    memcpy(&h, bytes, sizeof h);
    h.dim[1] = h.dim[2] = h.dim[3] = INT64_C(3000000000); /* the product overflows 64 bits */
    memcpy(bytes, &h, sizeof h);
    refuses_bytes(bytes, n, "wrong dimensions");
    free(bytes);
}
END_TEST

static double one_nan(int64_t i) { return i == 3 ? NAN : i == 5 ? INFINITY : 1; }

START_TEST(refuses_contents) {
    nifti_spec s = nifti_plain();
    s.datatype = DT_FLOAT32;
    s.value = one_nan;
    refuses(&s, "2 of 210 voxels are NaN or infinite");
    s = nifti_plain();
    s.datatype = DT_COMPLEX64;
    refuses(&s, "COMPLEX64");
    s = nifti_plain();
    s.datatype = 1234;
    refuses(&s, "type 1234");
    s = nifti_plain();
    s.slope = 2;
    s.inter = NAN;
    refuses(&s, "intercept");
    s = nifti_plain();
    s.srow[1][1] = 0;
    refuses(&s, "degenerate affine");
    s = nifti_plain();
    s.srow[1][0] = NAN;
    refuses(&s, "degenerate affine");
    s = nifti_plain();
    s.srow[0][0] = 1000; /* metres */
    refuses(&s, "units");
    refuses_bytes((const unsigned char *)"", 0, "empty");
    refuses_bytes((const unsigned char *)"hello, this is text", 19, "not a NIfTI");
    unsigned char zeros[1000] = {0};
    refuses_bytes(zeros, sizeof zeros, "not a NIfTI");
}
END_TEST

START_TEST(refuses_every_truncation) {
    nifti_spec s = nifti_plain();
    size_t n, packed_n;
    unsigned char *bytes = nifti_bytes(&s, &n), *packed;
    for (size_t cut = 0; cut < n; cut++) {
        unsigned char *part = malloc(cut + 1); /* exactly that long, for the address sanitizer */
        memcpy(part, bytes, cut);
        refuses_bytes(part, cut, cut == 0 ? "empty" : cut < 348 ? "not a NIfTI" : "truncated");
        free(part);
    }
    ck_assert_int_eq(gzip_deflate(bytes, n, 6, &packed, &packed_n, NULL), HCT_OK);
    for (size_t cut = 2; cut < packed_n; cut++) {
        unsigned char *part = malloc(cut);
        memcpy(part, packed, cut);
        refuses_bytes(part, cut, "gzip");
        free(part);
    }
    free(packed);
    free(bytes);
}
END_TEST

START_TEST(inflates_members_and_distrusts_the_stored_length) {
    nifti_spec s = nifti_plain();
    size_t n, n1, n2, out_n;
    unsigned char *bytes = nifti_bytes(&s, &n), *a, *b, *out;
    ck_assert_int_eq(gzip_deflate(bytes, 300, 6, &a, &n1, NULL), HCT_OK);
    ck_assert_int_eq(gzip_deflate(bytes + 300, n - 300, 6, &b, &n2, NULL), HCT_OK);
    unsigned char *both = calloc(n1 + n2 + 100, 1); /* and padding of zeros */
    memcpy(both, a, n1);
    memcpy(both + n1, b, n2);
    volume v;
    ck_assert_int_eq(nifti_read_memory("two.nii.gz", both, n1 + n2 + 100, &v, NULL), HCT_OK);
    ck_assert_int_eq(v.i16[99], 99);
    volume_free(&v);
    /* last member: much longer than the length stored at the very end says */
    size_t big_n = 5000000;
    unsigned char *big = calloc(big_n, 1), *packed;
    ck_assert_int_eq(gzip_deflate(big, big_n, 1, &packed, &n1, NULL), HCT_OK);
    unsigned char *lying = malloc(n1 + 25);
    memcpy(lying, packed, n1);
    unsigned char *tiny;
    ck_assert_int_eq(gzip_deflate("x", 1, 1, &tiny, &n2, NULL), HCT_OK);
    lying = realloc(lying, n1 + n2);
    memcpy(lying + n1, tiny, n2);
    ck_assert_int_eq(gzip_inflate("lying", lying, n1 + n2, 1u << 30, &out, &out_n, NULL), HCT_OK);
    ck_assert_uint_eq(out_n, big_n + 1);
    ck_assert_int_eq(out[big_n], 'x');
    free(out);
    hct_err err = {0};
    ck_assert_int_eq(gzip_inflate("bomb", lying, n1 + n2, 1u << 20, &out, &out_n, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "more than the 1048576 bytes"));
    free(tiny);
    free(lying);
    free(packed);
    free(big);
    free(both);
    free(a);
    free(b);
    free(bytes);
}
END_TEST

/* The most memory that was held since the last call, KiB; 0 where the system does not tell. */
static long peak_since(void) {
    long peak = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &peak);
    if (f) fclose(f);
    f = fopen("/proc/self/clear_refs", "w");
    if (!f) return 0;
    fputs("5", f);
    fclose(f);
    return peak;
}

/* A small file that inflates to much more than its header tells of is refused before memory is taken for it. */
START_TEST(refuses_a_bomb) {
    enum { MORE = 300 << 20 };
    nifti_spec s = nifti_plain();
    size_t n, packed_n;
    unsigned char *bytes = nifti_bytes(&s, &n), *all = calloc(n + MORE, 1), *packed;
    memcpy(all, bytes, n);
    ck_assert_int_eq(gzip_deflate(all, n + MORE, 1, &packed, &packed_n, NULL), HCT_OK);
    free(all);
    volume v;
    hct_err err = {0};
    peak_since();
    long before = peak_since();
    ck_assert_int_eq(nifti_read_memory("bomb.nii.gz", packed, packed_n, &v, &err), HCT_EINVAL);
    ck_assert_ptr_nonnull(strstr(err.msg, "bomb.nii.gz: inflates to more than"));
    ck_assert_int_lt(peak_since() - before, 64 << 10);
    free(packed);
    free(bytes);
}
END_TEST

/* Headers with random bytes: read or refused, never harm (the sanitizers watch), and never a broken volume. */
START_TEST(survives_damaged_headers) {
    uint64_t random = 1;
    int read = 0;
    for (int round = 0; round < 4000; round++) {
        nifti_spec s = nifti_plain();
        s.version = 1 + round % 2;
        s.swapped = round / 2 % 2;
        s.datatype = round % 3 ? DT_INT16 : DT_FLOAT32;
        size_t n;
        unsigned char *bytes = nifti_bytes(&s, &n), *exact = malloc(n);
        for (int k = 0; k <= round % 5; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[(random >> 33) % (s.version == 1 ? 352 : 544)] = (unsigned char)(random >> 56);
        }
        memcpy(exact, bytes, n);
        volume v;
        hct_err err = {0};
        if (nifti_read_memory("damaged", exact, n, &v, &err) == HCT_OK) {
            read++;
            ck_assert_int_le(volume_count(&v), 5 * 6 * 7 * 16);
            ck_assert_double_ne(affine_det(v.affine), 0);
            volume_free(&v);
        } else {
            ck_assert_ptr_nonnull(strstr(err.msg, "damaged"));
        }
        free(exact);
        free(bytes);
    }
    ck_assert_int_gt(read, 400);
    ck_assert_int_lt(read, 3900);
}
END_TEST

static volume some_volume(int32_t dtype) {
    volume v;
    ck_assert_int_eq(volume_alloc(&v, dtype, (int64_t[]){4, 5, 6}, NULL), HCT_OK);
    for (int64_t i = 0; i < volume_count(&v); i++)
        if (dtype == HCT_I16) v.i16[i] = (int16_t)(i * 7 - 300);
        else v.f32[i] = 0.25f * (float)i - 3;
    double affine[4][4] = {{0, -0.8, 0.6, 1}, {2, 0, 0, -5}, {0, 0.6, 0.8, 9}, {0, 0, 0, 1}}; /* turned, x of 2 mm */
    memcpy(v.affine, affine, sizeof affine);
    return v;
}

START_TEST(writes_what_it_reads) {
    static const char *const names[] = {"w.nii.gz", "w.nii"};
    for (int32_t k = 0; k < 4; k++) {
        volume v = some_volume(k < 2 ? HCT_I16 : HCT_F32), w;
        const char *path = scratch_path(names[k % 2]);
        ck_assert_int_eq(nifti_write(path, &v, 1, NULL), HCT_OK);
        ck_assert_int_eq(nifti_read(path, &w, NULL), HCT_OK);
        ck_assert_int_eq(w.dtype, v.dtype);
        ck_assert_mem_eq(w.dim, v.dim, sizeof v.dim);
        ck_assert_mem_eq(w.data, v.data, (size_t)volume_count(&v) * hct_dtype_size(v.dtype));
        for (int i = 0; i < 16; i++) ck_assert_double_eq_tol(w.affine[i / 4][i % 4], v.affine[i / 4][i % 4], 1e-6);
        if (k % 2) { /* the qform says the same as the sform */
            FILE *f = fopen(path, "r+b");
            fseek(f, 254, SEEK_SET); /* sform_code */
            fwrite("\0", 1, 2, f);
            fclose(f);
            volume q;
            ck_assert_int_eq(nifti_read(path, &q, NULL), HCT_OK);
            for (int i = 0; i < 16; i++) ck_assert_double_eq_tol(q.affine[i / 4][i % 4], v.affine[i / 4][i % 4], 1e-5);
            volume_free(&q);
        }
        volume_free(&v);
        volume_free(&w);
        unlink(path);
    }
}
END_TEST

START_TEST(a_full_disk_leaves_nothing) {
    volume v = some_volume(HCT_I16), w;
    const char *path = scratch_path("full.nii.gz");
    ck_assert_int_eq(nifti_write(path, &v, 1, NULL), HCT_OK);
    int files = scratch_count(scratch_folder());
    v.i16[0] = 99;
    write_shim_budget = 100;
    hct_err err = {0};
    ck_assert_int_eq(nifti_write(path, &v, 1, &err), HCT_EIO);
    write_shim_budget = -1;
    ck_assert_ptr_nonnull(strstr(err.msg, "full.nii.gz"));
    ck_assert_int_eq(scratch_count(scratch_folder()), files);
    ck_assert_int_eq(nifti_read(path, &w, NULL), HCT_OK); /* the older file */
    ck_assert_int_eq(w.i16[0], -300);
    volume_free(&v);
    volume_free(&w);
    unlink(path);
}
END_TEST

START_TEST(a_missing_file_is_named) {
    volume v;
    hct_err err = {0};
    ck_assert_int_eq(nifti_read("/nowhere/a.nii", &v, &err), HCT_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(err.msg, "/nowhere/a.nii"));
}
END_TEST

CHECK_MAIN("nifti", reads_every_type_version_and_order, chooses_the_affine, a_qform_is_nibabels,
           takes_trailing_single_axes_and_a_far_offset, an_offset_is_taken_at_its_word, refuses_dimensions,
           refuses_contents, refuses_every_truncation, inflates_members_and_distrusts_the_stored_length, refuses_a_bomb,
           survives_damaged_headers, writes_what_it_reads, a_full_disk_leaves_nothing, a_missing_file_is_named)
