/* Reads NIfTI-1 and NIfTI-2, plain or gzipped, and holds the header to what follows it. */
#include "imaging/nifti.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nifti/nifti2_io.h>

#include "hct/io.h"
#include "imaging/gzip.h"

#define MAX_VOXELS ((int64_t)1 << 30)
#define MAX_EXTENSIONS ((double)(1 << 26)) /* bytes between header and voxels */
#define MAX_BEHIND ((size_t)1 << 20)       /* bytes that a compressed file may hold behind its voxels */

static void quiet(void) { nifti_set_debug_level(0); }

/* The header in the machine's byte order, and what both versions share of it. */
typedef struct header {
    union {
        nifti_1_header n1;
        nifti_2_header n2;
    } raw;
    int version, swapped, datatype;
    int64_t dim[8];
    double slope, inter, vox_offset;
    nifti_image *image; /* libnifti's reading of it: sizes, transforms */
} header;

/* 1 or 2; -1 where the bytes begin with neither version's length of its header. (nifti_header_version tells too, and
 * prints a line of its own.) */
static int version_of(const unsigned char *bytes, size_t n) {
    int32_t first = 0;
    if (n < sizeof(nifti_1_header)) return -1;
    memcpy(&first, bytes, sizeof first);
    int32_t turned = (int32_t)__builtin_bswap32((uint32_t)first);
    return first == 348 || turned == 348 || first == 540 || turned == 540 ? nifti_header_version((const char *)bytes, n)
                                                                          : -1;
}

static hct_status parse_header(const char *name, const unsigned char *bytes, size_t n, header *h, hct_err *err) {
    memset(h, 0, sizeof *h);
    h->version = version_of(bytes, n);
    size_t size = h->version == 1 ? sizeof h->raw.n1 : sizeof h->raw.n2;
    if (h->version < 0 && n > 132 && memcmp(bytes + 128, "DICM", 4) == 0)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: a DICOM file, one slice of a scan: give the folder that holds its series", name);
    if ((h->version != 1 && h->version != 2) || n < size)
        return hct_fail(err, HCT_EFORMAT, "%s: not a NIfTI file (no NIfTI-1 or NIfTI-2 header): give a .nii or .nii.gz",
                        name);
    memcpy(&h->raw, bytes, size);
    h->swapped = h->raw.n1.sizeof_hdr != (int)size; /* the first field of both */
    if (h->swapped) swap_nifti_header(&h->raw, h->version);
    const char *magic = h->version == 1 ? h->raw.n1.magic : h->raw.n2.magic;
    if (magic[1] == 'i')
        return hct_fail(err, HCT_EFORMAT, "%s: header of a .hdr/.img pair: convert it to one .nii file", name);
#define SHARED(from)                                                                                                   \
    do {                                                                                                               \
        for (int i = 0; i < 8; i++) h->dim[i] = from.dim[i];                                                           \
        h->slope = from.scl_slope;                                                                                     \
        h->inter = from.scl_inter;                                                                                     \
        h->vox_offset = (double)from.vox_offset;                                                                       \
        h->datatype = from.datatype;                                                                                   \
    } while (0)
    if (h->version == 1) SHARED(h->raw.n1);
    else SHARED(h->raw.n2);
#undef SHARED
    return HCT_OK;
}

/* Dimensions and type must have been checked: libnifti prints to stderr where it refuses. */
static hct_status interpret(const char *name, header *h, hct_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, quiet);
    h->image = h->version == 1 ? nifti_convert_n1hdr2nim(h->raw.n1, name) : nifti_convert_n2hdr2nim(h->raw.n2, name);
    return h->image ? HCT_OK : hct_fail(err, HCT_EFORMAT, "%s: libnifti cannot read the header", name);
}

