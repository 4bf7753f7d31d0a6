/* Files with their headers to series, and series to stacks of slices that may be scans.
 *
 * Grouping. Images belong together by PatientID, StudyInstanceUID and SeriesInstanceUID; where the last is absent or
 * empty by the folder they lie in, description, number, modality and frame of reference, and then by their geometry
 * (splitting). A series may be spread over folders; folders that hold copies of one another's images (the same
 * SOPInstanceUID, or the same position where that is absent) are each taken for themselves, so that a whole copy of a
 * series cannot mend a broken one.
 *
 * Splitting. A series may hold several volumes: images of another kind (a scout among axial slices), another
 * orientation; another size or spacing, acquisition, temporal position, stack or kernel where the two lie in the same
 * place. (Where they follow each other, it is one volume whose geometry changes, which is no volume: a finding, not a
 * split.)
 *
 * Each part's slices stand in ascending order of position along the normal row x column, whatever their numbers say. */
#ifndef DICOM_SERIES_H
#define DICOM_SERIES_H

#include "dicom/files.h"
#include "imaging/stack.h"

/* What kind of images: by ImageType (FrameType), SOP class and ScanOptions. */
typedef enum series_class {
    CLASS_AXIAL,     /* none of those below */
    CLASS_LOCALIZER, /* scouts, surveys, topograms */
    CLASS_SECONDARY, /* secondary captures: screens, summaries */
    CLASS_REFORMAT,  /* MPR, MIP, projections, renderings */
    CLASS_PERFUSION, /* parameter maps */
    CLASS_DOSE       /* dose pages */
} series_class;

typedef struct series_slice {
    size_t file;   /* place in the files */
    int64_t frame; /* of it */
    double at;     /* mm along the normal, from the first slice */
} series_slice;

typedef struct series {
    size_t *files; /* places in the list that was grouped, ascending: all files that belong to this part */
    size_t n_files;
    size_t *strays; /* files that could not be read, in its folders and named like its own: its slices, most likely */
    size_t n_strays;
    series_slice *slices; /* by position; by file where positions are absent */
    size_t n_slices;
    series_class kind;
    int part, parts; /* of the series that these images were grouped as, from 1 */
    int copy;        /* 0; from 1 on: a folder (or several) with images that an earlier one holds too */

    /* Measured, where every slice has a position and an orientation, and all orientations agree; else false: */
    bool placed;
    double row[3], column[3], normal[3]; /* LPS, of the first slice */
    double gap;                          /* the median distance of neighbours, mm; 0 of one slice */
    double thickness, kvp;               /* medians (of an even number the lower) over slices; NAN: absent from all */
    double shear[2];                     /* mm along row and column per mm along the normal */
    double off_line;                     /* mm by which a slice lies beside the line through the others, at the most */
    double extent[3];                    /* mm along row, column, normal; pixels and slices to their edges */
    bool even, tilted;                   /* as imaging/stack.h decides (tilted: not straight) */
    size_t same_place;                   /* slices that lie where their predecessor does */
    size_t wide_at;                      /* the slice behind a gap that is one by its neighbours; 0: none */
    bool size_changes, spacing_changes;  /* inside the one volume */
    bool orientation_unclear;            /* rows and columns are not at right angles */
} series;

typedef struct series_list {
    series *items; /* in order of their first file */
    size_t n;
} series_list;

/* files: n of a pile; those of other kinds than PILE_DICOM are left out, but for strays. Borrowed: not kept.
 * HCT_ENOMEM. */
hct_status series_group(const pile_file *files, size_t n, series_list *ret, hct_err *err);
void series_list_free(series_list *l);

/* What the images of one series have in common (see Grouping): equal for all files that are grouped together. It holds
 * the patient's id: to be hashed with a key, never shown. The caller's to free; NULL: no memory. */
char *series_group_key(const pile_file *f);
/* What a series can be told apart by, for an id that stays: patient, study and series UID (or what stands for it),
 * the folder where several hold copies, the part. To be hashed with a key, never shown. The caller's to free; NULL:
 * no memory. */
char *series_key(const pile_file *files, const series *s);

/* Drops the slices of s that lie where another does and are equal to it: equal() compares two and returns 1, 0, or <
 * 0 where one cannot be read. *ret_different: pairs that are not equal (they stay). Called before a verdict with
 * s->same_place > 0. */
typedef int series_equal(void *context, const series_slice *a, const series_slice *b, hct_err *err);
hct_status series_drop_equal(series *s, const pile_file *files, series_equal *equal, void *context, size_t *ret_dropped,
                             size_t *ret_different, hct_err *err);

/* The slices as a stack in RAS (imaging/stack.h). position: n_slices of them, the caller's. Needs s->placed. */
void series_stack(const series *s, const pile_file *files, double (*position)[3], slice_stack *ret);

static inline const dicom_header *series_header(const pile_file *files, const series *s) {
    return &files[s->n_slices ? s->slices[0].file : s->files[0]].header;
}

enum { SERIES_SAME_PLACE_UM = 10 }; /* slices that are nearer than that, in micrometres, lie at one place */
#define SERIES_OFF_LINE_MM 0.6      /* a slice beside the line of the others by more: the patient was re-centred */
#define SERIES_GAP_FACTOR 1.5       /* a gap wider than that many of its neighbours', alone: a slice is missing */

#endif
