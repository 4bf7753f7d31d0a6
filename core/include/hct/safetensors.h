/* hct/safetensors.h: reads and writes safetensors files (https://github.com/huggingface/safetensors).
 *
 * File: u64 header length, JSON header {"name":{"dtype","shape","data_offsets":[a,b]},...,"__metadata__":{k:v}},
 * then the bytes, little endian. Reading maps the file and checks everything before the first tensor is handed out:
 * header length against the file and the format's cap of 100 MB, JSON, names, dtypes, shapes (64-bit overflow),
 * offsets without gap or overlap, covering the file exactly.
 */
#ifndef HCT_SAFETENSORS_H
#define HCT_SAFETENSORS_H

#include "hct/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hct_st_entry {
    const char *name;
    int32_t dtype, ndim; /* ndim 0: a scalar */
    int64_t dim[HCT_MAX_DIMS];
    const void *data; /* reading: in the mapped file, aligned only if the writer cared. writing: the caller's bytes */
    size_t bytes;
} hct_st_entry;

typedef struct hct_st_file hct_st_file;

/* NULL and err on any damage; the message names the file and what is wrong. */
HCT_API hct_st_file *hct_st_open(const char *path, hct_err *err);
/* f may be NULL. */
HCT_API void hct_st_close(hct_st_file *f);
HCT_API size_t hct_st_count(const hct_st_file *f);
/* Entries in order of name (bytewise), i < count. Borrowed until close. */
HCT_API const hct_st_entry *hct_st_at(const hct_st_file *f, size_t i);
/* NULL where the name is absent. */
HCT_API const hct_st_entry *hct_st_find(const hct_st_file *f, const char *name);
/* Value of a __metadata__ key, NULL where absent. */
HCT_API const char *hct_st_meta(const hct_st_file *f, const char *key);

/* Product of the dims: 1 for a scalar, 0 for a tensor without elements. */
HCT_API size_t hct_st_elements(const hct_st_entry *e);
/* Widens element by element to float32, float64 or int64 whatever numeric dtype the entry has and however it is
 * aligned. out holds hct_st_elements(e). HCT_EDTYPE where that makes no sense (a float dtype to int64). */
HCT_API hct_status hct_st_to_f32(const hct_st_entry *e, float *out, hct_err *err);
HCT_API hct_status hct_st_to_f64(const hct_st_entry *e, double *out, hct_err *err);
HCT_API hct_status hct_st_to_i64(const hct_st_entry *e, int64_t *out, hct_err *err);

/* The entry's bytes will not be read again soon: its pages of the file need not stay in memory (they come back when
 * read). */
HCT_API void hct_st_forget(const hct_st_entry *e);

/* Writes atomically (see io.h). meta: n_meta pairs key, value (UTF-8). Data lies in the order of falling element size,
 * then name, from an 8-byte border on (the header is padded with blanks), so every tensor is aligned for its dtype. */
typedef struct hct_st_pair {
    const char *key, *value;
} hct_st_pair;
HCT_API hct_status hct_st_write(const char *path, const hct_st_entry *entries, size_t n, const hct_st_pair *meta,
                                size_t n_meta, hct_err *err);

#ifdef __cplusplus
}
#endif
#endif
