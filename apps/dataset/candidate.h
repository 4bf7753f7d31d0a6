/* What may be a scan among the files of a pile: each NIfTI file, and each series of DICOM slices with its verdict
 * (dicom/verdict.h). The same for `headct prepare`, which walks whole archives, and for `headct predict DIR`. */
#ifndef DATASET_CANDIDATE_H
#define DATASET_CANDIDATE_H

#include "dicom/pile.h"
#include "dicom/prepare.h"
#include "imaging/scan.h"

/* What tells whether a source has changed. */
typedef struct source_state {
    int64_t bytes, mtime_ns; /* of a series: the sum of its files' sizes, and the latest time */
    char sha256[65];         /* candidate_hash; "" until asked for */
} source_state;

typedef struct candidate {
    size_t nifti;    /* place of the file; used where series is NULL */
    series *series;  /* of the list's */
    verdict verdict; /* of a series; of a NIfTI file empty until it is prepared */
} candidate;

typedef struct candidate_list {
    const pile_file *files; /* borrowed */
    size_t n_files;
    series_list series;
    candidate *items; /* in order of their first file */
    size_t n;
} candidate_list;

/* Groups the files and judges each series (f NULL: does not judge). HCT_ENOMEM, HCT_EDEVICE (a component is
 * missing). */
hct_status candidates_of(const pile_file *files, size_t n, const series_filters *f, candidate_list *ret, hct_err *err);
void candidates_free(candidate_list *l);

/* The file that speaks for a candidate: its first. */
const pile_file *candidate_file(const candidate_list *l, const candidate *c);
/* The folder below the input in which all its files lie; of a NIfTI file its own path. What a person calls it by. The
 * caller's to free; NULL: no memory. */
char *candidate_place(const candidate_list *l, const candidate *c);
/* An id made from its path: "a/b.nii.gz" gives a_b; of a series the folder (of the only series there: `alone`), else
 * the folder and "_sN" with the series' number, "pM" for the M-th volume of several in it. The caller's to free. */
char *candidate_id(const candidate_list *l, const candidate *c, bool alone);
/* What stays the same of a candidate wherever it is moved: of a series its UIDs (series_key), of a NIfTI file its real
 * path. To be hashed with a key, never shown. The caller's to free. */
char *candidate_identity(const candidate_list *l, const candidate *c);

/* Sums of its files as they were found: sizes and the latest time. */
void candidate_state(const candidate_list *l, const candidate *c, source_state *ret);
/* SHA-256 of a NIfTI file's bytes; of a series of the names and bytes of its files in order of path. */
hct_status candidate_hash(const candidate_list *l, const candidate *c, char ret[65], hct_err *err);

typedef struct candidate_options {
    scan_options scan;
    bool like_dcm2niix; /* DICOM through dcm2niix, as headct 0.1 did: for comparison */
    int jobs;           /* threads that share the slices of one series; 0: one a CPU */
} candidate_options;

/* What preparing told of the source and of the scan. */
typedef struct candidate_facts {
    scan_info info;
    double thickness, kvp, tilt; /* of a series; NAN: unknown. tilt: degrees by which slices slide over each other */
    double hu[3];                /* 5%, 50% and 95% of the prepared voxels above BODY_HU; NAN: there are none */
    double beyond;               /* mm by which the body reaches out of the model's cube */
    size_t wrapped;              /* slices whose 12-bit values were mended, or could be */
} candidate_facts;

/* Reads and prepares (imaging/scan.h); what is found on the way becomes a finding of c->verdict, and with `strict` a
 * warning about values that are no HU refuses. Errors name the file; those of content (HCT_EFORMAT, HCT_EDTYPE,
 * HCT_EINVAL, HCT_ESHAPE) are the scan's, others the machine's. A verdict that refuses afterwards: HCT_EINVAL, the
 * sentence in err. */
hct_status candidate_prepare(const candidate_list *l, candidate *c, const series_filters *f, const candidate_options *o,
                             volume *ret, candidate_facts *ret_facts, hct_err *err);

/* The volume of a form (imaging/form.h), straight from the files. Errors name the file, as candidate_prepare's. */
hct_status candidate_form(const candidate_list *l, const candidate *c, const candidate_options *o, const form *f,
                          volume *ret, hct_err *err);

/* A slice from the middle of a series, rows x columns of HU, the caller's to free. */
hct_status candidate_middle(const candidate_list *l, const candidate *c, float **ret, int64_t *ret_columns,
                            int64_t *ret_rows, hct_err *err);

/* Why a candidate is left out: "WORD: sentence"; NULL: it is not. The caller's to free. */
char *candidate_refusal(const candidate *c);

#endif