static hct_status check_dims(const char *name, const header *h, hct_err *err) {
    const int64_t *d = h->dim;
    if (d[0] < 1 || d[0] > 7)
        return hct_fail(err, HCT_EFORMAT, "%s: wrong dimensions: the header says %lld axes", name, (long long)d[0]);
    for (int i = 1; i <= d[0]; i++)
        if (d[i] < 1)
            return hct_fail(err, HCT_EFORMAT, "%s: wrong dimensions: axis %d has %lld voxels", name, i,
                            (long long)d[i]);
    if (d[0] < 3 || d[1] == 1 || d[2] == 1 || d[3] == 1)
        return hct_fail(err, HCT_ESHAPE, "%s: a 2D image, not a volume: give all slices of the scan in one file", name);
    int64_t volumes = 1, voxels = 1;
    for (int i = 4; i <= d[0]; i++) {
        if (d[i] > MAX_VOXELS / volumes)
            return hct_fail(err, HCT_EFORMAT, "%s: wrong dimensions: axis %d has %lld voxels", name, i,
                            (long long)d[i]);
        volumes *= d[i];
    }
    if (volumes > 1)
        return hct_fail(err, HCT_ESHAPE, "%s: a 4D series of %lld volumes: extract the one to use", name,
                        (long long)volumes);
    for (int i = 1; i <= 3; i++) {
        if (d[i] > MAX_VOXELS / voxels)
            return hct_fail(err, HCT_ESHAPE, "%s: wrong dimensions: %lld x %lld x %lld voxels, more than 2^30", name,
                            (long long)d[1], (long long)d[2], (long long)d[3]);
        voxels *= d[i];
    }
    return HCT_OK;
}

/* One stored value of type code, already in the machine's byte order, as double. 0 for an unknown type. */
/* clang-format off */
#define STORED_TYPES(X)                                                                                           \
    X(DT_UINT8, uint8_t) X(DT_INT8, int8_t) X(DT_INT16, int16_t) X(DT_UINT16, uint16_t) X(DT_INT32, int32_t)      \
    X(DT_UINT32, uint32_t) X(DT_INT64, int64_t) X(DT_UINT64, uint64_t) X(DT_FLOAT32, float) X(DT_FLOAT64, double) \
    X(DT_FLOAT128, long double)
/* clang-format on */

static size_t stored_size(int datatype) {
    switch (datatype) {
#define X(code, type)                                                                                                  \
    case code: return sizeof(type);
        STORED_TYPES(X)
#undef X
    default: return 0;
    }
}

/* Turns `count` stored values into float32: slope * value + inter. Returns how many are NaN or infinite. */
static int64_t scale_chunk(int datatype, const void *from, float *to, int64_t count, double slope, double inter) {
    int64_t bad = 0;
    switch (datatype) {
#define X(code, type)                                                                                                  \
    case code:                                                                                                         \
        for (int64_t i = 0; i < count; i++) {                                                                          \
            type stored;                                                                                               \
            memcpy(&stored, (const type *)from + i, sizeof stored);                                                    \
            to[i] = (float)((double)stored * slope + inter);                                                           \
            bad += !isfinite(to[i]);                                                                                   \
        }                                                                                                              \
        break;
        STORED_TYPES(X)
#undef X
    default: break;
    }
    return bad;
}

static hct_status read_voxels(const char *name, const unsigned char *bytes, const header *h, volume *v, hct_err *err) {
    enum { CHUNK = 4096 };
    _Alignas(16) unsigned char stored[CHUNK * 16];
    size_t voxel = stored_size(h->datatype);
    int64_t n = volume_count(v), bad = 0;
    int scaled = isfinite(h->slope) && h->slope != 0;
    if (scaled && !isfinite(h->inter))
        return hct_fail(err, HCT_EFORMAT, "%s: the header's intercept is not a number", name);
    double slope = scaled ? h->slope : 1, inter = scaled ? h->inter : 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        memcpy(stored, bytes + voxel * (size_t)i, voxel * (size_t)count); /* the file may be unaligned */
        if (h->swapped && voxel > 1) nifti_swap_Nbytes(count, (int)voxel, stored);
        if (v->dtype == HCT_I16) memcpy(v->i16 + i, stored, voxel * (size_t)count);
        else bad += scale_chunk(h->datatype, stored, v->f32 + i, count, slope, inter);
    }
    if (bad > 0)
        return hct_fail(err, HCT_EFORMAT, "%s: %lld of %lld voxels are NaN or infinite: repair or leave out the scan",
                        name, (long long)bad, (long long)n);
    return HCT_OK;
}

/* The qform with nibabel's arithmetic, to the last bit: half a millimetre decides how many voxels an axis has at 1
 * mm. */
