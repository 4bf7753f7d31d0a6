/* What the index tells of what was found: of one file, series or scan, of all that were left out, and in numbers. */
#ifndef DATASET_STORY_H
#define DATASET_STORY_H

#include "dataset/index.h"
#include "support/text.h"

/* Everything about one name: a scan's id, a path below an input (a file, or a folder with all in it), as sentences.
 * HCT_ENOTFOUND: the index knows nothing of that name. */
hct_status story_why(dataset_index *ix, const char *name, text_buffer *out, hct_err *err);
/* What was left out, as a CSV: scan,place,kind,slices,reason,sentence; files that could not be read have no scan. */
hct_status story_refused(dataset_index *ix, text_buffer *out, hct_err *err);
/* One row a scan, as a CSV: scan,patient,split,file,source,warnings, each label, each tag. */
hct_status story_list(dataset_index *ix, text_buffer *out, hct_err *err);
/* Takes a scan out of the index and its files off the disk. HCT_ENOTFOUND: no such scan. It comes back with the next
 * headct prepare over its source. */
hct_status story_remove(dataset_index *ix, const char *folder, const char *id, hct_err *err);
/* Counts: scans, patients, splits, labels, files by heading, what was left out by reason, warnings by word. */
hct_status story_info(dataset_index *ix, text_buffer *out, hct_err *err);

/* From what was found to what is in each part, as a flow chart has it; as a CSV or as text: step (found, left out,
 * kept, part), what (a reason, a part), scans, patients (of those that are kept), percent of what was found. */
hct_status story_funnel(dataset_index *ix, bool csv, text_buffer *out, hct_err *err);

/* The records behind positive labels, counted, as a CSV: label,what,records,scans. HCT_ENOTFOUND: there are none. */
hct_status story_evidence(dataset_index *ix, text_buffer *out, hct_err *err);

#endif
