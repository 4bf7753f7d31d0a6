/* Which scans lie in the files and folders given on the command line. */
#ifndef DATASET_SOURCES_H
#define DATASET_SOURCES_H

#include "dataset/index.h"
#include "support/text.h"

typedef struct scan_source {
    char *path; /* a NIfTI file or a DICOM folder */
    char *id;   /* the file's path below the folder it was found in, without .nii or .nii.gz, '/' turned into '_' */
} scan_source;

typedef struct source_list {
    scan_source *items; /* in order of id */
    size_t n;
    text_buffer left_out; /* folders of prepared scans that were met and not searched, with ", " between them */
} source_list;

/* dataset: the one that the scans will be prepared for. Prepared scans are then no sources: scans/ in that folder,
 * and in any other dataset, is not searched, and refused where it, or a file in it, is an input itself (HCT_EINVAL).
 * Links to such folders are followed. NULL: a prepared scan is a scan like others. A file is a scan. A folder that
 * holds DICOM files is a scan; any other folder is searched (below it too) for .nii and .nii.gz files and DICOM
 * folders. HCT_ENOTFOUND: a path that is not there, or a folder without a scan; HCT_EINVAL: two scans of one id, or
 * one scan twice. */
hct_status sources_find(const char *const *inputs, size_t n, const char *dataset, source_list *ret, hct_err *err);
void sources_free(source_list *l);

/* Whether a file of that name is one to search for. */
int source_is_volume(const char *name);
/* The id that a relative path or a cell of a CSV stands for; the caller's to free, NULL without memory. */
char *source_id(const char *relative);

/* HCT_EINVAL where path or id has bytes that no table of results could hold: what is no UTF-8. */
hct_status source_check_name(const char *path, const char *id, hct_err *err);

/* Size and time of a source. */
hct_status source_stat(const char *path, source_state *ret, hct_err *err);
/* Fills ret->sha256: reads the whole source. */
hct_status source_hash(const char *path, source_state *ret, hct_err *err);

#endif