static void qform_of(const header *h, double m[4][4]) {
    const nifti_image *im = h->image;
    const double offset[3] = {im->qoffset_x, im->qoffset_y, im->qoffset_z};
    long double x = im->quatern_b, y = im->quatern_c, z = im->quatern_d, w = 1 - (x * x + y * y + z * z);
    w = w < 3 * (h->version == 1 ? (long double)FLT_EPSILON : (long double)DBL_EPSILON) ? 0 : sqrtl(w);
    long double s = 2 / (w * w + x * x + y * y + z * z), X = x * s, Y = y * s, Z = z * s;
    const long double r[3][3] = {
        {1 - (y * Y + z * Z), x * Y - w * Z, x * Z + w * Y},
        {x * Y + w * Z, 1 - (x * X + z * Z), y * Z - w * X},
        {x * Z - w * Y, y * Z + w * X, 1 - (x * X + y * Y)},
    };
    memset(m, 0, 16 * sizeof(double));
    m[3][3] = 1;
    for (int i = 0; i < 3; i++) {
        for (int a = 0; a < 3; a++) {
            double mm = im->pixdim[a + 1] == 0 ? 1 : fabs(im->pixdim[a + 1]);
            m[i][a] = (double)(r[i][a] * (a == 2 ? mm * im->qfac : mm));
        }
        m[i][3] = offset[i];
    }
}

/* Whether the steps of an affine are as long as pixdim says, as numpy.allclose has it. */
static int fits_pixdim(const nifti_image *im, double m[4][4]) {
    for (int a = 0; a < 3; a++) {
        double step = sqrt(m[0][a] * m[0][a] + m[1][a] * m[1][a] + m[2][a] * m[2][a]), told = fabs(im->pixdim[a + 1]);
        if (!(fabs(step - told) <= 1e-8 + 1e-5 * told)) return 0;
    }
    return 1;
}

/* nibabel's rule: sform, else qform, else pixdim about the centre with x to the left. And MONAI's: of two forms the
 * qform, where only it agrees with pixdim; dcm2niix writes such sforms for tilted gantries. MONAI finds no agreement
 * in files of more than three axes. */
static hct_status choose_affine(const char *name, const header *h, volume *v, hct_err *err) {
    const nifti_image *im = h->image;
    if (im->sform_code > 0 || im->qform_code > 0) {
        nifti_dmat44 s = im->sto_xyz, q;
        qform_of(h, q.m);
        int in_its_place =
            im->sform_code > 0 && im->qform_code > 0 && h->dim[0] == 3 && !fits_pixdim(im, s.m) && fits_pixdim(im, q.m);
        memcpy(v->affine, im->sform_code > 0 && !in_its_place ? s.m : q.m, sizeof v->affine);
        /* MONAI stores it as the sform first, in float32 */
        for (int i = 0; i < 12 && in_its_place && h->version == 1; i++)
            v->affine[i / 4][i % 4] = (float)v->affine[i / 4][i % 4];
    } else {
        memset(v->affine, 0, sizeof v->affine);
        for (int a = 0; a < 3; a++) {
            v->affine[a][a] = fabs(im->pixdim[a + 1]) * (a == 0 ? -1 : 1);
            v->affine[a][3] = -v->affine[a][a] * (double)(v->dim[a] - 1) / 2;
        }
        v->affine[3][3] = 1;
    }
    double mm[3];
    volume_spacing(v, mm);
    if (!(fabs(affine_det(v->affine)) > 1e-6 * mm[0] * mm[1] * mm[2]))
        return hct_fail(err, HCT_EFORMAT,
                        "%s: degenerate affine (axes missing, parallel or not finite): repair the header", name);
    for (int a = 0; a < 3; a++)
        if (mm[a] * (double)v->dim[a] > 2000 || mm[a] < 0.01)
            return hct_fail(
                err, HCT_EFORMAT,
                "%s: axis %d spans %g mm in steps of %g mm: not a head; are the header's units millimetres?", name,
                a + 1, mm[a] * (double)v->dim[a], mm[a]);
    return HCT_OK;
}

/* Reads the header and refuses what is no scan. *ret_need: bytes of the voxels, which begin at h->vox_offset. */
static hct_status open_header(const char *name, const unsigned char *bytes, size_t n, header *h, uint64_t *ret_need,
                              hct_err *err) {
    hct_status s = parse_header(name, bytes, n, h, err);
    if (s == HCT_OK) s = check_dims(name, h, err);
    if (s < 0) return s;
    size_t voxel = stored_size(h->datatype);
    if (voxel == 0)
        return hct_fail(err, HCT_EDTYPE, "%s: voxels of NIfTI type %d (%s) are not intensities: convert the file", name,
                        h->datatype, nifti_datatype_string(h->datatype));
    double least = h->version == 1 ? 352 : 544; /* the header and four bytes */
    if (h->vox_offset == 0) h->vox_offset = least;
    if (!(h->vox_offset >= least && h->vox_offset <= least + MAX_EXTENSIONS))
        return hct_fail(err, HCT_EFORMAT, "%s: the header's voxel offset makes no sense", name);
    *ret_need = (uint64_t)h->dim[1] * (uint64_t)h->dim[2] * (uint64_t)h->dim[3] * voxel;
    return interpret(name, h, err);
}

