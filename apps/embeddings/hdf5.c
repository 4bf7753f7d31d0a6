/* Embeddings in HDF5, a file a scan (the CVPR 2026 challenge's form), through libhdf5 where there is one. */
#include "embeddings/formats.h"

#include <stdlib.h>
#include <string.h>

#include "embeddings/write.h"
#include "support/paths.h"

#ifdef HAVE_HDF5
#include <hdf5.h>

#define DATASET "y_hat"
enum { DIMS = 4 };

/* What a case's file says of its size. */
typedef struct shape {
    hsize_t vectors, width;
} shape;

static hct_status read_shape(const char *path, hid_t set, shape *ret, hct_err *err) {
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    int ndim = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    hsize_t dim[DIMS] = {0};
    hct_status st = HCT_OK;
    if (ndim < 1 || ndim > DIMS || H5Sget_simple_extent_dims(space, dim, NULL) != ndim)
        st = hct_fail(err, HCT_EFORMAT, "%s: " DATASET " has %d dimensions; [width] or [..., width] is needed", path,
                      ndim);
    else if (type < 0 || H5Tget_class(type) != H5T_FLOAT)
        st = hct_fail(err, HCT_EFORMAT, "%s: " DATASET " does not hold floats", path);
    *ret = (shape){1, 0};
    for (int i = 0; st == HCT_OK && i < ndim - 1; i++) {
        if (dim[i] > ((hsize_t)1 << 32) / ret->vectors)
            st = hct_fail(err, HCT_EFORMAT, "%s: " DATASET " is too large", path);
        ret->vectors *= dim[i];
        if (!ret->vectors) break;
    }
    if (st == HCT_OK) ret->width = dim[ndim - 1];
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return st;
}

static hct_status read_case(const char *path, const char *name, size_t i, size_t n, embedding_table *t, hct_err *err) {
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = -1;
    shape is;
    hct_status st = HCT_OK;
    if (file < 0) return hct_fail(err, HCT_EFORMAT, "%s: is no HDF5 file, or is damaged or truncated", path);
    if (H5Lexists(file, DATASET, H5P_DEFAULT) <= 0 || (set = H5Dopen2(file, DATASET, H5P_DEFAULT)) < 0)
        st = hct_fail(err, HCT_EFORMAT, "%s: holds no dataset '" DATASET "'", path);
    if (st == HCT_OK) st = read_shape(path, set, &is, err);
    if (st == HCT_OK && !t->x) {
        st = embedding_table_alloc(t, path, n, is.vectors, is.width, err);
        if (st == HCT_OK && !(t->id = embedding_texts(path, n, err))) st = HCT_ENOMEM;
    }
    if (st == HCT_OK && (is.vectors != t->vectors || is.width != t->width))
        st = hct_fail(err, HCT_EFORMAT, "%s: has %zu x %zu numbers, the first case %zu x %zu", path, (size_t)is.vectors,
                      (size_t)is.width, t->vectors, t->width);
    if (st == HCT_OK && H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, embedding_row(t, i)) < 0)
        st = hct_fail(err, HCT_EFORMAT, "%s: " DATASET " cannot be read; the file is damaged or truncated", path);
    if (st == HCT_OK) st = embedding_text(&t->id[i], path, name, strlen(name) - strlen(".h5"), err);
    if (set >= 0) H5Dclose(set);
    H5Fclose(file);
    return st;
}

/* The folder's hash: that of its files' names and hashes, in order of name. */
static hct_status add_hash(sha256 *h, const char *path, const char *name, hct_err *err) {
    char each[SHA256_HEX];
    hct_status st = sha256_file(path, each, err);
    sha256_add(h, name, strlen(name) + 1);
    if (st == HCT_OK) sha256_add(h, each, strlen(each));
    return st;
}

hct_status embeddings_from_hdf5(const char *folder, embedding_table *t, hct_err *err) {
    char **names = NULL;
    size_t n = 0;
    hct_status st = path_list(folder, ".h5", &names, &n, err);
    sha256 *h = sha256_begin();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* libhdf5 prints every failure else */
    if (st == HCT_OK && !n)
        st = hct_fail(err, HCT_EFORMAT, "%s: holds no embeddings: no file CASE.h5 is in it", folder);
    for (size_t i = 0; st == HCT_OK && i < n; i++) {
        char *path = path_join(folder, names[i]);
        st = path ? read_case(path, names[i], i, n, t, err) : hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st == HCT_OK) st = add_hash(h, path, names[i], err);
        free(path);
    }
    hct_err late = {0};
    hct_status hashed = sha256_end(h, t->sha256, &late);
    if (st == HCT_OK && hashed < 0) st = hct_fail(err, hashed, "%s", late.msg);
    embedding_ids_free(names, n);
    return st;
}

static hct_status write_case(const char *path, const float *x, size_t vectors, size_t width, hct_err *err) {
    hsize_t dim[2] = {vectors, width};
    int one = vectors == 1;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = file < 0 ? -1 : H5Screate_simple(one ? 1 : 2, one ? dim + 1 : dim, NULL);
    hid_t set =
        space < 0 ? -1 : H5Dcreate2(file, DATASET, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int good = set >= 0 && H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0;
    if (set >= 0) good = H5Dclose(set) >= 0 && good;
    if (space >= 0) H5Sclose(space);
    if (file >= 0) good = H5Fclose(file) >= 0 && good; /* a full disk may show here alone */
    return good ? HCT_OK : hct_fail(err, HCT_EIO, "%s: writing failed; is the disk full?", path);
}

hct_status embeddings_to_hdf5(const embedding_table *t, const char *folder, hct_err *err) {
    hct_status st = path_make_folders(folder, err);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    for (size_t i = 0; st == HCT_OK && i < t->n; i++) {
        char *path = NULL, *beside = NULL;
        if (strchr(t->id[i], '/')) st = hct_fail(err, HCT_EINVAL, "%s: scan '%s' cannot name a file", folder, t->id[i]);
        else if (asprintf(&path, "%s/%s.h5", folder, t->id[i]) < 0 || asprintf(&beside, "%s.part", path) < 0)
            st = hct_fail(err, HCT_ENOMEM, "out of memory");
        if (st == HCT_OK) st = write_case(beside, embedding_row(t, i), t->vectors, t->width, err);
        if (st == HCT_OK && rename(beside, path) != 0)
            st = hct_fail(err, HCT_EIO, "%s: cannot be put in place of %s", path, beside);
        if (st < 0 && beside) remove(beside);
        free(path);
        free(beside);
    }
    return st;
}

#else

static hct_status no_hdf5(const char *folder, hct_err *err) {
    return hct_fail(err, HCT_EINVAL,
                    "%s: HDF5 needs a headct that was built with libhdf5 (Debian: libhdf5-dev); other forms: "
                    "safetensors, npy, npz, CSV, JSON lines",
                    folder);
}

hct_status embeddings_from_hdf5(const char *folder, embedding_table *t, hct_err *err) {
    (void)t;
    return no_hdf5(folder, err);
}

hct_status embeddings_to_hdf5(const embedding_table *t, const char *folder, hct_err *err) {
    (void)t;
    return no_hdf5(folder, err);
}

#endif
