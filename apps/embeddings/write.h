/* Embeddings in the forms of other programs, each whole or not there. */
#ifndef EMBEDDINGS_WRITE_H
#define EMBEDDINGS_WRITE_H

#include "embeddings/table.h"

/* FILE.npy, float32 [scans, width], and FILE.npy.ids, an id a line. */
hct_status embeddings_to_npy(const embedding_table *t, const char *path, hct_err *err);
/* Columns scan, patient and split (where the table has them), e0, e1, ... in digits that read back as the same
 * float. */
hct_status embeddings_to_csv(const embedding_table *t, const char *path, hct_err *err);
/* FOLDER/ID.h5 with a dataset `y_hat` [width]. HCT_EINVAL where headct was built without libhdf5. */
hct_status embeddings_to_hdf5(const embedding_table *t, const char *folder, hct_err *err);

/* The one of these that a word names: "npy", "csv", "h5". NULL: no such word. */
typedef hct_status embeddings_writer(const embedding_table *t, const char *path, hct_err *err);
embeddings_writer *embeddings_writer_of(const char *word);
/* Reads FILE, safetensors of `headct embed`, and writes it as well as FILE's name with another ending: .npy, .csv, or
 * -h5 for a folder. ret_path: that name, the caller's to free. */
hct_status embeddings_convert(const char *path, const char *word, char **ret_path, hct_err *err);

#endif