static hct_status read_volume(const char *name, const unsigned char *bytes, size_t n, header *h, uint64_t need,
                              volume *ret, hct_err *err) {
    uint64_t offset = (uint64_t)h->vox_offset, have = n > offset ? n - offset : 0;
    if (have < need)
        return hct_fail(err, HCT_EFORMAT,
                        "%s: truncated: %llu x %llu x %llu voxels need %llu bytes, the file holds %llu: copy it again",
                        name, (unsigned long long)h->dim[1], (unsigned long long)h->dim[2],
                        (unsigned long long)h->dim[3], (unsigned long long)need, (unsigned long long)have);
    int unscaled = !isfinite(h->slope) || h->slope == 0 || (h->slope == 1 && h->inter == 0);
    hct_status s = volume_alloc(ret, h->datatype == DT_INT16 && unscaled ? HCT_I16 : HCT_F32, h->dim + 1, err);
    if (s == HCT_OK) s = choose_affine(name, h, ret, err);
    if (s == HCT_OK) s = read_voxels(name, bytes + offset, h, ret, err);
    if (s < 0) volume_free(ret);
    return s;
}

/* The header first: it tells how much the rest may inflate to. */
static hct_status inflate_volume(const char *name, const unsigned char *bytes, size_t n, header *h, volume *ret,
                                 hct_err *err) {
    unsigned char first[sizeof h->raw], *all = NULL;
    size_t got = gzip_first(bytes, n, first, sizeof first), all_n = 0;
    uint64_t need = 0;
    size_t most = MAX_BEHIND;
    hct_status s = HCT_OK;
    if (got >= sizeof(nifti_1_header)) { /* else libdeflate says what is wrong with the file */
        s = open_header(name, first, got, h, &need, err);
        if (s == HCT_OK) most += (size_t)need + (size_t)h->vox_offset;
    }
    if (s == HCT_OK) s = gzip_inflate(name, bytes, n, most, &all, &all_n, err);
    if (s == HCT_OK && got < sizeof(nifti_1_header)) s = open_header(name, all, all_n, h, &need, err);
    if (s == HCT_OK) s = read_volume(name, all, all_n, h, need, ret, err);
    free(all);
    return s;
}

hct_status nifti_read_memory(const char *name, const unsigned char *bytes, size_t n, volume *ret, hct_err *err) {
    memset(ret, 0, sizeof *ret);
    if (n == 0) return hct_fail(err, HCT_EFORMAT, "%s: the file is empty: copy it again", name);
    header h = {.version = 0};
    uint64_t need;
    hct_status s;
    if (gzip_is(bytes, n)) s = inflate_volume(name, bytes, n, &h, ret, err);
    else if ((s = open_header(name, bytes, n, &h, &need, err)) == HCT_OK)
        s = read_volume(name, bytes, n, &h, need, ret, err);
    nifti_image_free(h.image);
    return s;
}

hct_status nifti_read(const char *path, volume *ret, hct_err *err) {
    memset(ret, 0, sizeof *ret);
    hct_mapped m;
    hct_status s = hct_load_file(path, &m, err);
    if (s < 0) return s;
    s = nifti_read_memory(path, m.bytes, m.size, ret, err);
    hct_unmap_file(&m);
    return s;
}

int nifti_ends_early(const char *path) {
    hct_mapped m;
    hct_err err;
    header h;
    if (hct_load_file(path, &m, &err) < 0) return 0;
    int early = m.size < sizeof h.raw.n1, bytes = 0, part;
    if (!early && parse_header(path, m.bytes, m.size, &h, &err) == HCT_OK) {
        double need = 1;
        nifti_datatype_sizes(h.datatype, &bytes, &part);
        for (int i = 1; i <= h.dim[0] && i < 8; i++) need *= (double)h.dim[i];
        early = (double)m.size < h.vox_offset + need * bytes;
    }
    hct_unmap_file(&m);
    return early;
}
