/* A tree of files as hospitals have it, walked once: files and folders as deep as they go, without endings, without
 * preambles, CDs with their DICOMDIR and DIRFILEs, zip and tar files, NIfTI beside DICOM. Each file that is found is
 * handed over once, under one heading (files.h), as soon as it was seen; nothing is kept but which files were seen
 * (16 bytes each), so that a link is followed once, after all else, and leads in no circle. Headers are read once.
 * Order: inputs as given, names in byte order.
 */
#ifndef DICOM_PILE_H
#define DICOM_PILE_H

#include "dicom/files.h"

typedef struct pile_options {
    const char *const *inputs; /* files, folders, archives; of a DICOMDIR the folder that it lies in is meant */
    size_t n_inputs;
    /* Optional. Takes a file that is found; it may keep what f holds by moving it out (zeroing *f, or a member of
     * it). */
    hct_status (*take)(void *context, pile_file *f, hct_err *err);
    /* Optional. Whether a folder is to be left out: it is then handed over as PILE_LEFT_OUT. */
    bool (*leave_out)(void *context, const char *folder);
    /* Optional. The header of a file of that path, size and time from a cache: true fills *ret, and the file is not
     * opened. */
    bool (*cached)(void *context, const pile_file *f, dicom_header *ret);
    void *context;
} pile_options;

/* How many files were found under each heading. */
typedef struct pile_counts {
    uint64_t of[PILE_LEFT_OUT + 1];
} pile_counts;

/* HCT_ENOTFOUND: an input is not there. What cannot be read below an input is PILE_UNREAD, and no error. */
hct_status pile_walk(const pile_options *o, pile_counts *ret, hct_err *err);

/* A whole pile in memory, for a few folders at a time (predict, embed). */
typedef struct pile {
    pile_file *files;
    size_t n;
    pile_counts counts;
} pile;
hct_status pile_read(const char *const *inputs, size_t n, pile *ret, hct_err *err);
void pile_free(pile *p);

#endif
