/* Embeddings of scans from any source: one vector of floats a scan, or several (of slices, crops, windows: as many for
 * every scan), each scan with its id.
 *
 * Kinds of file, told by their first bytes, else by their ending (docs/data-formats.md):
 *   safetensors  what headct embed writes; a tensor `embeddings` [scans, width] or [scans, vectors, width] and a
 *                metadata list `scans` (JSON); or one tensor [width] or [vectors, width] a scan, named by its id
 *   .npy         [scans, width] or [scans, vectors, width] of float16, 32 or 64; ids in a file of their own
 *   .npz         the same as `embeddings`, ids as `scans`; or one array a scan, named by its id. Nothing that is
 *                pickled is executed: arrays of Python objects are refused, but for ids that are plain texts
 *   CSV          a column `scan`, columns of numbers; `patient` and `split` may stand among them
 *   JSON lines   {"scan": ID, "embedding": [...]}, or Google's {"scan": ID, "embedding_result": {"embedding": [...]}};
 *                a list of lists is several vectors
 *   HDF5         a folder of CASE.h5, each with a dataset `y_hat` [width] or [..., width], as the CVPR 2026 challenge
 *                has it; the file's name is the id. Where headct was built with libhdf5 */
#ifndef EMBEDDINGS_TABLE_H
#define EMBEDDINGS_TABLE_H

#include "hct/types.h"
#include "support/sha256.h"

typedef struct embedding_table {
    size_t n, vectors, width; /* vectors of a scan: 1 or more */
    float *x;                 /* [n, vectors, width], all finite */
    char **id;                /* [n], none of them twice */
    char **patient, **split;  /* [n]; NULL where the file does not tell */
    char sha256[SHA256_HEX];  /* of the file's bytes, and of those of the file of ids where one was used */
} embedding_table;

/* ids: a file of scan ids in the order of the rows (a text file of one a line, a JSON list, or a CSV with a column
 * `scan`); NULL: FILE.ids, where there is such a file and the ids are not in path itself. HCT_EFORMAT: damage, rows
 * of several widths or numbers of vectors, a value that is not finite, an id twice, no rows. Free with
 * embedding_table_free. */
hct_status embedding_table_read(const char *path, const char *ids, embedding_table *ret, hct_err *err);
void embedding_table_free(embedding_table *t);
/* Makes the mean of each scan's vectors its one vector. */
void embedding_table_pool(embedding_table *t);

#endif
