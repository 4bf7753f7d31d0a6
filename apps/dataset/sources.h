/* Files and folders given on the command line: names, and which of them hold prepared scans. What scans lie in them:
 * candidate.h. */
#ifndef DATASET_SOURCES_H
#define DATASET_SOURCES_H

#include <stdbool.h>

#include "hct/types.h"

/* HCT_EINVAL where an input is a prepared scan, or the folder where a dataset keeps them: scans/ of `dataset`, the one
 * that is made, or of any other. Links to such folders are followed. */
hct_status sources_check(const char *const *inputs, size_t n, const char *dataset, hct_err *err);
/* HCT_EINVAL where `dataset` is none yet, but has volumes in scans/: they are somebody's, and not to be mixed with what
 * is made. */
hct_status sources_check_output(const char *dataset, hct_err *err);
/* Whether folder, found in parent, is where a dataset keeps its prepared scans. */
bool source_holds_prepared(const char *folder, const char *parent, const char *dataset);

/* Whether a file of that name is a NIfTI file. */
bool source_is_volume(const char *name);
/* The id that a relative path or a cell of a CSV stands for: without .nii or .nii.gz, '/' turned into '_', blanks at
 * both ends cut, in Unicode's normalisation form C. The caller's to free, NULL without memory. */
char *source_id(const char *relative);

/* HCT_EINVAL where path or id has bytes that no table of results could hold: what is no UTF-8. */
hct_status source_check_name(const char *path, const char *id, hct_err *err);

#endif
