/* A dataset as training, probing and evaluation read it: scans, patients, labels and splits, all in memory.
 *
 *   dataset *d = dataset_open("data", &err);
 *   dataset_split(d, "train", &index, &n, &err);          scans index[0..n-1]
 *   d->labels[index[0] * d->n_labels + l]                1, 0, or -1 not known
 *   input_spec spec = input_cube(paper_windows, 3, 192, 96);
 *   dataset_input(d, index[0], &spec, x, &err);
 */
#ifndef DATASET_DATASET_H
#define DATASET_DATASET_H

#include "imaging/form.h"

typedef struct dataset_scan {
    char *id, *patient;
    char *file;                          /* path of the prepared volume */
    char *split;                         /* "train", "val", "test"; NULL before headct split */
    char *provenance;                    /* SHA-256 of preprocessing and source */
    char *source_sha256, *preprocessing; /* these two */
} dataset_scan;

/* A further volume of a scan, of another form than the dataset's own (imaging/form.h). */
typedef struct dataset_form {
    int64_t scan; /* its number here */
    char *form, *file;
    char *spec; /* SHA-256 of the form's steps and of the source: form_spec */
} dataset_form;

typedef struct dataset {
    char *folder;
    size_t n, n_labels;
    dataset_scan *scans; /* [n], in order of id */
    char **label_names;  /* [n_labels], in the order of the CSV's columns */
    dataset_form *forms; /* [n_forms] */
    size_t n_forms;
    int8_t *labels; /* [n, n_labels]: 1, 0, -1 not known */
} dataset;

/* NULL and err: no dataset there, or no prepared scan in it. Free with dataset_close. Safe to read from any thread. */
dataset *dataset_open(const char *folder, hct_err *err);
void dataset_close(dataset *d);

/* Numbers of the scans in a split ("train", "val", "test", "fold1" ..., several with + between, or "all"), in order
 * of id; the caller frees *ret.
 * HCT_ENOTFOUND: no such split, or no split yet; an empty split is fine. */
hct_status dataset_split(const dataset *d, const char *split, size_t **ret, size_t *ret_n, hct_err *err);
/* Number of a label by name; < 0 and err, which lists the nearest, where there is none. */
int64_t dataset_label(const dataset *d, const char *name, hct_err *err);
/* Number of a scan by id; < 0 and err where there is none. */
int64_t dataset_find(const dataset *d, const char *id, hct_err *err);

/* What a form's volume of a source is told to be up to date by. */
hct_status form_spec(const form *f, const char *source_sha256, char ret[65], hct_err *err);

/* SHA-256 over the provenance of scans[0..n) in that order: what weights say they were trained on. hex of 65. */
hct_status dataset_hash(const dataset *d, const size_t *scans, size_t n, char *hex, hct_err *err);
/* SHA-256 of the preparation that scans[0..n) went through (imaging/scan.h), hex of 65. HCT_EINVAL: of more than one:
 * a model is never trained or run on scans that were prepared in different ways. */
hct_status dataset_preparation(const dataset *d, const size_t *scans, size_t n, char *hex, hct_err *err);
/* Reads scan i's prepared volume (imaging/scan.h). */
hct_status dataset_volume(const dataset *d, size_t i, volume *ret, hct_err *err);
/* Scan i as a model takes it: input_floats(spec) floats into out. HCT_ENOTFOUND: the dataset does not hold the form of
 * volume that the spec is cut from. */
hct_status dataset_input(const dataset *d, size_t i, const input_spec *spec, float *out, hct_err *err);
/* The same through DATASET/inputs/: one file a scan and setting, named after the SHA-256 of both, read where it is
 * there, else written. Many short runs over one dataset then read each prepared volume once. A file that cannot be
 * written is no error. */
hct_status dataset_input_cached(const dataset *d, size_t i, const input_spec *spec, float *out, hct_err *err);

/* The cube that views are cut from (imaging/shrink.h): int16 HU [size, size, size], x fastest; region is a multiple
 * of size. */
hct_status dataset_cube(const dataset *d, size_t i, int64_t region, int64_t size, int16_t *out, hct_err *err);
/* The same through DATASET/inputs/. */
hct_status dataset_cube_cached(const dataset *d, size_t i, int64_t region, int64_t size, int16_t *out, hct_err *err);

#endif
