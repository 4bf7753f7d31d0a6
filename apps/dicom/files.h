/* A file of a pile, and its bytes: on disk, or a member of an archive. */
#ifndef DICOM_FILES_H
#define DICOM_FILES_H

#include "dicom/header.h"

typedef enum pile_kind {
    PILE_DICOM,     /* a DICOM file whose header could be read, with or without an image in it */
    PILE_NIFTI,     /* by its name, .nii or .nii.gz */
    PILE_DIRECTORY, /* a DICOMDIR, or one of the like: a table of contents, no image */
    PILE_OTHER,     /* no image that is read here */
    PILE_UNREAD,    /* could not be read: `why` says it */
    PILE_AGAIN,     /* a link to a file, or to a folder, that is in the pile already */
    PILE_LEFT_OUT   /* a folder that the caller wants left out: a dataset's own scans */
} pile_kind;
/* "dicom", "nifti", "directory", "other", "unread", "again", "left out". */
const char *pile_kind_name(pile_kind kind);

typedef struct pile_file {
    pile_kind kind;
    char *path;     /* of a member: the archive's, "!/", its name in it */
    char *relative; /* the same below the input that it was found under; the file's own name where that was a file */
    char *archive;  /* the archive's path; NULL: a file on disk */
    int64_t member; /* its number in the archive */
    uint64_t size;
    int64_t mtime_ns;
    dicom_header header; /* of PILE_DICOM; of PILE_UNREAD what could be read */
    hct_status status;   /* of PILE_UNREAD, and of PILE_OTHER where something is to be said: */
    char *why;           /* one line that names the file; else NULL */
} pile_file;

void pile_file_free(pile_file *f);

/* Opens the bytes of a file. Of a member all that it holds is read into memory first, from the start of its archive
 * (for many of one archive see pile_visit_members). Close with pile_close. */
typedef struct pile_open_file {
    dicom_bytes *bytes;
    unsigned char *owned;
} pile_open_file;
hct_status pile_open(const pile_file *f, pile_open_file *ret, hct_err *err);
void pile_close(pile_open_file *o);

/* Calls visit with the opened bytes of each of n members of one archive (all of f[i]->archive), once each, in the
 * archive's order; i is the place in the list. The bytes are gone afterwards. HCT_EFORMAT: one of them is not there. */
typedef hct_status pile_member_visit(void *context, size_t i, dicom_bytes *bytes, hct_err *err);
hct_status pile_visit_members(const pile_file *const *f, size_t n, pile_member_visit *visit, void *context,
                              hct_err *err);

#endif
